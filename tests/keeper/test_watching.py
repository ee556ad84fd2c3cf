"""A process is watched until it ends, without being its parent."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracelet.journal.locks import Holder, process_started, this_process
from tracelet.keeper.watching import Watch

TIMEOUT = 60.0  # seconds; only a test that fails waits so long


@pytest.fixture(params=["pidfd", "proc"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Watch with the kernel's help, and as where it gives none."""
    if request.param == "proc":
        monkeypatch.delattr(os, "pidfd_open")
    return request.param


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lives until it is killed."""
    process = subprocess.Popen(["/bin/sleep", "600"])
    yield process
    process.kill()
    process.wait()


def holder_of(process: "subprocess.Popen[bytes]") -> Holder:
    """Name a process as a lock file does."""
    return Holder(process.pid, process_started(process.pid))


@pytest.mark.usefixtures("way")
def test_a_process_is_alive_until_it_ends(sleeper: "subprocess.Popen[bytes]") -> None:
    watch = Watch(holder_of(sleeper))
    assert watch.alive()

    sleeper.kill()
    sleeper.wait()

    assert not watch.alive()
    watch.close()


@pytest.mark.usefixtures("way")
def test_a_process_that_nobody_reaps_has_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    watch = Watch(holder_of(sleeper))

    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie

    assert not watch.alive()
    watch.close()


def test_waiting_ends_when_the_process_does(sleeper: "subprocess.Popen[bytes]") -> None:
    watch = Watch(holder_of(sleeper))
    killer = threading.Timer(0.1, sleeper.kill)
    killer.start()

    watch.wait(TIMEOUT * 10, threading.Event())

    assert not watch.alive()
    watch.close()


@pytest.mark.usefixtures("way")
def test_a_number_that_has_a_new_owner_is_not_the_process(sleeper: "subprocess.Popen[bytes]") -> None:
    watch = Watch(Holder(sleeper.pid, process_started(sleeper.pid) + 1))

    assert not watch.alive()
    watch.close()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_a_process_that_is_not_there_has_ended(pid: int) -> None:
    watch = Watch(Holder(pid, 1))

    assert not watch.alive()
    watch.close()


@pytest.mark.usefixtures("way")
def test_a_stop_is_heard_once_the_process_has_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    watch = Watch(holder_of(sleeper))
    sleeper.kill()
    sleeper.wait()
    stop = threading.Event()
    stop.set()

    watch.wait(TIMEOUT * 10, stop)

    watch.close()


@pytest.mark.usefixtures("way")
def test_nothing_of_the_process_is_held_afterwards() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    watch = Watch(this_process())
    assert watch.alive()

    watch.close()
    watch.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
