"""Whoever waits for deliveries sees how far they are, on a terminal and elsewhere, and nothing stays."""

import contextlib
import fcntl
import logging
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tracelet
from tests.recording import MEMORY
from tracelet.journal import cursors, progress, status
from tracelet.journal.status import DeliveryStatus
from tracelet.telling import waiting

if TYPE_CHECKING:
    from typing_extensions import Self


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look show something, and a message be due at once."""
    for name in ("SHORT", "LONG", "EVERY"):
        monkeypatch.setattr(waiting, name, 0.0)


@pytest.fixture
def run() -> Iterator[Path]:
    """A run of two hundred points that nobody delivers."""
    with tracelet.start_experiment("a run", "a project", MEMORY, mode="offline") as exp:
        for step in range(200):
            exp.log_metric("loss", 0.5, step)
        assert exp.directory is not None
        yield exp.directory


class Terminal:
    """A real terminal; while it is entered, what this process writes to stderr goes there."""

    def __init__(self, columns: int = 100) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._slave = os.fdopen(slave, "w")
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> "Self":
        self._patch.setenv("TERM", "xterm")
        self._patch.setattr(sys, "stderr", self._slave)  # not by a fixture: pytest sets it for each phase
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
        self.hang_up()
        os.close(self._master)

    def hang_up(self) -> None:
        """Close the end that this process writes to."""
        self._slave.close()

    def seen(self) -> str:
        """Read what came."""
        text = b""
        while select.select([self._master], [], [], 0)[0]:
            text += os.read(self._master, 65536)
        return text.decode()


@pytest.mark.usefixtures("at_once")
def test_a_terminal_shows_what_is_left_and_is_clean_again(run: Path) -> None:
    (segment,) = run.glob("*.seg")
    status.write_delivery(run, "memory", DeliveryStatus(state="unavailable", pid=1, since=time.time()))

    with Terminal() as terminal:
        with waiting.shown(run, ["memory"], 60) as look:
            look()
            first = terminal.seen()
            cursors.save(run, "memory", cursors.Cursor(offsets={segment.name: segment.stat().st_size - 39}))
            status.write_delivery(run, "memory", DeliveryStatus(state="delivering", pid=1))
            look()
            second = terminal.seen()
        last = terminal.seen()

    begun = "\rtracelet: 0/60 s (20 if stuck), Ctrl-C ends waiting; memory:"
    assert first == f"{begun} 201 left (unavailable)"
    shorter = f"{begun} 1 left"
    assert second == shorter.ljust(len(first))  # nothing of the longer line stays
    assert last == "\r".ljust(len(shorter)) + "\r"


@pytest.mark.usefixtures("at_once")
def test_a_line_never_fills_the_terminal(run: Path) -> None:
    with Terminal(columns=60) as terminal:
        with waiting.shown(run, ["memory", "a" * 200], 60) as look:
            look()

        assert {len(line) for line in terminal.seen().split("\r")} == {0, 59}


def test_of_a_short_wait_nothing_is_seen(run: Path) -> None:
    with Terminal() as terminal:
        with waiting.shown(run, ["memory"], 60) as look:
            look()

        assert terminal.seen() == ""


@pytest.mark.usefixtures("at_once")
def test_where_nothing_can_be_drawn_again_there_is_one_message(
    run: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "tracelet")
    caplog.clear()

    for _ in range(2):
        with waiting.shown(run, ["memory"], 30) as look:
            look()
            look()

    (message,) = caplog.messages
    assert message == (
        "waiting up to 30 s for deliveries, 20 s if nothing moves; memory: 201 left (starting); "
        "Ctrl-C ends the wait"
    )
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_only_who_is_waited_for_is_said_to_be(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tracelet")
    long_ago = time.time() - progress.UNAVAILABLE - 1
    status.write_delivery(run, "closed", DeliveryStatus(state="refused", pid=1))
    status.write_delivery(run, "away", DeliveryStatus(state="unavailable", pid=1, since=long_ago))
    caplog.clear()

    with waiting.shown(run, ["closed", "away", "memory"], 15) as look:
        look()

    assert caplog.messages == [
        "waiting up to 15 s for deliveries; memory: 201 left (starting); Ctrl-C ends the wait"
    ]


@pytest.mark.usefixtures("at_once")
def test_another_thread_shows_nothing_and_none_is_started(run: Path) -> None:
    before = threading.active_count()

    def wait() -> None:
        with waiting.shown(run, ["memory"], 60) as look:
            look()
            assert threading.active_count() <= before + 1

    with Terminal() as terminal:
        other = threading.Thread(target=wait)
        other.start()
        other.join()
        by_the_other = terminal.seen()
        wait()

        assert by_the_other == ""
        assert "201 left" in terminal.seen()


@pytest.mark.usefixtures("at_once")
def test_a_terminal_that_is_gone_stops_no_wait(run: Path) -> None:
    with Terminal() as terminal, waiting.shown(run, ["memory"], 60) as look:
        look()
        terminal.hang_up()
        look()


@pytest.mark.usefixtures("at_once")
def test_without_a_stderr_a_wait_is_as_good(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    with waiting.shown(run, ["memory"], 60) as look:
        look()


def test_ctrl_c_ends_a_wait_and_says_where_delivery_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTY_BACKEND_UNAVAILABLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    Path("train.py").write_text(
        "import tracelet\n"
        "exp = tracelet.start_logging('x', 'p', 'tracelet.testing.faulty:BACKEND', linger=0)\n"
        "exp.log_metric('m', 1.0, 0)\n"
        "print('stopping', flush=True)\n"
        "tracelet.stop_logging()\n"
        "print('stopped')\n"
    )
    master, slave = pty.openpty()
    train = subprocess.Popen([sys.executable, "train.py"], stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)

    seen, interrupted = "", False
    with contextlib.suppress(OSError):  # the last one who had it open is gone
        while select.select([master], [], [], 60)[0]:
            seen += os.read(master, 65536).decode()
            if not interrupted and "faulty: 3 left" in seen:
                train.send_signal(signal.SIGINT)
                interrupted = True
    out, _ = train.communicate(timeout=60)
    os.close(master)

    assert (train.returncode, out) == (0, b"stopping\nstopped\n")
    assert "tracelet: not waiting any longer for the delivery of run " in seen
    assert "delivery goes on in the background, and `tracelet sync` delivers what it leaves" in seen
