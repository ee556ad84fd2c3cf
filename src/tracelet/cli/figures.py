"""Figures as a person reads them: values and steps; and the names that go with them."""

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from tracelet.errors import ConfigError, suggestion

FULL: Final = 17  # significant digits that tell any two float64 apart
LISTED: Final = 10  # names that an error gives
_T = TypeVar("_T")


def figure(value: float | None, digits: int = 6) -> str:
    """Write a value; an empty text for none."""
    return "" if value is None else "NaN" if math.isnan(value) else f"{value:.{digits}g}"


def apart(low: float, high: float, digits: int = 4) -> tuple[str, str]:
    """Write two values with as many digits as tell them apart."""
    while digits < FULL and low != high and figure(low, digits) == figure(high, digits):
        digits += 1
    return figure(low, digits), figure(high, digits)


def whole(number: int | None) -> str:
    """Write a whole number; an empty text for none."""
    return "" if number is None else f"{number:,}"


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of the patterns, or fits one that has `*`, `?` or `[…]` as in a shell."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def fitting(patterns: Iterable[str], known: Mapping[str, _T], what: str) -> dict[str, _T]:
    """Choose by name, in the patterns' order; a pattern that is itself a name means that one only.

    Raises:
        ConfigError: Nothing fits a pattern.
    """
    found: dict[str, _T] = {}
    for pattern in patterns:
        names = [pattern] if pattern in known else [name for name in known if fnmatchcase(name, pattern)]
        if not names:
            listed = ", ".join(sorted(known)[:LISTED]) + ", …" * (len(known) > LISTED) or "none"
            raise ConfigError(f"no {what} {pattern!r}; there are {listed}.{suggestion(pattern, known)}")
        found |= {name: known[name] for name in names}
    return found
