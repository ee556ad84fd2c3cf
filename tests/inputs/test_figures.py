"""A figure is drawn as its own canvas would draw it, and is afterwards as it was."""

import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from PIL import Image as Pillow

from tracelet.arrays import Raw
from tracelet.inputs import figures

mpl.use("agg")


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    plt.close("all")


def pixels(drawn: Raw | bytes) -> Any:
    assert isinstance(drawn, Raw)
    return np.frombuffer(b"".join(drawn.pieces), drawn.dtype).reshape(drawn.shape)


def plotted(**more: Any) -> Figure:
    figure, axes = plt.subplots(**more)
    axes.plot([1, 3, 2])
    return figure


def test_the_pixels_are_those_of_the_figures_own_canvas() -> None:
    figure = plotted(figsize=(3, 2), dpi=70, layout="constrained")

    drawn = pixels(figures.figure(figure))

    canvas: Any = figure.canvas
    canvas.draw()
    assert np.array_equal(drawn, np.asarray(canvas.buffer_rgba()))
    assert drawn.shape == (140, 210, 4)


def test_a_figure_stays_as_it_was_and_pyplot_too() -> None:
    first, second = plotted(), plotted()
    canvas, manager = first.canvas, first.canvas.manager

    figures.figure(first)

    assert first.canvas is canvas
    assert first.canvas.manager is manager
    assert first.stale  # nobody has drawn it on its own canvas yet
    assert plt.gcf() is second
    assert plt.get_fignums() == [1, 2]


def test_drawing_the_figure_of_an_animation_takes_none_of_its_frames() -> None:
    figure = plotted()
    taken: list[int] = []

    def show(frame: int) -> list[Any]:
        taken.append(frame)
        return []

    animation = FuncAnimation(figure, show, frames=iter(range(3)), save_count=3, blit=False)

    figures.figure(figure)

    assert taken == []
    figure.canvas.draw()  # as a window does: now it starts
    assert taken
    assert animation.event_source is not None


def test_a_figure_that_pyplot_does_not_know_is_drawn() -> None:
    figure = Figure(figsize=(1, 1), dpi=50)
    figure.add_subplot().plot([1, 2])

    assert pixels(figures.figure(figure)).shape == (50, 50, 4)


def test_axes_subfigures_and_pyplot_stand_for_their_figure() -> None:
    figure = plotted(figsize=(1, 1))
    part: Any = figure.subfigures(1, 1)
    inner = part.subplots()

    drawn = pixels(figures.figure(figure))

    for one in (figure.axes[0], part, inner, plt):
        assert np.array_equal(pixels(figures.figure(one)), drawn)


def test_several_figures_stand_one_below_the_other() -> None:
    wide, narrow = plotted(figsize=(2, 1), dpi=50), plotted(figsize=(1, 1), dpi=50)

    drawn = pixels(figures.figure([wide, narrow]))

    assert drawn.shape == (100, 100, 4)
    assert np.array_equal(drawn[:50], pixels(figures.figure(wide)))
    assert np.array_equal(drawn[50:, :50], pixels(figures.figure(narrow)))
    assert (drawn[50:, 50:] == 255).all()


def test_a_figure_of_plotly_is_its_json() -> None:
    figure: Any = go.Figure(go.Scatter(y=[1, 3, 2]))

    assert figures.figure(figure) == figure.to_json().encode()


@pytest.mark.parametrize(("mode", "shape"), [("L", (2, 3, 1)), ("RGB", (2, 3, 3)), ("P", (2, 3, 3))])
def test_an_image_of_pillow_is_its_pixels(mode: str, shape: tuple[int, ...]) -> None:
    assert pixels(figures.figure(Pillow.new(mode, (3, 2)))).shape == shape


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((3, 3)), "given to log_image"),
        (object(), "no figure of matplotlib or plotly"),
        ([], "1 to 100"),
        ([go.Figure()], "log each"),
        (sys, "no figure"),
        (plt, "no figure"),  # there is none, and none is made
        ([Pillow.new("L", (2, 2)), Pillow.new("RGB", (2, 2))], "different kinds"),
    ],
)
def test_what_is_no_figure_is_told(given: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        figures.figure(given)
    assert plt.get_fignums() == []
