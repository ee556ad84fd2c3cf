"""The file `plan.<backend>`: which records make which row. See `tracelet.relay.plan`.

It is appended to, one entry for each batch: its length and checksum, then, in msgpack, the names of
segments that are new to the file, and the rows; each lists, for each of its segments, where the row's
records start. An entry that is torn was not sent, and is cut off before the next is appended: until then
nothing is, for a file that was damaged may still be mended.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

from tracelet.errors import Refused
from tracelet.journal.reader import Record

HEAD: Final = Struct("<II")  # length, crc32


class Entry(msgspec.Struct, array_like=True):
    """What is appended at once: segments that are numbered on, and rows of (segment's number, starts)."""

    segments: list[str]
    rows: list[list[tuple[int, list[int]]]]


class PlanFile:
    """The file `plan.<backend>`.

    Args:
        path: Where it is.
        durable: Whether what was appended must survive a power failure.

    Raises:
        Refused: Another version wrote it.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self._path = path
        self._durable = durable
        self._numbers: dict[str, int] = {}
        self.rows = 0
        whole = 0
        for entry, end in self._entries():
            self.rows, whole = self.rows + len(entry.rows), end
            self._number(entry.segments)
        self._whole = whole

    def __str__(self) -> str:
        """Return where it is."""
        return str(self._path)

    def append(self, rows: list[list[Record]]) -> None:
        """Note rows, and number them on from `rows`.

        Raises:
            OSError: They cannot be written; the file is as it was, and so are the numbers.
        """
        fresh = list(dict.fromkeys(record.segment for row in rows for record in row))
        fresh = [name for name in fresh if name not in self._numbers]
        numbers = self._numbers | {name: len(self._numbers) + at for at, name in enumerate(fresh)}
        body = msgspec.msgpack.encode(Entry(fresh, [_places(row, numbers) for row in rows]))
        entry = HEAD.pack(len(body), crc32(body)) + body
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = self._whole
            if os.fstat(descriptor).st_size > size:
                os.ftruncate(descriptor, size)  # a relay was killed in the middle of an entry
            try:
                written = os.write(descriptor, entry)
                if written < len(entry):
                    message = f"{self._path}: only {written} of {len(entry)} bytes could be written"
                    raise OSError(message)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            if self._durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._whole += len(entry)
        self._number(fresh)
        self.rows += len(rows)

    def since(self, row: int) -> Iterator[list[tuple[str, int]]]:
        """Give the rows from the number `row` on: each as the segments and starts of its records."""
        segments: list[str] = []
        number = 0
        for entry, _ in self._entries():
            segments += entry.segments
            for places in entry.rows:
                if number >= row:
                    yield [(segments[which], start) for which, starts in places for start in starts]
                number += 1

    def _entries(self) -> Iterator[tuple[Entry, int]]:
        """Give the whole entries, each with the offset behind it."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        end = 0
        with file:
            while len(head := file.read(HEAD.size)) == HEAD.size:
                length, checksum = HEAD.unpack(head)
                body = file.read(length)
                if len(body) < length or crc32(body) != checksum:
                    return
                end += HEAD.size + length
                try:
                    yield msgspec.msgpack.decode(body, type=Entry), end
                except msgspec.MsgspecError as error:
                    raise Refused(f"{self._path} is a plan of another version's: {error}") from None

    def _number(self, segments: Iterable[str]) -> None:
        for name in segments:
            self._numbers[name] = len(self._numbers)


def _places(row: list[Record], numbers: dict[str, int]) -> list[tuple[int, list[int]]]:
    found: dict[int, list[int]] = {}
    for record in row:
        found.setdefault(numbers[record.segment], []).append(record.start)
    return list(found.items())
