"""How large a picture or a film is as it is shown, and whether that is too large."""

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

from tracelet.events import Event, Figure, Image, Video

COLUMNS: Final = 8  # of a grid of pictures
SETTING: Final = "max_image_size"
Shown: TypeAlias = Image | Figure | Video
"""What is made of pixels."""


def most(options: Mapping[str, str]) -> int:
    """Tell how many bytes a picture may have as it is shown, before it is encoded; 0 for any number.

    Args:
        options: A backend's.
    """
    return int(options.get(SETTING) or 0)


def layout_of(event: Shown) -> str:
    """Tell what the axes of an array are."""
    return "HWC"[: len(event.data.shape)] if isinstance(event, Figure) else event.layout


def grid(event: Shown, number: int) -> tuple[int, int]:
    """Tell in how many rows and columns a batch of pictures or films is shown.

    Pictures stand in rows of eight. Films stand as in TensorBoard: in a rectangle of a power of two.
    """
    if isinstance(event, Video):
        places = 1 << max(0, number - 1).bit_length()
        rows = 1 << ((places.bit_length() - 1) // 2)
        return rows, places // rows
    columns = min(number, COLUMNS)
    return (math.ceil(number / columns) if columns else 0), columns


def extent(event: Shown) -> tuple[int, int, int]:
    """Tell the height, width and channels of an array, as it is shown; of a film, of each frame."""
    lengths = dict(zip(layout_of(event), event.data.shape, strict=True))
    rows, columns = grid(event, lengths["N"]) if "N" in lengths else (1, 1)
    return lengths["H"] * rows, lengths["W"] * columns, lengths.get("C", 1)


def is_scaled(event: Event, bytes_most: int) -> bool:
    """Tell whether an array is shown smaller than it is, to keep to `max_image_size`."""
    if not isinstance(event, (Image, Figure, Video)) or not event.data.dtype:
        return False
    return 0 < bytes_most < math.prod(extent(event))


def scaled(width: int, height: int, channels: int, bytes_most: int) -> tuple[int, int]:
    """Return the width and height that keep to `bytes_most`; the same if they do."""
    size = width * height * channels
    if not 0 < bytes_most < size:
        return width, height
    scale = math.sqrt(bytes_most / size)
    return max(1, int(width * scale)), max(1, int(height * scale))
