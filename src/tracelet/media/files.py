"""A payload as a file that others open: an array encoded, and a file as it is."""

import shutil
from pathlib import Path
from typing import Final

from tracelet.events import Audio, Figure, Image, Payload, Video
from tracelet.media import arrays, films, pictures, sounds

_ENDINGS: Final = ((Image, "png"), (Figure, "png"), (Audio, "wav"), (Video, "gif"))


def ending(event: object) -> str:
    """Tell what the name of the file that `write` makes should end in; empty for what has no payload."""
    data: Payload | None = getattr(event, "data", None)
    if data is None:
        return ""
    if data.format:
        return data.format
    return next((ending for kind, ending in _ENDINGS if isinstance(event, kind)), "npy")


def write(event: object, file: Path, to: Path, bytes_most: int = 0) -> None:
    """Write a payload as a file.

    Args:
        event: What has the payload.
        file: The payload's bytes.
        to: The file.
        bytes_most: See `sizes.most`; a larger picture is scaled down.

    Raises:
        ValueError: It cannot be shown, or is not what the payload says.
        OSError: The file cannot be read, or there is no room.
    """
    data: Payload | None = getattr(event, "data", None)
    if data is None:
        raise ValueError(f"a {type(event).__name__} without a payload is no file")
    if not data.dtype:
        shutil.copyfile(file, to)
    elif isinstance(event, (Image, Figure)):
        to.write_bytes(pictures.encoded(pictures.picture(event, file, bytes_most), "PNG"))
    elif isinstance(event, Audio):
        sounds.wav(event, file, to)
    elif isinstance(event, Video):
        films.gif(event, file, to, bytes_most)
    else:
        arrays.save(data, file, to)
