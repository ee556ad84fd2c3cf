"""One relay as a process of its own: its exit codes, its lock, and what ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.relay.trackers import FINISHED, directory_of, faulty_target, log, new_run
from tracelet.journal import codec, cursors, status
from tracelet.journal.locks import Holder, held, holder, take
from tracelet.journal.status import Target
from tracelet.relay.__main__ import BROKEN, DONE, LOCKED, REFUSED
from tracelet.testing import memory

pytestmark = pytest.mark.slow


Start = Callable[[str], "subprocess.Popen[bytes]"]
TIMEOUT = 60.0  # seconds; only a test that fails waits so long


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start relays of the run below `place`; afterwards none may be left."""
    started: list[subprocess.Popen[bytes]] = []

    def relay(name: str = "memory") -> "subprocess.Popen[bytes]":
        with (place / "relay.log").open("ab") as errors:
            command = [sys.executable, "-P", "-m", "tracelet.relay", str(directory_of(place)), name]
            started.append(subprocess.Popen(command, stderr=errors, cwd=place))
        return started[-1]

    yield relay

    for process in started:
        process.kill()
        process.wait()


def lock_of(place: Path, name: str = "memory") -> Path:
    """Tell where a relay of the run below `place` has its lock."""
    return directory_of(place) / f"relay.{name}.lock"


def test_a_relay_delivers_a_run_and_ends(place: Path, start: Start) -> None:
    writer = new_run(place)
    points = log(writer, 300)
    writer.finish(FINISHED)

    code = start("memory").wait(TIMEOUT)

    assert code == DONE
    assert memory.received(place / "tracked")[1:] == [*points, FINISHED]
    assert not held(lock_of(place))


@pytest.mark.parametrize("attribute", ["BACKEND", "COUNTING", "CLOSING"])
def test_a_relay_that_is_killed_at_any_call_is_repeated_by_the_next(
    place: Path, start: Start, attribute: str
) -> None:
    target = faulty_target(place, attribute, seed=5, killed=0.1, killed_late=0.1)
    writer = new_run(place, targets={"faulty": target})
    points = log(writer, 500)
    writer.finish(FINISHED)

    codes = [start("faulty").wait(TIMEOUT)]
    while codes[-1] != DONE and len(codes) < 50:
        codes.append(start("faulty").wait(TIMEOUT))

    stored = memory.stored(place / "tracked")
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert stored[1:] == [*points, FINISHED]
    assert cursors.load(directory_of(place), "faulty").delivered == 502


def test_a_relay_that_is_refused_says_so_and_ends(place: Path, start: Start) -> None:
    new_run(place, targets={"faulty": faulty_target(place, refused=1)}).finish(FINISHED)

    code = start("faulty").wait(TIMEOUT)

    said = status.read_delivery(directory_of(place), "faulty")
    assert code == REFUSED
    assert (said.state, said.error) == ("refused", "the tracker refuses, as a bad day has it")


def test_a_second_relay_of_a_backend_ends_at_once(place: Path, start: Start) -> None:
    new_run(place)
    lock = take(lock_of(place))

    code = start("memory").wait(TIMEOUT)

    lock.close()
    assert code == LOCKED


def test_a_backend_that_cannot_be_loaded_is_told_in_the_status(place: Path, start: Start) -> None:
    new_run(place, targets={"gone": Target("no.such.module:BACKEND", {})})

    code = start("gone").wait(TIMEOUT)

    said = status.read_delivery(directory_of(place), "gone")
    assert code == BROKEN
    assert said.state == "refused"
    assert "no.such.module" in said.error
    assert said.pid > 0  # it has run, so the state counts


def test_a_journal_of_a_newer_version_is_told_in_the_status(place: Path, start: Start) -> None:
    new_run(place)
    name = "trainer-ffffffff-0000.seg"
    header = codec.SegmentHeader(codec.VERSION + 1, "trainer-ffffffff", 0, 1, 1, 1.0)
    (directory_of(place) / name).write_bytes(codec.header_frame(header, codec.salt_of(name)))

    code = start("memory").wait(TIMEOUT)

    assert code == BROKEN
    assert "Upgrade tracelet" in status.read_delivery(directory_of(place), "memory").error


def test_a_machine_that_cannot_read_now_does_not_end_the_delivery_for_good(place: Path, start: Start) -> None:
    new_run(place)
    there = directory_of(place) / "run.json"
    there.rename(place / "run.json")
    there.mkdir()  # stands for what may pass: too many open files, a file system that is away

    assert start("memory").wait(TIMEOUT) not in {DONE, BROKEN, REFUSED}
    assert status.read_delivery(directory_of(place), "memory").state == "stopped"


def test_a_relay_that_is_asked_to_ends_after_its_call(place: Path, start: Start) -> None:
    points = log(new_run(place), 50)
    process = start("memory")
    eventually(lambda: points[-1] in memory.received(place / "tracked"))

    process.terminate()

    assert process.wait(TIMEOUT) == DONE
    assert status.read_delivery(directory_of(place), "memory").state == "stopped"
    assert status.lag(directory_of(place), "memory") == 0


def test_a_relay_without_trainer_and_keeper_ends_when_all_is_delivered(place: Path, start: Start) -> None:
    points = log(new_run(place, trainer=Holder(0)), 250)

    code = start("memory").wait(TIMEOUT)

    assert code == DONE
    assert memory.received(place / "tracked")[1:] == points


def test_a_relay_without_trainer_and_keeper_does_not_wait_for_a_tracker(place: Path, start: Start) -> None:
    targets = {"faulty": faulty_target(place, unavailable=1)}
    new_run(place, targets=targets, trainer=Holder(0))

    assert start("faulty").wait(TIMEOUT) == DONE
    assert not cursors.load(directory_of(place), "faulty").finished


def test_a_relay_whose_run_is_deleted_ends(place: Path, start: Start) -> None:
    new_run(place)
    process = start("memory")
    eventually(lambda: holder(lock_of(place)).alive)

    directory_of(place).rename(place / "gone")

    assert process.wait(TIMEOUT) == DONE
    assert not directory_of(place).exists()


def test_a_relay_leaves_a_directory_that_is_gone(place: Path) -> None:
    """Most clients ask where they are, and fail where that is nowhere."""
    writer = new_run(place)
    log(writer, 5)
    (place / "temporary").mkdir()
    command = [sys.executable, "-P", "-m", "tracelet.relay", str(directory_of(place)), "memory"]
    with subprocess.Popen(command, cwd=place / "temporary") as process:
        try:
            eventually(lambda: held(lock_of(place)), TIMEOUT)
            (place / "temporary").rmdir()

            eventually(lambda: Path(f"/proc/{process.pid}/cwd").readlink() == directory_of(place), TIMEOUT)
        finally:
            process.kill()


def test_a_relay_gives_way_to_training(place: Path, start: Start) -> None:
    new_run(place)
    process = start("memory")

    eventually(lambda: held(lock_of(place)))

    eventually(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 10)
