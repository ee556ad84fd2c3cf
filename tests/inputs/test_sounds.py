"""A sound's frames come first and its channels last, however it was handed in."""

from typing import Any

import numpy as np
import pytest
import torch

from tracelet.inputs import sounds


def elements(given: Any) -> Any:
    raw = sounds.sound(given)
    return np.frombuffer(b"".join(raw.pieces), raw.dtype).reshape(raw.shape)


def test_one_axis_is_frames() -> None:
    assert elements([0.0, 0.5]).tolist() == [0.0, 0.5]
    assert elements(np.arange(5, dtype="i2")).dtype == np.int16
    assert elements(torch.zeros(1, 9)).shape == (9,)
    assert elements(torch.zeros(1, 1, 9)).shape == (9,)


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_the_shorter_axis_is_the_channels(library: Any) -> None:
    stereo = np.random.default_rng(1).random((20, 2))

    assert np.array_equal(elements(library(stereo)), stereo)
    assert np.array_equal(elements(library(stereo.T.copy())), stereo)


def test_where_both_are_as_short_the_channels_come_first_in_a_tensor_only() -> None:
    square = np.array([[1.0, 2.0], [3.0, 4.0]])

    assert np.array_equal(elements(square), square)
    assert np.array_equal(elements(torch.from_numpy(square)), square.T)


def test_channels_are_turned_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = sounds.arrays.raw(np.arange(20, dtype="<i2").reshape(2, 10))
    expected = sounds._turned(raw, sounds._Shape(10, 2))
    monkeypatch.delitem(sounds.sys.modules, "numpy")

    assert sounds._turned(raw, sounds._Shape(10, 2)) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((100, 9)), "which axis"),
        (np.zeros((2, 3, 4)), "and not"),
        (np.zeros(0), "no frames"),
        (np.zeros(4, bool), "bools"),
        (np.zeros(4, complex), "no real numbers"),
        (None, "no real numbers"),
    ],
)
def test_what_is_no_sound_is_told(given: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        sounds.sound(given)


@pytest.mark.parametrize(
    ("given", "rate"), [(16_000, 16_000), (22_050.0, 22_050), (np.int64(8), 8), (None, 0)]
)
def test_a_rate_is_a_whole_number(given: Any, rate: int) -> None:
    if given is None:
        with pytest.raises(TypeError):
            sounds.rate(given)
    else:
        assert sounds.rate(given) == rate


@pytest.mark.parametrize("given", [-1, 0.5, "fast", 1e9])
def test_what_is_no_rate_is_told(given: object) -> None:
    with pytest.raises(TypeError):
        sounds.rate(given)
