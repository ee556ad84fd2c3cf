"""Metrics drawn with characters: a small line in a table, and a plot with axes.

Where the terminal's encoding has braille and block characters a cell shows eight dots; else, or
where several metrics must be told apart without colours, one sign. A plot shows, for each column,
all that lies between the smallest and the largest value there: a single outlier is seen.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tracelet.cli import figures, output
from tracelet.cli.curves import Bucket
from tracelet.cli.points import Course

WIDEST: Final = 100  # characters of a plot, and of one that goes to no terminal
NARROWEST: Final = 20
HEIGHT: Final = 12  # lines
DETAIL: Final = 512  # buckets of a plot's curve: more than it has columns of dots
SKETCH: Final = 64  # buckets of a line in a table
MAGNITUDES: Final = 1000.0  # from this ratio of largest to smallest on, values are drawn by their logarithm
_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = "_.-:=+*#"
_COLOURS: Final = ("cyan", "yellow", "magenta", "green", "red", "blue")
_MARKS: Final = "*ox+#@"
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of U+2800, by row and column


class Glyphs(NamedTuple):
    """The signs that a stream can show, and how many dots a cell has."""

    bars: str
    across: int
    down: int
    axis: tuple[str, str, str]  # beside the plot, at its corner, below it
    odd: str


RICH: Final = Glyphs(_BARS, 2, 4, ("│", "└", "─"), "×")
PLAIN: Final = Glyphs(_PLAIN_BARS, 1, 1, ("|", "+", "-"), "x")


class Series(NamedTuple):
    """One curve of a plot."""

    label: str
    course: Course


class Piece(NamedTuple):
    """A part of a line; `series` is the number of the curve that gives it its colour."""

    text: str
    series: int | None = None


def glyphs() -> Glyphs:
    """Choose the signs that the standard output can show."""
    if os.environ.get("TERM") in {"dumb", "linux"}:  # the kernel's console has no braille
        return PLAIN
    try:
        f"{_BARS}⣿│└─×".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return RICH


# ------------------------------------------------------------------------------------- a small line


def sparkline(course: Course, width: int, signs: Glyphs) -> str:
    """Draw a metric in one line of at most `width` characters; values that are not finite are crosses."""
    buckets = course.buckets
    if not buckets or width < 1:
        return ""
    size = min(width, len(buckets))
    parts = [buckets[at * len(buckets) // size : (at + 1) * len(buckets) // size] for at in range(size)]
    means = [_mean([bucket.last for bucket in part if bucket.last is not None]) for part in parts]
    there = [mean for mean in means if mean is not None]
    if not there:
        return signs.odd * size
    scale = Scale.of(min(there), max(there))
    top = len(signs.bars) - 1
    return "".join(signs.odd if mean is None else signs.bars[round(scale(mean) * top)] for mean in means)


def _mean(values: Sequence[float]) -> float | None:
    return sum(value / len(values) for value in values) if values else None


# ------------------------------------------------------------------------------------------- a plot


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value is between the smallest, 0, and the largest, 1."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, low: float, high: float, *, log: bool | None = None) -> "Scale":
        """Make a scale; unless `log` says so, by logarithm only where the values are of many magnitudes."""
        can = low > 0
        return cls(low, high, can if log else can and log is None and high / low >= MAGNITUDES)

    def __call__(self, value: float) -> float:
        """Tell where a value is."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        # Halves: the whole width may be more than a float64 can be.
        span = high / 2 - low / 2
        return min(1.0, max(0.0, (value / 2 - low / 2) / span)) if span > 0 else 0.5


def draw(
    series: Sequence[Series],
    width: int,
    signs: Glyphs,
    *,
    height: int = HEIGHT,
    log: bool | None = None,
    mark: bool = False,
) -> list[list[Piece]]:
    """Draw curves over one x axis.

    Args:
        series: At least one.
        width: Characters of a line, at most.
        signs: What the stream can show.
        height: Lines of the plot itself.
        log: Whether values are drawn by their logarithm, if they can be; None: where that helps.
        mark: Tell the curves apart by signs of their own, and not by colours.
    """
    points = [bucket for one in series for bucket in one.course.buckets]
    finite = [bucket for bucket in points if bucket.last is not None]
    if not finite:
        return [[Piece("no point is finite" if points else "no points")]]
    if mark:
        signs = signs._replace(across=1, down=1)
    scale = Scale.of(min(b.low for b in finite), max(b.high for b in finite), log=log)
    bottom, top = figures.apart(scale.low, scale.high)
    margin = max(len(bottom), len(top))
    columns = max(NARROWEST, width) - margin - 2
    canvas = Canvas(columns, height, signs)
    left, right = min(one.course.first for one in series), max(one.course.last for one in series)
    odd: set[int] = set()
    for number, one in enumerate(series):
        canvas.curve(number, one.course.buckets, _across(left, right, columns * signs.across), scale)
        odd |= {_across(left, right, columns)(bucket.x) for bucket in one.course.buckets if bucket.odd}
    beside, corner, below = signs.axis
    labels = {
        canvas.down(value, scale) // signs.down: text
        for value, text in ((scale.low, bottom), (scale.high, top))
    }
    lines = [
        [Piece(f"{labels.get(row, ''):>{margin}} {beside}"), *canvas.row(row, mark=mark)]
        for row in range(height)
    ]
    axis = "".join(signs.odd if column in odd else below for column in range(columns))
    ends = _ends(left, right, columns, "point" if all(one.course.stepless for one in series) else "step")
    return [*lines, [Piece(" " * (margin + 1) + corner + axis)], [Piece(" " * (margin + 2) + ends)]]


def _across(left: int, right: int, columns: int) -> Callable[[int], int]:
    """Make what tells the column of an x; one lone x is in the middle."""
    if left == right:
        return lambda _: columns // 2
    return lambda x: (x - left) * (columns - 1) // (right - left)


def _ends(left: int, right: int, columns: int, word: str) -> str:
    """Write below the axis where it begins and ends."""
    if left == right:
        return f"{word} {left:,}".center(columns).rstrip()
    begin, end = f"{word} {left:,}", f"{right:,}"
    if len(begin) + len(end) >= columns:
        begin, end = f"{word} {left:.3g}", f"{right:.3g}"
    return begin + end.rjust(max(columns - len(begin), len(end) + 1))


class Canvas:
    """A grid of cells with dots in them; a cell remembers the last curve that drew in it."""

    def __init__(self, columns: int, rows: int, signs: Glyphs) -> None:
        self._columns, self._rows, self._signs = columns, rows, signs
        self._cells: dict[tuple[int, int], int] = {}  # by row and column, bits of `_DOTS`
        self._owner: dict[tuple[int, int], int] = {}

    def curve(
        self, number: int, buckets: Sequence[Bucket], across: Callable[[int], int], scale: Scale
    ) -> None:
        """Draw a curve, interrupted where no value is finite."""
        before: tuple[int, int] | None = None
        for bucket in buckets:
            if bucket.last is None:
                before = None
                continue
            here = across(bucket.x), self.down(bucket.last, scale)
            self._stroke(number, here[0], self.down(bucket.high, scale), self.down(bucket.low, scale))
            for column, top, bottom in _between(before, here) if before else ():
                self._stroke(number, column, top, bottom)
            before = here

    def down(self, value: float, scale: Scale) -> int:
        """Tell in which row of dots a value is, from the top."""
        lowest = self._rows * self._signs.down - 1
        return lowest - round(scale(value) * lowest)

    def row(self, row: int, *, mark: bool) -> Iterator[Piece]:
        """Give a row's cells, those of one curve beside each other in one piece."""
        text, owner = "", None
        for column in range(self._columns):
            cell = (row, column)
            now = self._owner.get(cell)
            if now != owner and text:
                yield Piece(text, owner)
                text = ""
            owner = now
            text += self._sign(self._cells.get(cell, 0), now, mark=mark)
        yield Piece(text.rstrip() if owner is None else text, owner)

    def _sign(self, bits: int, owner: int | None, *, mark: bool) -> str:
        if owner is None:
            return " "
        if mark or self._signs.across == 1:
            return mark_of(owner)
        return chr(0x2800 + bits)

    def _stroke(self, number: int, column: int, top: int, bottom: int) -> None:
        """Draw upright, from a row of dots to another."""
        across, down = self._signs.across, self._signs.down
        for y in range(top, bottom + 1):
            cell = (y // down, column // across)
            self._cells[cell] = self._cells.get(cell, 0) | _DOTS[y % down][column % across]
            self._owner[cell] = number


def _between(begin: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Give what joins two dots: for each column a top and a bottom, half of the way up on either side."""
    (x0, y0), (x1, y1) = begin, end
    if x0 == x1:
        yield x0, min(y0, y1), max(y0, y1)
        return
    edges = [y0, *(round(y0 + (y1 - y0) * (2 * at + 1) / (2 * (x1 - x0))) for at in range(x1 - x0)), y1]
    for at in range(x1 - x0 + 1):
        yield x0 + at, min(edges[at], edges[at + 1]), max(edges[at], edges[at + 1])


def mark_of(series: int) -> str:
    """Choose the sign of a curve."""
    return _MARKS[series % len(_MARKS)]


# --------------------------------------------------------------------------------- on the output


def show(title: str, series: Sequence[Series], *, log: bool | None = None) -> None:
    """Print a plot, with a legend if it has several curves."""
    from rich.text import Text

    out = output.console()
    coloured = out.is_terminal and out.color_system is not None and not out.no_color
    signs, mark = glyphs(), len(series) > 1 and not coloured
    width = min(WIDEST, out.width) if out.is_terminal else WIDEST
    lines = draw(series, width - 2, signs, log=log, mark=mark)
    notes = [text for text in (_scale_note(series, log), _odd_note(series)) if text]
    output.say("")
    output.say(title + (f"  ({'; '.join(notes)})" if notes else ""), "bold")
    for line in lines:
        text = Text("  ")
        for piece in line:
            text.append(output.clean(piece.text), style=_colour(piece.series) if coloured else "")
        out.print(text)
    if len(series) > 1:
        for number, one in enumerate(series):
            sign = mark_of(number) if mark or signs is PLAIN else "━"
            text = Text("  ")
            text.append(sign, style=_colour(number) if coloured else "").append(f" {output.clean(one.label)}")
            out.print(text)


def _colour(series: int | None) -> str:
    return "" if series is None else _COLOURS[series % len(_COLOURS)]


def _scale_note(series: Sequence[Series], log: bool | None) -> str:
    finite = [bucket for one in series for bucket in one.course.buckets if bucket.last is not None]
    if not finite:
        return ""
    scale = Scale.of(min(bucket.low for bucket in finite), max(bucket.high for bucket in finite), log=log)
    if log and not scale.log:
        return "linear: not all values are positive"
    return "logarithmic" if scale.log else ""


def _odd_note(series: Sequence[Series]) -> str:
    odd = sum(bucket.odd for one in series for bucket in one.course.buckets)
    return f"{output.count(odd, 'point is', 'points are')} NaN or infinite, marked on the axis" if odd else ""
