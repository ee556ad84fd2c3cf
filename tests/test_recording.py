"""What users call: params with metrics, rules for metrics, tables of all kinds; and what that loads."""

import itertools
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from tests.test_intake import of
from tests.test_intake_media import kept
from tracelet.events import Chart, Definition, Image, Layout, Metric, Params, Table
from tracelet.experiment import Experiment, disabled


def table(experiment: Experiment, event: Table) -> tuple[list[str], list[list[Any]]]:
    found = json.loads(kept(experiment, event))
    assert event.data.shape == (len(found["data"]), len(found["columns"]))
    assert event.data.format == "json"
    return found["columns"], found["data"]


def test_hyperparameters_come_with_the_metrics_of_them(exp: Experiment) -> None:
    exp.log_hparams({"lr": 0.1, "net": {"layers": 2}}, {"accuracy": 0.9})
    exp.log_hparams({"batch": 32})

    assert [event.params for event in of(exp, Params)] == [{"lr": 0.1, "net.layers": 2}, {"batch": 32}]
    assert [(point.name, point.value, point.step) for point in of(exp, Metric)] == [("accuracy", 0.9, None)]


def test_a_metric_is_defined(exp: Experiment) -> None:
    exp.define_metric("val/*", step_metric="epoch", summary=["min", "best"], goal="maximize")
    exp.define_metric("loss", summary="min, last")
    exp.define_metric("step", summary="none")

    first, second, third = of(exp, Definition)
    assert (first.name, first.step_metric, first.summary, first.goal) == (
        "val/*",
        "epoch",
        ("min", "best"),
        "maximize",
    )
    assert (second.summary, second.goal, second.step_metric) == (("min", "last"), "", "")
    assert third.summary == ("none",)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"summary": "median"}, "summary='median' is unknown; there are min, max, mean, last, best, none"),
        ({"summary": "best"}, 'summary="best" needs goal='),
        ({"goal": "up"}, "goal='up' is unknown; there are minimize, maximize"),
        ({"goal": 3}, "goal=3 is unknown"),
        ({"summary": 3}, "summary 3 is left out"),
        ({"step_metric": 3}, "step_metric 3 is left out"),
    ],
)
def test_of_a_definition_what_is_unknown_is_left_out(
    exp: Experiment, more: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    exp.define_metric("loss", **more)

    assert words in caplog.text
    (found,) = of(exp, Definition)
    assert (found.summary, found.goal, found.step_metric) == ((), "", "")


def test_a_layout_is_recorded(exp: Experiment) -> None:
    charts = [Chart("losses", "both", "multiline", ("train", "val"))]

    exp.layout(charts, 5.0)

    assert of(exp, Layout) == [Layout(5.0, tuple(charts))]


def test_a_table_and_what_judges_a_classifier_are_tables(exp: Experiment) -> None:
    exp.log_table("rows", [[1, "a"]], 1, columns=["n", "s"])
    exp.log_confusion_matrix("confusion", ["cat", "dog"], ["cat", "cat"], step=2)
    exp.log_confusion_matrix("counted", matrix=np.eye(2), labels=["a", "b"])
    exp.log_pr_curve("pr", np.array([0, 1]), torch.tensor([0.2, 0.8]), 3, thresholds=5)
    exp.log_roc_curve("roc", [0, 1], [0.2, 0.8], 3, thresholds=5, weights=[1, 2])
    exp.pr_curve("raw", None, None, 3, counts=np.ones((6, 4)))

    rows, confusion, counted, pr, roc, raw = of(exp, Table)
    assert [event.chart for event in of(exp, Table)] == [
        "",
        *["confusion_matrix"] * 2,
        "pr_curve",
        "roc_curve",
        "pr_curve",
    ]
    assert (rows.step, confusion.step, pr.step) == (1, 2, 3)
    assert table(exp, rows) == (["n", "s"], [[1, "a"]])
    assert table(exp, confusion)[1] == [
        ["cat", "cat", 1],
        ["cat", "dog", 0],
        ["dog", "cat", 1],
        ["dog", "dog", 0],
    ]
    assert table(exp, counted)[1][3] == ["b", "b", 1]
    assert table(exp, pr)[0] == ["threshold", "tp", "fp", "tn", "fn", "precision", "recall"]
    assert table(exp, roc)[0] == ["threshold", "fpr", "tpr"]
    assert table(exp, raw)[1] == [[at / 3, *[1.0] * 6] for at in range(4)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda exp: exp.log_confusion_matrix("a", [1], [1], matrix=[[1]]),
            "either y_true and y_pred, or matrix",
        ),
        (lambda exp: exp.log_confusion_matrix("a"), "either y_true and y_pred, or matrix"),
        (lambda exp: exp.log_pr_curve("a", ["x"], [0.5]), "pr curve 'a': y_true holds 'x'"),
        (lambda exp: exp.log_table("a", 3), "table 'a': a table is a list of rows"),
        (lambda exp: exp.log_table("", [[1]]), "a table needs a name"),
        (lambda exp: exp.log_table("a", itertools.count), "table 'a': a table is a list of rows"),
    ],
)
def test_what_is_no_table_is_not_logged_and_said(
    exp: Experiment, call: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    call(exp)

    assert of(exp, Table) == []
    assert words in caplog.text


def test_boxes_and_labels_are_an_images_own(exp: Experiment) -> None:
    exp.log_image("a", np.zeros((9, 9)), 1, boxes=[[0, 0, 3, 4]], labels=["cat"])

    (image,) = of(exp, Image)
    assert (image.boxes, image.labels) == (((0.0, 0.0, 3.0, 4.0),), ("cat",))


def test_images_without_end_are_ended(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.log_images("a", itertools.repeat(np.zeros((2, 2), "u1")), 1)

    assert len(of(exp, Image)) == 1000
    assert "takes up to 1000 images" in caplog.text


def test_where_nothing_is_recorded_nothing_is_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    nobody = disabled("a", "b", "it is off")
    bad: Any = object()

    for log in ("figure", "audio", "video", "html", "table", "model"):
        getattr(nobody, f"log_{log}")("a", bad)
    nobody.log_artifact(bad)
    nobody.log_reference(bad)
    nobody.log_confusion_matrix("a", bad, bad)
    nobody.log_roc_curve("a", bad, bad)
    nobody.define_metric("a", summary="bad")
    nobody.bundle("a", {"a": bad}, "mesh", 1, path="a")

    assert caplog.messages == []


def test_a_handle_has_no_room_for_more(exp: Experiment) -> None:
    with pytest.raises(AttributeError):
        exp.surprise = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_a_run_loads_what_a_kind_needs_when_it_is_logged() -> None:
    code = """
        import sys, tracelet
        exp = tracelet.start_experiment("a", "b", "tracelet.testing.memory:BACKEND", mode="offline")
        exp.log_metric("loss", 0.5, 1)
        names = ("figures", "sounds", "films", "tables", "scores", "confusion", "models", "npy", "pictures")
        heavy = [name for name in names if "tracelet.inputs." + name in sys.modules]
        heavy += [name for name in ("numpy", "torch", "pydantic", "rich", "wrapt") if name in sys.modules]
        exp.log_table("t", [[1]])
        print(heavy, "tracelet.inputs.tables" in sys.modules, "numpy" in sys.modules)
        exp.stop()
    """
    lines = "\n".join(line.strip() for line in code.strip().splitlines())

    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split("\n")[0] == "[] True False"
