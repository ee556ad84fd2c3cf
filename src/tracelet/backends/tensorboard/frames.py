"""Event files: records of TensorBoard's protocol buffers, each in a frame with checksums.

A frame is the record's length, its checksum, the record, its checksum. A file that is being written
may end in a part of one: that is its end for now. TensorBoard's own reader loads TensorFlow where it
is installed, so frames are read here.
"""

import importlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

VERSION: Final = "brain.Event:2"
_HEAD: Final = struct.Struct("<QI")
_TAIL: Final = struct.Struct("<I")
_CHECKED: Final = 1 << 16  # bytes; the checksum is computed in Python, and takes a second for 20 MB
_LONGEST: Final = 1 << 31  # bytes of a record: no protocol buffer is longer


class Record(NamedTuple):
    """One record, where it begins in its file."""

    offset: int
    event: Any


def module(name: str) -> Any:
    """Import a module of TensorBoard's, or of what it needs; none of these loads TensorFlow."""
    return importlib.import_module(name)


def protos() -> Any:
    """Return TensorBoard's protocol buffers of events."""
    return module("tensorboard.compat.proto.event_pb2")


def framed(content: bytes) -> bytes:
    """Put a record into its frame."""
    made = io.BytesIO()
    module("tensorboard.summary.writer.record_writer").RecordWriter(made).write(content)
    return made.getvalue()


def records(file: Path) -> Iterator[Record]:
    """Give the records of a file, up to the first that is not whole, or not what was written."""
    with file.open("rb") as stream:
        offset = 0
        while (record := _next(stream)) is not None:
            yield Record(offset, record)
            offset = stream.tell()


def record_at(file: Path, offset: int) -> Any:
    """Read one record.

    Raises:
        ValueError: There is none.
    """
    with file.open("rb") as stream:
        stream.seek(offset)
        record = _next(stream)
    if record is None:
        raise ValueError(f"{file} has no record at {offset}")
    return record


def _next(stream: Any) -> Any:
    torn: type[Exception] = module("google.protobuf.message").DecodeError  # TensorBoard brings it
    checksum_of = module("tensorboard.compat.tensorflow_stub.pywrap_tensorflow").masked_crc32c

    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head)
    if length > _LONGEST or checksum_of(head[:8]) != checksum:
        return None
    content = stream.read(length + _TAIL.size)
    if len(content) < length + _TAIL.size:
        return None
    if length <= _CHECKED and checksum_of(content[:length]) != _TAIL.unpack(content[length:])[0]:
        return None
    try:
        return protos().Event.FromString(content[:length])
    except torn:
        return None
