r"""Arrays as files of numpy's own format, without numpy: a header, and the bytes where they lie.

The format, version 1.0: `\x93NUMPY`, two bytes of version, the header's length in two bytes, and a
header in Python's syntax, filled up with spaces so that the data begins at a multiple of 64.
"""

from typing import Final

from tracelet.arrays import Raw

SUFFIX: Final = ".npy"
_MAGIC: Final = b"\x93NUMPY\x01\x00"
_ALIGNED: Final = 64  # bytes


def pieces(raw: Raw) -> tuple[memoryview, ...]:
    """Give the bytes of a file that holds an array."""
    kind = f"{{'descr': '{_described(raw.dtype)}', 'fortran_order': False, 'shape': {raw.shape!r}, }}"
    length = len(_MAGIC) + 2 + len(kind) + 1
    header = kind + " " * (-length % _ALIGNED) + "\n"
    begin = _MAGIC + len(header).to_bytes(2, "little") + header.encode("latin-1")
    return (memoryview(begin), *raw.pieces)


def _described(dtype: str) -> str:
    """Write a type as numpy does: byte order, kind, and size in bytes."""
    if dtype == "bool":
        return "|b1"
    size = int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz")) // 8
    order = "<" if size > 1 else "|"
    return f"{order}{dtype[0]}{size}"
