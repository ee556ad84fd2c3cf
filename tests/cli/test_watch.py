"""`status --watch` shows what moves, and ends when nothing does without somebody's doing."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.inside import delivered, inside, on_terminal
from tests.cli.making import FINISHED, MEMORY, command, new_run, running
from tests.conftest import eventually
from tracelet.cli.interrupting import Interrupt
from tracelet.journal import cursors, status
from tracelet.journal.locks import take
from tracelet.journal.status import Target
from tracelet.journal.writer import Writer

pytestmark = pytest.mark.slow

RUN = "20231114-221320-aaaaaa"
OTHER = "20231114-221321-bbbbbb"


@contextlib.contextmanager
def watching(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """Start a watch on a pipe; give its process, and its lines as they come."""
    process = subprocess.Popen(
        command("status", "--watch", "--interval", "100ms", *arguments), stdout=subprocess.PIPE, text=True
    )
    lines: list[str] = []
    assert process.stdout is not None
    reading = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    reading.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reading.join(10)
        process.stdout.close()


def ended(directory: Path) -> None:
    writer = Writer(directory)
    assert writer.finish(FINISHED)
    writer.close()


def test_a_watch_ends_when_everything_is_delivered(place: Path) -> None:
    directory = running(place, points=20)
    delivered(new_run(place, run_id=OTHER))  # settled: not shown

    with watching("--json") as (process, lines):
        eventually(lambda: lines, 30)
        cursors.save(directory, "memory", cursors.Cursor(status.sizes(directory), delivered=21))
        eventually(lambda: len(lines) > 1, 30)
        ended(directory)
        delivered(directory)
        code = process.wait(30)

    seen: list[Any] = [json.loads(line) for line in lines]
    backends = [document["runs"][0]["backends"][0] for document in seen]
    assert code == 0
    assert {tuple(run["run_id"] for run in document["runs"]) for document in seen} == {(RUN,)}
    assert (seen[0]["runs"][0]["status"], seen[-1]["runs"][0]["status"]) == ("RUNNING", "FINISHED")
    assert (backends[0]["pending"], backends[0]["rate"]) == (21, None)
    assert backends[1]["delivered"] == 21
    assert backends[1]["rate"] > 0
    assert seen[-1]["runs"][0]["delivered"]


def test_a_watch_on_a_pipe_prints_a_block_for_each_change_only(place: Path) -> None:
    directory = running(place, points=20)

    with watching(RUN) as (process, lines):
        eventually(lambda: any("memory" in line for line in lines), 30)
        delivered(directory)  # though it has not ended
        eventually(lambda: sum("memory" in line for line in lines) == 2, 30)
        ended(directory)
        delivered(directory)
        code = process.wait(30)

    heads = [line.split()[-1] for line in lines if line.startswith(RUN)]
    assert code == 0
    assert len(heads) in {3, 4}  # the end and its delivery may be seen as one change, or as two
    assert "everything is delivered\n" in lines


def test_a_watch_ends_where_nobody_is_at_work_on_what_is_left(place: Path) -> None:
    new_run(place, points=3)

    result = inside("status", "--watch")

    assert result.code == 1
    assert "nobody is at work on what is left; `tracelet sync` delivers it" in result.out
    assert "! memory does not have all of it; `tracelet sync` delivers it" in result.out


def test_a_watch_goes_on_while_a_keeper_is_at_work(place: Path) -> None:
    directory = new_run(place, points=3)
    lock = take(directory / "keeper.lock")

    with watching() as (process, lines):
        eventually(lambda: lines, 30)
        assert process.poll() is None
        lock.close()
        assert process.wait(30) == 1


def test_a_watch_without_runs_ends_at_once(place: Path) -> None:
    delivered(new_run(place))

    result = inside("status", "--watch")

    assert (result.code, result.out) == (0, "everything is delivered\n")


def test_a_signal_is_heard_whatever_it_interrupts() -> None:
    threads = threading.Thread(
        target=lambda: [os.kill(os.getpid(), signal.SIGTERM) or looked.wait(0.002) for _ in range(500)]
    )
    looked = threading.Event()

    with Interrupt().listening() as interrupt:
        threads.start()
        while threads.is_alive():  # a handler that takes a lock of the wait would wait for itself
            interrupt.wait(0.0001)
            interrupt.signal = 0

    looked.set()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_watch_is_stopped_cleanly(place: Path, number: int, code: int) -> None:
    running(place)

    with watching() as (process, lines):
        eventually(lambda: lines, 30)
        os.kill(process.pid, number)
        assert process.wait(30) == code


@pytest.mark.parametrize("columns", ["120", "40"])
def test_on_a_terminal_a_watch_draws_in_place_and_ctrl_c_ends_it(place: Path, columns: str) -> None:
    running(place, name="a name that is much longer than what fits into forty columns", points=2)
    running(place, run_id=OTHER, targets={"one": Target(MEMORY), "two": Target(MEMORY)})

    code, said = on_terminal(
        "status", "--watch", "--interval", "100ms", answers={b"\x1b[2K": "\x03"}, COLUMNS=columns, LINES="20"
    )

    first = said.partition("\x1b[2K")[0].splitlines()
    assert code == 130
    assert "under way" in first[0]
    assert sum(RUN in line for line in first) == 1
    assert "\x1b[?25h" in said  # the cursor is back
    assert "Traceback" not in said
