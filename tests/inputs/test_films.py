"""A film's axes are those that were named, or told by its shape."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tracelet.inputs import films


@pytest.mark.parametrize(
    ("given", "layout", "found"),
    [
        (torch.zeros(2, 4, 3, 8, 8), "NTCHW", "NTCHW"),
        (torch.zeros(4, 3, 8, 8), "NTCHW", "TCHW"),
        (torch.zeros(4, 3, 8, 8), None, "TCHW"),
        (torch.zeros(4, 3, 8, 3), None, "TCHW"),
        (np.zeros((4, 8, 8, 3)), None, "THWC"),
        (np.zeros((2, 4, 8, 8, 1), "u1"), None, "NTHWC"),
        (np.zeros((3, 4, 8, 8)), "cthw", "CTHW"),
        ([np.zeros((8, 8, 3))] * 4, None, "THWC"),
        ([torch.zeros(3, 8, 8)] * 4, "NTCHW", "TCHW"),
        ([Pillow.new("L", (8, 6))] * 4, "NTCHW", "THWC"),
    ],
)
def test_the_axes_are_named_or_told_by_the_shape(given: Any, layout: str | None, found: str) -> None:
    film = films.film(given, layout)

    assert film.layout == found
    assert len(film.raw.shape) == len(found)


@pytest.mark.parametrize(
    "frames", [[np.zeros((4, 6))] * 2, [torch.zeros(4, 6)] * 2, [Pillow.new("L", (6, 4))] * 2]
)
def test_a_list_of_grey_pictures_is_a_grey_film(frames: list[Any]) -> None:
    found = films.film(frames, None)

    assert (found.raw.shape, found.layout) == ((2, 4, 6, 1), "THWC")


def test_a_list_of_pictures_is_the_film_that_they_make() -> None:
    frames = np.random.default_rng(1).integers(0, 255, (4, 5, 6, 3), "u1")

    raw = films.film(iter(frames), None).raw

    assert b"".join(raw.pieces) == frames.tobytes()
    assert raw.shape == frames.shape


@pytest.mark.parametrize(
    ("given", "layout", "words"),
    [
        (np.zeros((4, 8, 8)), None, "4 or 5 axes"),
        (np.zeros((4, 7, 8, 9)), None, "which axis"),
        (np.zeros((4, 7, 8, 9)), "TCHW", "1, 3 or 4 channels"),
        (np.zeros((4, 3, 8, 9)), "TCH", "names no axes"),
        (np.zeros((4, 3, 8, 9)), "NTHWC", "cannot have the shape"),
        (np.zeros((0, 3, 8, 9)), None, "no pixels"),
        ([np.zeros((8, 8, 3)), np.zeros((9, 8, 3))], None, "one size"),
        ([], None, "gives none"),
        (itertools.repeat(np.zeros((1, 1, 3))), None, "without end"),
        ((np.zeros((2000, 2000, 3)) for _ in itertools.count()), None, "without end"),
    ],
)
def test_what_is_no_film_is_told(
    given: object, layout: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films, "BYTES_MAX", 200 << 20)

    with pytest.raises(TypeError, match=words):
        films.film(given, layout)


@pytest.mark.parametrize("given", [0, -1, "fast", float("nan"), 1e9])
def test_what_is_no_speed_is_told(given: object) -> None:
    with pytest.raises(TypeError):
        films.fps(given)
