"""Reading the `.wandb` file of a run: a log in the framing of LevelDB, of W&B's own records.

    file       a header of 7 bytes, then fragments, in blocks of 32 KiB that begin with the file
    header     ":W&B", 0xBEE1, a version
    fragment   crc32 of what follows the length (4 bytes), length (2), type (1), data
    type       1 is a whole record; 2, 3 and 4 are a record's first, middle and last fragment
    block      ends in zeros where a fragment's head has no room

A record is a message `Record` of the installed client. A file that is still written, or whose end is
torn, gives what is whole. A fragment that is damaged costs its record, and the rest of its block.
"""

import importlib
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from tracelet.errors import Refused

HISTORY: Final = 2
SUMMARY: Final = 3
STATS: Final = 7
OUTPUT: Final = 13
"""Numbers of kinds of records, as the client's schema has them."""

_HEADER: Final = struct.Struct("<4sHB")
_MAGIC: Final = (b":W&B", 0xBEE1)
_HEAD: Final = struct.Struct("<IHB")
_BLOCK: Final = 32 * 1024
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_NUM: Final = 0x08  # the tag of a record's number, which comes before its content
_MORE: Final = 0x80  # the bit of a varint's byte that another one follows
_NEEDED: Final = {
    "history": HISTORY, "summary": SUMMARY, "stats": STATS, "output_raw": OUTPUT,
    "config": 5, "files": 6, "artifact": 8, "metric": 12, "run": 17, "exit": 18,
}  # fmt: skip


def is_one(file: Path) -> bool:
    """Tell whether a file begins as one of W&B's."""
    try:
        with file.open("rb") as opened:
            return _begins(opened.read(_HEADER.size))
    except OSError:
        return False


def records(file: Path, without: Collection[int] = ()) -> Iterator[Any]:
    """Give the records of a file, in order.

    Args:
        file: The file.
        without: Kinds that are left out, by their numbers.

    Raises:
        Refused: It is not a file of W&B's, or the installed client does not read it.
        OSError: It cannot be read.
    """
    record = _schema()
    torn: type[Exception] = importlib.import_module(
        "google.protobuf.message"
    ).DecodeError  # which the client brings

    with file.open("rb") as opened:
        head = opened.read(_HEADER.size)
        if head and not _begins(head):
            raise Refused(f"{file} is not a file of W&B's: it begins with {head!r}")
        for data in _whole(opened):
            if without and _kind(data) in without:
                continue
            try:
                yield record.FromString(data)
            except torn:  # of a later version, whose checksum holds
                continue


def _begins(head: bytes) -> bool:
    return len(head) == _HEADER.size and _HEADER.unpack(head)[:2] == _MAGIC


def _schema() -> Any:
    """Find the client's class of a record.

    Raises:
        Refused: It is another than the one that this file speaks of.
    """
    try:
        schema: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
        record = schema.Record
    except (ImportError, AttributeError) as error:
        raise Refused(
            f"the installed wandb has no schema of its files: {error}; install wandb 0.31"
        ) from error
    fields: dict[str, Any] = dict(record.DESCRIPTOR.fields_by_name)
    other = [name for name, number in _NEEDED.items() if getattr(fields.get(name), "number", 0) != number]
    if other:
        raise Refused(f"the installed wandb has another schema of {', '.join(other)}; install wandb 0.31")
    return record


def _whole(opened: BinaryIO) -> Iterator[bytes]:
    """Give the data of each record that is whole; the file is read one block at a time."""
    pieces: list[bytes] = []
    begin = opened.tell()  # behind the header, which is in the first block
    while block := opened.read(_BLOCK - begin):
        begin = 0
        for kind, data in _fragments(block):
            if kind in {_WHOLE, _FIRST}:
                pieces = [data]
            elif kind in {_MIDDLE, _LAST} and pieces:
                pieces.append(data)
            else:  # damaged, or what belongs to something damaged
                pieces = []
            if kind in {_WHOLE, _LAST} and pieces:
                yield b"".join(pieces)
                pieces = []


def _fragments(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the fragments of a block; of one that is damaged the kind is 0, and it is the last."""
    at = 0
    while at + _HEAD.size <= len(block):
        crc, length, kind = _HEAD.unpack_from(block, at)
        end = at + _HEAD.size + length
        if kind not in {_WHOLE, _FIRST, _MIDDLE, _LAST} or end > len(block):
            yield 0, b""
            return
        if zlib.crc32(block[at + _HEAD.size - 1 : end]) != crc:
            yield 0, b""
            return
        yield kind, block[at + _HEAD.size : end]
        at = end


def _kind(data: bytes) -> int:
    """Tell the number of a record's kind without decoding it; 0 if it does not begin as they do."""
    at = 0
    if data[:1] == bytes([_NUM]):
        at = 1
        while at < len(data) and data[at] & _MORE:
            at += 1
        at += 1
    tag = shift = 0
    while at < len(data):
        tag |= (data[at] & ~_MORE) << shift
        if not data[at] & _MORE:
            return tag >> 3
        at, shift = at + 1, shift + 7
    return 0
