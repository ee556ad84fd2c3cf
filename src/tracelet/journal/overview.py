"""How a run and its deliveries stand, from the files in its directory alone."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from tracelet.journal import cursors, holdings, status
from tracelet.journal.locks import held
from tracelet.journal.status import RunFile, State

_AT_WORK: Final = frozenset({"starting", "delivering", "idle", "finished"})


class BackendOverview(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's share of a run.

    Attributes:
        state: What its relay does, or did last: waiting (none ever ran), starting, delivering,
            idle, unavailable, refused, stopped or finished. Without a relay: idle until the run
            has ended, then finished.
        since: When `state` began, in seconds since the epoch; 0 if not known.
        progressed: When the tracker last acknowledged something; 0 if never.
        delivered: Records that the tracker has acknowledged, the run's start and end among them.
            Without a relay: those in the journal; of very many an estimate, until the run has ended.
        pending: Records that it has not.
        rejected: Records, params or tags that it would not take; `tracelet show` lists them.
        merged: Of the delivered points, those that became one with an equal one.
        degraded: Values that were cut to the tracker's limits.
        unrouted: Points, params, tags and so on that are not for this backend: its route leaves them
            out, or they were logged to others alone.
        error: The last error; empty once something succeeded after it.
        id: The tracker's own id of the run.
        url: The run's page; empty where no server shows one.
        view: A command that shows the run where there is no page.
        relayed: Whether a relay delivers to it; else the journal itself is its store.
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
    relayed: bool = True
    unrouted: int = 0


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


def overview(directory: Path) -> RunOverview:
    """Look at a run.

    Raises:
        JournalCorrupt: `directory` is not a run that this version can read.
    """
    run = status.read_run(directory)
    how = status.run_status(directory, run)
    counted = {
        name: (cursors.load if target.relayed else holdings.count)(directory, name)
        for name, target in run.targets.items()
    }
    return RunOverview(
        run_id=run.run_id,
        name=run.name,
        project=run.project,
        status=how,
        mode=run.mode,
        time=run.time,
        directory=str(directory),
        lost=max((cursor.lost for cursor in counted.values()), default=0),
        backends=tuple(
            _relayed(directory, name, cursor) if name in run.relayed else _store(name, run, cursor, how)
            for name, cursor in counted.items()
        ),
    )


def _store(name: str, run: RunFile, cursor: cursors.Cursor, how: str) -> BackendOverview:
    """Look at a backend that has everything at once."""
    return BackendOverview(
        name=name,
        state="idle" if how == "RUNNING" else "finished",
        since=0.0,
        progressed=0.0,
        delivered=cursor.delivered,
        pending=0,
        rejected=0,
        merged=0,
        degraded=0,
        error="",
        id=run.run_id,
        url="",
        view=f"tracelet show {run.run_id}",
        relayed=False,
    )


def _relayed(directory: Path, name: str, cursor: cursors.Cursor) -> BackendOverview:
    said = status.read_delivery(directory, name)
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
        unrouted=cursor.unrouted,
        error=said.error,
        id=said.id,
        url=said.url,
        view=said.view,
    )
