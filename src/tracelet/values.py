"""Foreign values to plain ones, without importing the libraries that they come from."""

import functools
import math
import operator
import re
import reprlib
from collections.abc import Callable
from types import GenericAlias, ModuleType
from typing import Any, Final, cast

STEP_MIN: Final = -(2**63)
STEP_MAX: Final = 2**63 - 1
SMALL: Final = 1000  # elements; a larger array is kept as a short text
_BYTES_SHOWN: Final = 32
_INT_MAX: Final = 2**63 - 1
_ADDRESS: Final = re.compile(r" at 0x[0-9A-Fa-f]+")


def number(value: object) -> float:
    """Make a float64 of a number, of a numpy or torch scalar, or of an array or tensor of one element.

    Raises:
        TypeError: It is no number; text that looks like one is not one either.
    """
    if isinstance(value, (str, bytes, bytearray)) or value is None:
        message = f"{reprlib.repr(value)} ({type(value).__name__}) is no number"
        raise TypeError(message)
    try:
        if is_masked(value):  # its own item is what lies below the mask
            value = cast("Any", value).astype("f8").filled(math.nan)
        item = getattr(value, "item", None)  # numpy's and torch's, also of CUDA tensors
        found = cast("Any", item() if callable(item) else value)
        if found.__class__ is float or found.__class__ is int:  # nearly always
            return float(found)
        if isinstance(found, (complex, str, bytes)) or _dtype_kind(found) == "c":
            raise TypeError
        return float(found)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        shape = getattr(value, "shape", None)
        what = f"{type(value).__name__} of shape {tuple(shape)}" if shape else f"{type(value).__name__}"
        message = f"a value of type {what} is not one number"
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
            message = f"{value!r} is no whole number"
            raise TypeError(message) from None
        whole = int(real)
    if not STEP_MIN <= whole <= STEP_MAX:
        message = f"{whole} does not fit into 64 bits"
        raise OverflowError(message)
    return whole


def simple(value: object) -> str | int | float | bool | None:
    """Make subclasses of the plain types plain; an int beyond 64 bits is kept as its digits.

    Raises:
        TypeError: It is of none of these types.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _INT_MAX else _digits(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return unicode(str(value))
    message = f"a {type(value).__name__} is not a plain value"
    raise TypeError(message)


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python makes no text of more than some thousand digits, but in base 16
        return hex(value)


def unicode(text: str) -> str:
    """Escape what is no Unicode, as in some file names: nothing that is stored takes it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def is_array(value: object) -> bool:
    """Tell whether a value is an array, a tensor, a scalar of such a library, a series or a data frame."""
    kind = type(value)  # some objects have any attribute that they are asked for, but not their classes
    return hasattr(kind, "shape") and any(hasattr(kind, way) for way in ("tolist", "numpy", "to_numpy"))


def is_masked(value: object) -> bool:
    """Tell whether a value is an array of numpy's in which elements may be missing."""
    return hasattr(type(value), "filled")


def elements(array: Any) -> object:
    """Make a number or a list of a small array, of foreign objects perhaps; else a text: type and shape."""
    shape = array.shape
    try:
        shape = tuple(int(length) for length in shape)
        if math.prod(shape) <= SMALL and (found := _listed(array)) is not None:
            # A long double is its own plain value.
            return _numbered(array) if type(found) is type(array) else found
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        pass  # its shape is not known, or it has no data
    dtype = getattr(array, "dtype", None)
    return f"{class_of(array)} of shape {shape}" + (f", {dtype}" if dtype is not None else "")


def _listed(array: Any) -> object:
    if _dtype_kind(array) in {"m", "M"}:
        array = array.astype(str)  # numpy's times; their lists would be of numbers
    if hasattr(array, "tolist"):
        return array.tolist()
    return _listed(array.numpy()) if hasattr(array, "numpy") else None


def _dtype_kind(value: object) -> str:
    """Return numpy's letter for a kind of dtype; empty for what is not of numpy."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def _numbered(value: object) -> float | str:
    try:
        return number(value)
    except TypeError:
        return str(value)


def is_nameless(value: object) -> bool:
    """Tell whether an object has no text of its own, but only its class's name and an address."""
    kind = type(value)
    return kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__


def class_of(value: object) -> str:
    """Name the class of a value: `module.Class`, without `builtins`."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def text(value: object) -> str:
    """Make a text of anything, the same in every process: without addresses in memory."""
    for kind, of in _OF:
        if isinstance(value, kind):
            return of(value)
    if is_nameless(value):
        return f"{class_of(value)} object"
    to_iso = getattr(type(value), "isoformat", None)  # dates and times
    if callable(to_iso):
        return str(to_iso(value))
    if callable(value) and type(value) is not GenericAlias:
        name = getattr(value, "__qualname__", None)
        if isinstance(name, str):
            return f"{getattr(value, '__module__', None) or ''}.{name}".lstrip(".")
    return _ADDRESS.sub("", str(value))


def _bytes(value: Any) -> str:
    first = bytes(value[:_BYTES_SHOWN])
    return repr(first) if len(value) <= _BYTES_SHOWN else f"{first!r}… ({len(value):,} bytes)"


def _partial(call: "functools.partial[object]") -> str:
    shown = [text(call.func), *map(_argument, call.args)]
    shown += [f"{name}={_argument(value)}" for name, value in call.keywords.items()]
    return f"functools.partial({', '.join(shown)})"


def _argument(value: object) -> str:
    return text(value) if callable(value) else _ADDRESS.sub("", reprlib.repr(value))


_OF: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    ((bytes, bytearray, memoryview), _bytes),
    (ModuleType, lambda module: module.__name__),
    (functools.partial, _partial),
)
