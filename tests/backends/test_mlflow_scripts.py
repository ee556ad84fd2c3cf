"""Runs that MLflow's documentation teaches people to make, without tracelet, are read whole.

One script, as people write them, logs to a database, to a directory of MLflow's old file store and to
a server; what the Reader gives is compared with what MLflow's own client says.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.backends.conftest import NO_INFERENCE, WARNINGS
from tracelet import backends
from tracelet.backend import Reader
from tracelet.events import Artifact, Event, Image, Metric, Params, RunFinished, RunStarted

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [*WARNINGS, pytest.mark.slow]

SCRIPT: Final = """
import os, sys, time
from pathlib import Path

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
from mlflow.entities import Metric
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

uri, count = sys.argv[1], int(sys.argv[2])
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("iris/ü")
X, y = load_iris(return_X_y=True, as_frame=True)

mlflow.sklearn.autolog()
with mlflow.start_run(run_name="autolog"):
    model = LogisticRegression(max_iter=200).fit(X, y)
mlflow.sklearn.autolog(disable=True)

tags = {"a_0x41_": "kept", "tracelet.group": "mine"}
with mlflow.start_run(run_name="parent", tags=tags, description="why"):
    mlflow.log_params({"lr": 0.1, "layers": [1, 2], "none": None})
    for depth in range(2):
        with mlflow.start_run(run_name=f"child {depth}", nested=True):
            mlflow.log_metric("loss", depth, step=-depth)

with mlflow.start_run(run_name="long") as run:
    client = mlflow.MlflowClient()
    points = [Metric("loss", 1 / (i + 1), 1_700_000_000_000 + i, i % 1000) for i in range(count)]
    points += [Metric("odd", value, 1_700_000_000_000, 3) for value in (float("nan"), float("inf"), 0.0)]
    for begin in range(0, len(points), 1000):
        client.log_batch(run.info.run_id, metrics=points[begin : begin + 1000])

with mlflow.start_run(run_name="files") as run:
    for step in range(2):
        mlflow.log_image(np.full((8, 8, 3), step, dtype=np.uint8), key="images/sample", step=step)
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    mlflow.log_figure(figure, "plots/figure.png")
    mlflow.log_table({"a": [1, 2]}, "table.json")
    mlflow.log_dict({"k": "v"}, "deep/er/config.yaml")
    mlflow.log_text("ü", "text/loss/step-00000001+1+01234567.txt")
    Path("checkpoints/deep").mkdir(parents=True)
    Path("checkpoints/deep/1.pt").write_bytes(b"\\0one")
    Path("checkpoints/empty").touch()
    mlflow.log_artifacts("checkpoints", "weights")
    data = mlflow.data.from_pandas(X, name="iris")
    mlflow.log_input(data, context="training")
    mlflow.log_metric("score", 0.5, step=7, dataset=data)
    for step in range(2):
        mlflow.sklearn.log_model(
            model, name="model", step=step, pip_requirements=["scikit-learn"], registered_model_name="iris"
        )

mlflow.set_system_metrics_sampling_interval(0.1)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run(run_name="system", log_system_metrics=True) as run:
    metrics = {}
    while not any(name.startswith("system/") for name in metrics):
        time.sleep(0.05)
        try:
            metrics = client.get_run(run.info.run_id).data.metrics
        except Exception:  # in a directory, of a file that is just being written
            pass

mlflow.start_run(run_name="running")
gone = client.create_run(run.info.experiment_id, run_name="deleted")
client.delete_run(gone.info.run_id)
sys.stdout.flush()
os._exit(0)  # and so the last run never ends
"""
FIELDS: Final = {"mlflow.runName", "mlflow.note.content", "mlflow.parentRunId"}


@pytest.fixture(
    params=[
        "database",
        "directory",
        pytest.param("server", marks=[pytest.mark.live, pytest.mark.xdist_group("mlflow-server")]),
    ],
)
def uri(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, home: Path
) -> Iterator[str]:
    """Run the script once for each kind of store, and keep the store as it is."""
    place = tmp_path_factory.mktemp("script")
    server: Any = None
    if request.param == "server":
        from tests.live.servers import MlflowServer

        server = MlflowServer(place / "server")
        server.start()
    made = {"database": f"sqlite:///{place}/a%20b.db", "directory": f"file://{place}/mlruns"}
    uri = made.get(request.param) or server.uri
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environ |= {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(home)}
    environ |= NO_INFERENCE
    count = {"database": "26000", "directory": "3000", "server": "26000"}[request.param]
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, uri, count],
            cwd=place,
            env=environ,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        yield uri
    finally:
        if server is not None:
            server.stop()


@pytest.fixture
def reader(uri: str) -> Iterator[Reader]:
    reader = backends.reader(f"mlflow:{uri}")
    yield reader
    reader.close()


@pytest.fixture
def client(uri: str, monkeypatch: pytest.MonkeyPatch) -> "MlflowClient":
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowClient(uri)


def theirs(client: "MlflowClient") -> dict[str, Any]:
    """Find all runs, by their names, as MLflow's client has them."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return {str(run.info.run_name): run for run in client.search_runs(experiments)}


def walk(client: "MlflowClient", run: str, path: str | None = None) -> Iterator[str]:
    for entry in client.list_artifacts(run, path):
        if entry.is_dir:
            yield from walk(client, run, entry.path)
        else:
            yield entry.path


def files(events: list[Event]) -> dict[str, int]:
    return {event.path: event.size for event in events if isinstance(event, Artifact)}


def every_run_is_listed_but_deleted_ones(reader: Reader, client: "MlflowClient") -> None:
    runs = list(reader.runs(None))

    expected = theirs(client)
    assert {run.id: (run.name, run.status) for run in runs} == {
        run.info.run_id: (run.info.run_name, run.info.status) for run in expected.values()
    }
    assert [run.started for run in runs] == sorted(run.info.start_time / 1000 for run in expected.values())
    assert {run.project for run in runs} == {"iris/ü"}
    assert list(reader.runs("iris/ü")) == runs


def a_run_is_what_mlflows_own_client_says_of_it(
    reader: Reader, runs: dict[str, list[Event]], client: "MlflowClient", tmp_path: Path
) -> None:
    for name, run in theirs(client).items():
        number = run.info.run_id
        events = runs[name]

        started, tags = events[0], run.data.tags
        assert isinstance(started, RunStarted)
        assert (started.run_id, started.name, started.project) == (number, name, "iris/ü")
        assert started.time == run.info.start_time / 1000
        assert started.tags == {tag: value for tag, value in tags.items() if tag not in FIELDS}
        assert started.note == tags.get("mlflow.note.content", "")
        assert started.parent == tags.get("mlflow.parentRunId", "")
        params = [event.params for event in events if isinstance(event, Params)]
        assert params == ([run.data.params] if run.data.params else [])
        for metric in run.data.metrics:
            points = [event for event in events if isinstance(event, Metric) and event.name == metric]
            history = client.get_metric_history(number, metric)
            assert Counter((repr(p.value), p.time) for p in points) == Counter(
                (repr(p.value), p.timestamp / 1000) for p in history
            )
            if metric != "score":  # whose step MLflow's class for directories loses
                assert Counter(p.step for p in points) == Counter(p.step for p in history)
            assert [p.time for p in points] == sorted(p.time for p in points)
        ends = [(event.time, event.status) for event in events if isinstance(event, RunFinished)]
        info = run.info
        assert ends == ([] if info.status == "RUNNING" else [(info.end_time / 1000, info.status)])
        for path in walk(client, number):
            reader.download(number, path, tmp_path / number / path)
            content = (tmp_path / number / path).read_bytes()
            assert content == Path(client.download_artifacts(number, path)).read_bytes()
            if not path.startswith("images/images~sample"):  # they are images, and no artifacts
                assert files(events)[path] == len(content)


def the_runs_are_as_the_script_made_them(runs: dict[str, list[Event]]) -> None:
    metrics = {
        name: [event for event in events if isinstance(event, Metric)] for name, events in runs.items()
    }

    assert {point.name for point in metrics["autolog"]} >= {"training_accuracy_score", "training_log_loss"}
    assert [point.step for point in metrics["child 1"]] == [-1]
    long = {(point.step, point.time) for point in metrics["long"] if point.name == "loss"}
    assert len(long) in {3000, 26000}
    assert len([point for point in metrics["long"] if point.name == "odd"]) == 3
    assert 7 in {point.step for point in metrics["files"]}
    assert {point.name.partition("/")[0] for point in metrics["system"]} == {"system"}
    assert not isinstance(runs["running"][-1], RunFinished)
    paths = set(files(runs["files"]))
    images = [event for event in runs["files"] if isinstance(event, Image)]
    assert sorted(image.step or 0 for image in images) == [0, 1]
    assert {image.name for image in images} == {"images/sample"}
    assert paths >= {"plots/figure.png", "table.json", "deep/er/config.yaml", "weights/deep/1.pt"}
    assert "text/loss/step-00000001+1+01234567.txt" in paths


def logged_models_datasets_and_versions_are_among_the_artifacts(
    reader: Reader, runs: dict[str, list[Event]], tmp_path: Path
) -> None:
    numbers = {run.name: run.id for run in reader.runs(None)}
    alone, twins = runs["autolog"], runs["files"]

    assert set(files(alone)) >= {"model/MLmodel", "model/model.pkl"}
    models = {path.split("/")[1] for path in files(twins) if path.startswith("model/")}
    assert len(models) == 2
    for events, run in ((alone, numbers["autolog"]), (twins, numbers["files"])):
        for path, size in files(events).items():
            reader.download(run, path, tmp_path / run / path)
            assert (tmp_path / run / path).stat().st_size == size
    number = numbers["files"]
    about = json.loads((tmp_path / number / f"mlflow/run-{number}.json").read_text())
    assert [dataset["name"] for dataset in about["datasets"]] == ["iris"]
    assert about["datasets"][0]["tags"] == {"mlflow.data.context": "training"}
    assert {model["id"] for model in about["models"]} == models
    assert sorted(str(version["version"]) for version in about["registered versions"]) == ["1", "2"]


def test_what_people_log_with_mlflow_is_read_whole(
    reader: Reader, client: "MlflowClient", tmp_path: Path
) -> None:
    runs = {run.name: list(reader.events(run.id)) for run in reader.runs(None)}

    every_run_is_listed_but_deleted_ones(reader, client)
    a_run_is_what_mlflows_own_client_says_of_it(reader, runs, client, tmp_path)
    the_runs_are_as_the_script_made_them(runs)
    logged_models_datasets_and_versions_are_among_the_artifacts(reader, runs, tmp_path)
