"""What the handle does with what a user gives it: recorded, converted, or refused with a word."""

import argparse
import logging
import multiprocessing
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import tracelet
from tests.recording import MEMORY, recorded
from tracelet.errors import ConfigError
from tracelet.events import Artifact, Metric, Note, Params, RunFinished, RunStarted, Tags, Text
from tracelet.experiment import Experiment
from tracelet.journal import blobs


def metrics(experiment: Experiment) -> list[Metric]:
    return [event for event in recorded(experiment) if isinstance(event, Metric)]


def params(experiment: Experiment) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in recorded(experiment):
        if isinstance(event, Params):
            found |= event.params
    return found


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.1, 0.1),
        (3, 3.0),
        (True, 1.0),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.array([2.5]), 2.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.25], dtype=torch.bfloat16), 0.25),
        (torch.tensor(0.5, dtype=torch.float16, requires_grad=True), 0.5),
        (torch.tensor(True), 1.0),
        (np.array(0.5), 0.5),
        (np.bool_(True), 1.0),
        (float("-inf"), float("-inf")),
        (-0.0, -0.0),
        (float("inf"), float("inf")),
        (float("nan"), float("nan")),
    ],
)
def test_every_kind_of_number_is_recorded_as_a_float64(exp: Experiment, value: Any, number: float) -> None:
    exp.log_metric("m", value, 7)

    (point,) = metrics(exp)
    assert np.float64(point.value).tobytes() == np.float64(number).tobytes()
    assert point.step == 7


@pytest.mark.parametrize("value", ["0.5", None, torch.zeros(3), [1.0], 1j, object()])
def test_what_is_no_number_is_warned_of_once_and_training_goes_on(
    exp: Experiment, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(3):
        exp.log_metric("accuracy", value, step)
    exp.log_metric("loss", 1.0, 0)

    assert [point.name for point in metrics(exp)] == ["loss"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "'accuracy'" in warning
    assert "give a number" in warning


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_metric_without_a_name_is_warned_of(
    exp: Experiment, name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_metric(name, 1.0, 0)
    exp.log_metric(name, 1.0, 1)

    assert metrics(exp) == []
    assert len(caplog.records) == 1
    assert "needs a name" in caplog.text


@pytest.mark.parametrize(("given", "step"), [(3.0, 3), (np.int32(4), 4), (torch.tensor(5), 5), (0, 0)])
def test_a_step_may_be_anything_that_is_a_whole_number(exp: Experiment, given: Any, step: int) -> None:
    exp.log_metric("m", 1.0, given)

    assert metrics(exp)[0].step == step


@pytest.mark.parametrize("step", [1.5, "3", 2**63, float("nan")])
def test_a_value_with_a_step_that_is_none_is_kept_without_it(
    exp: Experiment, step: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_metric("m", 1.0, step)
    exp.log_metric("m", 2.0, step)

    assert [(point.value, point.step, point.ordinal) for point in metrics(exp)] == [
        (1.0, None, 0),
        (2.0, None, 1),
    ]
    assert len(caplog.records) == 1
    assert "without a step" in caplog.text


def test_step_is_a_synonym_of_iteration(exp: Experiment) -> None:
    exp.log_metric("m", 1.0, step=3)
    exp.log_metric("m", 1.0, iteration=4)
    exp.log_metrics({"a": 1.0, "b": 2.0}, step=5)

    assert [(point.name, point.step) for point in metrics(exp)] == [("m", 3), ("m", 4), ("a", 5), ("b", 5)]


def test_nested_params_are_joined_by_dots_and_keep_their_types(exp: Experiment) -> None:
    exp.log_params({"model": {"layers": 50, "bias": True, "sizes": [1, 2]}, "lr": np.float64(0.1), "x": None})
    exp.log_params(argparse.Namespace(path=Path("/data")))

    assert params(exp) == {
        "model.layers": 50,
        "model.bias": True,
        "model.sizes": [1, 2],
        "lr": 0.1,
        "x": None,
        "path": "/data",
    }


def test_ten_thousand_params_are_recorded_whole(exp: Experiment) -> None:
    many = {f"p{index}": "x" * 2000 for index in range(10_000)}

    exp.log_params(many)

    assert params(exp) == many


def test_what_is_no_mapping_is_warned_of(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.log_params([1, 2])

    assert params(exp) == {}
    assert "log_params takes names and values" in caplog.text


def test_tags_and_notes_are_recorded(exp: Experiment) -> None:
    exp.set_tags({"team": "ml", "version": 3})
    exp.set_note("first")
    exp.set_note("second")

    assert [event.tags for event in recorded(exp) if isinstance(event, Tags)] == [
        {"team": "ml", "version": "3"}
    ]
    assert [event.text for event in recorded(exp) if isinstance(event, Note)] == ["first", "second"]


class Fails:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_tag_whose_text_raises_costs_only_its_own_value(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    exp.set_tags({"bad": Fails(), "path": Path("/data"), "sizes": (1, 2)})

    (event,) = [event for event in recorded(exp) if isinstance(event, Tags)]
    assert event.tags == {"bad": f"{__name__}.Fails object", "path": "/data", "sizes": "[1, 2]"}
    assert "tag 'bad': its value raised RuntimeError" in caplog.text


def texts(experiment: Experiment) -> list[Text]:
    return [event for event in recorded(experiment) if isinstance(event, Text)]


def test_a_text_is_recorded_with_its_step(exp: Experiment) -> None:
    exp.log_text("sample", "# Once\nupon a time", 3)
    exp.log_text("sample", "", step=np.int64(4))  # pyright: ignore[reportArgumentType]
    exp.log_text("sample", "no step")
    exp.text("sample", "of a capture", 5.0, 1_700_000_000.25)

    found = texts(exp)
    assert [(event.name, event.text, event.step) for event in found] == [
        ("sample", "# Once\nupon a time", 3),
        ("sample", "", 4),
        ("sample", "no step", None),
        ("sample", "of a capture", 5),
    ]
    assert found[0].time > 1_700_000_001
    assert found[3].time == 1_700_000_000.25


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (5, "5"),
        (None, "None"),
        (Path("a/b"), "a/b"),
        (b"bytes \xff", "bytes \\xff"),
        (Fails(), f"{__name__}.Fails object"),
        ("\udc80", "\\udc80"),
        ("see https://me:hunter2@wiki/ and\nmysql://me:hunter2@db", "see https://wiki/ and\nmysql://db"),
    ],
)
def test_what_is_no_text_is_recorded_as_its_text(exp: Experiment, given: Any, text: str) -> None:
    exp.log_text("sample", given, 1)

    assert [event.text for event in texts(exp)] == [text]


def test_a_text_that_is_too_long_is_cut_and_told(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    for letter in ("\N{GRINNING FACE}", "\udc80"):
        exp.log_text("sample", letter * 3_000_000, 1)

    assert [len(event.text) for event in texts(exp)] == [1_000_000, 1_000_000]
    assert "'sample' has 3000000 characters; the first 1000000 are kept" in caplog.text


def test_a_text_without_a_name_or_with_a_step_that_is_none_is_told(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", None, 7, "x" * 20_000):
        exp.log_text(name, "text", 1)  # pyright: ignore[reportArgumentType]
    exp.log_text("sample", "text", 1.5)  # pyright: ignore[reportArgumentType]

    assert [(event.name, event.step) for event in texts(exp)] == [("sample", None)]
    assert "a text needs a name" in caplog.text
    assert "text 'sample': the step 1.5 is no whole number; logged without a step" in caplog.text


def test_a_file_is_kept_as_it_was_when_it_was_logged(exp: Experiment, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(b"first")

    exp.log_artifact("model.pth", artifact_path="models/")
    file.write_bytes(b"second")
    exp.log_artifact(file)

    first, second = [event for event in recorded(exp) if isinstance(event, Artifact)]
    assert exp.directory is not None
    assert (first.path, second.path) == ("models/model.pth", "model.pth")
    assert blobs.path_of(exp.directory, first.digest).read_bytes() == b"first"
    assert blobs.path_of(exp.directory, second.digest).read_bytes() == b"second"


@pytest.mark.parametrize(
    ("artifact_path", "places"),
    [
        ("training/", ["training/a.txt", "training/deep/b.txt"]),
        (None, ["checkpoints/a.txt", "checkpoints/deep/b.txt"]),
        ("../../outside", ["outside/a.txt", "outside/deep/b.txt"]),
    ],
)
def test_a_directory_goes_where_it_is_told(
    exp: Experiment, tmp_path: Path, artifact_path: str | None, places: list[str]
) -> None:
    (tmp_path / "checkpoints/deep").mkdir(parents=True)
    (tmp_path / "checkpoints/a.txt").write_text("a")
    (tmp_path / "checkpoints/deep/b.txt").write_text("b")

    exp.log_artifact("checkpoints/", artifact_path)

    assert [event.path for event in recorded(exp) if isinstance(event, Artifact)] == places


def test_a_file_that_is_not_there_is_warned_of(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.log_artifact("missing.pt")

    assert "missing.pt cannot be logged: No such file or directory" in caplog.text


@pytest.mark.parametrize(
    ("path", "artifact_path", "words"),
    [
        ("~nobody-of-this-name/model.pt", None, "model.pt cannot be logged: No such file"),
        ("a\0b", None, "cannot be logged: embedded null byte"),
        (
            None,
            None,
            "artifact None cannot be logged: expected str, bytes or os.PathLike object, not NoneType",
        ),
        (__file__, 5, "cannot be logged: expected str, bytes or os.PathLike object, not int"),
    ],
)
def test_what_is_no_path_is_warned_of(
    exp: Experiment, caplog: pytest.LogCaptureFixture, path: Any, artifact_path: Any, words: str
) -> None:
    exp.log_artifact(path, artifact_path)

    assert words in caplog.text


def test_a_place_among_the_artifacts_may_be_a_path(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")

    exp.log_artifact("a.txt", Path("deep") / "er")

    assert [event.path for event in recorded(exp) if isinstance(event, Artifact)] == ["deep/er/a.txt"]


def test_a_file_that_comes_after_the_end_is_not_copied(exp: Experiment) -> None:
    exp.stop()
    exp.log_artifact(__file__)

    assert exp.directory is not None
    assert not (exp.directory / "blobs").exists()


def test_nothing_is_recorded_after_the_end_and_it_is_said_once(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_metric("m", 1.0, 0)
    exp.stop()
    exp.log_metric("m", 2.0, 1)
    exp.log_metric("m", 3.0, 2)
    exp.set_note("late")

    assert [point.value for point in metrics(exp)] == [1.0]
    assert isinstance(recorded(exp)[-1], RunFinished)
    assert len([record for record in caplog.records if "has ended" in record.getMessage()]) == 1


def test_leaving_a_block_ends_the_run_and_an_exception_fails_it() -> None:
    with tracelet.start_experiment("good", backend=MEMORY, mode="offline") as good:
        good.log_metric("m", 1.0)
    with (
        pytest.raises(ValueError, match="broken"),
        tracelet.start_experiment("bad", backend=MEMORY, mode="offline") as bad,
    ):
        raise ValueError("broken")

    ends = [recorded(experiment)[-1] for experiment in (good, bad)]
    assert [(end.status, end.reason) for end in ends if isinstance(end, RunFinished)] == [
        ("FINISHED", ""),
        ("FAILED", "ValueError: broken"),
    ]


def test_several_experiments_live_side_by_side() -> None:
    with (
        tracelet.start_experiment("one", backend=MEMORY, mode="offline") as one,
        tracelet.start_experiment("two", backend=MEMORY, mode="offline") as two,
    ):
        one.log_metric("m", 1.0)
        two.log_metric("m", 2.0)

    assert [point.value for point in metrics(one)] == [1.0]
    assert [point.value for point in metrics(two)] == [2.0]


def test_threads_log_at_once_and_every_point_is_there_once(exp: Experiment) -> None:
    def log(thread: int) -> None:
        for step in range(2000):
            exp.log_metric(f"m{thread}", float(step), step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(4):
        steps = [point.step for point in metrics(exp) if point.name == f"m{number}"]
        assert steps == list(range(2000))


def in_child(experiment: Experiment, name: str) -> None:
    for step in range(500):
        experiment.log_metric(name, float(step), step)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12's word on forks
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_log_to_the_same_run_and_do_not_end_it(exp: Experiment, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=in_child, args=(exp, f"child{number}")) for number in range(2)]
    for child in children:
        child.start()
    exp.log_metric("parent", 1.0, 0)
    for child in children:
        child.join(60)

    points = metrics(exp)
    assert [child.exitcode for child in children] == [0, 0]
    assert {point.name for point in points} == {"child0", "child1", "parent"}
    assert len(points) == 1001
    assert not any(isinstance(event, RunFinished) for event in recorded(exp))


def test_a_disabled_experiment_takes_everything_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACELET_MODE", "disabled")

    exp = tracelet.start_logging("nothing", backend=MEMORY)
    exp.log_metric("m", 1.0, 0)
    exp.log_metric("m", 1.0)
    exp.log_params({"a": 1})
    exp.log_artifact("missing")
    exp.set_tags({"a": "b"})

    assert exp.flush()
    assert exp.status() is None
    assert exp.active_backends == []
    assert tracelet.stop_logging() is not None
    assert not (tmp_path / ".tracelet").exists()


def test_the_first_record_is_the_start_with_all_that_config_says() -> None:
    config = {"tags": {"team": "ml"}, "notes": "why", "group": "g", "job_type": "train", "lr": 0.1}
    with tracelet.start_experiment("x", "p", MEMORY, config, mode="offline") as exp:
        pass

    start = recorded(exp)[0]
    assert isinstance(start, RunStarted)
    assert (start.name, start.project, start.tags, start.note, start.group, start.job_type) == (
        "x",
        "p",
        {"team": "ml"},
        "why",
        "g",
        "train",
    )
    assert params(exp) == {"lr": 0.1}


def test_names_are_kept_without_credentials_and_without_what_is_no_unicode() -> None:
    with tracelet.start_experiment(
        "http://me:secret@host/x", "p\udcff", MEMORY, {"group": "\udcff"}, mode="offline"
    ) as exp:
        pass

    start = recorded(exp)[0]
    assert isinstance(start, RunStarted)
    assert (start.name, start.project, start.group) == ("http://host/x", "p\\udcff", "\\udcff")


def test_a_run_begins_in_a_directory_whose_name_is_no_unicode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "\udcff"
    place.mkdir()
    monkeypatch.chdir(place)

    with tracelet.start_experiment("x", "p", MEMORY, mode="offline") as exp:
        pass

    assert isinstance(recorded(exp)[-1], RunFinished)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tags": {str(number): "x" * 1_000_000 for number in range(5)}}, "tags and notes are too long"),
        ({"python": "/not/there"}, "no program that can be run"),
    ],
)
def test_a_start_that_fails_leaves_no_run_behind(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tracelet.start_experiment("x", "p", MEMORY, mode="offline", **more)

    assert [*tmp_path.glob(".tracelet/2*")] == []


@dataclass
class Config:
    lr: float = 0.1
    tags: tuple[str, ...] = ("first",)
    run_name: str = "by config"


@pytest.mark.parametrize(
    "config", [Config(), argparse.Namespace(**vars(Config())), OmegaConf.structured(Config)]
)
def test_a_config_may_be_anything_with_names_and_values(config: object) -> None:
    with tracelet.start_experiment("x", "p", MEMORY, config, mode="offline") as exp:
        pass

    start = recorded(exp)[0]
    assert isinstance(start, RunStarted)
    assert (start.name, [*start.tags]) == ("by config", ["first"])
    assert params(exp) == {"lr": 0.1}


@pytest.mark.parametrize("config", [5, 0, "lr=0.1", [("lr", 0.1)], Config])
def test_a_config_without_names_is_a_mistake(config: object) -> None:
    with pytest.raises(ConfigError, match=r"^config=.* does not fit; it takes a dict of settings"):
        tracelet.start_experiment("x", "p", MEMORY, config, mode="offline")
