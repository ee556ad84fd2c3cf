"""Pictures of 8 bits a channel.

A float is taken as 0 to 1 and scaled by 255, as TensorBoard does; what is beyond is cut, and NaN is
black. uint8 is taken as it is, uint16 by its upper half, bool as black and white. Of other integers,
0 and 1 are black and white if there is nothing above; else they are taken as 0 to 255.
"""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from tracelet import arrays
from tracelet.events import Figure, Image
from tracelet.media.arrays import BLOCK, mapped
from tracelet.media.sizes import extent, grid, layout_of, scaled

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SMALL: Final = 256  # pixels: the longer side of a thumbnail
_RED: Final = (255, 0, 0)


def picture(image: Image | Figure, file: Path, bytes_most: int = 0) -> "Picture":
    """Make the picture that is shown, with its boxes.

    Args:
        image: What was logged.
        file: The bytes of its payload.
        bytes_most: See `sizes.most`; a larger one is scaled down.

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
    size = scaled(*whole, len(shown.getbands()), bytes_most)
    if size != whole:
        shown = shown.resize(size, Pillow.Resampling.LANCZOS)
    if isinstance(image, Figure) or not image.boxes:
        return shown
    return _with_boxes(shown, image, (shown.width / whole[0], shown.height / whole[1]))


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


def _shades(image: Image | Figure, file: Path) -> Any:
    """Make the pixels of an array: uint8, of shape (height, width, channels)."""
    import numpy as np

    array = mapped(image.data, file)
    shade = shade_of(array)
    order = [layout_of(image).find(axis) for axis in "NHWC"]
    batch = array.transpose([at for at in order if at >= 0])
    batch = batch if order[0] >= 0 else batch[np.newaxis]
    batch = batch if order[3] >= 0 else batch[..., np.newaxis]
    height, width = batch.shape[1:3]
    canvas = np.zeros(extent(image), np.uint8)
    _, columns = grid(image, len(batch))
    rows_at_once = max(1, BLOCK // (width * batch.shape[3]))
    for number, one in enumerate(batch):
        top, left = number // columns * height, number % columns * width
        for row in range(0, height, rows_at_once):
            block = shade(one[row : row + rows_at_once])
            canvas[top + row : top + row + len(block), left : left + width] = block
    return canvas


def shade_of(array: Any) -> Callable[[Any], Any]:
    """Find out what makes 8 bits of an array's elements, or of a part of it."""
    import numpy as np

    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return lambda block: block
    if array.dtype == np.dtype("<u2"):
        return lambda block: block >> 8
    if kind == "f":
        return lambda block: np.nan_to_num(block.astype("f4") * 255, posinf=255).clip(0, 255).astype("u1")
    blocks = array.reshape(-1)
    is_mask = all(blocks[at : at + BLOCK].max() <= 1 for at in range(0, len(blocks), BLOCK))
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
