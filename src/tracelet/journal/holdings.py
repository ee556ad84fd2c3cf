"""How much a journal holds for a backend whose store it is: no relay counts records there.

Counting takes a look at all of the journal, so the keeper notes the numbers once the run has
ended, where a relay has them: in the backend's cursor.
"""

from pathlib import Path
from typing import Final

from tracelet.events import Artifact
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


def missing(directory: Path) -> list[Artifact]:
    """Find the artifacts whose bytes the journal does not have any more.

    Raises:
        JournalCorrupt: A newer version wrote the journal.
        OSError: It cannot be read.
    """
    events = history.merged(directory, lambda _: None)
    last = {event.path: event for event in events if isinstance(event, Artifact) and event.digest}
    return [artifact for artifact in last.values() if not blobs.path_of(directory, artifact.digest).exists()]


def _counted(directory: Path, most: int) -> Cursor:
    tally = census(directory, most)
    return Cursor(delivered=tally.records, lost=tally.lost)
