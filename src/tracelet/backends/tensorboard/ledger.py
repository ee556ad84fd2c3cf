"""What a run's event files hold: so that what comes again is not written again.

Beside each event file lies a ledger, with 16 bytes for each record: a digest of the event that it is
of, and where the record ends. A batch is noted first and written then, each in one call. So an entry
whose record is not whole was never written, and is cut off when the run is opened again.

An event file that ends in a part of a record is left as it is, since TensorBoard may have read that
part, and another file is begun, whose name comes later. Files of a run:

    events.out.tfevents.<seconds>.tracelet.<number>
    tracelet.<number>.ledger

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
        for number, ledger in sorted((_number(file), file) for file in directory.glob("tracelet.*.ledger")):
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
            OSError: There is no room, or no permission. The run has to be opened again.
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
        end = int(written["end"].max()) if len(written) else len(self._head())
        self._end = size if size == end else -1

    def _sort_in(self, digests: Any) -> None:
        import numpy as np

        more = np.fromiter(digests, "<u8", len(digests))
        self._known = np.union1d(self._known, more)

    def _begin(self) -> None:
        """Begin another file."""
        self._number += 1
        events, head = self._events(self._number), self._head()
        events.unlink(missing_ok=True)  # a head that was never noted, perhaps a part of one
        _append(events, head)
        self._end = len(head)
        _append(self._ledger(self._number), b"")

    def _head(self) -> bytes:
        return framed(protos().Event(wall_time=self._began, file_version=VERSION).SerializeToString())

    def _events(self, number: int) -> Path:
        return self._directory / f"events.out.tfevents.{max(0, int(self._began)):010d}.tracelet.{number:06d}"

    def _ledger(self, number: int) -> Path:
        return self._directory / f"tracelet.{number:06d}.ledger"


def _number(ledger: Path) -> int:
    middle = ledger.name.split(".")[1]
    return int(middle) if middle.isdecimal() else 0


def _append(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
