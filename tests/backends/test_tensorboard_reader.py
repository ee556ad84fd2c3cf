"""Event files that others have written are read whole: torch's, tensorboardX's and TensorFlow's."""

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tensorboardX
import torch
from PIL import Image as Pillow
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar import metadata as scalars
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util
from torch.utils.tensorboard import SummaryWriter

from tracelet import backends
from tracelet.backend import Reader
from tracelet.errors import Refused
from tracelet.events import (
    Artifact,
    Audio,
    Event,
    Histogram,
    Image,
    Layout,
    Metric,
    Params,
    RunFinished,
    RunStarted,
    Table,
    Text,
    Video,
)

# torch's and tensorboardX's own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TIME: Final = 1_700_000_000.5


def read(place: Path) -> tuple[Reader, dict[str, list[Event]]]:
    """Read a log directory: each run's events, by its id."""
    reader = backends.reader(f"tensorboard:{place}")
    return reader, {run.id: [*reader.events(run.id)] for run in reader.runs(None)}


def metrics(events: list[Event]) -> list[tuple[str, float, int | None]]:
    return [(event.name, event.value, event.step) for event in events if isinstance(event, Metric)]


def of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_what_torch_writes_comes_back_as_events(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        writer.add_scalar("loss", 0.5, 3, walltime=TIME)
        writer.add_scalar("exact", 1 / 3, 4, new_style=True, double_precision=True)
        writer.add_text("said", "hello", 2)
        writer.add_histogram("spread", torch.tensor([0.0, 1.0, 1.0]), 1, bins="auto")
        writer.add_image("pictures/one", torch.zeros(3, 4, 5), 1)
        writer.add_audio("sound", torch.zeros(1, 80), 1, sample_rate=8000)
        writer.add_pr_curve("curve", np.array([0, 1]), np.array([0.1, 0.9]), 3, num_thresholds=3)
        writer.add_custom_scalars(
            {"all": {"both": ["Multiline", ["loss"]], "m": ["Margin", ["a", "b", "c"]]}}
        )
        writer.add_tensor("weights", torch.arange(3), 4)
        writer.add_mesh("shape", torch.zeros(1, 3, 3))
        writer.add_embedding(torch.zeros(2, 2), metadata=["a", "b"])

    reader, runs = read(tmp_path)

    (events,) = runs.values()
    assert isinstance(events[0], RunStarted)
    assert (events[0].name, events[0].project) == ("run", tmp_path.name)
    assert metrics(events) == [("loss", 0.5, 3), ("exact", 1 / 3, 4)]
    assert of(Metric, events)[0].time == TIME
    assert [(one.name, one.text, one.step) for one in of(Text, events)] == [("said", "hello", 2)]
    (spread,) = of(Histogram, events)
    assert (sum(spread.counts), len(spread.limits) - len(spread.counts)) == (3.0, 1)
    assert (spread.moments.num, spread.moments.sum) == (3.0, 2.0)
    (layout,) = of(Layout, events)
    assert [(one.category, one.kind, one.tags) for one in layout.charts] == [
        ("all", "multiline", ("loss",)),
        ("all", "margin", ("a", "b", "c")),
    ]
    content: dict[str, bytes] = {}
    for event in of((Image, Audio, Table, Artifact), events):  # pyright: ignore[reportArgumentType]
        path = event.path if isinstance(event, Artifact) else event.data.path
        reader.download("run", path, tmp_path / "back")
        content[getattr(event, "name", path)] = (tmp_path / "back").read_bytes()
    assert content["pictures/one"].startswith(b"\x89PNG")
    assert content["sound"].startswith(b"RIFF")
    curve = json.loads(content["curve"])
    assert [*zip(curve["columns"], curve["data"][1], strict=True)][:2] == [("threshold", 0.5), ("tp", 1.0)]
    assert np.load(io.BytesIO(content["tensors/weights/step-00000004/tensor.npy"])).tolist() == [0, 1, 2]
    assert np.load(io.BytesIO(content["meshes/shape/step-00000000/vertices.npy"])).shape == (1, 3, 3)
    assert content["00000/default/metadata.tsv"] == b"a\nb\n"


def test_directories_below_a_runs_are_parts_of_it(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        writer.add_scalar("loss", 1.0, 0)
        writer.add_scalars("acc/all", {"train": 2.0, "val_1": 3.0}, 1)
        writer.add_hparams({"lr": 0.1, "optimizer": "sgd"}, {"best": 4.0})
    with SummaryWriter(str(tmp_path / "run" / "val")) as writer:
        writer.add_scalar("loss", 5.0, 2)

    _, runs = read(tmp_path)

    (events,) = runs.values()
    assert sorted(metrics(events)) == [
        ("acc/all/train", 2.0, 1),
        ("acc/all/val_1", 3.0, 1),
        ("best", 4.0, 0),
        ("loss", 1.0, 0),
        ("val/loss", 5.0, 2),
    ]
    assert of(Params, events)[0].params == {"lr": 0.1, "optimizer": "sgd"}
    assert [event.status for event in of(RunFinished, events)] == ["FINISHED"]
    assert isinstance(events[-1], RunFinished)


def test_sessions_of_one_writer_are_runs_of_their_own(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "sweep")) as writer:
        for trial in range(3):
            writer.add_hparams({"lr": trial / 10}, {"loss": trial}, run_name=f"trial {trial}")

    _, runs = read(tmp_path)

    assert [*runs] == ["sweep/trial 0", "sweep/trial 1", "sweep/trial 2"]
    assert [of(Params, events)[0].params for events in runs.values()] == [
        {"lr": 0.0},
        {"lr": 0.1},
        {"lr": 0.2},
    ]


def test_several_files_of_one_run_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    one, other = (SummaryWriter(str(tmp_path / "run"), filename_suffix=end) for end in (".a", ".b"))
    for at in range(6):
        (one, other)[at % 2].add_scalar("loss", at, at, walltime=TIME + at)
    one.close()
    other.close()

    _, runs = read(tmp_path)

    (events,) = runs.values()
    assert [step for _, _, step in metrics(events)] == [0, 1, 2, 3, 4, 5]


def test_what_tensorboardx_writes_comes_back_as_events(tmp_path: Path) -> None:
    with tensorboardX.SummaryWriter(str(tmp_path / "run")) as writer:
        writer.add_scalar("loss", 0.5, 3)
        writer.add_text("said", "hello", 2)
        writer.add_hparams({"lr": 0.5}, {"best": 2.0})

    _, runs = read(tmp_path)

    (events,) = runs.values()
    assert sorted(metrics(events))[1] == ("loss", 0.5, 3)
    assert [(one.name, one.text) for one in of(Text, events)] == [("said", "hello")]
    assert of(Params, events)[0].params == {"lr": 0.5}


def tensorflows(file: Path) -> Iterator[Any]:
    """Write an event file as TensorFlow 2 does: all are tensors, and a tag says once what it is."""
    file.parent.mkdir(parents=True)
    picture = io.BytesIO()
    Pillow.new("RGB", (4, 5)).save(picture, "PNG")
    film = io.BytesIO()
    Pillow.new("P", (4, 5)).save(film, "GIF")
    values: list[tuple[int, str, Any, Any]] = [
        (0, "loss", scalars.create_summary_metadata("", ""), np.float32(0.5)),
        (1, "loss", None, np.float32(0.25)),
        (1, "spread", histograms.create_summary_metadata("", ""), np.array([[0.0, 1, 2], [1, 2, 3]])),
        (1, "two", images.create_summary_metadata("", ""), [b"4", b"5", *[picture.getvalue()] * 2]),
        (1, "film", images.create_summary_metadata("", ""), [b"4", b"5", film.getvalue()]),
    ]
    with file.open("wb") as stream:
        for step, tag, said, data in values:
            event = vars(event_pb2)["Event"](wall_time=TIME + step, step=step)
            value = event.summary.value.add(tag=tag)
            if said is not None:
                value.metadata.CopyFrom(said)
            value.tensor.CopyFrom(tensor_util.make_tensor_proto(data))
            RecordWriter(stream).write(event.SerializeToString())
        yield stream


def test_what_tensorflow_writes_comes_back_as_events(tmp_path: Path) -> None:
    for _ in tensorflows(tmp_path / "logs" / "train" / "events.out.tfevents.1700000000.host.v2"):
        pass

    _, runs = read(tmp_path / "logs")

    assert [*runs] == ["train"]
    events = runs["train"]
    assert metrics(events) == [("loss", 0.5, 0), ("loss", 0.25, 1)]
    (spread,) = of(Histogram, events)
    assert (spread.counts, spread.limits) == ((2.0, 3.0), (0.0, 1.0, 2.0))
    assert len({one.data.path for one in of(Image, events)}) == 2
    assert [one.data.format for one in of(Video, events)] == ["gif"]


def test_a_file_that_is_still_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path / "run"))
    writer.add_scalar("loss", 1.0, 0)
    writer.flush()
    (file,) = (tmp_path / "run").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole + struct.pack("<Q", 40)[:5])

    first = metrics(read(tmp_path)[1]["run"])

    file.write_bytes(whole)
    writer.add_scalar("loss", 2.0, 1)
    writer.close()
    assert first == [("loss", 1.0, 0)]
    assert metrics(read(tmp_path)[1]["run"]) == [("loss", 1.0, 0), ("loss", 2.0, 1)]


def test_a_path_that_leads_out_of_a_run_is_refused(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        writer.add_scalar("loss", 1.0, 0)
    (tmp_path / "secret").write_text("secret")
    reader, _ = read(tmp_path)

    for path in ("../secret", "kept//../secret", str(tmp_path / "secret"), "nowhere"):
        with pytest.raises(Refused):
            reader.download("run", path, tmp_path / "back")
    with pytest.raises(Refused, match="no run"):
        next(reader.events("another"))
