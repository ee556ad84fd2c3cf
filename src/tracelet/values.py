"""Foreign values to plain ones, without importing the libraries that they come from."""

import enum
import math
import operator
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final, cast

from tracelet.events import Plain

STEP_MIN: Final = -(2**63)
STEP_MAX: Final = 2**63 - 1
_INT_MAX: Final = 2**63 - 1
_DEPTH: Final = 20  # levels of nesting; what is deeper is kept as its text


def number(value: object) -> float:
    """Make a float64 of a number, of a numpy or torch scalar, or of an array or tensor of one element.

    Raises:
        TypeError: It is no number; text that looks like one is not one either.
    """
    if isinstance(value, (str, bytes, bytearray)) or value is None:
        message = f"a {type(value).__name__} is not a number"
        raise TypeError(message)
    item = getattr(value, "item", None)  # numpy's and torch's, also of CUDA tensors
    try:
        found = cast("Any", item() if callable(item) else value)
        if isinstance(found, (complex, str, bytes)):
            raise TypeError
        return float(found)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        shape = getattr(value, "shape", None)
        what = f"{type(value).__name__} of shape {tuple(shape)}" if shape else f"{type(value).__name__}"
        message = f"a {what} is not one number"
        raise TypeError(message) from error


def step(value: object) -> int | None:
    """Make a step of an int, a numpy or torch integer, or a float without a fraction; None stays None.

    Raises:
        TypeError: It is no whole number.
        OverflowError: It does not fit into 64 bits.
    """
    if value is None:
        return None
    try:
        whole = operator.index(cast("Any", value))
    except (TypeError, ValueError, RuntimeError):
        real = number(value)
        if not math.isfinite(real) or real != int(real):
            message = f"{value!r} is not a whole number"
            raise TypeError(message) from None
        whole = int(real)
    if not STEP_MIN <= whole <= STEP_MAX:
        message = f"{whole} does not fit into 64 bits"
        raise OverflowError(message)
    return whole


def plain(value: object, depth: int = 0) -> Plain:
    """Make a plain value of anything; what has no plain form is kept as its text."""
    if isinstance(value, enum.Enum):
        return plain(value.value, depth + 1)
    if value is None or isinstance(value, (bool, int, float, str)):
        return _simple(value)
    if depth < _DEPTH and isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return {str(key): plain(entry, depth + 1) for key, entry in pairs.items()}
    if depth < _DEPTH and isinstance(value, (list, tuple)):
        return [plain(entry, depth + 1) for entry in cast("list[object]", value)]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return plain(item(), depth + 1)
    return _text(value)


def _simple(value: bool | float | str | None) -> Plain:
    """Make subclasses of the plain types plain; an int beyond 64 bits is kept as its digits."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _INT_MAX else str(int(value))
    return float(value) if isinstance(value, float) else str(value)


def _text(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    name = getattr(value, "__qualname__", None)  # classes and functions: their repr has an address
    if isinstance(name, str):
        return f"{getattr(value, '__module__', '')}.{name}".lstrip(".")
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  one broken object of the user's must not cost all other params
        return object.__repr__(value)


def flattened(params: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Plain]]:
    """Join the names of nested mappings by dots: `{"a": {"b": 1}}` gives `a.b`; an empty one stays."""
    for key, value in params.items():
        name = f"{prefix}{key}"
        nested = _nested(value)
        if nested and depth < _DEPTH:
            yield from flattened(nested, f"{name}.", depth + 1)
        else:
            yield name, plain(value)


def _nested(value: object) -> Mapping[Any, Any] | None:
    return cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else None
