"""Records to bytes and back: the format that `tracelet.journal` describes, and nothing else."""

from struct import Struct
from typing import Final, NamedTuple, TypeAlias, cast
from zlib import crc32

import msgspec

from tracelet.errors import JournalCorrupt
from tracelet.events import Packed

MARKER: Final = b"\xa7\x54"
VERSION: Final = 1
BLOCK: Final = 4 * 1024 * 1024  # bytes; names are introduced again in each
PAYLOAD_MAX: Final = BLOCK  # bytes; what is larger belongs into a blob

HEADER: Final = 1
NAME: Final = 2
SCALAR: Final = 3
STEPLESS: Final = 4
EVENT: Final = 5
ADDRESSED_NAME: Final = 6
ADDRESSED: Final = 7

HEAD: Final = Struct("<2sIBI")  # marker, length, type, crc
PREFIX: Final = Struct("<IB")  # what the crc covers of the head
NUMBER: Final = Struct("<I")
LENGTH: Final = Struct("<H")  # of the names of backends
POINT: Final = Struct("<Iqdd")  # name number, step or ordinal, value, time
FRAME: Final = Struct(f"<2sIBI{POINT.size}s")  # a scalar, whole, around its payload
POINT_FRAME: Final = Struct("<2sIBIIqdd")  # the same bytes, taken apart

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Packed)


class SegmentHeader(msgspec.Struct, frozen=True):
    """A segment's first record.

    `pid` and `started` name the writing process: its number, and the time it began in the
    kernel's clock ticks since boot (0 where the system does not tell).
    """

    version: int
    writer: str
    index: int
    pid: int
    started: int
    time: float


class Addressed(NamedTuple):
    """A metric's name, for points that are for some backends alone."""

    name: str
    only: tuple[str, ...]


Called: TypeAlias = str | Addressed
"""What a writer knows a metric by."""


class Frame(NamedTuple):
    """A record's place and content before its payload is understood."""

    type: int
    payload: memoryview
    end: int


class _Version(msgspec.Struct):
    """What a header of any version has."""

    version: int


_HEADER_DECODER: Final = msgspec.msgpack.Decoder(SegmentHeader)
_VERSION_DECODER: Final = msgspec.msgpack.Decoder(_Version)


def salt_of(segment: str) -> int:
    """Compute what a segment's checksums start with, from its file name."""
    return crc32(segment.encode())


def prefix_crc(record_type: int, length: int, salt: int) -> int:
    """Compute the checksum up to the payload; constant for frames of fixed size."""
    return crc32(PREFIX.pack(length, record_type), salt)


def frame(record_type: int, payload: bytes, salt: int) -> bytes:
    """Put a record around a payload.

    Raises:
        ValueError: The payload has more than `PAYLOAD_MAX` bytes.
    """
    length = len(payload)
    if length > PAYLOAD_MAX:
        message = f"a record of {length:,} bytes is more than the journal takes ({PAYLOAD_MAX:,})"
        raise ValueError(message)
    checksum = crc32(payload, prefix_crc(record_type, length, salt))
    return HEAD.pack(MARKER, length, record_type, checksum) + payload


def header_frame(header: SegmentHeader, salt: int) -> bytes:
    """Make a segment's first record."""
    return frame(HEADER, _ENCODER.encode(header), salt)


def name_of(called: Called) -> str:
    """Return the metric's name."""
    return called.name if isinstance(called, Addressed) else called


def name_frame(number: int, called: Called, salt: int) -> bytes:
    """Make the record that introduces a metric's name; lone surrogates are kept."""
    name = name_of(called).encode("utf-8", "surrogatepass")
    if isinstance(called, Addressed):
        return frame(ADDRESSED_NAME, NUMBER.pack(number) + _packed(called.only) + name, salt)
    return frame(NAME, NUMBER.pack(number) + name, salt)


def _packed(backends: tuple[str, ...]) -> bytes:
    names = ",".join(backends).encode("utf-8", "backslashreplace")
    return LENGTH.pack(len(names)) + names


def point_frame(record_type: int, number: int, step: int, value: float, time: float, salt: int) -> bytes:
    """Make a scalar's record; `step` is the ordinal in a `STEPLESS` one."""
    return frame(record_type, POINT.pack(number, step, value, time), salt)


def event_frame(event: Packed, salt: int, only: tuple[str, ...] = ()) -> bytes:
    """Make any other event's record; what is no Unicode in it, as in some file names, is escaped.

    Args:
        event: The event.
        salt: The segment's.
        only: The backends that it is for; none for all.
    """
    try:
        payload = _ENCODER.encode(event)
    except UnicodeEncodeError:
        payload = _ENCODER.encode(escaped(msgspec.to_builtins(event)))
    return frame(ADDRESSED, _packed(only) + payload, salt) if only else frame(EVENT, payload, salt)


def escaped(value: object) -> object:
    """Escape what is no Unicode in plain values, as in some file names: no encoding takes it."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        return {escaped(key): escaped(entry) for key, entry in pairs.items()}
    if isinstance(value, list):
        return [escaped(entry) for entry in cast("list[object]", value)]
    return value


def whole_frame(buffer: memoryview, start: int, salt: int) -> Frame | None:
    """Take the record at `start` apart; None if what stands there is not a whole, sound record."""
    if start + HEAD.size > len(buffer):
        return None
    marker, length, record_type, checksum = HEAD.unpack_from(buffer, start)
    end = start + HEAD.size + length
    if marker != MARKER or length > PAYLOAD_MAX or end > len(buffer):
        return None
    payload = buffer[start + HEAD.size : end]
    if crc32(payload, prefix_crc(record_type, length, salt)) != checksum:
        return None
    return Frame(record_type, payload, end)


def whole_bytes(records: bytes, written: int) -> int:
    """Count the bytes of the records that are whole among the first `written` bytes of `records`."""
    end = 0
    while end + HEAD.size <= written:
        following = end + HEAD.size + HEAD.unpack_from(records, end)[1]
        if following > written:
            break
        end = following
    return end


def decode_header(payload: memoryview, segment: str) -> SegmentHeader:
    """Read a segment's header.

    Raises:
        JournalCorrupt: A newer version of the format wrote this segment, or it is no header.
    """
    try:
        version = _VERSION_DECODER.decode(payload).version  # first: the rest may have changed
        if version <= VERSION:
            return _HEADER_DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"{segment} has a header that cannot be understood: {error}") from error
    message = (
        f"{segment} has journal format {version}; this tracelet reads up to {VERSION}."
        " Upgrade tracelet to read it"
    )
    raise JournalCorrupt(message)


def decode_name(payload: memoryview) -> tuple[int, str]:
    """Read a name's number and the name."""
    return NUMBER.unpack_from(payload)[0], str(payload[NUMBER.size :], "utf-8", "surrogatepass")


def decode_only(payload: memoryview) -> tuple[tuple[str, ...], memoryview]:
    """Read the backends that a record is for, and what is left of its payload."""
    end = LENGTH.size + LENGTH.unpack_from(payload)[0]
    return tuple(str(payload[LENGTH.size : end], "utf-8").split(",")), payload[end:]


def decode_addressed_name(payload: memoryview) -> tuple[int, Addressed]:
    """Read a name's number, the name, and the backends that its points are for."""
    only, rest = decode_only(payload[NUMBER.size :])
    return NUMBER.unpack_from(payload)[0], Addressed(str(rest, "utf-8", "surrogatepass"), only)


def decode_event(payload: memoryview) -> Packed:
    """Read an event.

    Raises:
        msgspec.ValidationError: It is of a class or has a shape that this version does not know.
    """
    return _DECODER.decode(payload)
