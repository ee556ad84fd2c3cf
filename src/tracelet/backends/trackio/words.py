"""Trackio's words for ours: names, numbers, moments, and what JSON cannot hold.

Trackio keeps some keys of a row for itself, and all that begin with two underscores. As its own `log`
does, such a name gets two underscores in front; nobody else's key begins so.
"""

import contextlib
import math
from datetime import datetime, timezone
from typing import Any, Final, cast

_KEPT: Final = frozenset({"project", "run", "timestamp", "step", "time", "metrics"})
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INTEGERS: Final = range(-(2**63), 2**64)  # that its JSON can hold


def key_of(name: str) -> str:
    """Return the key of a row for a name."""
    return f"__{name}" if name in _KEPT or name.startswith("__") else name


def name_of(key: str) -> str:
    """Return the name that `key_of` made a key of."""
    return key.removeprefix("__")


def moment(seconds: float) -> str:
    """Return a time of ours as Trackio writes it.

    Raises:
        ValueError: No calendar has it.
    """
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} seconds since the epoch are no date") from error


def rounded(seconds: float) -> float:
    """Return a time as it comes back, if it is one."""
    with contextlib.suppress(ValueError):
        return seconds_of(moment(seconds))
    return seconds


def seconds_of(text: str) -> float:
    """Return a time of Trackio's as ours; without a zone it is UTC."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def number_of(value: Any) -> float | None:
    """Return the number that a row holds; None for anything else."""
    if isinstance(value, (int, float)):
        return float(value)
    return _WORDS.get(value) if isinstance(value, str) else None


def plain(value: Any) -> Any:
    """Return a value of a param, a table or metadata as Trackio's JSON can hold it."""
    if isinstance(value, int) and value not in _INTEGERS:
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in cast("dict[Any, Any]", value).items()}
    return [plain(one) for one in cast("list[Any]", value)] if isinstance(value, (list, tuple)) else value


def worded(value: Any) -> Any:
    """Return a value with words for NaN and infinities, as it comes back from inside a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: worded(one) for key, one in cast("dict[str, Any]", value).items()}
    return [worded(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


def unworded(value: Any) -> Any:
    """Return what stands in a config, where Trackio takes three words for the numbers they name."""
    return _WORDS.get(value, value) if isinstance(value, str) else value


def returned(value: Any) -> Any:
    """Return what comes back of a param."""
    return unworded(worded(plain(value)))
