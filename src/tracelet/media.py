"""Payloads made into what a tracker shows: pictures of 8 bits a channel, and counts in bins.

Used where runs are delivered. NumPy and Pillow are loaded by whoever calls `picture`, `encoded` or
`counted`, and come with the trackers' clients. Memory is bounded: arrays are mapped and read in
blocks, and of an image only the 8 bits of each channel are ever whole.

A float is taken as 0 to 1 and scaled by 255, as TensorBoard does; what is beyond is cut, and NaN is
black. uint8 is taken as it is, uint16 by its upper half, bool as black and white. Of other integers,
0 and 1 are black and white if there is nothing above; else they are taken as 0 to 255.

Values are counted in 64 equal bins from the smallest to the largest, unless the user has chosen. The
1,549 bins of TensorBoard's writer grow exponentially from 1e-12 on, and most of them are empty: they
are made for one pass over values that nobody has seen before. NaN and infinities are counted apart.
"""

import contextlib
import io
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from tracelet import arrays
from tracelet.events import Histogram, Image, Moments, Payload

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

BINS: Final = 64
BINS_MOST: Final = 10_000  # of a rule, or a number, that a user gives
COLUMNS: Final = 8  # of a grid
SMALL: Final = 256  # pixels: the longer side of a thumbnail
SETTING: Final = "max_image_size"
_BLOCK: Final = 1 << 20  # elements that are looked at together
_SAMPLE: Final = 1_000_000  # values by which a rule of numpy's chooses how many bins there are
_WIDE: Final = 1e300  # beyond this, the difference of two values may be infinite
_RED: Final = (255, 0, 0)


def most(options: Mapping[str, str]) -> int:
    """Tell how many bytes an image may have as it is shown, before it is encoded; 0 for any number.

    Args:
        options: A backend's.
    """
    return int(options.get(SETTING) or 0)


def extent(image: Image) -> tuple[int, int, int]:
    """Tell the height, width and channels of an image that is an array, as it is shown."""
    lengths = dict(zip(image.layout, image.data.shape, strict=True))
    height, width, channels = lengths["H"], lengths["W"], lengths.get("C", 1)
    if "N" in lengths:
        columns = min(lengths["N"], COLUMNS)
        return height * math.ceil(lengths["N"] / columns), width * columns, channels
    return height, width, channels


def is_scaled(image: Image, bytes_most: int) -> bool:
    """Tell whether an array is shown smaller than it is, to keep to `max_image_size`."""
    return 0 < bytes_most < math.prod(extent(image)) if image.data.dtype else False


def picture(image: Image, file: Path, bytes_most: int = 0) -> "Picture":
    """Make the picture that is shown, with its boxes.

    Args:
        image: What was logged.
        file: The bytes of its payload.
        bytes_most: See `most`; a larger one is scaled down.

    Raises:
        ValueError: It cannot be shown.
        OSError: The file cannot be read.
    """
    from PIL import Image as Pillow

    if image.data.dtype:
        shades = _shades(image, file)
        shown = Pillow.fromarray(shades[:, :, 0] if shades.shape[2] == 1 else shades)
    else:
        shown = _opened(file)
    whole = shown.size
    if 0 < bytes_most < (size := shown.width * shown.height * len(shown.getbands())):
        scale = math.sqrt(bytes_most / size)
        smaller = (max(1, int(shown.width * scale)), max(1, int(shown.height * scale)))
        shown = shown.resize(smaller, Pillow.Resampling.LANCZOS)
    return (
        _with_boxes(shown, image, (shown.width / whole[0], shown.height / whole[1])) if image.boxes else shown
    )


def encoded(shown: "Picture", kind: Literal["PNG", "WEBP"]) -> bytes:
    """Encode a picture as a file."""
    made = io.BytesIO()
    if kind == "WEBP" and shown.mode == "LA":
        shown = shown.convert("RGBA")
    # A PNG that is packed harder is a tenth smaller, and takes three times as long.
    shown.save(made, kind, **({"compress_level": 3} if kind == "PNG" else {}))
    return made.getvalue()


def thumbnail(shown: "Picture") -> "Picture":
    """Scale a picture, down or up, so that its longer side has `SMALL` pixels."""
    from PIL import Image as Pillow

    scale = SMALL / max(shown.size)
    how = Pillow.Resampling.NEAREST if scale > 1 else Pillow.Resampling.LANCZOS  # a small one stays sharp
    return shown.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))), how)


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
    values = _mapped(histogram.data, file).reshape(-1)
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

    for begin in range(0, len(values), _BLOCK):
        block = values[begin : begin + _BLOCK].astype("f8")
        yield block[np.isfinite(block)]


def save(data: Payload, file: Path, to: Path) -> None:
    """Write a payload's array in numpy's own format.

    Raises:
        ValueError: The file is not what the payload says.
        OSError: It cannot be read, or there is no room.
    """
    import numpy as np

    with to.open("wb") as stream:
        np.save(stream, _mapped(data, file))


def _mapped(data: Payload, file: Path) -> Any:
    """Look at a payload's array where it lies."""
    import numpy as np

    kind: Any = cast("Any", np.dtype(data.dtype)).newbyteorder("<")
    if not math.prod(data.shape):
        return np.empty(data.shape, kind)
    return np.memmap(file, kind, "r", shape=data.shape)


def _opened(file: Path) -> "Picture":
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with cast("Any", Pillow.open(file)) as opened:
            found: Picture = opened.copy()
    except (UnidentifiedImageError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise ValueError(f"it is no image that Pillow reads: {error}") from error
    if found.mode in arrays.SIXTEEN:  # Pillow would cut it
        import numpy as np

        return Pillow.fromarray((np.asarray(found) >> 8).astype("u1"))
    return found if found.mode in arrays.SHOWN else found.convert(arrays.plain_mode(found))


def _shades(image: Image, file: Path) -> Any:
    """Make the pixels of an array: uint8, of shape (height, width, channels)."""
    import numpy as np

    array = _mapped(image.data, file)
    shade = _shade(array)
    order = [image.layout.find(axis) for axis in "NHWC"]
    batch = array.transpose([at for at in order if at >= 0])
    batch = batch if order[0] >= 0 else batch[np.newaxis]
    batch = batch if order[3] >= 0 else batch[..., np.newaxis]
    height, width = batch.shape[1:3]
    canvas = np.zeros(extent(image), np.uint8)
    columns = min(len(batch), COLUMNS)
    rows_at_once = max(1, _BLOCK // (width * batch.shape[3]))
    for number, one in enumerate(batch):
        top, left = number // columns * height, number % columns * width
        for row in range(0, height, rows_at_once):
            block = shade(one[row : row + rows_at_once])
            canvas[top + row : top + row + len(block), left : left + width] = block
    return canvas


def _shade(array: Any) -> Callable[[Any], Any]:
    """Find out what makes 8 bits of an array's elements."""
    import numpy as np

    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return lambda block: block
    if array.dtype == np.dtype("<u2"):
        return lambda block: block >> 8
    if kind == "f":
        return lambda block: np.nan_to_num(block.astype("f4") * 255, posinf=255).clip(0, 255).astype("u1")
    blocks = array.reshape(-1)
    is_mask = all(blocks[at : at + _BLOCK].max() <= 1 for at in range(0, len(blocks), _BLOCK))
    scale = 255 if is_mask else 1
    return lambda block: (block.clip(0, 255 // scale).astype("u1")) * np.uint8(scale)


def _with_boxes(shown: "Picture", image: Image, scale: tuple[float, float]) -> "Picture":
    """Draw boxes, and their labels, on a picture."""
    from PIL import ImageDraw

    drawn = shown.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    for number, box in enumerate(image.boxes):
        if not all(map(math.isfinite, box)):
            continue
        left, right = sorted((box[0] * scale[0], box[2] * scale[0]))
        top, bottom = sorted((box[1] * scale[1], box[3] * scale[1]))
        draw.rectangle((left, top, right, bottom), outline=_RED, width=2)
        if image.labels:
            draw.text((left + 3, top + 2), image.labels[number], fill=_RED)
    return drawn
