"""Foreign arrays become bytes in one order, whatever library, device, type and stride they come from."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tracelet import arrays
from tracelet.arrays import Raw


def back(raw: Raw) -> Any:
    """Read an array as the process reads it that delivers."""
    kind = np.dtype(raw.dtype).newbyteorder("<")
    return np.frombuffer(b"".join(raw.pieces), kind).reshape(raw.shape)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype="f4").reshape(2, 3, 4),
        np.arange(24, dtype="f4").reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(24, dtype="f8")[::-3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.arange(6, dtype=">f2"),
        np.array([[True, False]]),
        np.arange(4, dtype="u8") + 2**63,
        np.array(1.5),
        np.float32(1.5),
        np.empty((0, 3), "i8"),
        np.lib.stride_tricks.as_strided(np.arange(3.0), (2, 3), (0, 8)),  # as `expand` makes them
    ],
    ids=str,
)
def test_an_array_of_numpy_comes_back_as_it_was(array: Any) -> None:
    raw = arrays.raw(array)

    assert raw.shape == array.shape
    assert raw.dtype == array.dtype.name
    assert np.array_equal(back(raw), array)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).permute(2, 0, 1),
        torch.nn.Parameter(torch.randn(3, 4)),
        torch.randn(3, 4, requires_grad=True) * 2,
        torch.tensor(7),
        torch.tensor([True, False]),
        torch.randn(4).half(),
        torch.randn(3, 1).expand(3, 5),
        torch.view_as_complex(torch.randn(3, 2)).conj().imag,  # it has its sign in a bit of its own
    ],
    ids=lambda tensor: f"{tensor.dtype}, {tuple(tensor.shape)}",
)
def test_a_tensor_comes_back_as_it_was(tensor: Any) -> None:
    raw = arrays.raw(tensor)

    assert raw.dtype == str(tensor.dtype).removeprefix("torch.")
    assert np.array_equal(back(raw), tensor.detach().numpy() if not tensor.is_neg() else tensor.resolve_neg())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
def test_a_type_that_numpy_lacks_becomes_float32(kind: torch.dtype) -> None:
    tensor = torch.tensor([1.5, -2.0]).to(kind)

    raw = arrays.raw(tensor)

    assert raw.dtype == "float32"
    assert back(raw).tolist() == [1.5, -2.0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_tensor_of_a_gpu_is_brought_here() -> None:
    assert back(arrays.raw(torch.arange(6.0, device="cuda")[::2])).tolist() == [0, 2, 4]


def test_what_lies_in_memory_as_on_disk_is_not_copied() -> None:
    array, tensor = np.zeros(3, "u1"), torch.zeros(3, dtype=torch.uint8)
    looks = arrays.raw(array), arrays.raw(tensor)

    array[1] = tensor[1] = 7

    assert [bytes(look.pieces[0]) for look in looks] == [b"\0\7\0"] * 2


@pytest.mark.filterwarnings("ignore:Sparse|.*quantize.*|torch.*deprecated:UserWarning")
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.eye(3).to_sparse(), r"give its \.to_dense\(\)"),
        (torch.empty(3, device="meta"), "cannot be read"),
        (torch.zeros(3, dtype=torch.complex64), "no real numbers"),
        (np.array(["a"]), "no real numbers"),
        (np.array([object()]), "no real numbers"),
        (np.array(["2026-01-01"], "M8[D]"), "no real numbers"),
        ([[1, 2], [3]], "no array of numbers"),
        ("text", "a str is no array"),
        (b"bytes", "a bytes is no array"),
        ({"a": 1}, "a dict is no array"),
        (None, "no real numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_words(value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        arrays.raw(value)


def test_numbers_and_lists_are_arrays_too() -> None:
    assert back(arrays.raw([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
    assert back(arrays.raw(2.5)).tolist() == [2.5]
    assert back(arrays.raw(True)).tolist() == [1.0]


def test_many_arrays_are_joined_without_a_copy() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    expected = np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])

    for many in (model.parameters(), list(model.parameters()), dict(model.named_parameters()).values()):
        raw = arrays.joined(many)
        assert raw.shape == (26,)
        assert len(raw.pieces) == 4
        assert np.array_equal(back(raw), expected)


def test_arrays_of_several_types_are_joined_in_one_that_holds_them_all() -> None:
    raw = arrays.joined([torch.tensor([1, 2]), np.array([0.5], "f4"), torch.tensor([[3.0]]).bfloat16()])

    assert raw.dtype == "float64"
    assert back(raw).tolist() == [1, 2, 0.5, 3]


def test_an_iterable_with_nothing_in_it_has_no_values() -> None:
    with pytest.raises(TypeError, match="nothing in it"):
        arrays.joined(iter(()))
    with pytest.raises(TypeError, match="no array of numbers"):
        arrays.joined(torch.nn.Linear(1, 1).named_parameters())


def test_what_a_mask_hides_is_not_told() -> None:
    hidden = [False, True, False]
    floats: Any = np.ma.array([1.0, 1e20, 3.0], mask=hidden)
    whole: Any = np.ma.array([1, 255, 3], mask=hidden, dtype="u1")

    assert np.array_equal(back(arrays.raw(floats)), [1.0, np.nan, 3.0], equal_nan=True)
    assert back(arrays.raw(whole)).tolist() == [1, 0, 3]
    assert arrays.raw(whole).dtype == "uint8"
    assert back(arrays.joined(floats)).tolist() == [1.0, 3.0]
    assert back(arrays.joined([whole, whole])).tolist() == [1, 3, 1, 3]


def test_small_arrays_become_numbers() -> None:
    assert arrays.numbers(torch.tensor([[1, 2], [3, 4]])) == ((1.0, 2.0, 3.0, 4.0), (2, 2))
    assert arrays.numbers([0.5, 1]) == ((0.5, 1.0), (2,))
    assert arrays.numbers(np.array([1.5], "f2")) == ((1.5,), (1,))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "F"]
)
def test_a_picture_is_what_pillow_would_show(mode: str) -> None:
    picture = Image.new(mode, (5, 3))

    raw, layout = arrays.of_picture(picture)

    kept = {"L", "LA", "RGB", "RGBA"}
    shown = picture if mode in kept else picture.convert("RGBA" if mode == "PA" else "RGB")
    assert layout == ("HW" if mode == "L" else "HWC")
    assert np.array_equal(back(raw), np.asarray(shown))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_a_picture_of_16_bits_keeps_them(mode: str) -> None:
    values = np.array([[0, 1], [256, 65535]], ">u2" if mode == "I;16B" else "<u2")

    raw, layout = arrays.of_picture(Image.frombytes(mode, (2, 2), values.tobytes()))

    assert (raw.dtype, layout) == ("uint16", "HW")
    assert np.array_equal(back(raw), values)


def test_no_library_is_imported_for_an_array() -> None:
    code = (
        "import sys, array\nfrom tracelet import arrays\n"
        "raw = arrays.raw([1, 2.5])\nassert raw.shape == (2,) and raw.dtype == 'float64'\n"
        "assert arrays.joined(x for x in (1, 2)).shape == (2,)\n"
        "assert arrays.raw(array.array('i', [1])).shape == (1,)\n"
        "assert arrays.raw([[1, 2], (3, 4), [5, 6]]).shape == (3, 2)\n"
        "assert arrays.numbers([[[1], [2]]]) == ((1.0, 2.0), (1, 2, 1))\n"
        "assert arrays.raw([[], []]).shape == (2, 0)\n"
        "for bad in ([[1], [2, 3]], [[1], 2], ['a'], [None], 3j):\n"
        "    try: arrays.raw(bad)\n"
        "    except TypeError as error: assert 'no array of numbers' in str(error), error\n"
        "    else: raise AssertionError(bad)\n"
        "print([name for name in ('numpy', 'torch', 'PIL') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
