"""Which directories of event files are runs, and what the names in them begin with.

A directory with event files is a run. One below it is a part of that run:

    what torch's `add_scalars` makes   `<main tag with _ for />_<tag>`: its one tag becomes `<main tag>/<tag>`
    what `add_hparams` makes           its hparams and scalars are the run's; of several sessions, as a
                                       sweep of one writer makes them, each is a run
    any other                          names begin with its path, as in `val/loss`
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tracelet.backends.tensorboard.frames import records
from tracelet.backends.tensorboard.places import EVENTS, owner, with_events
from tracelet.backends.tensorboard.said import SHOWN

SESSION: Final = "_hparams_/session_start_info"
_FIRST: Final = 8  # records of a file, in which a session begins
ROOT: Final = "."


class Part(NamedTuple):
    """A directory of a run.

    Attributes:
        path: Below the run's own; empty for that one.
        is_session: Whether it holds hparams, and their scalars.
    """

    directory: Path
    path: str
    is_session: bool = False


class Run(NamedTuple):
    """A run.

    Attributes:
        id: Its path below the directory that is read; `ROOT` for that one.
        is_ours: Whether tracelet wrote it.
    """

    id: str
    directory: Path
    parts: tuple[Part, ...]
    is_ours: bool


def runs(place: Path) -> Iterator[Run]:
    """Find the runs in a directory, in the order of their paths."""
    below: dict[Path, list[Path]] = {}
    for directory in with_events(place):
        above = next((one for one in below if one in directory.parents), None)
        if above is None or owner(directory) is not None:
            below[directory] = []
        elif owner(above) is None:
            below[above].append(directory)
    for directory, parts in below.items():
        yield from _runs(place, directory, parts)


def files(directory: Path) -> list[Path]:
    """List the event files of a directory, but for what only shows something; in order."""
    found = (file for file in directory.iterdir() if EVENTS in file.name and file.name != SHOWN)
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


def _runs(place: Path, directory: Path, below: list[Path]) -> Iterator[Run]:
    sessions = [part for part in below if _is_session(part)]
    own = [Part(directory, "")]
    own += [Part(part, part.relative_to(directory).as_posix()) for part in below if part not in sessions]
    if len(sessions) == 1:
        own.append(Part(sessions[0], "", is_session=True))
    if len(sessions) <= 1 or any(map(_has_values, own)):  # else it only held the sessions
        yield Run(_id(place, directory), directory, tuple(own), owner(directory) is not None)
    if len(sessions) > 1:
        for session in sessions:
            yield Run(_id(place, session), session, (Part(session, "", is_session=True),), is_ours=False)


def _has_values(part: Part) -> bool:
    return any(
        record.event.WhichOneof("what") != "file_version"
        for file in files(part.directory)
        for record in itertools.islice(records(file), _FIRST)
    )


def _id(place: Path, directory: Path) -> str:
    return ROOT if directory == place else directory.relative_to(place).as_posix()


def _is_session(directory: Path) -> bool:
    return any(
        value.tag == SESSION
        for file in files(directory)
        for record in itertools.islice(records(file), _FIRST)
        for value in record.event.summary.value
    )
