"""`compare` shows runs beside each other: in what they differ, and what became of their metrics."""

import math
from pathlib import Path

import pytest

from tests.cli.inside import inside
from tests.cli.making import FINISHED, STARTED, Result, new_run, running
from tracelet.events import Params, RunFinished, Tags
from tracelet.journal.writer import Writer


def run(place: Path, number: int, name: str = "", **metrics: list[float]) -> Path:
    """Make a run with params, tags and metrics; what has `number` in it differs from run to run."""
    directory = new_run(
        place,
        Params(STARTED, {"lr": number / 10, "batch": 32, **({"only": True} if number == 1 else {})}),
        Tags(STARTED, {"team": "vision", "host": f"node{number}"}),
        run_id=f"20231114-22132{number}-{number:06x}",
        name=name or f"run{number}",
        end=None,
    )
    writer = Writer(directory)
    for metric, values in metrics.items():
        for step, value in enumerate(values):
            writer.scalar(metric, value, step, STARTED + step)
    writer.finish(RunFinished(STARTED + 60 * number, "FINISHED") if number else FINISHED)
    return directory


def lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.out.splitlines()]


def test_it_shows_in_what_runs_differ_and_what_became_of_their_metrics(place: Path) -> None:
    run(place, 1, loss=[3.0, 1.0, 2.0], accuracy=[0.5])
    run(place, 2, loss=[4.0, math.nan])

    result = inside("compare", "run1", "run2")

    shown = lines(result)
    assert result.code == 0
    assert ["name", "run", "status", "started", "took", "points"] in shown
    assert [line[:3] + line[-2:] for line in shown[1:3]] == [
        ["run1", "20231114-221321-000001", "FINISHED", "0s", "4"],
        ["run2", "20231114-221322-000002", "FINISHED", "0s", "2"],
    ]
    assert [line[-3] for line in shown[1:3]] == ["1m", "2m"]
    assert ["name", "run1", "run2"] in shown
    assert ["lr", "0.1", "0.2"] in shown
    assert ["host", "node1", "node2"] in shown
    assert ["loss", "2", "NaN"] in shown
    assert not any(line[:1] in (["batch"], ["team"]) for line in shown)
    (only,) = [line for line in result.out.splitlines() if "only" in line]
    (accuracy,) = [line for line in result.out.splitlines() if "accuracy" in line]
    assert only.endswith("True")  # and nothing for the run that does not have it
    assert accuracy.endswith("0.5")


@pytest.mark.parametrize(
    ("by", "values"), [("last", ["2", "5"]), ("min", ["1", "4"]), ("max", ["3", "5"]), ("mean", ["2", "4.5"])]
)
def test_which_value_of_a_metric_is_compared_can_be_chosen(place: Path, by: str, values: list[str]) -> None:
    run(place, 1, loss=[3.0, 1.0, 2.0])
    run(place, 2, loss=[4.0, 5.0])

    result = inside("compare", "run1", "run2", "--by", by)

    assert ["metrics,", by] in lines(result)
    assert ["loss", *values] in lines(result)


def test_what_is_equal_is_shown_when_all_is_asked_for(place: Path) -> None:
    run(place, 1)
    run(place, 2)

    result = inside("compare", "run1", "run2", "--all")

    assert ["batch", "32", "32"] in lines(result)
    assert ["team", "vision", "vision"] in lines(result)


def test_it_gives_programs_every_field(place: Path) -> None:
    run(place, 1, loss=[3.0, 1.0], other=[1.0])
    run(place, 2, loss=[math.inf])
    running(place, run_id="20231114-221323-000003", name="run3")

    document = inside("compare", "run1", "run2", "run3", "-m", "lo*", "--json").json

    first, second, third = document["runs"]
    assert (first["run_id"], first["name"], first["project"]) == ("20231114-221321-000001", "run1", "demo")
    assert (first["status"], first["duration"]) == ("FINISHED", 60.0)
    assert (third["status"], third["duration"], third["ended"]) == ("RUNNING", 0.0, None)
    assert first["params"] == {"batch": 32, "lr": 0.1, "only": True}
    assert (first["metrics"]["loss"]["min"], first["metrics"]["loss"]["min_step"]) == (1.0, 1)
    assert list(first["metrics"]) == ["loss"]
    assert second["metrics"]["loss"]["last"] == "Infinity"
    assert document["differing"] == {"params": ["batch", "lr", "only"], "tags": ["host", "team"]}


def test_runs_of_one_name_are_told_apart_by_their_ids(place: Path) -> None:
    run(place, 1, "same", loss=[1.0])
    run(place, 2, "same", loss=[2.0])

    result = inside("compare", "000001", "000002")

    assert ["name", "000001", "000002"] in lines(result)
    assert ["loss", "1", "2"] in lines(result)


def test_many_runs_stand_in_rows_and_a_wide_table_is_continued_below(place: Path) -> None:
    for number in range(8):
        run(place, number, "", **{f"a-metric-of-some-length-{at}": [number + 0.5] for at in range(6)})
    names = [f"run{number}" for number in range(8)]

    piped = inside("compare", *names)
    narrow = inside("compare", *names, columns=80)

    row = ["run7", *["7.5"] * 6]
    assert row in lines(piped)
    assert sum(line[:1] == ["run"] and "a-metric" in line[1] for line in lines(narrow) if len(line) > 1) == 3
    assert ["run7", "7.5", "7.5"] in lines(narrow)
    assert max(map(len, narrow.out.splitlines())) <= 80


def test_as_many_runs_stand_beside_each_other_as_fit(place: Path) -> None:
    for number in range(5):
        run(place, number, loss=[number + 0.5])
    names = [f"run{number}" for number in range(5)]

    wide = inside("compare", *names, columns=120)
    narrow = inside("compare", *names, columns=60)

    assert ["loss", "0.5", "1.5", "2.5", "3.5", "4.5"] in lines(wide)
    assert ["run4", "4.5"] in lines(narrow)


def test_a_metric_of_all_runs_is_drawn_in_one_plot(place: Path) -> None:
    run(place, 1, loss=[1.0, 2.0, 3.0])
    run(place, 2, loss=[3.0, 2.0, 1.0])
    run(place, 3)

    result = inside("compare", "run1", "run2", "run3", "--plot", "loss", PYTHONIOENCODING="ascii")

    plotted = [line for line in result.out.splitlines() if "|" in line]
    assert len(plotted) == 12
    assert "*" in plotted[-1]
    assert "o" in plotted[0]
    assert result.out.endswith("  * run1\n  o run2\n")


def test_runs_elsewhere_are_compared_as_those_here(place: Path) -> None:
    run(place, 1, loss=[1.0])
    run(place, 2, loss=[2.0])

    here = inside("compare", "run1", "run2")
    there = inside("compare", "run1", "run2", "--from", f"journal:{place}")

    assert there.code == 0
    assert there.out.splitlines()[3:] == here.out.splitlines()[3:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run1"], "nothing to compare"),
        (["run1", "000001"], "nothing to compare"),
        (["run1", "run3"], "no run 'run3'"),
        (["run1", "run2", "--plot", "los"], "Did you mean 'loss'?"),
        (["run1", "run2", "--by", "median"], "'median' is not one of"),
        (["run1", "run2", "--json", "--plot", "loss"], "--json prints one document"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_ends_with_2(place: Path, arguments: list[str], said: str) -> None:
    run(place, 1, loss=[1.0])
    run(place, 2)

    result = inside("compare", *arguments)

    assert result.code == 2
    assert result.out == ""
    assert said in result.err


@pytest.mark.slow
def test_runs_that_mlflow_made_are_shown_compared_and_exported() -> None:
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db")
    experiment = client.create_experiment("plain")
    for number in range(2):
        made = client.create_run(experiment, run_name=f"run{number}").info.run_id
        client.log_param(made, "lr", number)
        for step in range(3):
            client.log_metric(made, "loss", 1 / (step + number + 1), step=step)
        client.log_text(made, "of MLflow", "notes/text.txt")
        client.set_terminated(made)

    source = "mlflow:sqlite:///mlflow.db"
    shown = inside("show", "run0", "--from", source, "--json").json
    compared = inside("compare", "run0", "run1", "--from", source)
    exported = inside("export", "run0", "--from", source, "-o", "run.csv", "--artifacts", "files")

    assert (shown["name"], shown["project"], shown["status"]) == ("run0", "plain", "FINISHED")
    assert shown["metrics"]["loss"]["last"] == 1 / 3
    assert ["loss", "0.333333", "0.25"] in lines(compared)
    assert ["lr", "0", "1"] in lines(compared)
    assert exported.code == 0
    assert Path("run.csv").read_text().splitlines()[-1].endswith(repr(1 / 3))
    assert Path("files/notes/text.txt").read_text() == "of MLflow"


def test_one_name_that_runs_of_a_sweep_share_names_all_of_them(place: Path) -> None:
    run(place, 1, "sweep", loss=[1.0])
    run(place, 2, "sweep", loss=[2.0])

    result = inside("compare", "sweep", "--json")

    assert [one["run_id"][-6:] for one in result.json["runs"]] == ["000001", "000002"]
