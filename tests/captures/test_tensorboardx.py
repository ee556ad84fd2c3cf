"""What a run hears of tensorboardX's `SummaryWriter`, where it differs from torch's."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
import tensorboardX
import torch
from tensorboardX import SummaryWriter
from tensorboardX import writer as library

import tracelet
from tests.recording import MEMORY, recorded
from tracelet.captures import tensorboard
from tracelet.captures.tensorboardx import install
from tracelet.events import Histogram, Image, Metric, Params, Text
from tracelet.experiment import Experiment
from tracelet.journal import blobs
from tracelet.patching import Patches

CLASSES: Final = (library.SummaryWriter, library.FileWriter, library.DummyFileWriter)
WHEN: Final = 1_700_000_000.25
MODEL: Final = torch.nn.Linear(3, 4)


@pytest.fixture
def writer(exp: Experiment) -> Iterator[Any]:
    """A writer that the experiment hears."""
    before = [dict(vars(one)) for one in CLASSES]
    patches = Patches()
    tensorboard.install(patches, exp)
    install(patches, exp)
    with SummaryWriter("runs/a") as writer:
        yield writer
    patches.uninstall()
    assert [dict(vars(one)) for one in CLASSES] == before


@pytest.fixture
def heard(exp: Experiment) -> Callable[[type], list[Any]]:
    return lambda kind: [event for event in recorded(exp) if isinstance(event, kind)]


def test_a_scalar_keeps_its_value_its_step_and_its_time(
    writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    values = [0.1, 2, True, np.float32(0.1), torch.tensor(0.1, dtype=torch.float64), [0.5]]

    results = [writer.add_scalar("loss", value, step, WHEN) for step, value in enumerate(values)]
    writer.add_scalar(tag="loss", scalar_value=0.25, display_name="shown", summary_description="described")

    points = heard(Metric)
    assert results == [None] * len(values)
    assert [point.value for point in points] == [0.1, 2.0, 1.0, float(np.float32(0.1)), 0.1, 0.5, 0.25]
    assert [point.step for point in points] == [0, 1, 2, 3, 4, 5, None]
    assert [point.time for point in points[:-1]] == [WHEN] * len(values)
    assert points[-1].time > WHEN


def test_where_a_call_gives_no_step_and_no_time_those_of_the_writer_count(
    writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    with writer.use_metadata(global_step=7, walltime=WHEN):
        writer.add_scalar("loss", 0.5)
        writer.add_scalar("loss", 0.5, 8)
        writer.add_scalars("both", {"a": 1})
        writer.add_text("note", "hello", walltime=WHEN + 1)
        writer.add_hparams({"lr": 0.1}, {"final": 1}, "trial")
    with writer.use_metadata(global_step=9):
        writer.add_scalar("loss", 0.5)
    writer.add_scalar("loss", 0.5)

    points = {point.name: point for point in heard(Metric)}
    assert [(point.step, point.time == WHEN) for point in heard(Metric) if point.name == "loss"] == [
        (7, True), (8, True), (9, False), (None, False)
    ]  # fmt: skip
    assert (points["both/a"].step, points["both/a"].time) == (7, WHEN)
    assert (points["final"].step, points["final"].time) == (7, WHEN)
    assert [(text.step, text.time) for text in heard(Text)] == [(7, WHEN + 1)]


def test_params_and_final_metrics_are_recorded_once(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    writer.add_hparams({"lr": 0.1, "bias": True, "name": "adam"}, {"accuracy": 0.5}, "trial", 3)

    assert [event.params for event in heard(Params)] == [{"lr": 0.1, "bias": True, "name": "adam"}]
    assert [(point.name, point.value, point.step) for point in heard(Metric)] == [("accuracy", 0.5, 3)]


def test_images_may_be_a_list(
    exp: Experiment, writer: Any, heard: Callable[[type], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    tensors, arrays = [torch.rand(3, 4, 5), torch.rand(3, 4, 5)], [np.ones((4, 5, 1)), np.zeros((4, 5, 1))]

    writer.add_images("a", tensors, 1, dataformats="CHW")
    writer.add_images("a", arrays, 2, dataformats="hwc")
    writer.add_images("a", tensors, 3)  # of which tensorboardX writes nothing

    first, second = heard(Image)
    assert (first.layout, first.data.shape, second.layout, second.data.shape) == (
        "NCHW", (2, 3, 4, 5), "NHWC", (2, 4, 5, 1)
    )  # fmt: skip
    assert exp.directory is not None
    kept = np.frombuffer(blobs.path_of(exp.directory, first.data.digest).read_bytes(), "f4")
    assert np.array_equal(kept.reshape(first.data.shape), np.stack([one.numpy() for one in tensors]))
    assert "Nothing is written" in capsys.readouterr().out


def test_an_iterable_of_tensors_is_one_histogram(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    writer.add_histogram("a", MODEL.parameters(), 1)
    writer.add_histogram("a", [1.0, 2.0], 2)

    assert [histogram.data.shape for histogram in heard(Histogram)] == [(16,), (2,)]


def test_both_libraries_share_the_names_of_a_run(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    from torch.utils.tensorboard import SummaryWriter as TorchWriter

    writer.add_scalar("loss", 0.5, 1)
    with TorchWriter("runs/a") as same, TorchWriter("runs/b") as other:
        same.add_scalar("loss", 0.5, 2)
        other.add_scalar("loss", 0.5, 1)

    assert [point.name for point in heard(Metric)] == ["loss", "loss", "b/loss"]


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("add_scalar", ("a", None), NotImplementedError),
        ("add_scalar", ("a", torch.ones(2)), AssertionError),
        ("add_scalar", ("a",), TypeError),
        ("add_hparams", ([], {}), TypeError),
        ("add_histogram_raw", ("a", 0, 1, 1, 1.0, 1.0, [1], [1, 2]), ValueError),
        ("add_custom_scalars_marginchart", (["x"],), AssertionError),
        ("add_openvino_graph", ("nowhere.xml",), FileNotFoundError),
        ("add_embedding", (torch.zeros(3, 2), ["a"]), AssertionError),
    ],
)
def test_a_call_that_fails_fails_as_always_and_is_not_recorded(
    exp: Experiment, writer: Any, method: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    before = len(recorded(exp))

    with pytest.raises(error):
        getattr(writer, method)(*arguments)

    assert len(recorded(exp)) == before


def test_a_writers_own_ways_stay(writer: Any, tmp_path: Any) -> None:
    writer.add_scalars("both", {"a": 1, "b": 2}, 1)

    writer.export_scalars_to_json(tmp_path / "scalars.json")

    assert writer.logdir == writer.file_writer.get_logdir() == "runs/a"
    assert set(writer.all_writers) == {"runs/a", "runs/a/both/a", "runs/a/both/b"}
    assert inspect.signature(SummaryWriter.add_scalar).parameters["summary_description"].default == ""
    assert (tmp_path / "scalars.json").stat().st_size > 10
    writer.close()
    writer.close()
    assert writer.all_writers is None


@pytest.mark.parametrize("wanted", [True, False])
def test_one_setting_switches_both_libraries(wanted: bool) -> None:
    from torch.utils.tensorboard import SummaryWriter as TorchWriter

    tracelet.start_logging("a run", "a project", MEMORY, mode="offline", track_tensorboard=wanted)
    patched = [hasattr(kind.add_scalar, "__wrapped__") for kind in (TorchWriter, tensorboardX.SummaryWriter)]
    tracelet.stop_logging()

    assert patched == [wanted, wanted]
