"""Deliver one run from the foreground: by its own keeper while that lives, else by ours."""

import contextlib
import logging
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from tracelet.cli.interrupting import Interrupt
from tracelet.errors import JournalLocked
from tracelet.journal import status
from tracelet.journal.locks import Lock, holder, take
from tracelet.journal.progress import Movement
from tracelet.journal.status import Target
from tracelet.keeper.keeping import STOPPING, Keeper
from tracelet.keeper.processes import child_environment

LOOK: Final = 0.25  # seconds between two looks at a delivery that somebody else does
KEEPER: Final = b"tracelet.keeper"  # what stands in the command line of a run's own keeper
RELAY: Final = b"tracelet.relay"  # and of a relay


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be delivered.

    Attributes:
        directory: The run's directory.
        run: Its `run.json`.
        backends: The backends to deliver to.
        added: Those of them that the run does not have yet.
        moved: Those of `added` that the run has, at another place.
        environ: Variables for its relays, beneath the environment.
    """

    directory: Path
    run: status.RunFile
    backends: tuple[str, ...]
    added: Mapping[str, Target] = field(default_factory=dict[str, Target])
    moved: frozenset[str] = frozenset()
    environ: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def left(self) -> list[str]:
        """The backends that do not have all of the run."""
        return [name for name in self.backends if not status.is_complete(self.directory, name)]


class View(Protocol):
    """Whoever shows how a delivery goes."""

    def begin(self, job: Job) -> None:
        """Show a job that begins."""
        ...

    def look(self) -> None:
        """Show how it is now; called a few times a second."""
        ...

    def end(self) -> None:
        """Leave the screen as it is."""
        ...


def deliver(job: Job, patience: float, interrupt: Interrupt, view: View) -> None:
    """Deliver until all is delivered or refused, nothing moves any more, or an interrupt comes.

    Args:
        job: What to deliver.
        patience: Seconds without progress after which the rest is left.
        interrupt: Ends it; nothing is lost.
        view: Shows how it goes.

    Raises:
        JournalCorrupt: The run cannot be read.
        OSError: A file in the run's directory cannot be written.
    """
    view.begin(job)
    lock = _wait_for_lock(job, patience, interrupt, view)
    if lock is None:
        return
    try:
        if not _prepare(job, patience, interrupt, view):
            return
        with _surroundings(job):
            _keep(job, Movement(job.directory, job.backends, patience), interrupt, view)
    finally:
        lock.close()


def _wait_for_lock(job: Job, patience: float, interrupt: Interrupt, view: View) -> Lock | None:
    """Take the keeper's lock; while the run's own keeper holds it, that one delivers.

    Returns:
        None once there is nothing left to do here, or too much.
    """
    movement = Movement(job.directory, {*job.run.targets, *job.backends}, patience)
    while not interrupt.signal:
        try:
            return take(job.directory / "keeper.lock")
        except JournalLocked:  # noqa: PERF203  it is the usual case here
            view.look()
            if job.moved or _is_in_the_way(job):
                _end_keeper(job.directory)
            elif not job.left:
                return None
            if movement.stalled():
                return None
            interrupt.wait(LOOK)
    return None


def _is_in_the_way(job: Job) -> bool:
    """Tell whether the run's own keeper only waits, and never does what this job needs.

    Whom it found refusing it does not ask again, and of one that is added it does not know; but for a
    tracker that is away it waits for minutes.
    """
    left = [name for name in job.run.relayed if not status.is_complete(job.directory, name)]
    states = {name: status.read_delivery(job.directory, name).state for name in left}
    if not states or any(state not in {"refused", "unavailable"} for state in states.values()):
        return False
    return any(name in job.added or states.get(name) == "refused" for name in job.left)


def _end_keeper(directory: Path) -> None:
    """Ask the run's own keeper to end; not another `tracelet sync`, which may hold its lock, too."""
    _ask_to_end(directory / "keeper.lock", KEEPER)


def _ask_to_end(lock: Path, what: bytes, how: int = signal.SIGTERM) -> None:
    """Ask a process that holds a lock to end, if it is one of those."""
    worker = holder(lock)
    try:
        command = Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    except OSError:  # it is gone, or there is no such file on this system
        command = what
    if worker.alive and what in command:
        with contextlib.suppress(OSError):
            os.kill(worker.pid, how)


def _prepare(job: Job, patience: float, interrupt: Interrupt, view: View) -> bool:
    """Make `run.json` say what this delivery needs: backends that are new, an interpreter that exists.

    Only whoever holds the keeper's lock may, and only once the trainer has no more to say. A relay that
    outlived its keeper would go on to the old place of a backend that is moved, so its lock is held, too.

    Returns:
        Whether it could; False if such a relay does not end.
    """
    with contextlib.ExitStack() as held:
        for name in job.moved:
            lock = _wait_for_relay(job.directory, name, patience, interrupt, view)
            if lock is None:
                return False
            held.callback(lock.close)
        _say(job)
    return True


def _wait_for_relay(
    directory: Path, name: str, patience: float, interrupt: Interrupt, view: View
) -> Lock | None:
    """Take a relay's lock, having asked whoever holds it to end; None if that takes too long."""
    began = time.monotonic()
    while not interrupt.signal and (waited := time.monotonic() - began) < patience:
        try:
            return take(directory / f"relay.{name}.lock")
        except JournalLocked:  # noqa: PERF203  it is rare
            how = signal.SIGTERM if waited < STOPPING else signal.SIGKILL  # it may be in a call that hangs
            _ask_to_end(directory / f"relay.{name}.lock", RELAY, how)
            view.look()
            interrupt.wait(LOOK)
    return None


def _say(job: Job) -> None:
    """See `_prepare`."""
    run = status.read_run(job.directory)
    python = interpreter(run)
    targets = {**run.targets, **job.added, **run.targets}  # in the run's order, what is new at the end
    for name in job.moved:
        targets[name] = job.added[name]
        status.forget_delivery(job.directory, name)  # the place that it goes to now has nothing of it
    if targets != run.targets or python != run.python:
        status.write_run(job.directory, msgspec.structs.replace(run, targets=targets, python=python))


def interpreter(run: status.RunFile) -> str:
    """Choose what runs a run's relays: its own interpreter, or this one where that is gone."""
    return run.python if shutil.which(run.python) else sys.executable


def _keep(job: Job, movement: Movement, interrupt: Interrupt, view: View) -> None:
    """Be the run's keeper."""
    halt = threading.Event()

    def look(_: Keeper) -> None:
        view.look()
        if interrupt.signal or movement.stalled():
            halt.set()

    # Its own patience is not asked: `movement` decides.
    keeper = Keeper(job.directory, only=job.backends, patience=math.inf, deliver_offline=True, watch=look)
    keeper.run(halt)
    view.look()
    if not interrupt.signal:
        keeper.tidy(time.time())


@contextlib.contextmanager
def _surroundings(job: Job) -> "Generator[None]":
    """Give relays the environment that a keeper gives them, and the keeper its log."""
    before = dict(os.environ)
    log = logging.getLogger("tracelet.keeper")
    try:
        handler: logging.Handler = logging.FileHandler(job.directory / "keeper.log", encoding="utf-8")
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    propagates = log.propagate
    _set_environment(child_environment({**job.environ, **before}))
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = propagates
        log.removeHandler(handler)
        handler.close()
        _set_environment(before)


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)
