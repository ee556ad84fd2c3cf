"""Runs, as the command line finds and judges them.

`Run` is what `ls`, `status` and `sync` print with `--json`, field by field; each of its backends is a
`BackendOverview`.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import typer

from tracelet.errors import ConfigError, JournalCorrupt, JournalError
from tracelet.journal import shelf, status
from tracelet.journal.locks import held
from tracelet.journal.overview import BackendOverview, RunOverview, overview
from tracelet.settings.kinds import DURATION

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Place: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIRECTORY",
        help="The directory of the runs; by default TRACELET_DIR, or the nearest .tracelet upwards.",
    ),
]
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say what trackers said whole, however long it is.")
]


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
    backends: tuple[BackendOverview, ...] = ()


def shelf_at(place: Path | None) -> Path:
    """Find the runs' directory.

    Raises:
        ConfigError: The directory that was named does not exist, or is none.
        JournalError: It cannot be read.
    """
    if place is None:
        try:
            found = shelf.locate(Path.cwd(), os.environ)
        except FileNotFoundError as error:
            raise ConfigError("the working directory is gone; change to another, or give --dir") from error
        return _readable(found)
    if not place.is_dir():
        raise ConfigError(f"there is no directory {place}; --dir names the one that holds the runs")
    whole = place.absolute()  # relays work in another directory
    inside = whole / ".tracelet"
    return _readable(inside if inside.is_dir() else whole)


def _readable(place: Path) -> Path:
    """Make sure that a shelf can be listed, if it is there: one that cannot is not an empty one."""
    try:
        os.scandir(place).close()
    except FileNotFoundError:
        pass
    except NotADirectoryError as error:
        raise ConfigError(
            f"{place} is no directory; TRACELET_DIR names the one that holds the runs"
        ) from error
    except OSError as error:
        raise JournalError(f"the runs in {place} cannot be listed: {error.strerror or error}") from error
    return place


def seconds(text: str | float) -> float:
    """Understand a duration that stands on the command line, as settings are understood."""
    try:
        return DURATION.parse(text)
    except TypeError as error:
        raise typer.BadParameter(f"{text!r} is no duration; it takes {error}") from error


def look(directory: Path) -> Run:
    """Look at a run; one that cannot be read says so in `attention`."""
    try:
        seen = overview(directory)
    except JournalCorrupt as error:
        return Run(run_id=directory.name, directory=str(directory), attention=(str(error),))
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
        attention=tuple(_attention(directory, seen)),
        backends=seen.backends,
    )


def look_at(directories: Iterable[Path]) -> list[Run]:
    """Look at runs, but for those that were deleted meanwhile."""
    seen = ((directory, look(directory)) for directory in directories)
    return [run for directory, run in seen if run.status != "UNREADABLE" or directory.exists()]


def word(backend: BackendOverview) -> str:
    """Say in one phrase how a delivery stands."""
    if not backend.relayed:
        return "kept"
    if backend.state in {"refused", "unavailable"}:
        return backend.state
    if backend.state != "finished" and backend.pending:
        return f"{backend.pending:,} behind"
    if backend.rejected:
        return f"{backend.rejected:,} rejected"
    return "delivered" if backend.state == "finished" else "up to date"


def unrouted(backend: BackendOverview) -> str:
    """Say how much of a run is not for a backend."""
    return f"{backend.unrouted:,} not routed here, by its route or as logged to others alone"


def _attention(directory: Path, seen: RunOverview) -> list[str]:
    """Say what somebody should look at; a delivery that is under way is nothing of the kind."""
    found: list[str] = []
    if seen.lost:
        found.append(f"{seen.lost:,} records could not be written by the training process")
    kept = held(directory / "keeper.lock")
    for backend in seen.backends:
        if backend.state == "refused":
            again = f"`tracelet sync {seen.run_id}` tries again"
            found.append(
                f"{backend.name} refused, and is not asked again by itself; mend the cause, then {again}"
            )
        elif backend.state == "unavailable":
            again = "it is asked again by itself" if kept else f"`tracelet sync {seen.run_id}` tries again"
            found.append(f"{backend.name} is unavailable; {again}")
        elif backend.state != "finished" and seen.status != "RUNNING" and not kept:
            found.append(f"{backend.name} does not have all of it; `tracelet sync` delivers it")
        if backend.rejected:
            lists = f"`tracelet show {seen.run_id} --rejects` lists what and why"
            found.append(f"{backend.name} rejected {backend.rejected:,}; {lists}")
    return found


def what(reject: status.Reject) -> str:
    """Name what was rejected; of params and tags, which one."""
    return reject.event if reject.event.endswith(reject.key) else f"{reject.event} {reject.key}"
