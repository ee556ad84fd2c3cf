"""Runs, as the command line finds and judges them.

`Run` and `Delivery` are what `ls`, `status` and `sync` print with `--json`, field by field.
"""

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
import typer

from tracelet.errors import ConfigError, JournalCorrupt
from tracelet.journal import shelf, status
from tracelet.journal.locks import held
from tracelet.journal.overview import BackendOverview, overview

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Place: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIRECTORY",
        help="The directory of the runs; by default TRACELET_DIR, or the nearest .tracelet upwards.",
    ),
]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's share of a run.

    Attributes:
        name: The backend.
        state: waiting (nobody has tried yet), starting, delivering, idle, unavailable, refused,
            stopped or finished.
        word: How it stands in one phrase: delivered, up to date, 12 behind, unavailable, refused,
            3 rejected.
        since: When `state` began, in seconds since the epoch; 0 if not known.
        progressed: When the tracker last acknowledged something; 0 if never.
        pending: Records that the tracker has not acknowledged.
        delivered: Records that it has.
        rejected: Records, params or tags that it would not take.
        merged: Of the delivered points, those that became one with an equal one.
        degraded: Values that were cut to the tracker's limits.
        error: The last error; empty once something succeeded after it.
        id: The tracker's own id of the run.
        url: The run's page; empty where no server shows one.
        view: A command that shows the run where there is no page.
    """

    name: str
    state: str
    word: str
    since: float
    progressed: float
    pending: int
    delivered: int
    rejected: int
    merged: int
    degraded: int
    error: str
    id: str
    url: str
    view: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run, and where its records are.

    Attributes:
        run_id: Its id, and its directory's name.
        name: As the user called it.
        project: As the user called it.
        status: RUNNING, FINISHED, FAILED, KILLED; UNREADABLE if this version cannot read it.
        mode: online or offline.
        started: When it began, in seconds since the epoch.
        directory: Where its journal lies.
        lost: Records that the training process could not write.
        delivered: Whether every backend has all of it.
        attention: What somebody should look at, a sentence each; empty if all is well.
        backends: Its deliveries.
    """

    run_id: str
    name: str = ""
    project: str = ""
    status: str = "UNREADABLE"
    mode: str = ""
    started: float = 0.0
    directory: str = ""
    lost: int = 0
    delivered: bool = False
    attention: tuple[str, ...] = ()
    backends: tuple[Delivery, ...] = ()


def shelf_at(place: Path | None) -> Path:
    """Find the runs' directory.

    Raises:
        ConfigError: The directory that was named does not exist.
    """
    if place is None:
        try:
            return shelf.locate(Path.cwd(), os.environ)
        except FileNotFoundError as error:
            raise ConfigError("the working directory is gone; change to another, or give --dir") from error
    if not place.is_dir():
        raise ConfigError(f"there is no directory {place}; --dir names the one that holds the runs")
    whole = place.absolute()  # relays work in another directory
    inside = whole / ".tracelet"
    return inside if inside.is_dir() else whole


def look(directory: Path) -> Run:
    """Look at a run; one that cannot be read says so in `attention`."""
    try:
        seen = overview(directory)
    except JournalCorrupt as error:
        return Run(run_id=directory.name, directory=str(directory), attention=(str(error),))
    backends = tuple(_delivery(directory, backend) for backend in seen.backends)
    return Run(
        run_id=seen.run_id,
        name=seen.name,
        project=seen.project,
        status=seen.status,
        mode=seen.mode,
        started=seen.time,
        directory=str(directory),
        lost=seen.lost,
        delivered=seen.delivered,
        attention=tuple(_attention(directory, seen.status, seen.lost, backends)),
        backends=backends,
    )


def _delivery(directory: Path, seen: BackendOverview) -> Delivery:
    said = status.read_delivery(directory, seen.name)
    state = seen.state
    if state in {"starting", "delivering", "idle"} and not held(directory / f"relay.{seen.name}.lock"):
        state = "stopped"  # its relay was killed and could not say so
    fields: dict[str, Any] = msgspec.structs.asdict(seen) | {
        "state": state,
        "word": _word(state, seen.pending, seen.rejected),
        "since": said.since,
        "progressed": said.progressed,
    }
    return Delivery(**fields)


def _word(state: str, pending: int, rejected: int) -> str:
    if state in {"refused", "unavailable"}:
        return state
    if state != "finished" and pending:
        return f"{pending:,} behind"
    if rejected:
        return f"{rejected:,} rejected"
    return "delivered" if state == "finished" else "up to date"


def _attention(directory: Path, ending: str, lost: int, backends: tuple[Delivery, ...]) -> list[str]:
    """Say what somebody should look at; a delivery that is under way is nothing of the kind."""
    found: list[str] = []
    if lost:
        found.append(f"{lost:,} records could not be written by the training process")
    kept = held(directory / "keeper.lock")
    for backend in backends:
        if backend.state in {"refused", "unavailable"}:
            found.append(f"{backend.name} {'is ' * (backend.state == 'unavailable')}{backend.state}")
        elif backend.state != "finished" and ending != "RUNNING" and not kept:
            found.append(f"{backend.name} does not have all of it")
        if backend.rejected:
            found.append(f"{backend.name} rejected {backend.rejected:,}")
    return found


def has_ended(directory: Path, run: status.RunFile) -> bool:
    """Tell whether nothing more will be recorded in a run, but perhaps its end."""
    return not run.trainer.alive or status.ending(directory) is not None


def what(reject: status.Reject) -> str:
    """Name what was rejected; of params and tags, which one."""
    return reject.event if reject.event.endswith(reject.key) else f"{reject.event} {reject.key}"
