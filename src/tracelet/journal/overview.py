"""How a run and its deliveries stand, from the files in its directory alone."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from tracelet.journal import cursors, status
from tracelet.journal.locks import held
from tracelet.journal.status import State

_AT_WORK: Final = frozenset({"starting", "delivering", "idle", "finished"})


class BackendOverview(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's share of a run.

    Attributes:
        state: What its relay does, or did last: waiting (none ever ran), starting, delivering,
            idle, unavailable, refused, stopped or finished.
        since: When `state` began, in seconds since the epoch; 0 if not known.
        progressed: When the tracker last acknowledged something; 0 if never.
        delivered: Records that the tracker has acknowledged, the run's start and end among them.
        pending: Records that it has not.
        rejected: Records, params or tags that it would not take; `tracelet show` lists them.
        merged: Of the delivered points, those that became one with an equal one.
        degraded: Values that were cut to the tracker's limits.
        error: The last error; empty once something succeeded after it.
        id: The tracker's own id of the run.
        url: The run's page; empty where no server shows one.
        view: A command that shows the run where there is no page.
    """

    name: str
    state: State | Literal["waiting"]
    since: float
    progressed: float
    delivered: int
    pending: int
    rejected: int
    merged: int
    degraded: int
    error: str
    id: str
    url: str
    view: str


class RunOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A run: what it is, how it ended, and where its records are.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED.
        time: When it began, in seconds since the epoch.
        lost: Records that the training process could not write to the journal.
    """

    run_id: str
    name: str
    project: str
    status: str
    mode: str
    time: float
    directory: str
    lost: int
    backends: tuple[BackendOverview, ...]

    @property
    def delivered(self) -> bool:
        """Whether every backend has all of it."""
        return all(backend.state == "finished" for backend in self.backends)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run, as `stop_logging` returns it.

    Attributes:
        status: How the run ended.
        backends: Each backend's share; `state` is "finished" where it has all of the run.
        lost: Records that could not be written to the journal.
        dropped: Records that a signal handler or `__del__` made inside another record.
        seconds: How long ending took.
    """

    run_id: str
    name: str
    status: str
    backends: tuple[BackendOverview, ...] = ()
    lost: int = 0
    dropped: int = 0
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether every backend has all of the run and took all of it."""
        complete = all(backend.state == "finished" and not backend.rejected for backend in self.backends)
        return complete and not self.lost


def overview(directory: Path) -> RunOverview:
    """Look at a run.

    Raises:
        JournalCorrupt: `directory` is not a run that this version can read.
    """
    run = status.read_run(directory)
    return RunOverview(
        run_id=run.run_id,
        name=run.name,
        project=run.project,
        status=status.run_status(directory, run),
        mode=run.mode,
        time=run.time,
        directory=str(directory),
        lost=max((cursors.load(directory, name).lost for name in run.targets), default=0),
        backends=tuple(_backend(directory, name) for name in run.targets),
    )


def _backend(directory: Path, name: str) -> BackendOverview:
    said = status.read_delivery(directory, name)
    cursor = cursors.load(directory, name)
    complete = status.is_complete(directory, name)
    state = "finished" if complete else "waiting" if said.pid == 0 else said.state
    if not complete and state in _AT_WORK and not held(directory / f"relay.{name}.lock"):
        state = "stopped"  # its relay was killed, and could not say so
    return BackendOverview(
        name=name,
        state=state,
        since=said.since,
        progressed=said.progressed,
        delivered=cursor.delivered,
        pending=0 if complete else status.lag(directory, name),
        rejected=len(status.rejects(directory, name)),
        merged=cursor.merged,
        degraded=cursor.degraded,
        error=said.error,
        id=said.id,
        url=said.url,
        view=said.view,
    )
