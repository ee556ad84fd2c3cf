"""What a run hears of `add_scalars`, `add_hparams` and `add_text`."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from tests.conftest import eventually
from tests.recording import recorded
from tracelet.captures.tensorboard import install
from tracelet.events import Metric, Params, Text
from tracelet.experiment import Experiment
from tracelet.patching import Patches

WHEN = 1_700_000_000.25


@pytest.fixture(autouse=True)
def listening(exp: Experiment) -> Iterator[None]:
    """Let the experiment hear every writer of this process."""
    methods = ("add_scalar", "add_scalars", "add_text", "add_hparams")
    originals = [vars(SummaryWriter)[name] for name in methods]
    patches = Patches()
    install(patches, exp)

    yield

    patches.uninstall()
    assert all(vars(SummaryWriter)[name] is it for name, it in zip(methods, originals, strict=True))


@pytest.fixture
def writer() -> Iterator[SummaryWriter]:
    with SummaryWriter("runs/a") as writer:
        yield writer


def points(experiment: Experiment) -> list[tuple[str, float, int | None]]:
    return [(e.name, e.value, e.step) for e in recorded(experiment) if isinstance(e, Metric)]


def params(experiment: Experiment) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in recorded(experiment):
        found |= event.params if isinstance(event, Params) else {}
    return found


def texts(experiment: Experiment) -> list[Text]:
    return [event for event in recorded(experiment) if isinstance(event, Text)]


def test_each_entry_of_add_scalars_is_a_metric(exp: Experiment, writer: SummaryWriter) -> None:
    values = {"train": 0.1, "val": torch.tensor(0.5), "text": "0.25", "flag": True, "inf": np.float32("inf")}

    writer.add_scalars("loss", values, 3)

    assert points(exp) == [
        ("loss/train", 0.1, 3),
        ("loss/val", 0.5, 3),
        ("loss/text", 0.25, 3),
        ("loss/flag", 1.0, 3),
        ("loss/inf", math.inf, 3),
    ]
    (time,) = {event.time for event in recorded(exp) if isinstance(event, Metric)}
    assert time > WHEN


def test_arguments_may_stand_in_their_places_or_be_named(exp: Experiment, writer: SummaryWriter) -> None:
    writer.add_scalars("a", {"x": 1}, 1, WHEN)
    writer.add_scalars(main_tag="b", tag_scalar_dict={"x": 1}, global_step=2, walltime=WHEN)
    writer.add_text("c", "one", 3, WHEN)
    writer.add_text(tag="d", text_string="two", global_step=4, walltime=WHEN)
    writer.add_hparams({"lr": 1}, {"e": 1}, {"lr": [1, 2]}, "run", 5)
    writer.add_hparams(
        hparam_dict={"bs": 1},
        metric_dict={"f": 1},
        hparam_domain_discrete=None,
        run_name="other",
        global_step=6,
    )

    assert points(exp) == [("a/x", 1.0, 1), ("b/x", 1.0, 2), ("e", 1.0, 5), ("f", 1.0, 6)]
    assert [(text.name, text.text, text.step) for text in texts(exp)] == [("c", "one", 3), ("d", "two", 4)]
    assert params(exp) == {"lr": 1, "bs": 1}
    times = [event.time for event in recorded(exp) if isinstance(event, (Metric, Text))]
    assert sorted(times)[:4] == [WHEN] * 4
    assert min(sorted(times)[4:]) > WHEN


def test_params_and_final_metrics_are_recorded_once_under_their_own_names(
    exp: Experiment, writer: SummaryWriter
) -> None:
    hparams = {"lr": 0.1, "layers": 3, "name": "adam", "bias": True, "none": None, "wd": torch.tensor([0.5])}

    writer.add_hparams(hparams, {"hparam/accuracy": torch.tensor(0.75), "hparam/loss": "0.5"})
    writer.add_scalar("accuracy", 0.75, 1)

    assert params(exp) == hparams | {"wd": 0.5}
    assert points(exp) == [
        ("hparam/accuracy", 0.75, None),
        ("hparam/loss", 0.5, None),
        ("accuracy", 0.75, 1),
    ]


def test_a_text_is_kept_as_it_is(exp: Experiment, writer: SummaryWriter) -> None:
    writer.add_text("sample", "# Once\n\nupon a **time**")
    writer.add_text("sample", "", 0)

    assert [(text.text, text.step) for text in texts(exp)] == [("# Once\n\nupon a **time**", None), ("", 0)]


def test_metrics_params_and_texts_of_one_name_do_not_disturb_each_other(
    exp: Experiment, writer: SummaryWriter
) -> None:
    writer.add_scalar("lr", 0.1, 0)
    writer.add_text("lr", "grows", 0)
    writer.add_hparams({"lr": 0.1}, {})

    assert (points(exp), params(exp), [text.name for text in texts(exp)]) == (
        [("lr", 0.1, 0)],
        {"lr": 0.1},
        ["lr"],
    )


def test_two_series_never_share_a_name(exp: Experiment, writer: SummaryWriter) -> None:
    for step in range(2):
        writer.add_scalars("loss", {"train": 1}, step)
        writer.add_scalar("loss/train", 2, step)
        writer.add_scalars("a", {"b/c": 3}, step)
        writer.add_scalars("a/b", {"c": 4}, step)
        # Where `add_scalars` itself has its files, and a directory that only looks like it.
        for directory, value in (("runs/a/loss_train", 5), ("runs/a/loss", 6)):
            with SummaryWriter(directory) as other:
                other.add_scalar("loss" if value == 5 else "train", value, step)

    names = ["loss/train", "loss/train (2)", "a/b/c", "a/b/c (2)", "loss_train/loss", "loss/train (3)"]
    assert points(exp) == [(name, index + 1.0, step) for step in range(2) for index, name in enumerate(names)]


def test_a_second_directory_is_a_prefix_for_all_of_them(exp: Experiment, writer: SummaryWriter) -> None:
    writer.add_scalar("first", 0)
    with SummaryWriter("runs/b") as other:
        other.add_scalars("loss", {"train": 1}, 1)
        other.add_text("note", "hello", 1)
        other.add_hparams({"lr": 0.1}, {"accuracy": 1}, run_name="run")

    assert [name for name, *_ in points(exp)] == ["first", "b/loss/train", "b/accuracy"]
    assert params(exp) == {"b/lr": 0.1}
    assert [text.name for text in texts(exp)] == ["b/note"]


def test_what_torch_refuses_is_refused_as_always_and_not_recorded(
    exp: Experiment, writer: SummaryWriter
) -> None:
    anything: Any = writer

    with pytest.raises(NotImplementedError, match="numpy array or torch tensor are expected"):
        anything.add_scalars("loss", {"train": 1.0, "val": None}, 1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'tag_scalar_dict'"):
        anything.add_scalars("loss")
    with pytest.raises(AttributeError, match="has no attribute 'encode'"):
        anything.add_text("note", 5, 1)
    with pytest.raises(TypeError, match="should be dictionary"):
        anything.add_hparams([("lr", 1)], {})
    with pytest.raises(ValueError, match=r"value should be one of int, float, str, bool, or torch\.Tensor"):
        anything.add_hparams({"lr": [1]}, {"accuracy": 1})

    assert (points(exp), params(exp), texts(exp)) == ([], {}, [])


class Inner(SummaryWriter):
    """A writer as users derive it, so that hyperparameters stay in one directory."""

    def add_hparams(
        self, _hparam_dict: dict[str, Any], metric_dict: dict[str, Any], *_: Any, **__: Any
    ) -> None:
        for tag, value in metric_dict.items():
            self.add_scalars(tag, {"last": value})


def test_a_derived_writer_is_heard_through_what_it_calls(exp: Experiment) -> None:
    with Inner("runs/a") as writer:
        writer.add_hparams({"lr": 0.1}, {"accuracy": 1})

    assert (points(exp), params(exp)) == ([("accuracy/last", 1.0, None)], {})


TRAIN = """
import enum
from dataclasses import dataclass
from pathlib import Path
import tracelet
from torch.utils.tensorboard import SummaryWriter

class Optimizer(enum.Enum):
    SGD = "sgd"

@dataclass
class Config:
    lr: float = 0.1
    optimizer: Optimizer = Optimizer.SGD
    data: Path = Path("/data")
    sizes: tuple[int, ...] = (64, 32)

exp = tracelet.start_logging("a run", "a project", "mlflow", config=Config())
with SummaryWriter() as writer:
    writer.add_text("samples/first", "# Once\\nupon a time", 7, walltime=1_700_000_000.25)
    writer.add_scalars("loss", {"train": 0.1, "val": 0.2}, 1)
    writer.add_hparams({"layers": 3}, {"accuracy": 0.9})
exp.log_text("note", "see http://me:hunter2@wiki/")
tracelet.stop_logging()
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MLflow's own
def test_all_of_it_arrives_in_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_experiment("a project", artifact_location=(tmp_path / "mlruns").as_uri())
    (tmp_path / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "train.py"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (experiment,) = client.search_experiments(filter_string="name = 'a project'")
    # On a busy machine the delivery goes on behind the script's end.
    finished = "attributes.status = 'FINISHED'"
    eventually(lambda: client.search_runs([experiment.experiment_id], finished), 120)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {
        "lr": "0.1",
        "optimizer": "sgd",
        "data": "/data",
        "sizes": "[64, 32]",
        "layers": "3",
    }
    assert run.data.metrics == {"loss/train": 0.1, "loss/val": 0.2, "accuracy": 0.9}
    found = {}
    for directory in ("text/samples/first", "text/note"):
        (artifact,) = client.list_artifacts(run.info.run_id, directory)
        found[artifact.path] = Path(client.download_artifacts(run.info.run_id, artifact.path)).read_text()
    (first, note) = found
    assert first.startswith("text/samples/first/step-00000007+1700000000250+")
    assert note.startswith("text/note/no-step+")
    assert [*found.values()] == ["# Once\nupon a time", "see http://wiki/"]
