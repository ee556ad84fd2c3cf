"""Figures, sounds, films and pages are in the journal when the call returns; or a warning says why."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image as Pillow

import tracelet
from tests.journal.test_processes import forked, waited_for
from tests.recording import MEMORY
from tests.test_intake import content, of
from tracelet.events import Audio, Figure, Html, Image, Table, Video
from tracelet.experiment import Experiment
from tracelet.journal import blobs

mpl.use("agg")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def kept(experiment: Experiment, event: Any) -> bytes:
    assert experiment.directory is not None
    return blobs.path_of(experiment.directory, event.data.digest).read_bytes()


def test_a_figure_is_kept_as_it_was_at_the_call(exp: Experiment) -> None:
    figure, axes = plt.subplots(figsize=(2, 1), dpi=50)

    exp.log_figure("plot", figure, 1, caption="what it is")
    axes.plot([1, 2])
    exp.log_figure("plot", figure, step=2)
    exp.log_figure("drawn", go.Figure(go.Scatter(y=[1])))

    first, second, third = of(exp, Figure)
    assert (first.name, first.step, first.caption, first.data.shape) == (
        "plot",
        1,
        "what it is",
        (50, 100, 4),
    )
    assert (content(exp, first) != content(exp, second)).any()
    assert (third.data.format, third.data.dtype, third.ordinal) == ("plotly.json", "", 0)
    assert kept(exp, third).startswith(b'{"data":[')


def test_a_panic_of_a_librarys_rust_costs_its_call_only(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    times = pl.DataFrame({"time": pl.Series([2**62], dtype=pl.Datetime("ms"))})

    exp.log_table("times", times)
    exp.log_params({"times": times["time"]})

    assert of(exp, Table) == []
    assert "table 'times': RuntimeError: " in caplog.text


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), torch.zeros(0, 4)])
def test_an_image_on_which_nothing_was_found_has_no_boxes(exp: Experiment, boxes: Any) -> None:
    exp.log_image("found", np.zeros((4, 4, 3)), 1, boxes=boxes, labels=[])

    (image,) = of(exp, Image)
    assert (image.boxes, image.labels) == ((), ())


def test_a_picture_without_pixels_is_not_logged(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.log_image("empty", Pillow.new("RGB", (0, 4)))

    assert of(exp, Image) == []
    assert "has no pixels" in caplog.text


@pytest.mark.parametrize("given", [None, 5, "digit.png", {"digit": np.zeros((4, 4))}])
def test_what_is_not_several_images_is_told(
    exp: Experiment, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_images("digits", given)

    assert of(exp, Image) == []
    assert "takes several images, such as a list, and not a " in caplog.text


def test_a_sound_is_kept_with_its_rate(exp: Experiment) -> None:
    wave = np.sin(np.arange(100)).astype("f4")
    rate: Any = np.int64(16_000)

    exp.log_audio("mono", wave, 1, rate=8000, caption="a tone")
    exp.log_audio("stereo", torch.stack([torch.from_numpy(wave)] * 2), rate=rate)

    mono, stereo = of(exp, Audio)
    assert (mono.step, mono.rate, mono.caption) == (1, 8000, "a tone")
    assert np.array_equal(content(exp, mono), wave)
    assert (stereo.rate, stereo.data.shape, stereo.data.dtype) == (16_000, (100, 2), "float32")


def test_a_sound_without_a_rate_gets_the_usual_one_and_that_is_said(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_audio("a", [0.0, 0.5])
    exp.log_audio("a", [0.0, 0.5])

    assert [audio.rate for audio in of(exp, Audio)] == [44_100, 44_100]
    assert len(caplog.messages) == 1
    assert "Give it as rate=" in caplog.text


def test_a_film_is_kept_with_its_speed_and_axes(exp: Experiment) -> None:
    frames = np.random.default_rng(1).integers(0, 255, (4, 5, 6, 3), "u1")

    exp.log_video("np", frames, 3, fps=2.5, caption="a film")
    exp.log_video("batch", torch.zeros(2, 4, 3, 5, 6))
    exp.video("captured", torch.zeros(4, 3, 5, 6), 1)

    film, batch, captured = of(exp, Video)
    assert (film.step, film.fps, film.layout, film.caption) == (3, 2.5, "THWC", "a film")
    assert np.array_equal(content(exp, film), frames)
    assert (batch.layout, batch.fps, captured.layout) == ("NTCHW", 4.0, "TCHW")


@pytest.mark.parametrize("form", [str, Path])
def test_files_are_kept_as_they_are(exp: Experiment, tmp_path: Path, form: Any) -> None:
    for name in ("a.svg", "b.plotly.json", "c.ogg", "d.mp4"):
        (tmp_path / name).write_text(name)

    exp.log_figure("f", form(tmp_path / "a.svg"))
    exp.log_figure("f", form(tmp_path / "b.plotly.json"))
    exp.log_audio("a", form(tmp_path / "c.ogg"), rate=8000)
    exp.log_video("v", form(tmp_path / "d.mp4"), fps=9)

    events = [*of(exp, Figure), *of(exp, Audio), *of(exp, Video)]
    assert [event.data.format for event in events] == ["svg", "plotly.json", "ogg", "mp4"]
    assert [kept(exp, event) for event in events] == [b"a.svg", b"b.plotly.json", b"c.ogg", b"d.mp4"]
    assert (events[2].rate, events[3].fps, events[3].layout) == (0, 0, "")  # the files say their own


def test_a_page_is_a_text_or_a_file(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<b>file</b>")

    exp.log_html("text", "<i>é</i>", 1)
    exp.log_html("file", tmp_path / "a.html", step=2)
    exp.log_html("secret", "<a href='http://me:password@host/'>")

    pages = of(exp, Html)
    assert [(page.step, page.data.format) for page in pages] == [(1, "html"), (2, "html"), (None, "html")]
    expected = ["<i>é</i>", "<b>file</b>", "<a href='http://host/'>"]
    assert [kept(exp, page).decode() for page in pages] == expected


@pytest.mark.parametrize(
    ("method", "given", "more", "words"),
    [
        ("figure", object(), {}, "figure 'a': a object is no figure"),
        ("figure", "nowhere.png", {}, "nowhere.png cannot be logged: there is no such file"),
        ("audio", np.zeros((100, 20)), {"rate": 1}, "audio 'a': which axis"),
        ("audio", np.zeros(100), {"rate": "fast"}, "is no number"),
        ("video", np.zeros((4, 4)), {}, "video 'a': a film"),
        ("video", np.zeros((4, 3, 8, 8)), {"fps": 0}, "fps=0"),
        ("html", 3, {}, "html 'a': it is a text"),
    ],
)
def test_what_cannot_be_kept_is_not_logged_and_said_once(
    exp: Experiment, caplog: pytest.LogCaptureFixture, method: str, given: Any, more: Any, words: str
) -> None:
    for _ in range(3):
        getattr(exp, method)("a", given, 1, **more)

    assert of(exp, object)[1:] == []
    assert len(caplog.messages) == 1
    assert words in caplog.text
    assert exp.directory is not None
    assert not [path for path in exp.directory.glob("blobs/**/*") if path.is_file()]


def test_what_a_users_object_raises_costs_its_call_only(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        shape = (3, 3)

        def tolist(self) -> Any:
            raise RuntimeError("broken")

        def __array__(self, *_: object, **__: object) -> Any:
            raise RuntimeError("broken")

        def __fspath__(self) -> str:
            raise RuntimeError("broken")

        def to_plotly_json(self) -> Any:
            raise RuntimeError("broken")

        to_json = to_plotly_json

    broken = Broken()
    exp.log_figure("figure", broken)
    exp.log_audio("audio", broken, rate=1)
    exp.log_video("video", broken)
    exp.log_html("html", broken)
    exp.log_table("table", broken)
    exp.log_confusion_matrix("confusion", broken, [1])
    exp.log_pr_curve("pr", broken, [1])
    exp.log_model("model", broken)
    exp.log_artifact(broken, "a")
    exp.log_reference(broken)
    exp.bundle("bundle", {"a": broken}, "mesh", 1, path="meshes/a")
    exp.log_metric("loss", 0.5, 1)

    assert [type(event).__name__ for event in of(exp, object)] == ["RunStarted", "Metric"]
    assert len(caplog.messages) == 11


def test_what_has_no_step_is_numbered_by_name_and_kind(exp: Experiment) -> None:
    for name in ("a", "a", "b"):
        exp.log_html(name, "x")
        exp.log_audio(name, [0.0], rate=1)
        exp.log_table(name, [[1]])
    exp.log_confusion_matrix("a", [1], [1])  # a table, too

    for kind in (Html, Audio):
        assert [event.ordinal for event in of(exp, kind)] == [0, 1, 0]
    assert [event.ordinal for event in of(exp, Table)] == [0, 1, 0, 2]


def test_what_is_too_large_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    exp = tracelet.start_experiment("x", "p", MEMORY, mode="offline", max_image_size="1KB")
    exp.log_video("film", np.zeros((50, 3, 10, 10), "u1"))
    exp.log_figure("small", Pillow.new("RGB", (10, 10)))
    exp.log_figure("large", Pillow.new("RGB", (100, 10)))
    exp.log_image("large", Pillow.new("RGB", (100, 10)))
    exp.stop()

    (said,) = [message for message in caplog.messages if "max_image_size" in message]
    assert said.startswith("figure 'large' has 3000 bytes, and max_image_size=1024")


def test_what_calls_have_returned_for_survives_a_kill(exp: Experiment) -> None:
    figure, _ = plt.subplots(figsize=(1, 1), dpi=50)

    def log_and_die() -> None:
        exp.log_figure("f", figure, 1)
        exp.log_audio("a", np.ones(1000), 1, rate=8000)
        exp.log_table("t", {"a": range(1000)}, 1)
        exp.log_image("i", np.ones((9, 9)), 1)
        os.kill(os.getpid(), signal.SIGKILL)

    assert waited_for(forked(log_and_die)) == -signal.SIGKILL

    (drawn,), (sound,), (table,), (image,) = (of(exp, kind) for kind in (Figure, Audio, Table, Image))
    assert content(exp, drawn).shape == (50, 50, 4)
    assert content(exp, sound).sum() == 1000
    assert len(kept(exp, table)) == table.data.size
    assert content(exp, image).sum() == 81
