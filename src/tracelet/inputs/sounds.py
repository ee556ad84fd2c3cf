"""What users hand in as sounds."""

import math
import sys
from typing import Any, Final, NamedTuple

from tracelet import arrays, values
from tracelet.arrays import Raw

CHANNELS_MAX: Final = 8  # more of them than of frames, or too many, are taken for frames
RATE: Final = 44_100  # frames per second, if nobody says another; torch's default too
RATE_MAX: Final = 10_000_000


def rate(given: Any) -> int:
    """Take an array's frames per second; 0 if there are none.

    Raises:
        TypeError: It is no such number.
    """
    found = values.step(given)
    if found is None or not 0 <= found <= RATE_MAX:
        raise TypeError(f"rate={given!r} is not how many frames a sound has in a second, such as 44100")
    return found


class _Shape(NamedTuple):
    frames: int
    channels: int  # 0: there is no such axis
    is_turned: bool = False  # the channels come first


def sound(given: Any) -> Raw:
    """Take a sound's elements, of shape (frames,) or (frames, channels).

    Args:
        given: A tensor or an array, or lists of numbers. Of two axes the shorter one is the channels.

    Raises:
        TypeError: It is no sound; the message says what to do.
    """
    raw = arrays.raw(given)
    shape = _shape(raw, first=arrays.is_tensor(given))
    if not shape.is_turned:
        return raw._replace(shape=(shape.frames, shape.channels) if shape.channels else (shape.frames,))
    return _turned(raw, shape)


def _shape(raw: Raw, *, first: bool) -> _Shape:
    """Tell frames from channels; where there are as many, a tensor's channels come first."""
    shape = raw.shape
    while len(shape) > len("CT") and shape[0] == 1:  # a batch of one
        shape = shape[1:]
    if raw.dtype == "bool":
        raise TypeError("a sound is made of floats from -1 to 1, or of integers, and not of bools")
    if not math.prod(shape):
        raise TypeError(f"a sound of the shape {raw.shape} has no frames")
    if len(shape) == 1:
        return _Shape(shape[0], 0)
    if len(shape) != len("CT"):
        raise TypeError(f"a sound has the shape (frames,) or (frames, channels), and not {raw.shape}")
    if shape[0] == 1:
        return _Shape(shape[1], 0)
    if min(shape) > CHANNELS_MAX:
        message = f"which axis of the shape {raw.shape} is the channels? A sound has up to {CHANNELS_MAX}"
        raise TypeError(f"{message}; several sounds are logged one by one")
    is_turned = shape[0] < shape[1] or (first and shape[0] == shape[1])
    return _Shape(shape[1], shape[0], is_turned=True) if is_turned else _Shape(shape[0], shape[1])


def _turned(raw: Raw, shape: _Shape) -> Raw:
    """Put the channels last: a sound is played frame by frame."""
    whole = b"".join(raw.pieces)
    size = len(whole) // (shape.frames * shape.channels)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        rows = numpy.frombuffer(whole, f"V{size}").reshape(shape.channels, shape.frames)
        turned = memoryview(numpy.ascontiguousarray(rows.T).reshape(-1).view("u1"))
    else:
        made = bytearray(len(whole))
        for channel in range(shape.channels):
            for byte in range(size):
                begin = channel * shape.frames * size
                one = whole[begin + byte : begin + shape.frames * size : size]
                made[channel * size + byte :: shape.channels * size] = one
        turned = memoryview(made)
    return Raw((turned,), raw.dtype, (shape.frames, shape.channels))
