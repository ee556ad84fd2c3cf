"""Whether a file can be opened, by what its format says; without any library of that format."""

import io
import json
import struct
import wave
import zlib
from collections.abc import Callable, Mapping
from typing import Final

_PNG: Final = b"\x89PNG\r\n\x1a\n"


def can_be_opened(content: bytes, ending: str) -> bool:
    """Tell whether bytes are a file of a format; of one that nobody knows here, whether there are any."""
    check = _CHECKS.get(ending.rpartition(".")[2].lower(), bool)
    try:
        return check(content)
    except (ValueError, EOFError, wave.Error, struct.error):
        return False


def _is_png(content: bytes) -> bool:
    at, kind = len(_PNG), b""
    while content.startswith(_PNG) and at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        (crc,) = struct.unpack_from(">I", content, at + 8 + size)
        if zlib.crc32(content[at + 4 : at + 8 + size]) != crc:
            return False
        at += 12 + size
    return kind == b"IEND"


def _is_wav(content: bytes) -> bool:
    with wave.open(io.BytesIO(content)) as sound:
        return len(sound.readframes(sound.getnframes())) > 0


def _is_json(content: bytes) -> bool:
    json.loads(content)
    return True


def _is_text(content: bytes) -> bool:
    return bool(content.decode("utf-8"))


_CHECKS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "png": _is_png,
    "gif": lambda content: content[:6] in {b"GIF87a", b"GIF89a"} and content.endswith(b";"),
    "jpg": lambda content: content.startswith(b"\xff\xd8") and content.rstrip(b"\0").endswith(b"\xff\xd9"),
    "jpeg": lambda content: content.startswith(b"\xff\xd8") and content.rstrip(b"\0").endswith(b"\xff\xd9"),
    "webp": lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
    "wav": _is_wav,
    "json": _is_json,
    "html": _is_text,
    "svg": _is_text,
    "txt": _is_text,
    "md": _is_text,
    "npy": lambda content: content.startswith(b"\x93NUMPY"),
    "mp4": lambda content: content[4:8] == b"ftyp",
}
