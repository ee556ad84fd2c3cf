"""Foreign arrays to plain bytes, without importing the libraries that they come from.

Tensors of torch, arrays of numpy and whatever numpy makes an array of, pictures of Pillow, and plain
numbers. What lies in memory as it will lie on disk is not copied: `Raw.pieces` look at it where it is.
"""

import array
import itertools
import math
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from tracelet import values

MANY: Final = 20_000  # arrays that are taken together; more may have no end
KINDS: Final = "biuf"  # of numpy's dtypes: bool, int, unsigned int, float
SHOWN: Final = {"L": "HW", "RGB": "HWC", "RGBA": "HWC", "LA": "HWC"}
"""Pillow's modes whose bytes are an image of 8 bits a channel, and their layouts."""
_CLEAR: Final = ("PA", "La", "RGBa")
SIXTEEN: Final = ("I;16", "I;16L", "I;16B", "I;16N")


class Raw(NamedTuple):
    """The elements of an array, in C order and little-endian; their bytes are `pieces`, in order."""

    pieces: tuple[memoryview, ...]
    dtype: str  # as numpy calls it
    shape: tuple[int, ...]


def raw(value: Any) -> Raw:
    """Look at an array's bytes; a tensor of another device is brought here.

    Of what a masked array hides nothing is told: it is NaN, or 0 in an array of integers.

    Raises:
        TypeError: It is no array of numbers; the message says what to do.
    """
    if is_tensor(value):
        return _numpy(_of_tensor(value))
    if isinstance(value, (bool, int, float)):
        return _of_numbers([value])
    if isinstance(value, (str, bytes, Mapping)):
        raise TypeError(f"a {values.class_of(cast('object', value))} is no array of numbers")
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:  # then the value is nothing of numpy's either
        return _of_numbers(_listed(value))
    try:
        made = numpy.asarray(_filled(value) if values.is_masked(value) else value)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, and whatever refuses
        raise TypeError(f"a {values.class_of(value)} is no array of numbers: {error}") from error
    return _numpy(made)


def joined(value: Any) -> Raw:
    """Look at the bytes of an array, or of all arrays in a list or another iterable, one after the other.

    What a masked array hides is left out.

    Raises:
        TypeError: As in `raw`, or there is nothing in it.
    """
    if not is_many(value):
        return _given(value)
    found = [_given(one) for one in itertools.islice(cast("Iterable[Any]", value), MANY + 1)]
    if len(found) > MANY:
        raise TypeError(f"a {values.class_of(value)} that gives more than {MANY:,} arrays may have no end")
    if not found:
        raise TypeError(f"a {values.class_of(value)} with nothing in it has no values")
    if len({one.dtype for one in found}) > 1:
        numpy: Any = sys.modules["numpy"]  # only its arrays can have different types
        found = [_numpy(numpy.concatenate([_flat(one, numpy) for one in found]))]
    pieces = tuple(piece for one in found for piece in one.pieces)
    return Raw(pieces, found[0].dtype, (sum(math.prod(one.shape) for one in found),))


def _given(value: Any) -> Raw:
    """Look at the elements that are not missing."""
    return raw(value.compressed() if values.is_masked(value) else value)


def _filled(value: Any) -> Any:
    """Put NaN where an element is missing, or 0 where there is none: what is below a mask may be anything."""
    return value.filled(math.nan if value.dtype.kind == "f" else 0)


def is_many(value: Any) -> bool:
    """Tell whether a value is a list of arrays, or an iterable that may give some, such as a generator."""
    if values.is_array(value) or isinstance(value, (str, bytes, bytearray, memoryview, Mapping)):
        return False
    if isinstance(value, (list, tuple)):
        listed = cast("Sequence[Any]", value)
        first: Any = listed[0] if listed else None  # of a million numbers, one is enough
        return values.is_array(first) and len(first.shape) > 0
    return isinstance(value, Iterable) and not _knows_numpy(cast("object", value))


def _knows_numpy(value: object) -> bool:
    return hasattr(type(value), "__array__")


def is_numeric(array: Any) -> bool:
    """Tell whether an array is one of numbers; of a tensor nothing else can be."""
    return is_tensor(array) or getattr(getattr(array, "dtype", None), "kind", "") in {*KINDS}


def is_tensor(value: object) -> bool:
    """Tell whether a value is a tensor of torch's."""
    return values.is_array(value) and hasattr(type(value), "detach")


def is_picture(value: object) -> bool:
    """Tell whether a value is an image of Pillow's."""
    kind = type(value)
    return hasattr(kind, "getbands") and hasattr(kind, "tobytes")


def of_picture(picture: Any) -> tuple[Raw, str]:
    """Take the bytes of an image of Pillow's; return its layout, too.

    One of 16 bits stays one; every other mode becomes RGB, or RGBA where something is transparent.
    """
    if picture.mode in SIXTEEN:
        content = picture.tobytes()
        if picture.mode == "I;16B" or (picture.mode == "I;16N" and _is_big()):
            swapped = array.array("H", content)
            swapped.byteswap()
            content = swapped.tobytes()
        return Raw((memoryview(content),), "uint16", (picture.height, picture.width)), "HW"
    if picture.mode not in SHOWN:
        picture = picture.convert(plain_mode(picture))
    layout = SHOWN[picture.mode]
    bands = (len(picture.getbands()),) if len(layout) > len("HW") else ()
    shape = (picture.height, picture.width, *bands)
    return Raw((memoryview(picture.tobytes()),), "uint8", shape), layout


def plain_mode(picture: Any) -> str:
    """Choose the mode of 8 bits a channel that holds a picture of any other."""
    is_clear = picture.mode in _CLEAR or "transparency" in picture.info
    return "RGBA" if is_clear else "RGB"


def _of_tensor(value: Any) -> Any:
    """Make numpy's array of a tensor; they share their memory where that is possible."""
    for odd, remedy in (("is_sparse", "to_dense"), ("is_quantized", "dequantize"), ("is_nested", "unbind")):
        if getattr(value, odd, False):
            raise TypeError(f"a tensor with {odd} has no plain elements; give its .{remedy}()")
    try:
        here = value.detach().cpu()
        here = here.resolve_conj().resolve_neg()
        try:
            return here.numpy()
        except TypeError:  # bfloat16 and other types that numpy lacks
            return here.float().numpy()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise TypeError(f"a tensor of type {value.dtype} cannot be read: {error}") from error


def _numpy(made: Any) -> Raw:
    kind = made.dtype
    if kind.kind not in KINDS:
        raise TypeError(f"elements of type {kind} are no real numbers")
    if kind.itemsize > 8:  # noqa: PLR2004  a long double, which is another one on each machine
        kind = made.astype("f8").dtype
    kind = kind.newbyteorder("<")
    plain = made.astype(kind, order="C", copy=False)
    shape = tuple(int(length) for length in plain.shape)
    # As bytes, because `memoryview` knows no half precision, and no array without elements.
    return Raw((memoryview(plain.reshape(-1).view("u1")),), str(kind.name), shape)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, Iterable) or not hasattr(type(cast("object", value)), "__len__"):
        raise TypeError(f"a {values.class_of(cast('object', value))} is no array of numbers")
    return list(cast("Iterable[Any]", value))


def _of_numbers(numbers: list[Any]) -> Raw:
    """Make an array of numbers, or of lists of numbers of one length, and so on."""
    shape = [len(numbers)]
    while numbers and all(isinstance(one, (list, tuple)) for one in numbers):
        lengths = {len(one) for one in numbers}
        if len(lengths) > 1:
            raise TypeError("lists of different lengths are no array of numbers")
        shape += lengths
        numbers = [one for row in numbers for one in row]
    try:
        found = array.array("d", numbers)
    except (TypeError, OverflowError) as error:
        raise TypeError(f"a list that holds more than numbers is no array of numbers: {error}") from error
    if _is_big():
        found.byteswap()
    return Raw((memoryview(found).cast("B"),), "float64", tuple(shape))


def _flat(one: Raw, numpy: Any) -> Any:
    return numpy.frombuffer(b"".join(one.pieces), dtype=numpy.dtype(one.dtype).newbyteorder("<"))


def _is_big() -> bool:
    return sys.byteorder == "big"


_CODES: Final = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
"""What `struct` calls the types that an array may have here."""


def numbers(value: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Make floats of a small array's elements; return its shape, too.

    Raises:
        TypeError: As in `raw`.
    """
    found = raw(value)
    unpacked = struct.unpack(f"<{math.prod(found.shape)}{_CODES[found.dtype]}", b"".join(found.pieces))
    return tuple(map(float, unpacked)), found.shape
