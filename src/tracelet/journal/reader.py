"""Read a run's records, also while they are written: nothing here waits for a lock.

*Guarantees.* `Reader.read` gives each writer's records in the order in which they were appended,
each once. What is damaged is given as `Damage` in its place; what is only not there yet is left
for the next call; so is a torn tail, for nobody can tell the two apart.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from tracelet.events import Event, Metric
from tracelet.journal import codec

CHUNK: Final = 1024 * 1024  # bytes read at once
ENOUGH: Final = 16 * CHUNK  # bytes after which a batch is full: many large records need memory
_POINT: Final = codec.POINT_FRAME
_HEAD_SIZE: Final = codec.HEAD.size
_HEADER_MAX: Final = 4096  # bytes; a segment's header is far smaller


class Damage(msgspec.Struct, frozen=True):
    """Something that stands in the journal and cannot be read: `size` bytes, for `reason`."""

    reason: str
    size: int


class Record(NamedTuple):
    """What was recorded, and where: `start` and `end` are offsets in the file `segment`.

    `only` names the backends that it is for; none for all.
    """

    event: Event | Damage
    segment: str
    start: int
    end: int
    only: tuple[str, ...] = ()


class _Segment:
    """One file, read from an offset on."""

    __slots__ = (
        "_fd",
        "_known",
        "_names",
        "_only",
        "_path",
        "_point_crcs",
        "_salt",
        "at_end",
        "name",
        "offset",
    )

    def __init__(self, directory: Path, name: str, offset: int) -> None:
        self.name = name
        self.offset = offset
        self.at_end = True  # whether `records` gave all that was there
        self._path = directory / name
        self._salt = codec.salt_of(name)
        self._point_crcs = {
            kind: codec.prefix_crc(kind, codec.POINT.size, self._salt)
            for kind in (codec.SCALAR, codec.STEPLESS)
        }
        self._names: dict[int, str] = {}
        self._only: dict[int, tuple[str, ...]] = {}  # of the names whose points are for some backends alone
        self._known = offset == 0  # whether the names are known that records from `offset` on may use
        self._fd = -1

    def records(self, limit: int) -> list[Record]:
        """Give up to `limit` records, and move behind them."""
        # Opened for each call: a run may have a thousand segments of short-lived workers.
        try:
            self._fd = os.open(
                self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            )
        except FileNotFoundError:
            return []
        try:
            # An offset beyond the end means that everything was delivered before power was lost.
            if not self._known and self.offset <= self._size():
                self._learn_names()
            return self._records(limit, 1 << 62)
        finally:
            os.close(self._fd)

    def _size(self) -> int:
        return os.fstat(self._fd).st_size

    def _learn_names(self) -> None:
        """Read the names that records from `offset` on may use; their block begins before it."""
        end = self.offset
        head = memoryview(_read_at(self._fd, _HEADER_MAX, 0))
        whole = codec.whole_frame(head, 0, self._salt)
        if whole is not None:
            self._understood(whole)
        self.offset = end // codec.BLOCK * codec.BLOCK
        self._records(1 << 62, end, keep=False)
        self.offset = end
        self._known = True

    def _records(self, limit: int, stop: int, *, keep: bool = True) -> list[Record]:
        """Give up to `limit` records that begin before `stop`; with `keep` false, only learn names."""
        found: list[Record] = []
        begin, self.at_end = self.offset, False
        while len(found) < limit and self.offset < stop:
            if found and self.offset - begin > ENOUGH:
                break
            data = _read_at(self._fd, CHUNK, self.offset)
            used = self._parse(data, limit, stop, found, keep=keep)
            self.offset += used
            if not used and (not data or not self._step_over(stop, found, keep=keep)):
                self.at_end = True
                break
        return found

    def _parse(self, data: bytes, limit: int, stop: int, found: list[Record], *, keep: bool) -> int:
        """Take whole records off the front of `data`; tell how many bytes they were."""
        view = memoryview(data)
        size, position, base, room = len(data), 0, self.offset, limit - len(found)
        names, only, crcs, name = self._names, self._only, self._point_crcs, self.name
        while room > 0 and position + _HEAD_SIZE <= size and base + position < stop:
            if position + _POINT.size <= size and data[position + 6] in crcs:
                marker, length, kind, crc, number, step, value, time = _POINT.unpack_from(data, position)
                end = position + _POINT.size
                if (
                    marker != codec.MARKER
                    or length != codec.POINT.size
                    or crc != crc32(view[position + _HEAD_SIZE : end], crcs[kind])
                ):
                    return position
                if keep:
                    event = _point(names.get(number), kind, step, value, time, end - position)
                    whom = only.get(number, ()) if only else ()
                    found.append(Record(event, name, base + position, base + end, whom))
                    room -= 1
                position = end
                continue
            whole = codec.whole_frame(view, position, self._salt)
            if whole is None:
                return position
            event, whom = self._understood(whole)
            if keep and event is not None:
                found.append(Record(event, name, base + position, base + whole.end, whom))
                room -= 1
            position = whole.end
        return position

    def _understood(self, whole: codec.Frame) -> tuple[Event | Damage | None, tuple[str, ...]]:
        """Make of a sound record an event, and whom it is for; None for those that are the format's own."""
        if whole.type in {codec.EVENT, codec.ADDRESSED}:
            return self._event(whole)
        if whole.type in {codec.NAME, codec.ADDRESSED_NAME}:
            return self._named(whole), ()
        if whole.type == codec.HEADER:
            codec.decode_header(whole.payload, self.name)
            return None, ()
        if whole.type in self._point_crcs and len(whole.payload) == codec.POINT.size:
            number, step, value, time = codec.POINT.unpack(whole.payload)
            event = _point(self._names.get(number), whole.type, step, value, time, _POINT.size)
            return event, self._only.get(number, ())
        return Damage(f"a record of the unknown type {whole.type}", len(whole.payload)), ()

    def _event(self, whole: codec.Frame) -> tuple[Event | Damage, tuple[str, ...]]:
        try:
            only, payload = (), whole.payload
            if whole.type == codec.ADDRESSED:
                only, payload = codec.decode_only(payload)
            return codec.decode_event(payload), only
        except (struct.error, UnicodeDecodeError, msgspec.MsgspecError) as error:
            return Damage(f"an event that this version does not know: {error}", len(whole.payload)), ()

    def _named(self, whole: codec.Frame) -> Damage | None:
        try:
            if whole.type == codec.NAME:
                number, name = codec.decode_name(whole.payload)
            else:
                number, (name, self._only[number]) = codec.decode_addressed_name(whole.payload)
        except (struct.error, UnicodeDecodeError):
            return Damage("a name that this version does not understand", len(whole.payload))
        self._names[number] = name
        return None

    def _step_over(self, stop: int, found: list[Record], *, keep: bool) -> bool:
        """Deal with bytes at `offset` that looked like no sound record; tell whether reading can go on."""
        if self._take_one(found, keep=keep):  # it is sound, only larger than a chunk
            return True
        start = self._next_sound(stop)
        if start is None:
            return False  # no append that returned is in a torn tail; one under way may still be whole later
        # The writer may have been in the middle of this record when we looked. It was not any
        # more when it wrote the next one.
        if self._take_one(found, keep=keep):
            return True
        if keep:
            damage = Damage("bytes that are no record", start - self.offset)
            found.append(Record(damage, self.name, self.offset, start))
        self.offset = start
        return True

    def _take_one(self, found: list[Record], *, keep: bool) -> bool:
        """Take the record at `offset`, however large it is; False if it is not sound."""
        rest = _read_at(self._fd, codec.PAYLOAD_MAX + _HEAD_SIZE, self.offset)
        whole = codec.whole_frame(memoryview(rest), 0, self._salt)
        if whole is None:
            return False
        event, whom = self._understood(whole)
        if keep and event is not None:
            found.append(Record(event, self.name, self.offset, self.offset + whole.end, whom))
        self.offset += whole.end
        return True

    def _next_sound(self, stop: int) -> int | None:
        """Find the next record whose checksum holds."""
        position, size = self.offset + 1, min(self._size(), stop)
        while position < size:
            rest = _read_at(self._fd, CHUNK + _HEAD_SIZE + codec.PAYLOAD_MAX, position)
            view = memoryview(rest)
            at = rest.find(codec.MARKER)
            while 0 <= at < CHUNK:
                if codec.whole_frame(view, at, self._salt) is not None:
                    return position + at
                at = rest.find(codec.MARKER, at + 1)
            position += CHUNK
        return None


def _read_at(fd: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)  # Windows; a segment is read by one thread at a time
    return os.read(fd, size)


def _point(name: str | None, kind: int, step: int, value: float, time: float, size: int) -> Metric | Damage:
    if name is None:
        return Damage("a scalar whose name was lost", size)
    if kind == codec.SCALAR:
        return Metric(name, value, step, time)
    return Metric(name, value, None, time, step)


class _Trail:
    """One writer's segments, in their order."""

    __slots__ = ("_cursor", "_directory", "_segment", "segments")

    def __init__(self, directory: Path, cursor: dict[str, int]) -> None:
        self._directory = directory
        self._cursor = cursor
        self.segments: list[str] = []
        self._segment: _Segment | None = None

    def read(self, limit: int) -> Iterator[Record]:
        while limit > 0 and self.segments:
            segment = self._current()
            records = segment.records(limit)
            yield from records
            limit -= len(records)
            if not segment.at_end or len(self.segments) == 1:
                return  # what follows is in the next: no append that returned is in the torn tail of this
            self._segment = None
            del self.segments[0]

    def _current(self) -> _Segment:
        if self._segment is None:
            name = self.segments[0]
            self._segment = _Segment(self._directory, name, self._cursor.get(name, 0))
        return self._segment


class Reader:
    """Everything that was recorded in one run, from a cursor on.

    Args:
        directory: The run's directory.
        cursor: Offset per segment from which to read; a segment that it does not name is read whole.

    Raises:
        JournalCorrupt: (from `read`) A newer version wrote a segment.
    """

    def __init__(self, directory: Path, cursor: Mapping[str, int] | None = None) -> None:
        self._directory = directory
        self._cursor = dict(cursor or {})
        self._trails: dict[str, _Trail] = {}
        self._seen: set[str] = set()
        self._turn = 0

    def read(self, limit: int) -> list[Record]:
        """Give up to `limit` records that were not given before; an empty list if there are none now."""
        self._look()
        trails = list(self._trails.values())
        records: list[Record] = []
        for index in range(len(trails)):
            room = limit - len(records)
            if room <= 0:
                break
            # Each call begins with another writer, so that a busy one cannot starve the others.
            trail = trails[(self._turn + index) % len(trails)]
            records.extend(trail.read(room))
        self._turn += 1
        return records

    def read_of(self, segment: str, limit: int) -> list[Record]:
        """Give up to `limit` records, as `read` does, of the process alone that wrote a segment."""
        self._look()
        trail = self._trails.get(segment.rpartition("-")[0])
        return [] if trail is None else [*trail.read(limit)]

    def _look(self) -> None:
        """Notice new segments."""
        for name in segments(self._directory):
            if name not in self._seen:
                self._seen.add(name)
                writer = name.rpartition("-")[0]
                trail = self._trails.setdefault(writer, _Trail(self._directory, self._cursor))
                trail.segments.append(name)


def stream(directory: Path, ends: Iterable[tuple[str, int]], limit: int) -> Iterator[Record]:
    """Give the records of some segments, one segment after the other.

    Args:
        directory: The run's directory.
        ends: The segments, each with the offset where to end.
        limit: Records that are held in memory at once.

    Raises:
        JournalCorrupt: A newer version wrote a segment.
        OSError: One cannot be read any more, or is gone.
    """
    for name, end in ends:
        segment = _Segment(directory, name, 0)
        while segment.offset < end:
            records = segment.records(limit)
            if segment.offset > end:  # it has grown since
                records = [record for record in records if record.start < end]
            yield from records
            if not records:
                (directory / name).stat()  # else it ended in what is no record
                break


def segments(directory: Path) -> list[str]:
    """List a run's segments: writer by writer, each in the order of their index."""
    try:
        names = [path.name for path in directory.iterdir() if path.suffix == ".seg"]
    except FileNotFoundError:
        return []
    return sorted(names, key=_order)


def _order(segment: str) -> tuple[str, int, str]:
    """Sort by writer, then by index: it has four digits, or more once those are used up."""
    return segment.rpartition("-")[0], len(segment), segment


def header(directory: Path, segment: str) -> codec.SegmentHeader | None:
    """Read who wrote a segment; None if its header is not whole.

    Raises:
        JournalCorrupt: A newer version wrote it.
    """
    with (directory / segment).open("rb") as file:
        view = memoryview(file.read(4096))
    whole = codec.whole_frame(view, 0, codec.salt_of(segment))
    if whole is None or whole.type != codec.HEADER:
        return None
    return codec.decode_header(whole.payload, segment)
