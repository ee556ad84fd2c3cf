"""Finding or making a run in MLflow, whoever else tries and whatever dies meanwhile."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backends.conftest import RUN, WARNINGS, Store
from tests.conftest import eventually
from tracelet.errors import BackendError, Refused
from tracelet.events import Metric, RunFinished

NOW = RUN.time
pytestmark = [*WARNINGS, pytest.mark.slow]

WRITING = """
import sys
from pathlib import Path
import msgspec
from tracelet import backends
from tracelet.events import Metric, RunStarted

tracking_uri, artifacts, run_id, gate = sys.argv[1:]
while gate and not Path(gate).exists():
    pass
options = {"tracking_uri": tracking_uri, "experiment": "a project", "artifact_location": artifacts}
writer = backends.load("mlflow").writer(options, Path)
remote = writer.open(RunStarted(time=1.5, run_id=run_id, name="a name", project="a project"))
writer.write([Metric("loss", 0.5, step, 1.5) for step in range(10)])
print(remote.id)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a process that opens a run and writes ten points."""
    started: list[subprocess.Popen[str]] = []

    def _start(store: Store, run_id: str = RUN.run_id, gate: Path | str = "") -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-c",
            WRITING,
            store.uri,
            store.options["artifact_location"],
            run_id,
            str(gate),
        ]
        environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        )
        return started[-1]

    yield _start
    for process in started:
        process.kill()
        process.communicate()


def finished(process: "subprocess.Popen[str]") -> str:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.strip().splitlines()[-1]


def test_a_new_run_is_what_its_first_event_says(store: Store) -> None:
    remote = store.writer().open(RUN)

    run = store.client.get_run(remote.id)
    assert run.info.run_name == "a name"
    assert run.info.start_time == 1_700_000_000_123
    assert run.info.status == "RUNNING"
    assert store.client.get_experiment(run.info.experiment_id).name == "a project"
    assert run.data.tags["tracelet.uid"] == RUN.run_id
    assert run.data.tags["mlflow.note.content"] == "what it is"
    assert run.data.tags["mlflow.user"] == "somebody"
    assert run.data.tags["tracelet.group"] == "sweep 7"
    assert run.data.tags["tracelet.job_type"] == "train"
    assert run.data.tags["team"] == "vision"
    assert remote.view == f"mlflow ui --backend-store-uri {store.uri}"
    assert remote.url == ""


def test_a_new_process_finds_the_run_and_doubles_nothing(
    store: Store, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    writer = store.open()
    writer.write([Metric("loss", 0.5, step, 1.5) for step in range(5)])

    there = finished(start(store))

    assert there == store.id
    assert len(store.runs()) == 1
    assert store.history("loss") == [(step, 1500, 0.5) for step in range(10)]


def test_a_finished_run_is_found_too(store: Store) -> None:
    store.open().write([RunFinished(NOW, "FAILED")])
    first = store.id

    store.open()

    assert store.id == first


def test_a_run_whose_creation_came_true_late_is_removed(store: Store) -> None:
    writer = store.open()
    late = store.client.create_run(store.run.info.experiment_id, tags={"tracelet.uid": RUN.run_id})

    writer.write([RunFinished(NOW, "FINISHED")])

    assert store.client.get_run(late.info.run_id).info.lifecycle_stage == "deleted"
    assert [run.info.run_id for run in store.runs()] == [store.id]


def test_a_database_is_made_where_there_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "new é dir")

    store.open().write([Metric("loss", 0.5, 0, NOW)])

    assert store.history("loss") == [(0, 1_700_000_000_123, 0.5)]
    assert [path.name for path in store.file.parent.iterdir()] == ["mlflow.db"]


def test_artifacts_lie_beside_the_database_wherever_the_process_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "there")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    store.open()
    store.options["experiment"] = "Default"
    store.open()

    for experiment in store.client.search_experiments():
        there = tmp_path / "there" / "mlruns" / experiment.experiment_id
        assert experiment.artifact_location == str(there)
    assert list((tmp_path / "here").iterdir()) == []


def test_two_processes_make_one_database(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    store, gate = Store(tmp_path / "both"), tmp_path / "gate"
    processes = [start(store, run_id, gate) for run_id in ("first", "second")]

    gate.touch()

    assert {finished(process) for process in processes} == {run.info.run_id for run in store.runs()}
    assert len(store.runs()) == 2
    assert [path.name for path in store.file.parent.iterdir()] == ["mlflow.db"]


def test_a_process_killed_while_it_makes_a_database_leaves_none(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    store = Store(tmp_path / "killed")
    process = start(store)
    eventually(lambda: any(store.file.parent.glob("*.new/mlflow.db-journal")), 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not store.file.exists()

    store.open()

    assert [path.name for path in store.file.parent.iterdir()] == ["mlflow.db"]


def test_a_database_of_another_version_is_left_alone(store: Store) -> None:
    with contextlib.closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")

    with pytest.raises(Refused, match="mlflow db upgrade"):
        store.open()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None])
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, content: bytes | None) -> None:
    store = Store(tmp_path)
    if content is None:
        with contextlib.closing(sqlite3.connect(store.file)) as connection, connection:
            connection.execute("CREATE TABLE somebody_elses (x)")
    else:
        store.file.write_bytes(content)

    with pytest.raises(Refused, match="choose another file"):
        store.open()


def test_a_place_where_nothing_can_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BackendError, match="file"):
        Store(tmp_path / "file" / "below").open()


def test_a_deleted_experiment_is_refused_with_what_to_do(store: Store) -> None:
    experiment = store.client.create_experiment("a project")
    store.client.delete_experiment(experiment)

    with pytest.raises(Refused, match=f"mlflow experiments restore --experiment-id {experiment}"):
        store.open()


def test_a_deleted_run_is_refused_with_what_to_do(store: Store) -> None:
    writer = store.open()
    store.client.delete_run(store.id)

    with pytest.raises(Refused, match="tracelet sync"):
        writer.write([Metric("loss", 0.5, 0, NOW)])
    with pytest.raises(Refused, match=f"mlflow runs restore --run-id {store.id}"):
        store.open()


def test_an_impossible_experiment_name_is_refused(store: Store) -> None:
    store.options["experiment"] = "x" * 501

    with pytest.raises(Refused, match="maximum length"):
        store.open()
