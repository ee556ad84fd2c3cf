"""What the journal's tests share: a small journal, and a book of what was appended, byte for byte.

The book takes records apart by itself, from the format's description, and knows nothing of the
reader: it says what a reader must give back from whatever is left of the bytes.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

from tracelet.events import Event, Lost, Metric, Note, Packed, Params
from tracelet.journal import codec, reader
from tracelet.journal import writer as writing
from tracelet.journal.reader import Damage, Reader, Record
from tracelet.journal.writer import Writer

HEAD_SIZE: Final = 11
POINT_SIZE: Final = 39
DEEP: Final = bool(os.environ.get("TRACELET_TESTS_DEEP"))  # many more examples, for a night's run
NAME_LOST: Final = "a scalar whose name was lost"
NAMES: Final = (codec.NAME, codec.ADDRESSED_NAME)
EVENTS: Final = (codec.EVENT, codec.ADDRESSED)


@contextlib.contextmanager
def small(block: int = 400, chunk: int = 256, payload: int = 2000) -> Iterator[None]:
    """Let blocks turn often and records be larger than what is read at once."""
    with (
        mock.patch.object(codec, "BLOCK", block),
        mock.patch.object(codec, "PAYLOAD_MAX", payload),
        mock.patch.object(reader, "CHUNK", chunk),
    ):
        yield


class FailingOs:
    """The module `os`, whose writes reach only so many bytes when a test says so."""

    def __init__(self) -> None:
        self.room: int | None = None  # bytes that the next writes may still have; None: no limit
        self.truncates = True
        self.before_truncating: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        """Write as `write` does on a disk that fills up: a part, then nothing."""
        if self.room is None:
            return os.write(fd, data)
        part = data[: self.room]
        self.room -= len(part)
        if not part:
            raise OSError(28, "No space left on device")
        return os.write(fd, part)

    def ftruncate(self, fd: int, size: int) -> None:
        """Truncate, or fail as some file systems do."""
        self.before_truncating()
        if not self.truncates:
            raise OSError(5, "Input/output error")
        os.ftruncate(fd, size)


@contextlib.contextmanager
def failing_os() -> Iterator[FailingOs]:
    """Put a `FailingOs` below the writer."""
    fake = FailingOs()
    with mock.patch.object(writing, "os", fake):
        yield fake


class Piece(NamedTuple):
    """A record as it was appended; `event` is None for headers and names, `name` set for both."""

    segment: str
    start: int
    end: int
    type: int
    number: int
    event: Event | None
    only: tuple[str, ...] = ()


class Book:
    """What was appended to a journal, and what a reader must make of what is left of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pieces: dict[str, list[Piece]] = {}
        self.original: dict[str, bytearray] = {}
        self.touched: set[tuple[str, int]] = set()
        self.left: set[str] = set()  # segments that end in a torn record: their writer has left them

    def scalar(
        self,
        writer: Writer,
        name: str,
        value: float,
        step: int | None,
        time: float,
        only: tuple[str, ...] = (),
    ) -> bool:
        """Append a point; note it if the writer took it."""
        called = codec.Addressed(name, only) if only else name
        if step is None:
            ordinal = writer._ordinals.get(name, 0)
            written = writer.stepless(called, value, time)
            event = Metric(name, value, None, time, ordinal)
        else:
            written = writer.scalar(called, value, step, time)
            event = Metric(name, value, step, time)
        self._note(writer.segment, event if written else None, only)
        return written

    def event(self, writer: Writer, event: Packed, only: tuple[str, ...] = ()) -> bool:
        """Append any other event; note it if the writer took it."""
        written = writer.event(event, only)
        self._note(writer.segment, event if written else None, only)
        return written

    def _note(self, segment: str, event: Event | None, only: tuple[str, ...]) -> None:
        """Take what was just appended apart; the last record is `event`'s.

        Without an event, the append failed. Then the records before it may be there all the same,
        and a torn one behind them.
        """
        if not segment or segment in self.left:
            return
        original = self.original.setdefault(segment, bytearray())
        pieces = self.pieces.setdefault(segment, [])
        start = len(original)
        new = (self.directory / segment).read_bytes()[start:]
        position = 0
        while position < len(new) - 6:
            length, kind = struct.unpack_from("<IB", new, position + 2)
            end = position + HEAD_SIZE + length
            if event is None and end > len(new):
                break
            number = struct.unpack_from("<I", new, position + HEAD_SIZE)[0] if kind in {2, 3, 4, 6} else -1
            last = event is not None and end == len(new)
            found: Event | None = event if last else None
            if not last and kind == codec.EVENT:
                found = codec.decode_event(memoryview(new)[position + HEAD_SIZE : end])
                assert isinstance(found, Lost)
            whom = only if last else ()
            pieces.append(Piece(segment, start + position, start + end, kind, number, found, whom))
            position = end
        assert position == len(new) or event is None, "an append left more than whole records"
        original += new[:position]
        if position < len(new):
            self.left.add(segment)

    def look(self) -> None:
        """Note which records were damaged, if only for a while."""
        for segment, pieces in self.pieces.items():
            disk = self.disk(segment)
            for piece in pieces:
                if not self._whole(piece, disk):
                    self.touched.add((segment, piece.start))

    def disk(self, segment: str) -> bytes:
        """Read what is left of a segment."""
        return (self.directory / segment).read_bytes()

    def _whole(self, piece: Piece, disk: bytes) -> bool:
        return disk[piece.start : piece.end] == self.original[piece.segment][piece.start : piece.end]

    def expected(self, segment: str) -> list[tuple[object, ...]]:
        """Say what reading a segment from its beginning gives, damaged stretches left out."""
        disk = self.disk(segment)
        known: set[int] = set()
        found: list[tuple[object, ...]] = []
        for piece in self.pieces[segment]:
            if not self._whole(piece, disk):
                continue
            if piece.type in NAMES:
                known.add(piece.number)
            elif piece.type in EVENTS or piece.number in known:
                found.append(key(piece.event, piece.only))
            elif piece.type != codec.HEADER:
                found.append((NAME_LOST,))
        return found

    def untouched(self, segment: str) -> list[tuple[object, ...]]:
        """Say which events nothing ever happened to, nor to their name in their own block."""
        found: list[tuple[object, ...]] = []
        known: dict[int, int] = {}  # number → block
        for piece in self.pieces[segment]:
            if (segment, piece.start) in self.touched:
                continue
            block = piece.start // codec.BLOCK
            if piece.type in NAMES:
                known[piece.number] = block
            elif piece.event is not None and (piece.type in EVENTS or known.get(piece.number) == block):
                found.append(key(piece.event, piece.only))
        return found

    def all(self, segment: str) -> list[tuple[object, ...]]:
        """List every event of a segment."""
        return [key(piece.event, piece.only) for piece in self.pieces[segment] if piece.event is not None]


def key(event: object, only: tuple[str, ...] = ()) -> tuple[object, ...]:
    """Make events comparable bit by bit: NaN equals itself, and -0.0 does not equal 0.0."""
    if isinstance(event, Metric):
        bits = struct.pack("<dd", event.value, event.time)
        return ("Metric", event.name, bits, event.step, event.ordinal, *only)
    if isinstance(event, Damage) and event.reason == NAME_LOST:
        return (NAME_LOST,)
    return (type(event).__name__, repr(event), *only)


def keys(records: Sequence[Record]) -> list[tuple[object, ...]]:
    """List what was read, damaged stretches left out."""
    sound = [r for r in records if not isinstance(r.event, Damage) or r.event.reason == NAME_LOST]
    return [key(r.event, r.only) for r in sound]


def damages(records: Sequence[Record]) -> list[Damage]:
    """List the damage among what was read."""
    return [record.event for record in records if isinstance(record.event, Damage)]


def read_all(directory: Path, *, limit: int = 10_000) -> list[Record]:
    """Read a journal from its beginning to its end."""
    return drained(Reader(directory), limit=limit)


def drained(source: Reader, *, limit: int = 10_000) -> list[Record]:
    """Read until nothing comes any more."""
    records: list[Record] = []
    while found := source.read(limit):
        assert len(found) <= limit
        records += found
    return records


def events(directory: Path) -> list[Event | Damage]:
    """Read a journal's events."""
    return [record.event for record in read_all(directory)]


def fill(book: Book, writer: Writer, rounds: int = 12) -> None:
    """Append some of everything."""
    for index in range(rounds):
        book.scalar(writer, f"loss/{index % 3}", 0.5 * index, index, 1000.0 + index)
        book.scalar(writer, "ünï🙂", -0.0, None, 1000.5 + index)
        if index % 4 == 0:
            book.event(writer, Note(1.0 + index, "x" * (index * 7)))
        if index % 5 == 0:
            book.event(writer, Params(2.0 + index, {"lr": 0.1, "layers": [1, 2, {"a": None}]}))
