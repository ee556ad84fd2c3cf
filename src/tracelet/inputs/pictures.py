"""What users hand in as images, and as the boxes on them."""

import math
from typing import Any, Final, NamedTuple

from tracelet import arrays
from tracelet.arrays import Raw
from tracelet.inputs import texts

AXES: Final = frozenset({"HW", "CHW", "CHNW"})  # sorted: the axes that an image may have
CHANNELS: Final = (1, 2, 3, 4)  # grey, grey and alpha, RGB, RGBA
BOXES_MAX: Final = 10_000


class Pixels(NamedTuple):
    """An image's elements, and what its axes are."""

    raw: Raw
    layout: str


def pixels(given: Any, layout: object) -> Pixels:
    """Take an image's elements.

    Args:
        given: A tensor, an array, or an image of Pillow's.
        layout: The axes, such as "HWC"; None to tell them by the shape: an axis of 1, 3 or 4
            elements is the channels, the first one of a tensor, the last one of all else.

    Raises:
        TypeError: It is no image; the message says what to do.
    """
    if arrays.is_picture(given):
        raw, axes = arrays.of_picture(given)
    else:
        raw = arrays.raw(given)
        axes = _guessed(raw.shape, first=arrays.is_tensor(given)) if layout is None else str(layout).upper()
    _check(raw.shape, axes, layout)
    return Pixels(raw, axes)


def boxes(given: Any) -> tuple[tuple[float, float, float, float], ...]:
    """Take boxes, each (left, top, right, bottom) in pixels; nothing was found where there are none.

    Raises:
        TypeError: They are none.
    """
    numbers, shape = arrays.numbers(given)
    if shape[:1] == (0,):
        return ()
    if len(shape) != len("NB") or shape[1] != len("LTRB") or shape[0] > BOXES_MAX:
        raise TypeError(f"boxes have the shape (N, 4), with N up to {BOXES_MAX:,}, and not {shape}")
    sides = [numbers[at::4] for at in range(4)]
    return tuple(zip(*sides, strict=True))


def labels(given: object, count: int) -> tuple[str, ...]:
    """Take the labels of boxes; none if there are not as many as boxes, as in torch."""
    listed = [given] if isinstance(given, str) else list(given if isinstance(given, (list, tuple)) else ())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    named = tuple(texts.kept("a label", str(one)) for one in listed)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return named if len(named) == count else ()


def _guessed(shape: tuple[int, ...], *, first: bool) -> str:
    batch = "N" if len(shape) == len("NCHW") else ""
    if len(shape) == len("HW"):
        return "HW"
    if len(shape) - len(batch) != len("HWC"):
        raise TypeError(f"an image has 2 to 4 axes, and this has the shape {shape}")
    could = {"CHW": shape[-3] in {1, 3, 4}, "HWC": shape[-1] in {1, 3, 4}}
    wanted = "CHW" if first else "HWC"
    found = wanted if could[wanted] else next((axes for axes, fits in could.items() if fits), "")
    if not found:
        raise TypeError(f"which axis of the shape {shape} is the channels? Say it with layout=, as in 'CHW'")
    return batch + found


def _check(shape: tuple[int, ...], axes: str, layout: object) -> None:
    if "".join(sorted(axes)) not in AXES:
        raise TypeError(f"layout={layout!r} names no axes; it takes 'HW', 'HWC', 'CHW', 'NCHW' or 'NHWC'")
    if len(axes) != len(shape):
        raise TypeError(f"layout={axes!r} does not fit the shape {shape}")
    if "C" in axes and shape[axes.index("C")] not in CHANNELS:
        raise TypeError(f"an image has 1 to 4 channels, and not those of {axes} in {shape}")
    if not math.prod(shape):
        raise TypeError(f"an image of the shape {shape} has no pixels")
