"""What a run's event files hold: so that what comes again is not written again.

Beside each event file lies a ledger, with 16 bytes for each record: a digest of the event that it is
of, and where the record ends. A batch is noted first and written then, each in one call. So an entry
whose record is not whole was never written, and is cut off when the run is opened again.

An event file that ends in a part of a record is left as it is, since TensorBoard may have read that
part, and another file is begun, whose name comes later. Files of a run:

    events.out.tfevents.<seconds>.tracelet.<number>
    tracelet.<number>.ledger

An event file without its ledger is removed: nobody knows what it holds, and all of it comes again.
One process writes at a time; the relay's lock sees to that.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracelet.backends.tensorboard.frames import VERSION, framed, protos

_ENTRY: Final = [("digest", "<u8"), ("end", "<u8")]
_RECENT: Final = 200_000  # digests that are kept as Python's numbers, before they are sorted in


class Entry(NamedTuple):
    """One event to be written: its digest, and its record without the frame."""

    digest: int
    record: bytes


class Ledger:
    """A run's event files, to append to.

    Args:
        directory: The run's.
        began: When the run began, in seconds since the epoch.
    """

    def __init__(self, directory: Path, began: float) -> None:
        import numpy as np

        self._directory = directory
        self._began = began
        self._known: Any = np.empty(0, "<u8")
        self._recent: set[int] = set()
        self._number = 0
        self._end = -1  # of the file that is appended to; -1 if another has to be begun
        ledgers, files = _ledgers(directory), _files(directory, began)
        for number in files.keys() - ledgers.keys():
            files[number].unlink()
        for number, ledger in sorted(ledgers.items()):
            self._take(number, ledger)
        if self._end < 0:
            self._begin()

    def has(self, digest: int) -> bool:
        """Tell whether an event was written."""
        import numpy as np

        if digest in self._recent:
            return True
        at = int(np.searchsorted(self._known, np.uint64(digest)))
        return at < len(self._known) and int(self._known[at]) == digest

    def append(self, entries: Iterable[Entry]) -> None:
        """Write events that were not written before.

        Raises:
            OSError: There is no room, no permission, or no file any more. The run has to be opened again.
        """
        import numpy as np

        new: dict[int, bytes] = {}
        for entry in entries:
            if entry.digest not in new and not self.has(entry.digest):
                new[entry.digest] = framed(entry.record)
        if not new:
            return
        noted = np.empty(len(new), _ENTRY)
        noted["digest"] = [*new]
        noted["end"] = self._end + np.cumsum([len(frame) for frame in new.values()])
        _append(self._ledger(self._number), noted.tobytes())
        content = b"".join(new.values())
        _append(self._events(self._number), content)
        self._end += len(content)
        self._recent.update(new)
        if len(self._recent) > _RECENT:
            self._sort_in(self._recent)
            self._recent = set()

    def _take(self, number: int, ledger: Path) -> None:
        """Take what a ledger says of the file it is beside."""
        import numpy as np

        events = self._events(number)
        size = events.stat().st_size if events.exists() else 0
        content = ledger.read_bytes()
        noted = np.frombuffer(content[: len(content) // 16 * 16], _ENTRY)
        written = noted[noted["end"] <= size]
        if len(written) * 16 != len(content):
            os.truncate(ledger, len(written) * 16)
        self._sort_in(written["digest"])
        self._number = number
        end = int(written["end"].max()) if len(written) else len(_head(self._began))
        self._end = size if size == end else -1

    def _sort_in(self, digests: Any) -> None:
        import numpy as np

        more = np.fromiter(digests, "<u8", len(digests))
        self._known = np.union1d(self._known, more)

    def _begin(self) -> None:
        """Begin another file."""
        self._number += 1
        head = _head(self._began)
        _append(self._events(self._number), head, os.O_CREAT)
        self._end = len(head)
        _append(self._ledger(self._number), b"", os.O_CREAT)

    def _events(self, number: int) -> Path:
        return self._directory / f"{_prefix(self._began)}{number:06d}"

    def _ledger(self, number: int) -> Path:
        return self._directory / f"tracelet.{number:06d}.ledger"


def is_lost(directory: Path, began: float) -> bool:
    """Tell whether event files of a run are gone, or the ledgers of some; nothing is changed.

    Args:
        directory: The run's.
        began: When the run began, in seconds since the epoch.
    """
    ledgers, files = _ledgers(directory), _files(directory, began)
    if not ledgers or any(ledgers[number].stat().st_size for number in ledgers.keys() - files.keys()):
        return True
    # A relay that died while it began a file has left no more of it than its head, and no ledger.
    head = len(_head(began))
    return any(files[number].stat().st_size > head for number in files.keys() - ledgers.keys())


def _ledgers(directory: Path) -> dict[int, Path]:
    return _numbered(directory, "tracelet.", ".ledger")


def _files(directory: Path, began: float) -> dict[int, Path]:
    return _numbered(directory, _prefix(began), "")


def _prefix(began: float) -> str:
    return f"events.out.tfevents.{max(0, int(began)):010d}.tracelet."


def _numbered(directory: Path, before: str, behind: str) -> dict[int, Path]:
    """Find files by the number in their names; others may be somebody else's."""
    found = {file.name[len(before) :]: file for file in directory.glob(f"{before}*{behind}")}
    numbers = {name.removesuffix(behind): file for name, file in found.items()}
    return {int(number): file for number, file in numbers.items() if number.isdecimal()}


def _head(began: float) -> bytes:
    return framed(protos().Event(wall_time=began, file_version=VERSION).SerializeToString())


def _append(file: Path, content: bytes, more: int = 0) -> None:
    """Append to a file, which somebody may have taken away: then it is not made without what was in it."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | more, 0o666)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
