"""What every test gets: a place of its own, and a look at what it leaves behind."""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import hypothesis.configuration
import pytest

GRACE: Final = 10.0  # seconds that a process has to end by itself once its test has
FOREIGN: Final = ("MLFLOW_", "WANDB_", "CLEARML_", "TRACELET_", "SLURM_", "OMPI_COMM_WORLD_")
ROLE: Final = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK"}

# Tests start hundreds of processes: each would compile the library anew, and with two workers on few
# processors the threads of one process would wait for those of another.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A failing example is tried first the next time; tests change the directory it would be kept in.
hypothesis.configuration.set_hypothesis_home_dir(Path(__file__).parents[1] / ".hypothesis")
# The machine decides how long an example takes, and no test asserts a time.
hypothesis.settings.register_profile("tracelet", deadline=None)
hypothesis.settings.load_profile("tracelet")


def eventually(condition: Callable[[], object], deadline: float = 10.0) -> None:
    """Wait until `condition` holds; fail when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s"
        threading.Event().wait(0.02)


class Holder(NamedTuple):
    """A process, as a lock file names it."""

    pid: int
    started: int  # clock ticks after boot, as in field 22 of /proc/<pid>/stat
    lock: Path


def holders(directory: Path) -> list[Holder]:
    """List the processes that the lock files below `directory` name and that still live.

    This process is not among them: it may hold a lock that the test made.
    """
    found: list[Holder] = []
    # `os.walk` passes over what is deleted meanwhile: a keeper may be tidying up.
    places = [Path(root, name) for root, _, names in os.walk(directory) for name in names]
    for lock in (place for place in places if place.suffix == ".lock"):
        try:
            noted = json.loads(lock.read_text())
            holder = Holder(int(noted["pid"]), int(noted["started"]), lock)
        except (OSError, ValueError, TypeError, KeyError):
            continue  # another library's lock, or one that is not written yet
        if holder.pid != os.getpid() and alive(holder):
            found.append(holder)
    return found


def alive(holder: Holder) -> bool:
    """Tell whether the very process that took the lock still runs; its number may have a new owner."""
    try:
        stat = Path(f"/proc/{holder.pid}/stat").read_bytes()
    except OSError:
        return False
    # The second field is a name in parentheses and may hold anything, spaces and parentheses too.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return fields[0] not in b"ZX" and int(fields[19]) == holder.started


def end(holder: Holder) -> None:
    """Kill a process, and wait until it is gone."""
    try:
        descriptor = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return
    try:
        if alive(holder):  # the descriptor now holds on to the process, so it cannot become another
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(GRACE * 1000)
    finally:
        os.close(descriptor)


def end_what_lives(directory: Path, grace: float = GRACE) -> list[Holder]:
    """Give the processes below `directory` time to end, then end them; return those that had to be."""
    deadline = time.monotonic() + grace
    while (left := holders(directory)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    killed = left
    while left:  # a keeper that dies may leave relays, and a relay may have been starting
        for holder in left:
            end(holder)
        left = holders(directory)
        killed += left
    return killed


def _stop_what_is_active() -> None:
    """End an experiment that the test left active; its processes would otherwise watch this one."""
    session: Any = sys.modules.get("tracelet.session")
    if session is not None and session._active is not None:
        session.stop_logging()


def _swallowed() -> list[BaseException]:
    """Take the errors that `guard.contained` kept from the test, and let every warning be said again."""
    guard: Any = sys.modules.get("tracelet.guard")
    if guard is None:
        return []
    errors = list(guard.errors)
    guard.errors.clear()
    guard.forget()
    return errors


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home directory; one for all tests, because font caches are slow to make."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a working directory and a `.tracelet` of its own; afterwards nothing may live there."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name in ROLE:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TRACELET_NICE", "0")  # the training that a relay gives way to is the other tests
    monkeypatch.setenv("TRACELET_MLFLOW_ATTACH_TIMEOUT", "200")
    monkeypatch.setenv("TRACELET_DIR", str(tmp_path / ".tracelet"))
    monkeypatch.chdir(tmp_path)
    _swallowed()

    yield tmp_path

    _stop_what_is_active()
    killed = end_what_lives(tmp_path)
    swallowed = _swallowed()
    if killed:
        pytest.fail("still alive, now killed: " + ", ".join(f"{h.lock.name} ({h.pid})" for h in killed))
    if swallowed:
        raise AssertionError(f"tracelet swallowed {swallowed!r}") from swallowed[0]


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back the settings that every test gets, for one that looks at settings."""
    monkeypatch.delenv("TRACELET_NICE")
    monkeypatch.delenv("TRACELET_MLFLOW_ATTACH_TIMEOUT")


@pytest.fixture
def swallowed() -> Iterator[list[BaseException]]:
    """What `guard.contained` swallows, for a test that expects it to; it does not fail the test."""
    from tracelet import guard

    yield guard.errors

    guard.errors.clear()


@pytest.fixture
def exp() -> Iterator[Any]:
    """An experiment that only records."""
    import tracelet

    experiment = tracelet.start_experiment(
        "a run", "a project", "tracelet.testing.memory:BACKEND", mode="offline"
    )
    yield experiment
    experiment.stop()
