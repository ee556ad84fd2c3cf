"""Pictures and counts are what TensorBoard and numpy make of the same arrays, in bounded memory."""

import io
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.tensorboard import summary

from tracelet import arrays, media
from tracelet.events import Histogram, Image, Moments, Payload
from tracelet.inputs import pictures
from tracelet.media import counts


@pytest.fixture
def shown(tmp_path: Path) -> Any:
    """Make the picture of an array, as it is delivered."""

    def show(value: Any, layout: str | None = None, most: int = 0, **more: Any) -> Any:
        pixels = pictures.pixels(value, layout)
        file = tmp_path / "blob"
        file.write_bytes(b"".join(pixels.raw.pieces))
        data = Payload("x", file.stat().st_size, dtype=pixels.raw.dtype, shape=pixels.raw.shape)
        return media.picture(Image(time=1.0, name="n", data=data, layout=pixels.layout, **more), file, most)

    return show


@pytest.fixture
def count(tmp_path: Path) -> Any:
    """Count the values of an array, as they are delivered."""

    def count(value: Any, **more: Any) -> media.Counted:
        raw = arrays.joined(value)
        file = tmp_path / "blob"
        file.write_bytes(b"".join(raw.pieces))
        data = Payload("x", file.stat().st_size, dtype=raw.dtype, shape=raw.shape)
        return media.counted(Histogram(time=1.0, name="n", data=data, **more), file)

    return count


def rgb(picture: Any) -> Any:
    return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((3, 8, 9), "CHW"),
        ((8, 9, 3), "HWC"),
        ((9, 3, 8), "WCH"),
        ((1, 8, 9), "CHW"),
        ((8, 9), "HW"),
        ((9, 8), "WH"),
        ((4, 8, 9), "CHW"),
        ((2, 8, 9), "CHW"),
        ((1, 3, 8, 9), "NCHW"),
        ((11, 3, 8, 9), "NCHW"),
        ((11, 8, 9, 1), "NHWC"),
        ((8, 5, 3, 9), "HNCW"),
    ],
)
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "uint8", "bool"])
def test_a_picture_is_that_of_tensorboard(shown: Any, shape: tuple[int, ...], layout: str, kind: str) -> None:
    values = np.random.default_rng(1).normal(0.5, 0.5, shape)
    array = (values * 255).clip(0, 255).astype("u1") if kind == "uint8" else values.astype(kind)

    ours = shown(array, layout)

    theirs = Pillow.open(
        io.BytesIO(summary.image("n", array, dataformats=layout).value[0].image.encoded_image_string)
    )
    assert ours.size == theirs.size
    assert np.array_equal(rgb(ours), rgb(theirs))
    if "A" in theirs.getbands():
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_float_that_is_no_shade_is_black_or_white(shown: Any) -> None:
    values = torch.tensor([[math.nan, -math.inf, -1.0], [math.inf, 1e30, 1.0]])

    assert np.asarray(shown(values)).tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(
    ("values", "shades"),
    [
        (np.array([[0, 1]], "i8"), [[0, 255]]),
        (np.array([[0, 2]], "i8"), [[0, 2]]),
        (np.array([[-5, 300]], "i4"), [[0, 255]]),
        (np.array([[0, 255, 256, 65535]], "u2"), [[0, 0, 1, 255]]),
        (np.array([[0, 1]], "u1"), [[0, 1]]),
    ],
)
def test_integers_are_shades_or_a_mask(shown: Any, values: Any, shades: list[list[int]]) -> None:
    assert np.asarray(shown(values)).tolist() == shades


@pytest.mark.parametrize("layout", ["HW", "HWC", "NCHW"])
@pytest.mark.parametrize("most", [1, 100, 1000, 10_000])
def test_a_picture_keeps_to_the_most_bytes(shown: Any, layout: str, most: int) -> None:
    shape = {"HW": (70, 30), "HWC": (70, 30, 3), "NCHW": (9, 3, 20, 30)}[layout]
    small = shown(np.zeros(shape), layout, most)

    assert small.width * small.height * len(small.getbands()) <= max(most, len(small.getbands()))
    assert shown(np.zeros(shape), layout, 10**6).size == shown(np.zeros(shape), layout).size


def test_boxes_are_drawn_where_they_are_also_on_a_smaller_picture(shown: Any) -> None:
    boxes = ((10.0, 20.0, 60.0, 80.0), (0.0, 0.0, math.nan, 5.0))
    whole = np.asarray(shown(np.zeros((100, 100)), boxes=boxes, labels=("cat", "nowhere")))
    small = shown(np.zeros((100, 100)), most=2500, boxes=boxes)

    assert whole[20, 30].tolist() == whole[80, 30].tolist() == whole[50, 10].tolist() == [255, 0, 0]
    assert whole[50, 40].tolist() == [0, 0, 0]
    assert small.size == (50, 50)
    assert np.asarray(small)[10, 15].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "CMYK", "I;16"])
def test_a_file_is_opened_as_what_it_is(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Pillow.new(mode, (5, 3), 1 if mode in {"1", "P"} else 0).save(file)

    shown = media.picture(Image(time=1.0, name="n", data=Payload("x", 1, format="png")), file)

    assert shown.size == (5, 3)
    assert shown.mode in {"L", "LA", "RGB", "RGBA"}


def test_a_file_of_16_bits_keeps_their_upper_half(tmp_path: Path) -> None:
    values = np.array([[0, 256, 65535]], "<u2")
    Pillow.frombytes("I;16", (3, 1), values.tobytes()).save(tmp_path / "a.png")

    shown = media.picture(Image(time=1.0, name="n", data=Payload("x", 1, format="png")), tmp_path / "a.png")

    assert np.asarray(shown).tolist() == [[0, 1, 255]]


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")

    with pytest.raises(ValueError, match="no image"):
        media.picture(Image(time=1.0, name="n", data=Payload("x", 8, format="png")), tmp_path / "a.png")


@pytest.mark.parametrize(
    ("size", "small"), [((1000, 500), (256, 128)), ((4, 8), (128, 256)), ((1, 999), (1, 256))]
)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_thumbnail_has_one_size_and_every_mode_is_encoded(
    size: tuple[int, int], small: tuple[int, int], mode: str
) -> None:
    picture = Pillow.new(mode, size)

    thumbnail = media.thumbnail(picture)

    assert thumbnail.size == small
    assert Pillow.open(io.BytesIO(media.encoded(thumbnail, "WEBP"))).size == small
    again = Pillow.open(io.BytesIO(media.encoded(picture, "PNG")))
    assert (again.size, again.mode) == (size, mode)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i8", "u1", "?", ">f4"])
def test_counts_are_numpys(count: Any, kind: str) -> None:
    values = (np.random.default_rng(2).normal(0, 50, (300, 11)) % 200).astype(kind)

    found = count(values)

    counts, limits = np.histogram(values.astype("f8"), 64)
    assert found.counts == tuple(counts)
    assert found.limits == tuple(limits)
    assert found.moments is not None
    moments = found.moments
    assert (moments.num, moments.min, moments.max) == (values.size, values.min(), values.max())
    assert moments.sum == pytest.approx(values.astype("f8").sum())
    assert moments.sum_squares == pytest.approx((values.astype("f8") ** 2).sum())


def test_values_are_counted_block_by_block_as_all_at_once(
    count: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(3).normal(size=10_000)
    whole = count(values)
    monkeypatch.setattr(counts, "BLOCK", 77)

    blocks = count(values)

    assert (blocks.counts, blocks.limits) == (whole.counts, whole.limits)


def test_what_is_not_finite_is_counted_apart(count: Any) -> None:
    found = count([1.0, math.nan, 2.0, math.inf, -math.inf])
    nothing = count([math.nan])

    assert (sum(found.counts), found.left_out) == (2, 3)
    assert found.moments == Moments(2.0, 1.0, 2.0, 3.0, 5.0)
    assert nothing == media.Counted(counts=(), limits=(), left_out=1)


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 5,
        [1e300] * 5,
        [-1.7e308, 1.7e308],
        [1.7976931348623157e308],
        [1.0, math.nextafter(1.0, 2)],
        [5e-324, 0.0],
        [-1e-320, 1e-320],
    ],
)
def test_the_ends_of_what_floats_can_be_are_counted(count: Any, values: list[float]) -> None:
    found = count(values)

    assert sum(found.counts) == len(values)
    assert len(found.limits) == len(found.counts) + 1
    assert all(map(math.isfinite, found.limits))
    assert found.limits[0] <= min(values)
    assert found.limits[-1] >= max(values) or found.limits[-1] == pytest.approx(max(values))


def test_values_are_counted_as_the_user_has_chosen(count: Any) -> None:
    values = np.random.default_rng(4).normal(size=1000)

    assert len(count(values, bins="30").counts) == 30
    assert len(count(values, bins="30", max_bins=7).counts) == 7
    assert len(count(values, max_bins=7).counts) == 7
    assert len(count(values, bins="1000000").counts) == media.BINS_MOST
    for rule in ("auto", "fd", "sturges"):
        assert count(values, bins=rule).counts == tuple(np.histogram(values, rule)[0])
    limits = (-1.0, 0.0, 0.5, 9.0)
    assert count(values, limits=limits).counts == tuple(np.histogram(values, limits)[0])
    assert count(values, limits=limits).limits == limits
    wild = np.concatenate([values, [1e18]])  # where a rule would want more bins than there is memory
    assert sum(count(wild, bins="fd").counts) == 1001


def test_counts_that_were_given_stay_as_they_are() -> None:
    moments = Moments(3.0, 0.0, 2.0, 3.0, 5.0)
    given = Histogram(time=1.0, name="n", counts=(1.0, 2.0), limits=(0.0, 1.0, 2.0), moments=moments)

    assert media.counted(given, None) == media.Counted(
        counts=(1.0, 2.0), limits=(0.0, 1.0, 2.0), moments=moments
    )


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"\0" * 7)
    data = Payload("x", 80, dtype="float64", shape=(10,))

    with pytest.raises(ValueError, match="mmap"):
        media.counted(Histogram(time=1.0, name="n", data=data), tmp_path / "blob")
    with pytest.raises(ValueError, match="mmap"):
        media.picture(Image(time=1.0, name="n", data=data, layout="HW"), tmp_path / "blob")


@pytest.mark.slow
def test_large_data_is_never_whole_in_memory(tmp_path: Path) -> None:
    """Of 80 MB of values and 384 MB of pixels only some blocks are, and the picture that is made."""
    with (tmp_path / "blob").open("wb") as file:
        file.truncate(384_000_000)
    values = Payload("x", 80_000_000, dtype="float64", shape=(10_000_000,))
    pixels = Payload("x", 384_000_000, dtype="float64", shape=(3, 4000, 4000))

    tracemalloc.start()  # numpy tells it of its arrays
    try:
        found = media.counted(Histogram(time=1.0, name="n", data=values), tmp_path / "blob")
        counting = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        media.picture(Image(time=1.0, name="n", data=pixels, layout="CHW"), tmp_path / "blob", 1000)
        drawing = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert sum(found.counts) == 10_000_000
    assert counting < 60_000_000
    assert drawing < 48_000_000 + 60_000_000
