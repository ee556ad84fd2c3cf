"""Counts in bins, of the values of a histogram.

Values are counted in 64 equal bins from the smallest to the largest, unless the user has chosen. The
1,549 bins of TensorBoard's writer grow exponentially from 1e-12 on, and most of them are empty: they
are made for one pass over values that nobody has seen before. NaN and infinities are counted apart.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet.events import Histogram, Moments
from tracelet.media.arrays import BLOCK, mapped

BINS: Final = 64
BINS_MOST: Final = 10_000  # of a rule, or a number, that a user gives
_SAMPLE: Final = 1_000_000  # values by which a rule of numpy's chooses how many bins there are
_WIDE: Final = 1e300  # beyond this, the difference of two values may be infinite


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram, as it is shown.

    Attributes:
        counts: How many values are in each bin.
        limits: Where each bin begins, and where the last ends.
        moments: Of all finite values; None if nothing but the counts is known.
        left_out: How many values were NaN or infinite.
    """

    counts: tuple[float, ...]
    limits: tuple[float, ...]
    moments: Moments | None = None
    left_out: int = 0


def counted(histogram: Histogram, file: Path | None) -> Counted:
    """Count the values of a histogram, unless they were counted by whoever logged it.

    Args:
        histogram: What was logged.
        file: The bytes of its payload, if it has one.

    Returns:
        The counts; none if no value is finite.

    Raises:
        ValueError: The file is not what the payload says.
        OSError: It cannot be read.
    """
    if histogram.data is None or file is None:
        return Counted(counts=histogram.counts, limits=histogram.limits, moments=histogram.moments)
    values = mapped(histogram.data, file).reshape(-1)
    left_out = 0
    moments: Moments | None = None
    for block in _finite(values):
        left_out -= len(block)
        moments = _more(moments, block) if len(block) else moments
    left_out += len(values)
    if moments is None:
        return Counted(counts=(), limits=(), left_out=left_out)
    counts, limits = _counts(histogram, values, moments)
    return Counted(counts=counts, limits=limits, moments=moments, left_out=left_out)


def _more(before: Moments | None, block: Any) -> Moments:
    import numpy as np

    with np.errstate(over="ignore"):  # then they are infinite
        total, squares = float(block.sum()), float(block.dot(block))
    found = Moments(
        num=float(len(block)),
        min=float(block.min()),
        max=float(block.max()),
        sum=total,
        sum_squares=squares,
    )
    if before is None:
        return found
    return Moments(
        num=before.num + found.num,
        min=min(before.min, found.min),
        max=max(before.max, found.max),
        sum=before.sum + found.sum,
        sum_squares=before.sum_squares + found.sum_squares,
    )


def _counts(
    histogram: Histogram, values: Any, moments: Moments
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    import numpy as np

    low, high = moments.min, moments.max
    scale = 0.25 if max(abs(low), abs(high)) > _WIDE else 1.0  # else their difference may be infinite
    low, high = low * scale, high * scale
    if low == high:
        room, end = max(0.5, abs(low) / 1024), sys.float_info.max * scale
        low, high = max(low - room, -end), min(high + room, end)
    number = _number(histogram, values)

    def count(block: Any) -> tuple[Any, Any]:
        if histogram.limits:
            return np.histogram(block, histogram.limits)
        return np.histogram(block * scale, number, (low, high))

    try:
        total, limits = count(np.empty(0))
    except ValueError:  # there are not as many numbers between the two
        number = 1
        total, limits = count(np.empty(0))
    for block in _finite(values):
        total = total + count(block)[0]
    edges = limits if histogram.limits else limits / scale
    return tuple(map(float, total)), tuple(map(float, edges))


def _number(histogram: Histogram, values: Any) -> int:
    """Tell how many equal bins there are to be."""
    import numpy as np

    wanted = BINS
    if histogram.bins.isdecimal():
        wanted = int(histogram.bins)
    elif histogram.bins:
        sample = values[:: max(1, len(values) // _SAMPLE)].astype("f8")
        with contextlib.suppress(ValueError, MemoryError):  # numpy's rules have no measure
            edges = np.histogram_bin_edges(sample[np.isfinite(sample)], histogram.bins)
            wanted = max(1, len(edges) - 1)
    return min(wanted, BINS_MOST, histogram.max_bins or BINS_MOST)


def _finite(values: Any) -> Iterator[Any]:
    """Give the finite values, block by block, as float64."""
    import numpy as np

    for begin in range(0, len(values), BLOCK):
        block = values[begin : begin + BLOCK].astype("f8")
        yield block[np.isfinite(block)]
