"""What a run hears of a writer's images and histograms, recorded by a real experiment."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import writer as torch_writer

from tests.recording import recorded
from tracelet.captures.tensorboard import install
from tracelet.events import Histogram, Image, Moments
from tracelet.experiment import Experiment
from tracelet.journal import blobs
from tracelet.patching import Patches

METHODS: Final = ("add_histogram", "add_histogram_raw", "add_image", "add_images", "add_image_with_boxes")
ORIGINALS: Final = {name: vars(torch_writer.SummaryWriter)[name] for name in METHODS}
MODEL: Final = torch.nn.Linear(3, 4)


@pytest.fixture
def writer(exp: Experiment) -> Iterator[Any]:
    """A writer that the experiment hears."""
    patches = Patches()
    install(patches, exp)
    with SummaryWriter("runs/a") as writer:
        yield writer
    patches.uninstall()
    assert {name: vars(SummaryWriter)[name] for name in METHODS} == ORIGINALS


@pytest.fixture
def heard(exp: Experiment) -> Callable[[type], list[Any]]:
    return lambda kind: [event for event in recorded(exp) if isinstance(event, kind)]


def values(exp: Experiment, event: Any) -> Any:
    assert exp.directory is not None
    kept = blobs.path_of(exp.directory, event.data.digest).read_bytes()
    return np.frombuffer(kept, event.data.dtype).reshape(event.data.shape)


def histograms_in(directory: Path) -> list[tuple[str, float]]:
    """Read the tag of each histogram in the event files of a directory, and of how many values it is."""
    found: list[tuple[str, float]] = []
    for file in sorted(directory.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                buckets = tensor_util.make_ndarray(value.tensor)
                found.append((value.tag, buckets[:, 2].sum()))
    return found


def test_a_histogram_keeps_the_values_and_what_was_said_of_them(
    exp: Experiment, writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    array = np.arange(6.0).reshape(2, 3)

    writer.add_histogram("a", array, 3)
    writer.add_histogram("a", MODEL.weight, 4, "auto", 5.25, 7)
    writer.add_histogram(tag="a", values=array, global_step=5, bins=9, walltime=6.5, max_bins=3)
    writer.add_histogram("a", array, bins=[0, 1, 9])
    writer.add_histogram("number", 2.5, 1)

    first, second, third, fourth, number = heard(Histogram)
    assert np.array_equal(values(exp, first), array)
    assert (first.name, first.step, first.bins, first.limits, first.max_bins) == ("a", 3, "", (), 0)
    assert np.array_equal(values(exp, second), MODEL.weight.detach().numpy())
    assert (second.step, second.bins, second.time, second.max_bins) == (4, "auto", 5.25, 7)
    assert (third.step, third.bins, third.time, third.max_bins) == (5, "9", 6.5, 3)
    assert (fourth.step, fourth.limits) == (None, (0.0, 1.0, 9.0))
    assert values(exp, number).tolist() == [2.5]


def test_an_iterable_of_tensors_is_one_histogram_for_torch_and_for_the_run(
    exp: Experiment, writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    expected = np.concatenate([parameter.detach().numpy().ravel() for parameter in MODEL.parameters()])
    mixed = [torch.ones(2, dtype=torch.float64), torch.ones(3, dtype=torch.bfloat16), torch.tensor(1)]

    writer.add_histogram("generator", MODEL.parameters(), 1)
    writer.add_histogram("list", values=list(MODEL.parameters()), global_step=1)
    writer.add_histogram("values", MODEL.state_dict().values(), 1)
    writer.add_histogram("mixed", mixed, 1)
    writer.close()

    *same, last = heard(Histogram)
    assert [one.name for one in same] == ["generator", "list", "values"]
    assert all(np.array_equal(values(exp, one), expected) for one in same)
    assert values(exp, last).tolist() == [1.0] * 6
    assert histograms_in(Path("runs/a")) == [
        ("generator", 16), ("list", 16), ("values", 16), ("mixed", 6)
    ]  # fmt: skip


def test_without_a_run_torch_refuses_an_iterable_as_ever() -> None:
    with SummaryWriter("runs/a") as writer, pytest.raises(NotImplementedError):
        writer.add_histogram("a", MODEL.parameters(), 1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "given",
    [
        MODEL.named_parameters,
        lambda: iter(()),
        list,
        lambda: {"a": torch.ones(2)},
        lambda: itertools.repeat(torch.ones(1)),
        lambda: torch.utils.data.DataLoader([(torch.ones(2), 1)] * 2),  # pyright: ignore[reportArgumentType]
        lambda: [1.0, 2.0],
        lambda: None,
    ],
    ids=[
        "pairs",
        "nothing",
        "an empty list",
        "a dict",
        "no end",
        "a data loader",
        "a list of numbers",
        "None",
    ],
)
def test_what_torch_refuses_and_has_no_clear_meaning_stays_refused(
    writer: Any, heard: Callable[[type], list[Any]], given: Callable[[], Any]
) -> None:
    with pytest.raises(NotImplementedError, match="numpy array or torch tensor are expected"):
        writer.add_histogram("a", given(), 1)

    assert heard(Histogram) == []


def test_raw_counts_keep_everything_that_was_given(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    counts, limits = np.histogram(np.arange(10.0), 4)
    moments = {"min": 0.0, "max": 9.0, "num": 10, "sum": 45.0, "sum_squares": 285.0}

    writer.add_histogram_raw("a", 0.0, 9.0, 10, 45.0, 285.0, limits[1:].tolist(), counts.tolist(), 3, 5.5)
    writer.add_histogram_raw(tag="a", **moments, bucket_limits=limits[1:], bucket_counts=counts)
    writer.add_histogram_raw("empty first", 5.0, 9.0, 1, 5.0, 25.0, [1.0, 9.0], [0, 1])

    first, second, third = heard(Histogram)
    assert (first.step, first.time, second.step) == (3, 5.5, None)
    for one in (first, second):
        assert one.counts == tuple(counts)
        assert one.limits == tuple(limits)
        assert one.moments == Moments(10.0, 0.0, 9.0, 45.0, 285.0)
        assert one.data is None
    assert third.limits == (1.0, 1.0, 9.0)


def test_an_image_keeps_its_array_and_its_axes(
    exp: Experiment, writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    array = np.random.default_rng(1).random((3, 4, 5)).astype("f4")

    writer.add_image("a", array, 3)
    writer.add_image("a", torch.from_numpy(array).permute(1, 2, 0), 4, 5.25, "HWC")
    writer.add_image(tag="a", img_tensor=array[0], global_step=5, walltime=6.5, dataformats="hw")
    writer.add_images("b", array[np.newaxis], 6)
    writer.add_images(tag="b", img_tensor=array.transpose(1, 2, 0)[np.newaxis], dataformats="NHWC")

    found = heard(Image)
    assert [(one.name, one.step, one.layout) for one in found] == [
        ("a", 3, "CHW"), ("a", 4, "HWC"), ("a", 5, "HW"), ("b", 6, "NCHW"), ("b", None, "NHWC")
    ]  # fmt: skip
    assert [one.time for one in found[1:3]] == [5.25, 6.5]
    assert np.array_equal(values(exp, found[0]), array)
    assert np.array_equal(values(exp, found[1]), array.transpose(1, 2, 0))
    assert values(exp, found[4]).shape == (1, 4, 5, 3)


def test_boxes_and_labels_are_kept(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    image, boxes = torch.zeros(3, 40, 40), torch.tensor([[1, 2, 30, 31], [5, 6, 7, 8]])

    writer.add_image_with_boxes("a", image, boxes, 3, 5.5, 2, "CHW", ["cat", "dog"])
    writer.add_image_with_boxes(tag="a", img_tensor=image, box_tensor=boxes.numpy()[:1], labels="cat")
    writer.add_image_with_boxes("a", image, boxes, 4, labels=["only one"])

    first, second, third = heard(Image)
    assert (first.step, first.time, first.labels) == (3, 5.5, ("cat", "dog"))
    assert first.boxes == ((1.0, 2.0, 30.0, 31.0), (5.0, 6.0, 7.0, 8.0))
    assert (second.boxes, second.labels) == (((1.0, 2.0, 30.0, 31.0),), ("cat",))
    assert (third.step, len(third.boxes), third.labels) == (4, 2, ())  # as torch draws it


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("add_image", (torch.zeros(5, 4, 4),), TypeError),
        ("add_image", (torch.zeros(4, 4),), AssertionError),
        ("add_image", (torch.zeros(1, 3, 4, 4),), AssertionError),
        ("add_image", (None,), NotImplementedError),
        ("add_image", (), TypeError),
        ("add_images", (torch.zeros(2, 5, 4, 4),), AssertionError),
        ("add_image_with_boxes", (torch.zeros(3, 4, 4),), TypeError),
        ("add_histogram", (np.array([]),), ValueError),
        ("add_histogram", (np.array([np.nan]),), ValueError),
        ("add_histogram", (), TypeError),
        ("add_histogram_raw", (0, 1, 1, 1.0, 1.0, [1], [1, 2]), ValueError),
    ],
)
def test_a_call_that_fails_fails_as_always_and_is_not_recorded(
    exp: Experiment, writer: Any, method: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with SummaryWriter("runs/bare") as bare, pytest.raises(error) as expected:
        ORIGINALS[method](bare, "a", *arguments)

    with pytest.raises(error) as caught:
        getattr(writer, method)("a", *arguments)

    assert str(caught.value) == str(expected.value)
    assert [event for event in recorded(exp) if isinstance(event, (Image, Histogram))] == []
    assert exp.directory is not None
    assert not list(exp.directory.glob("blobs/*/*"))


def test_another_log_directory_is_a_prefix_here_too(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    writer.add_image("a", torch.zeros(3, 2, 2), 1)
    writer.add_histogram("a", torch.zeros(3), 1)
    with SummaryWriter("runs/a/val") as other:
        other.add_image("a", torch.zeros(3, 2, 2), 1)
        other.add_histogram("a", torch.zeros(3), 1)

    assert [image.name for image in heard(Image)] == ["a", "val/a"]
    assert [histogram.name for histogram in heard(Histogram)] == ["a", "val/a"]
