"""WAV files of 16 bits, the sound that every browser plays.

A float is cut to -1 to 1, as TensorBoard does, and NaN is silence. Integers are taken by their width:
the largest of a type is as loud as it goes; unsigned ones have silence in the middle.
"""

import wave
from pathlib import Path
from typing import Any, Final

from tracelet.events import Audio
from tracelet.media.arrays import BLOCK, mapped

RATE: Final = 44_100  # frames per second of a sound that does not say it, as in TensorBoard
_WIDTH: Final = 2  # bytes
_LOUDEST: Final = 2**15 - 1
_LARGEST: Final = 2**32 - 64  # bytes that the head of a WAV file can tell


def wav(audio: Audio, file: Path, to: Path) -> None:
    """Write a sound that is an array as a file.

    Args:
        audio: What was logged.
        file: The bytes of its payload.
        to: Where the WAV file goes.

    Raises:
        ValueError: It cannot be one.
        OSError: The file cannot be read, or there is no room.
    """
    array = mapped(audio.data, file)
    channels = array.shape[1] if array.ndim > 1 else 1
    frames = array.reshape(-1, channels)
    if frames.size * _WIDTH > _LARGEST:
        raise ValueError(f"a sound of {frames.size:,} samples does not fit into a WAV file")
    step = max(1, BLOCK // channels)
    with wave.open(str(to), "wb") as made:
        made.setparams((channels, _WIDTH, audio.rate or RATE, len(frames), "NONE", "not compressed"))
        for begin in range(0, len(frames), step):
            made.writeframesraw(_samples(frames[begin : begin + step]).tobytes())


def _samples(block: Any) -> Any:
    """Make 16 bits of each element."""
    import numpy as np

    kind, width = block.dtype.kind, 8 * block.dtype.itemsize
    if kind == "f":
        cut = np.nan_to_num(block.astype("f8" if width > 32 else "f4")).clip(-1, 1)  # noqa: PLR2004  bits
        return (cut * _LOUDEST).astype("<i2")
    if kind == "b":
        return block.astype("<i2") * np.int16(_LOUDEST)
    silence = 1 << (width - 1) if kind == "u" else 0
    if width == 8:  # noqa: PLR2004  bits
        return ((block.astype("i4") - silence) << 8).astype("<i2")
    upper = (block >> (width - 16)).astype("i8")
    return (upper - (silence >> (width - 16))).astype("<i2")
