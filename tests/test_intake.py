"""Images and histograms are in the journal, bytes and all, when the call returns; or a warning says why."""

import errno
import itertools
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import tracelet
from tests.journal.test_processes import forked, waited_for
from tests.recording import MEMORY, recorded
from tracelet.events import Histogram, Image, Lost
from tracelet.experiment import Experiment, disabled
from tracelet.journal import blobs


def of(experiment: Experiment, kind: type) -> list[Any]:
    return [event for event in recorded(experiment) if isinstance(event, kind)]


def content(experiment: Experiment, event: Any) -> Any:
    """Read the array of an event from its blob."""
    assert experiment.directory is not None
    data = event.data
    kept = blobs.path_of(experiment.directory, data.digest).read_bytes()
    assert len(kept) == data.size
    return np.frombuffer(kept, np.dtype(data.dtype).newbyteorder("<")).reshape(data.shape)


def test_an_image_is_kept_as_it_is(exp: Experiment) -> None:
    array = np.random.default_rng(1).random((5, 6, 3)).astype("f4")

    exp.log_image("a/b", array, 3, caption="what it is")
    exp.log_image("tensor", torch.from_numpy(array).permute(2, 0, 1), step=4)
    exp.log_image("pillow", Pillow.new("L", (6, 5)))
    exp.log_image("batch", array[np.newaxis], layout="nhwc")

    first, second, third, fourth = of(exp, Image)
    assert (first.name, first.step, first.layout, first.caption) == ("a/b", 3, "HWC", "what it is")
    assert np.array_equal(content(exp, first), array)
    assert (second.step, second.layout) == (4, "CHW")
    assert np.array_equal(content(exp, second), array.transpose(2, 0, 1))
    assert (third.step, third.layout, content(exp, third).shape) == (None, "HW", (5, 6))
    assert fourth.layout == "NHWC"


def test_an_image_file_is_kept_as_a_file(exp: Experiment, tmp_path: Path) -> None:
    Pillow.new("RGB", (4, 4)).save(tmp_path / "a.jpg")

    exp.log_image("file", str(tmp_path / "a.jpg"), 1)
    exp.log_image("path", tmp_path / "a.jpg", 1)

    for image in of(exp, Image):
        assert exp.directory is not None
        assert (image.data.format, image.data.dtype, image.layout) == ("jpg", "", "")
        kept = blobs.path_of(exp.directory, image.data.digest).read_bytes()
        assert kept == (tmp_path / "a.jpg").read_bytes()


def test_several_images_get_a_number_each(exp: Experiment) -> None:
    exp.log_images("samples", [np.zeros((2, 2)), np.ones((2, 2))], 7)

    assert [(image.name, image.step) for image in of(exp, Image)] == [("samples/0", 7), ("samples/1", 7)]
    assert len({image.time for image in of(exp, Image)}) == 1


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((4, 5), "HW"), ((3, 9, 9), "CHW"), ((9, 9, 3), "HWC"), ((4, 9, 1), "HWC"), ((2, 3, 9, 9), "NCHW")],
)
def test_the_channels_are_told_by_the_shape(exp: Experiment, shape: tuple[int, ...], layout: str) -> None:
    exp.log_image("a", np.zeros(shape))

    assert of(exp, Image)[0].layout == layout


def test_a_shape_that_may_be_either_is_that_of_its_library(exp: Experiment) -> None:
    exp.log_image("a", np.zeros((3, 9, 3)))
    exp.log_image("a", torch.zeros(3, 9, 3))

    assert [image.layout for image in of(exp, Image)] == ["HWC", "CHW"]


@pytest.mark.parametrize(
    ("image", "layout", "words"),
    [
        (np.zeros((7, 8, 9)), None, "Say it with layout="),
        (np.zeros((7, 8, 9)), "HWC", "1 to 4 channels"),
        (np.zeros((3, 8, 9)), "HW", "does not fit the shape"),
        (np.zeros((3, 8, 9)), "HHW", "names no axes"),
        (np.zeros(3), None, "2 to 4 axes"),
        (np.zeros((0, 8)), None, "no pixels"),
        (None, None, "real numbers"),
        (object(), None, "real numbers"),
        ("nowhere.png", None, "there is no such file"),
    ],
)
def test_what_is_no_image_is_not_logged_and_said_once(
    exp: Experiment, caplog: pytest.LogCaptureFixture, image: Any, layout: str | None, words: str
) -> None:
    for _ in range(3):
        exp.log_image("a", image, layout=layout)

    assert of(exp, Image) == []
    assert len(caplog.messages) == 1
    assert words in caplog.text
    assert exp.directory is not None
    assert not list(exp.directory.glob("blobs/*/*"))


@pytest.mark.parametrize("boxes", [[1, 2, 3, 4], [[1, 2, 3]], "here", np.zeros((10_001, 4))])
def test_boxes_that_are_none_are_said(
    exp: Experiment, caplog: pytest.LogCaptureFixture, boxes: object
) -> None:
    exp.image("a", np.zeros((9, 9)), 1, boxes=boxes)

    assert of(exp, Image) == []
    assert "image 'a': " in caplog.text
    assert exp.directory is not None
    assert not (exp.directory / "blobs").exists()


def test_credentials_in_a_caption_or_a_label_stay_here(exp: Experiment) -> None:
    secret = "http://me:password@host/a.png"  # noqa: S105  what a user may write

    exp.log_image("a", np.zeros((9, 9)), 1, caption=secret)
    exp.image("a", np.zeros((9, 9)), 1, boxes=[[0, 0, 1, 1]], labels=[secret])

    first, second = of(exp, Image)
    assert first.caption == second.labels[0] == "http://host/a.png"


def test_a_histogram_keeps_its_values(exp: Experiment) -> None:
    model = torch.nn.Linear(3, 4)

    exp.log_histogram("weights", model.parameters(), 2)
    exp.log_histogram("list", [1, 2.5], step=3, bins=10)
    exp.log_histogram("edges", np.arange(3), bins=[0, 1.5, 9])
    exp.log_histogram("rule", np.arange(3), bins="auto")

    weights, plain, edges, rule = of(exp, Histogram)
    joined = np.concatenate([parameter.detach().numpy().ravel() for parameter in model.parameters()])
    assert np.array_equal(content(exp, weights), joined)
    assert (weights.step, weights.bins, weights.limits) == (2, "", ())
    assert content(exp, plain).tolist() == [1, 2.5]
    assert (plain.step, plain.bins) == (3, "10")
    assert (edges.limits, edges.step, rule.bins) == ((0.0, 1.5, 9.0), None, "auto")


def test_counts_are_kept_as_they_are(exp: Experiment) -> None:
    exp.log_histogram("counted", counts=np.array([1, 2]), limits=torch.tensor([0.0, 0.5, 1.0]), step=1)

    (found,) = of(exp, Histogram)
    assert (found.counts, found.limits, found.data) == ((1.0, 2.0), (0.0, 0.5, 1.0), None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either values, or counts"),
        ({"values": [1], "counts": [1], "limits": [0, 1]}, "either values, or counts"),
        ({"counts": [1]}, "counts need limits"),
        ({"counts": [1, 2], "limits": [0, 1]}, "one limit more"),
        ({"counts": [-1], "limits": [0, 1]}, "not below 0"),
        ({"counts": [1], "limits": [1, 0]}, "must not decrease"),
        ({"counts": [1], "limits": [math.nan, 1]}, "must not decrease"),
        ({"values": []}, "no values"),
        ({"values": iter(())}, "nothing in it"),
        ({"values": "text"}, "no array"),
        ({"values": (1 / (2 - number) for number in range(5))}, "ZeroDivisionError: division by zero"),
        ({"values": itertools.repeat(np.zeros(1))}, "may have no end"),
        ({"values": [1], "bins": "many"}, "is no rule"),
        ({"values": [1], "bins": 0}, "no number of bins"),
        ({"values": [1], "bins": 1.5}, "no whole number"),
        ({"values": [1], "bins": object()}, "is not"),
    ],
)
def test_what_is_no_histogram_is_not_logged_and_said_once(
    exp: Experiment, caplog: pytest.LogCaptureFixture, arguments: dict[str, Any], words: str
) -> None:
    exp.log_histogram("a", **arguments)
    exp.log_histogram("a", **arguments)

    assert of(exp, Histogram) == []
    assert len(caplog.messages) == 1
    assert words in caplog.text


def test_what_has_no_step_is_numbered_by_name_and_kind(exp: Experiment) -> None:
    for name in ("a", "a", "b"):
        exp.log_image(name, np.zeros((2, 2)))
        exp.log_histogram(name, [1])
    exp.log_image("a", np.zeros((2, 2)), 9)
    exp.log_image("a", np.zeros((2, 2)))

    images = [(image.name, image.step, image.ordinal) for image in of(exp, Image)]
    assert images == [("a", None, 0), ("a", None, 1), ("b", None, 0), ("a", 9, 0), ("a", None, 2)]
    assert [found.ordinal for found in of(exp, Histogram)] == [0, 1, 0]


def test_equal_arrays_are_one_blob(exp: Experiment) -> None:
    for step in range(5):
        exp.log_image("a", np.zeros((2, 2), "u1"), step)

    assert exp.directory is not None
    assert len(list(exp.directory.glob("blobs/*/*"))) == 1


def test_a_full_disk_is_told_and_counted(
    exp: Experiment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "_write", full)
        exp.log_image("a", np.zeros((2, 2)), 1)
        exp.log_histogram("b", [1.0], 1)
    exp.log_metric("loss", 0.5, 1)

    assert "image a cannot be logged: No space left on device" in caplog.text
    assert "histogram b cannot be logged" in caplog.text
    assert [(lost.count, lost.reason) for lost in of(exp, Lost)] == [
        (2, "histogram b: No space left on device")
    ]
    assert exp.directory is not None
    assert not [path for path in exp.directory.glob("blobs/**/*") if path.is_file()]


def test_after_the_end_nothing_is_kept(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.stop()

    exp.log_image("a", np.zeros((2, 2)), 1)

    assert "comes after the run a run has ended" in caplog.text
    assert exp.directory is not None
    assert not (exp.directory / "blobs").exists()


def test_where_nothing_is_recorded_nothing_is_looked_at() -> None:
    nobody = disabled("a", "b", "it is off")

    nobody.log_image("a", object())
    nobody.log_images("a", [object()])
    nobody.log_histogram("a", object())


def test_a_forked_child_logs_to_a_segment_of_its_own(exp: Experiment) -> None:
    exp.log_image("a", np.zeros((2, 2)))

    assert waited_for(forked(lambda: exp.log_image("a", np.ones((2, 2))))) == 0

    assert sorted(content(exp, image).sum() for image in of(exp, Image)) == [0, 4]


def test_what_a_call_has_returned_for_survives_a_kill(exp: Experiment) -> None:
    def log_and_die() -> None:
        exp.log_image("a", np.ones((300, 300)), 1)
        exp.log_histogram("b", np.arange(1000.0), 1)
        os.kill(os.getpid(), signal.SIGKILL)

    assert waited_for(forked(log_and_die)) == -signal.SIGKILL

    (image,), (histogram,) = of(exp, Image), of(exp, Histogram)
    assert content(exp, image).sum() == 90_000
    assert content(exp, histogram).tolist() == list(range(1000))


def test_an_image_that_is_too_large_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    exp = tracelet.start_experiment("x", "p", MEMORY, mode="offline", max_image_size="1KB")
    exp.log_image("small", np.zeros((10, 10, 3)), 1)
    for step in range(3):
        exp.log_image("large", np.zeros((100, 10, 3)), step)
    exp.stop()

    (said,) = [message for message in caplog.messages if "max_image_size" in message]
    assert said.startswith("image 'large' has 3000 bytes, and max_image_size=1024")
    assert "no effect" not in caplog.text
    assert content(exp, of(exp, Image)[1]).shape == (100, 10, 3)
