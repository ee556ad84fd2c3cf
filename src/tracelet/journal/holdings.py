"""How much a journal holds for a backend whose store it is: no relay counts records there.

Counting takes a look at all of the journal, so the keeper notes the numbers once the run has
ended, where a relay has them: in the backend's cursor.
"""

from pathlib import Path
from typing import Final

from tracelet.events import SERIES, Artifact, Bundle, payload_of
from tracelet.journal import blobs, cursors, history, status
from tracelet.journal.census import census
from tracelet.journal.cursors import Cursor

QUICK: Final = 16 * 1024 * 1024  # bytes; a list of many runs must not take long
ALL: Final = 1 << 62


def count(directory: Path, backend: str) -> Cursor:
    """Tell what was noted, or count what has come to be; of a large journal the rest is estimated."""
    noted = cursors.load(directory, backend)
    if noted.finished and not status.has_grown(directory, noted):
        return noted
    return _counted(directory, QUICK)


def note(directory: Path, backend: str) -> None:
    """Note what a run that has ended came to.

    Raises:
        OSError: It cannot be written.
    """
    noted = cursors.load(directory, backend)
    if status.ending(directory) is None or (noted.finished and not status.has_grown(directory, noted)):
        return
    sizes = status.sizes(directory)  # first: what comes after is seen later
    found = _counted(directory, ALL)
    found.finished, found.sizes = True, sizes
    cursors.save(directory, backend, found)


def missing(directory: Path) -> list[str]:
    """Name the artifacts, and what else has bytes, whose bytes the journal does not have any more.

    Raises:
        JournalCorrupt: A newer version wrote the journal.
        OSError: It cannot be read.
    """
    last: dict[str, str] = {}  # of an artifact, only the last counts
    for event in history.merged(directory, lambda _: None):
        digest, _ = payload_of(event)
        if isinstance(event, Artifact):
            last[event.path] = digest
        elif digest and isinstance(event, (*SERIES, Bundle)):
            last[f"{event.name} ({type(event).__name__.lower()} {digest[:8]})"] = digest
    return [name for name, digest in last.items() if digest and not blobs.path_of(directory, digest).exists()]


def _counted(directory: Path, most: int) -> Cursor:
    tally = census(directory, most)
    return Cursor(delivered=tally.records, lost=tally.lost)
