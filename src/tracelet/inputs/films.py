"""What users hand in as films: one array, or a list of pictures."""

import itertools
import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, cast

from tracelet import arrays, values
from tracelet.arrays import Raw
from tracelet.inputs import pictures

FRAMES_MAX: Final = 20_000  # in a list; more may have no end
BYTES_MAX: Final = 4 << 30  # that the pictures of a list have together
FPS: Final = 4  # frames per second, if nobody says another; torch's and W&B's default too
FPS_MAX: Final = 1000.0
DEFAULT: Final = "NTCHW"
_CHANNELS: Final = frozenset({1, 3, 4})
_AXES: Final = ("CHTW", "CHNTW")  # sorted: the axes that a film may have


class Film(NamedTuple):
    """A film's elements, and what its axes are."""

    raw: Raw
    layout: str


def fps(given: Any) -> float:
    """Take how many frames are shown in a second.

    Raises:
        TypeError: It is no such number.
    """
    found = values.number(given)
    if not 0 < found <= FPS_MAX:
        raise TypeError(f"fps={given!r} is not how many frames are shown in a second")
    return found


def film(given: Any, layout: object) -> Film:
    """Take a film's elements.

    Args:
        given: A tensor or an array of 4 or 5 axes, or a list of pictures.
        layout: The axes, such as "NTCHW"; without N if it is one film. None to tell them by the
            shape, as of an image: the channels are the axis of 1, 3 or 4 elements.

    Raises:
        TypeError: It is no film; the message says what to do.
    """
    if not values.is_array(given) and isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        return _of_pictures(cast("Iterable[Any]", given), layout)
    return _laid_out(arrays.raw(given), layout, first=arrays.is_tensor(given))


def _laid_out(raw: Raw, layout: object, *, first: bool) -> Film:
    axes = _guessed(raw.shape, first=first) if layout is None else str(layout).upper()
    if axes == DEFAULT and len(raw.shape) == len("TCHW"):
        axes = "TCHW"
    if "".join(sorted(axes)) not in _AXES:
        raise TypeError(f"layout={layout!r} names no axes; it takes 'TCHW' or 'NTCHW', in any order")
    if len(axes) != len(raw.shape):
        raise TypeError(f"a film with the axes {axes} cannot have the shape {raw.shape}")
    if raw.shape[axes.index("C")] not in _CHANNELS:
        raise TypeError(f"a film has 1, 3 or 4 channels, and not those of {axes} in {raw.shape}")
    if not math.prod(raw.shape):
        raise TypeError(f"a film of the shape {raw.shape} has no pixels")
    return Film(raw, axes)


def _guessed(shape: tuple[int, ...], *, first: bool) -> str:
    if len(shape) not in {len("TCHW"), len("NTCHW")}:
        raise TypeError(f"a film has 4 or 5 axes, such as TCHW, and this has the shape {shape}")
    could = {"TCHW": shape[-3] in _CHANNELS, "THWC": shape[-1] in _CHANNELS}
    wanted = "TCHW" if first else "THWC"
    found = wanted if could[wanted] else next((axes for axes, fits in could.items() if fits), "")
    if not found:
        raise TypeError(f"which axis of the shape {shape} is the channels? Say it with layout=, as in 'TCHW'")
    return "N" * (len(shape) == len("NTCHW")) + found


def _of_pictures(given: Iterable[Any], layout: object) -> Film:
    """Put pictures of one size one after the other."""
    frames: list[tuple[Raw, bool]] = []
    size = 0
    for one in itertools.islice(given, FRAMES_MAX + 1):
        frames.append(_frame(one))
        size += sum(piece.nbytes for piece in frames[-1][0].pieces)
        if size > BYTES_MAX:
            break
    if not frames or len(frames) > FRAMES_MAX or size > BYTES_MAX:
        message = f"a film is 1 to {FRAMES_MAX:,} pictures, of {BYTES_MAX >> 30} GiB together"
        raise TypeError(f"{message}, and this gives {'more, perhaps without end' if frames else 'none'}")
    first, is_tensor = frames[0]
    if any(one.shape != first.shape or one.dtype != first.dtype for one, _ in frames):
        raise TypeError("the pictures of a film have one size and one type")
    pieces = tuple(piece for one, _ in frames for piece in one.pieces)
    whole = Raw(pieces, first.dtype, (len(frames), *first.shape))
    return _laid_out(whole, None if layout == DEFAULT and not is_tensor else layout, first=is_tensor)


def _frame(given: Any) -> tuple[Raw, bool]:
    raw = pictures.pixels(given, None).raw if arrays.is_picture(given) else arrays.raw(given)
    is_grey = len(raw.shape) == len("HW")
    return (_with_channel(raw) if is_grey else raw), arrays.is_tensor(given) and not is_grey


def _with_channel(raw: Raw) -> Raw:
    return raw._replace(shape=(*raw.shape, 1))
