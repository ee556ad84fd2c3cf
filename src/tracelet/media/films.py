"""Animated GIFs, the film that needs nothing but Pillow.

A GIF counts time in hundredths of a second, and browsers slow down what is shown for less than two:
so a film of `fps` frames per second lasts as long as it should, up to 50 of them. Shades become those
of `pictures`, the same for all frames; colours are at most 256 in each frame.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracelet.events import Video
from tracelet.media.arrays import mapped
from tracelet.media.pictures import shade_of
from tracelet.media.sizes import extent, grid, scaled

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FPS: Final = 4.0  # frames per second of a film that does not say it, as in TensorBoard
_SHORTEST: Final = 2  # hundredths of a second
_CLEAR: Final = 4  # channels, the last of which says how opaque it is


def gif(video: Video, file: Path, to: Path, bytes_most: int = 0) -> None:
    """Write a film that is an array as a file.

    Args:
        video: What was logged.
        file: The bytes of its payload.
        to: Where the GIF goes.
        bytes_most: See `sizes.most`; larger frames are scaled down.

    Raises:
        ValueError: It cannot be shown.
        OSError: The file cannot be read, or there is no room.
    """
    array = mapped(video.data, file)
    if not array.size:
        raise ValueError(f"a film of shape {array.shape} has nothing to show")
    order = [video.layout.find(axis) for axis in "NTHWC"]
    batch = array.transpose([at for at in order if at >= 0])
    batch = batch if order[0] >= 0 else batch[None]
    batch = batch if order[4] >= 0 else batch[..., None]
    frames = _frames(video, batch, shade_of(array), bytes_most)
    more: dict[str, Any] = {"disposal": 2} if batch.shape[-1] == _CLEAR else {}
    durations = _durations(video.fps or FPS, batch.shape[1])
    next(frames).save(to, "GIF", save_all=True, append_images=frames, duration=durations, loop=0, **more)


def _frames(video: Video, batch: Any, shade: Callable[[Any], Any], bytes_most: int) -> Iterator["Picture"]:
    """Make each frame, of all films of a batch beside each other."""
    import numpy as np
    from PIL import Image as Pillow

    height, width = batch.shape[2:4]
    _, columns = grid(video, len(batch)) if "N" in video.layout else (1, 1)
    whole = extent(video)
    size = scaled(whole[1], whole[0], whole[2], bytes_most)
    for number in range(batch.shape[1]):
        canvas = np.zeros(whole, np.uint8)
        for at, one in enumerate(batch[:, number]):
            top, left = at // columns * height, at % columns * width
            canvas[top : top + height, left : left + width] = shade(one)
        shown = Pillow.fromarray(canvas[:, :, 0] if whole[2] == 1 else canvas)
        yield shown if shown.size == size else shown.resize(size, Pillow.Resampling.LANCZOS)


def _durations(fps: float, frames: int) -> list[int]:
    """Tell for how many milliseconds each frame is shown; their sum is right to a hundredth of a second."""
    ends = [round(100 * number / fps) for number in range(frames + 1)]
    return [10 * max(_SHORTEST, end - begin) for begin, end in itertools.pairwise(ends)]
