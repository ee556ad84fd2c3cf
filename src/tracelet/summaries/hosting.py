"""Tensors on their way to the journal: what the library has brought to the host is not brought again.

Both libraries make an array of every tensor that they are given, and a tensor of another device has
to be waited for and copied. Captures overhear that conversion (`tracelet.patching.overheard`).
"""

import math
import sys
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet.arrays import MANY, is_many, is_tensor
from tracelet.patching import overheard

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEAST: Final = 2.0**-14  # what float16 still holds with all its bits
_VALUES: Final = 2  # where `add_histogram` has its values among the positional arguments, `self` first


def host(value: Any) -> Any:
    """Return the array that the library made of a tensor, if it has the same values; else the value."""
    made = overheard(value)
    return value if made is None or _is_brief(value, made) else made


def number(value: Any) -> Any:
    """Return a scalar as the library took it: a text's number, a tensor's; None if it is no number."""
    made = overheard(value)
    if made is not None:
        found = made.item()
        if _is_brief(value, made) and not _LEAST <= abs(found) < math.inf:
            return value  # too large or too small for float16, perhaps
        return found
    if isinstance(value, (str, bytes)):
        try:
            return float(value)
        except ValueError:  # the name of a Caffe2 blob
            return None
    return plain(value).item() if isinstance(value, list) else value  # tensorboardX takes one of one number


def param(value: Any) -> Any:
    """Make a number of a tensor of one element, as torch does, which takes no other as a param."""
    if not callable(getattr(value, "numel", None)) or value.numel() != 1:
        return value
    found = number(value)
    return value.item() if found is value else found


def plain(value: Any) -> Any:
    """Make an array of lists of numbers; return anything else as `host` does."""
    if isinstance(value, (list, tuple)):
        numpy: Any = sys.modules["numpy"]  # the library has made one of it, too
        return numpy.asarray(cast("object", value))
    return host(value)


def _is_brief(value: Any, made: Any) -> bool:
    """Tell whether torch's writer has made float16 of a tensor that reaches further: of bfloat16."""
    # The array is asked first: a type of torch's takes its time to say what it is.
    return made.dtype.char == "e" and str(value.dtype) == "torch.bfloat16"


def with_values_joined(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand `add_histogram` one tensor where it is given an iterable of them; leave all else as it is."""
    given: Any = args[_VALUES] if len(args) > _VALUES else kwargs.get("values")
    if not is_many(given):
        return args, kwargs
    tensors: list[Any] = []
    for one in cast("Iterable[Any]", given):
        if not is_tensor(one) or len(tensors) >= MANY:  # a data loader, perhaps, or something without end
            return args, kwargs  # the library says what it thinks of it
        tensors.append(one)
    if not tensors:
        return args, kwargs
    joined = _joined(tensors)
    if len(args) > _VALUES:
        return (*args[:_VALUES], joined, *args[_VALUES + 1 :]), kwargs
    return args, {**kwargs, "values": joined}


def _joined(tensors: list[Any]) -> Any:
    torch: Any = sys.modules["torch"]  # there are tensors, so there is torch
    flat = [tensor.detach().reshape(-1).cpu() for tensor in tensors]
    if len({tensor.dtype for tensor in flat}) > 1:
        wide = any(tensor.dtype == torch.float64 for tensor in flat)
        flat = [tensor.double() if wide else tensor.float() for tensor in flat]
    return torch.cat(flat)
