"""What users hand in as figures: drawn, and left as they were.

A figure of matplotlib is drawn on the calling thread, because its owner changes it the next moment. One
of plotly is its own JSON.
"""

import itertools
import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final, cast

from tracelet import arrays, values
from tracelet.arrays import Raw

FIGURES_MAX: Final = 100  # that are drawn one below the other
PLOTLY: Final = "plotly.json"
_WHITE: Final = b"\xff"


def figure(given: Any) -> Raw | bytes:
    """Draw a figure: pixels of shape (height, width, channels), or plotly's JSON.

    Args:
        given: A figure of matplotlib, or what has one, such as its axes, pyplot itself, or a grid of
            seaborn's; a list of such, which are drawn one below the other; a figure of plotly; an
            image of Pillow.

    Raises:
        TypeError: It is no figure; the message says what to do.
    """
    if isinstance(given, (list, tuple)):
        return _below_each_other([_pixels(one) for one in _few(cast("Sequence[Any]", given))])
    if is_plotly(given):
        text = given.to_json()
        return text.encode() if isinstance(text, str) else bytes(text)
    return _pixels(given)


def is_plotly(given: object) -> bool:
    """Tell whether something is a figure of plotly's."""
    return callable(getattr(type(given), "to_plotly_json", None))


def _few(given: Sequence[Any]) -> list[Any]:
    found = list(itertools.islice(given, FIGURES_MAX + 1))
    if not 0 < len(found) <= FIGURES_MAX:
        raise TypeError(f"a list of figures has 1 to {FIGURES_MAX} of them, and this has {len(given):,}")
    return found


def _pixels(given: Any) -> Raw:
    if is_plotly(given):
        raise TypeError("a figure of plotly is no list of pixels; log each under a name of its own")
    if arrays.is_picture(given):
        raw, layout = arrays.of_picture(given)
        return raw if layout == "HWC" else raw._replace(shape=(*raw.shape, 1))
    found = _of_matplotlib(given)
    if found is None:
        also = "; an array of pixels is given to log_image" if values.is_array(given) else ""
        message = f"a {values.class_of(given)} is no figure of matplotlib or plotly{also}"
        raise TypeError(message)
    return _drawn(found)


def _of_matplotlib(given: Any) -> Any:
    """Find the figure in what was given; None if there is none."""
    module: Any = sys.modules.get("matplotlib.figure")
    if module is None:
        return None
    if isinstance(given, ModuleType):  # pyplot, as W&B takes it
        pyplot: Any = given
        given = pyplot.gcf() if hasattr(given, "gcf") and pyplot.get_fignums() else None  # `gcf` makes one
    for one in (given, getattr(given, "figure", None)):
        if isinstance(one, module.Figure):
            return one
    inner = getattr(getattr(given, "figure", None), "figure", None)  # axes in a subfigure
    return inner if isinstance(inner, module.Figure) else None


def _drawn(figure: Any) -> Raw:
    """Draw on a canvas of our own; afterwards the figure has the one that it had."""
    bases: Any = sys.modules["matplotlib.backend_bases"]  # there is a figure, so it has been imported
    before, was_stale = figure.canvas, figure.stale
    try:
        canvas: Any = bases.get_registered_canvas_class("rgba")(figure)
        canvas.is_saving = lambda: True  # else an animation starts with it, and takes its first frame
        canvas.draw()
        pixels = memoryview(canvas.buffer_rgba())
    finally:
        figure.set_canvas(before)
        figure.stale = was_stale  # else its window would not be drawn anew
    return Raw((pixels.cast("B"),), "uint8", tuple(pixels.shape or ()))


def _below_each_other(drawn: list[Raw]) -> Raw:
    """Put pictures one below the other, with white where one is narrower."""
    wide = max(one.shape[1] for one in drawn)
    channels = {one.shape[2] for one in drawn}
    if len(channels) > 1 or any(one.dtype != "uint8" for one in drawn):
        raise TypeError("figures and images of different kinds cannot be put one below the other")
    pieces = [piece for one in drawn for piece in _widened(one, wide)]
    height = sum(one.shape[0] for one in drawn)
    return Raw(tuple(pieces), "uint8", (height, wide, channels.pop()))


def _widened(one: Raw, wide: int) -> Sequence[memoryview]:
    height, width, channels = one.shape
    if width == wide:
        return one.pieces
    whole = b"".join(one.pieces)
    row, room = width * channels, _WHITE * ((wide - width) * channels)
    rows = [whole[begin : begin + row] + room for begin in range(0, math.prod(one.shape), row)]
    assert len(rows) == height  # noqa: S101  a picture has no empty rows
    return [memoryview(b"".join(rows))]
