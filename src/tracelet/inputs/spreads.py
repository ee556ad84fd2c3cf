"""What users hand in to say how the values of a histogram are counted, or were."""

import itertools
from typing import Any, Final, NamedTuple

from tracelet import arrays, values

BINS_MAX: Final = 100_000  # in one record
RULES: Final = ("auto", "fd", "doane", "scott", "stone", "rice", "sturges", "sqrt")  # of numpy's


class Bins(NamedTuple):
    """How values are to be counted; see `tracelet.events.Histogram`."""

    bins: str = ""
    limits: tuple[float, ...] = ()


def bins(given: Any) -> Bins:
    """Understand a number of bins, a rule of numpy's, or the limits of each; None is the default.

    Raises:
        TypeError: It is nothing of the kind.
    """
    if given is None:
        return Bins()
    if isinstance(given, str):
        if given not in RULES:
            raise TypeError(f"bins={given!r} is no rule; there are {', '.join(RULES)}")
        return Bins(given)
    if isinstance(given, (list, tuple)) or (values.is_array(given) and given.shape):
        return Bins(limits=limits(given))
    count = values.step(given)
    if count is None or not 0 < count <= BINS_MAX:
        raise TypeError(f"bins={given!r} is no number of bins; it takes 1 to {BINS_MAX:,}")
    return Bins(str(count))


def limits(given: Any) -> tuple[float, ...]:
    """Take the limits of bins: where each begins, and where the last ends.

    Raises:
        TypeError: They are too few or too many, or one is smaller than the one before.
    """
    found, shape = arrays.numbers(given)
    if len(shape) != 1 or not 1 < len(found) <= BINS_MAX + 1:
        raise TypeError(f"limits are 2 to {BINS_MAX + 1:,} numbers, and not of the shape {shape}")
    if any(not one <= other for one, other in itertools.pairwise(found)):
        raise TypeError("limits must not decrease, and NaN is none")
    return found


def counts(given: Any, bins: int) -> tuple[float, ...]:
    """Take as many counts as there are bins.

    Raises:
        TypeError: They are others.
    """
    found, shape = arrays.numbers(given)
    if shape != (bins,):
        message = f"counts have the shape {shape}, and with these limits it has to be ({bins},)"
        raise TypeError(f"{message}: there is one limit more than counts")
    if any(not count >= 0 for count in found):
        raise TypeError("a count is a number that is not below 0")
    return found
