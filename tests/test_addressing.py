"""What is logged for some backends alone: who gets it, what a typing mistake costs, and what is counted."""

import logging
import multiprocessing
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import tracelet
from tests.cli.inside import inside
from tests.recording import MEMORY
from tracelet.events import Artifact, Event, Image, Metric, Note, Params, RunStarted, Text
from tracelet.experiment import Experiment, disabled
from tracelet.journal.reader import Reader
from tracelet.testing.memory import stored

FAULTY: Final = "tracelet.testing.faulty:BACKEND"
ROWS: Final = "tracelet.testing.memory:ROWS"


def addressed(experiment: Experiment) -> list[tuple[Any, tuple[str, ...]]]:
    """Read what was logged, each with whom it is for."""
    assert experiment.directory is not None
    records = Reader(experiment.directory).read(10_000)
    return [(record.event, record.only) for record in records if not isinstance(record.event, RunStarted)]


def points(events: Sequence[Event]) -> list[tuple[str, int | None, float]]:
    return [(event.name, event.step, event.value) for event in events if isinstance(event, Metric)]


@pytest.fixture
def three() -> Any:
    """An experiment with three backends that only records."""
    experiment = tracelet.start_experiment("a run", "a project", [MEMORY, FAULTY, "local"], mode="offline")
    yield experiment
    experiment.stop()


@pytest.mark.parametrize(
    ("given", "only"),
    [
        (None, ()),
        ("memory", ("memory",)),
        (["memory"], ("memory",)),
        (MEMORY, ("memory",)),
        ((MEMORY, "memory"), ("memory",)),
        ("faulty, memory", ("faulty", "memory")),
        ({"faulty"}, ("faulty",)),
        ("local", ("local",)),
        ([], ("local",)),
    ],
)
def test_a_metric_goes_to_the_backends_that_the_call_names(
    three: Experiment, given: Any, only: tuple[str, ...]
) -> None:
    three.log_metric("loss", 0.5, 1, backends=given)
    three.log_metric("loss", np.float32(0.5), step=2, backends=given)  # type: ignore[arg-type]
    three.log_metrics({"loss": 0.5, "acc": 1}, step=3, backends=given)

    found = addressed(three)
    assert [(event.name, event.step, whom) for event, whom in found] == [
        ("loss", 1, only),
        ("loss", 2, only),
        ("loss", 3, only),
        ("acc", 3, only),
    ]
    assert found[2][0].time == found[3][0].time


def test_a_handle_logs_everything_for_its_backends_alone(three: Experiment) -> None:
    handle = three.to("faulty", "memory")
    handle.log_metric("loss", 0.5, 1)
    handle.log_metric("loss", 0.5, 2, backends="memory")
    handle.log_params({"lr": 0.1})
    handle.set_tags({"stage": "test"})
    handle.set_note("n")
    handle.log_text("sample", "t", 1)
    handle.log_image("image", [[0.0, 1.0]], 1)
    handle.log_artifact(b"abc", "a.bin", type="data")
    handle.record(Note(1.0, "m"))

    found = addressed(three)
    assert [type(event).__name__ for event, _ in found] == (
        ["Metric", "Metric", "Params", "Tags", "Note", "Text", "Image", "Artifact", "Bundle", "Note"]
    )
    both, one = ("faulty", "memory"), ("memory",)
    assert [only for _, only in found] == [both, one, *[both] * 8]
    assert three.to("faulty", "memory") is three.to(["faulty", "memory"]) is handle
    assert three.to("memory") is three.to("memory") is not handle
    assert addressed(three)[-1][1] == both


def test_the_last_word_on_whom_something_is_for_holds(three: Experiment) -> None:
    three.to("memory").to("faulty").log_metric("loss", 0.5, 1)

    assert addressed(three) == [(addressed(three)[0][0], ("faulty",))]


def test_what_has_no_step_is_numbered_whomever_it_is_for(three: Experiment) -> None:
    for backends in (None, "memory", None, "faulty"):
        three.log_metric("loss", 0.5, backends=backends)
    for handle in (three, three.to("memory"), three):
        handle.log_image("image", [[0.0, 1.0]])

    ordinals = [event.ordinal for event, _ in addressed(three) if isinstance(event, (Metric, Image))]
    assert ordinals == [0, 1, 2, 3, 0, 1, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "mlflow",
            "the run goes to memory, faulty, local, and not to 'mlflow': .* --backend mlflow` delivers",
        ),
        (
            ["memry"],
            "no backend called 'memry'; the run goes to memory, faulty, local. Did you mean 'memory'",
        ),
        (7, "backend 7 is left out"),
        ([None], "backend None is left out"),
    ],
)
def test_a_backend_that_the_run_lacks_is_warned_of_once_and_the_record_is_kept(
    three: Experiment, given: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(3):
        three.log_metric("loss", 0.5, step, backends=given)
    three.to(given).log_metric("loss", 0.5, 3)

    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert re.search(said, warning)
    found = addressed(three)
    assert [event.step for event, _ in found] == [0, 1, 2, 3]
    assert all(only and not {"memory", "faulty"} & {*only} for _, only in found)


def test_bad_input_is_warned_of_as_elsewhere(three: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    three.log_metric("", 1.0, 1, backends="memory")
    three.log_metric("loss", "much", 1, backends="memory")  # type: ignore[arg-type]
    three.log_metric(["loss"], 1.0, 1, backends="memory")  # type: ignore[arg-type]
    three.log_metrics(7, backends="memory")  # type: ignore[arg-type]

    assert addressed(three) == []
    assert len(caplog.records) == 3  # both that have no name are said to need one, once


def test_nothing_is_said_or_recorded_without_a_run(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = disabled("a run", "a project", "a reason")
    nowhere.log_metric("loss", 0.5, 1, backends="mlflow")
    nowhere.to("wandb").log_params({"lr": 0.1})

    assert nowhere.url("nope") is None
    assert not caplog.records


def test_a_child_logs_for_some_backends_too(three: Experiment) -> None:
    three.log_metric("parent", 0.5, 1, backends="memory")
    handle = three.to("memory")
    child = multiprocessing.get_context("fork").Process(target=handle.log_metric, args=("child", 0.5, 1))
    child.start()
    child.join(60)

    assert {(event.name, only) for event, only in addressed(three)} == {
        ("parent", ("memory",)),
        ("child", ("memory",)),
    }


def test_each_backend_gets_what_is_for_it_and_the_rest_is_counted(place: Path) -> None:
    routes = {"faulty": {"exclude": ["*/debug"], "rename": {"a/*": "*"}}, "memory_rows": {"include": "a/*"}}
    started: dict[str, Any] = {"relay": "thread", "routes": routes, "config": {"lr": 0.1}}
    with tracelet.start_experiment("r", "p", [FAULTY, ROWS, "local"], **started) as exp:
        for step in range(3):
            exp.log_metric("a/loss", 1.0, step)
            exp.log_metric("b/debug", 2.0, step)
            exp.log_metric("a/mine", 3.0, step, backends=["memory_rows"])
        exp.to("faulty").log_text("b/text", "t", 1)
        exp.to("absent").log_metric("late", 4.0, 1)
        assert exp.active_backends == ["faulty", "memory_rows", "local"]
        assert (exp.url(), exp.url("faulty"), exp.url("nope")) == (None, None, None)
        assert exp.flush()
    summary = exp.stop()

    assert points(stored(place / "faulty")) == [("loss", step, 1.0) for step in range(3)]
    assert {type(event) for event in stored(place / "faulty")} >= {Params, Text}
    both = [("a/loss", 1.0), ("a/mine", 3.0)]
    assert points(stored(place / "memory")) == [(name, at, value) for at in range(3) for name, value in both]
    assert not {type(event) for event in stored(place / "memory")} & {Params, Text}
    assert {backend.name: backend.unrouted for backend in summary.backends} == {
        "faulty": 7,  # three times debug and mine, and what is for the absent
        "memory_rows": 6,  # three times debug, a param, a text, and what is for the absent
        "local": 0,
    }
    assert summary.delivered
    assert "faulty: delivered, 7 not routed here" in str(summary)


@pytest.mark.slow
def test_a_backend_that_is_added_gets_what_was_for_it_and_by_its_route(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = {"memory": {"exclude": ["b"]}, FAULTY: {"exclude": ["a"], "rate": 1}}
    with tracelet.start_experiment("r", "p", MEMORY, mode="offline", routes=routes) as exp:
        exp.to(FAULTY).log_metric("mine", 1.0, 1)
        exp.to(FAULTY).log_artifact(b"abc", "data/a.bin")
        for name in ("a", "b"):
            exp.log_metric(name, 1.0, 1)
    monkeypatch.setenv("TRACELET_ROUTES", '{"memory": {"kinds": "note"}}')  # memory has its own already
    run_id, directory = exp.run_id, exp.directory
    assert directory is not None

    assert inside("sync", run_id).code == 0
    assert [path.read_bytes() for path in directory.glob("blobs/*/*")] == [b"abc"]  # faulty may want it
    shown = inside("show", run_id)
    status = inside("status", run_id)
    added = inside("sync", run_id, "--backend", FAULTY)

    assert added.code == 0
    assert "faulty: delivered, 5 records, 1 not routed here" in added.out
    assert points(stored(place / "memory")) == [("a", 1, 1.0)]
    assert points(stored(place / "faulty")) == [("mine", 1, 1.0), ("b", 1, 1.0)]
    assert [event.path for event in stored(place / "faulty") if isinstance(event, Artifact)] == ["data/a.bin"]
    assert not [*directory.glob("blobs/*/*")]
    for said in (shown.out, status.out):
        assert "memory: 3 not routed here, by its route or as logged to others alone" in said
    assert all(name in shown.out for name in ("mine", "a  ", "b  "))  # the journal has all


@pytest.mark.slow
def test_settings_here_say_what_goes_to_a_backend_that_is_added(place: Path) -> None:
    routes = {MEMORY: {"exclude": ["a"]}}
    with tracelet.start_experiment("r", "p", "local", routes=routes) as exp:
        exp.log_metric("a", 1.0, 1)
        exp.log_metric("b", 1.0, 1)
    (place / "tracelet.toml").write_text('[routes.memory]\nrename = { a = "c" }\n')

    assert inside("sync", exp.run_id, "--backend", MEMORY).code == 0

    assert points(stored(place / "memory")) == [("c", 1, 1.0), ("b", 1, 1.0)]
