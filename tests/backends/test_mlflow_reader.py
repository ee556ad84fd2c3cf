"""MLflow's Reader: what it reads, what it leaves as it is, and how it fails."""

import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.backends.conftest import BACKEND, NOW, RUN, WARNINGS, Store
from tracelet import backends
from tracelet.backend import Reader
from tracelet.backends.mlflow import client as clients
from tracelet.backends.mlflow import stores
from tracelet.errors import ConfigError, Refused, Unavailable
from tracelet.events import Artifact, Event, Metric, RunFinished, RunStarted, Tags, Text
from tracelet.testing.proxy import FaultProxy

pytestmark = [*WARNINGS, pytest.mark.slow]
DAY = 86_400.0


@pytest.fixture
def reader(store: Store) -> Iterator[Reader]:
    reader = backends.reader(f"mlflow:{store.uri}")
    yield reader
    reader.close()


def read(reader: Reader, run: str, kind: type) -> list[Any]:
    return [event for event in reader.events(run) if isinstance(event, kind)]


def test_a_run_of_ours_is_what_it_was(store: Store, reader: Reader) -> None:
    batch: list[Event] = [Tags(NOW, {"a_0x23_b": "a tag", "tracelet.mine": "kept"})]
    batch += [Text(time=NOW, name="samples/a_0x23_", text="ü\r\n", step=step) for step in (None, -1)]
    store.open().write(batch)

    events = list(reader.events(store.id))

    started = events[0]
    assert isinstance(started, RunStarted)
    assert (started.run_id, started.name, started.project) == (RUN.run_id, RUN.name, RUN.project)
    assert (started.note, started.group, started.job_type) == (RUN.note, RUN.group, RUN.job_type)
    expected = {**RUN.tags, "a#b": "a tag", "tracelet.mine": "kept", "mlflow.user": "somebody"}
    assert started.tags == expected
    assert events[1:] == [
        Text(time=NOW, name="samples/a#", text="ü\r\n", step=step) for step in (None, -1)
    ]  # and no end: it goes on


def test_what_others_put_where_our_texts_are_is_an_artifact(store: Store, reader: Reader) -> None:
    store.open().write([Text(time=NOW, name="a", text="ours", step=1)])
    place = Path(store.run.info.artifact_uri, "text/a")
    (place / "step-00000002+1700000000123+01234567.txt").write_text("a digest of something else")
    (place / "notes.txt").write_text("theirs")

    assert [text.text for text in read(reader, store.id, Text)] == ["ours"]
    assert [artifact.path for artifact in read(reader, store.id, Artifact)] == [
        "text/a/notes.txt",
        "text/a/step-00000002+1700000000123+01234567.txt",
    ]


def test_every_page_of_a_history_is_read(
    store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_HISTORY", 7)
    points = [Metric("a", float(i % 5), i % 3, NOW + i // 4) for i in range(60)]
    store.open().write(points)

    assert sorted(map(repr, read(reader, store.id, Metric))) == sorted({repr(point) for point in points})


def test_a_step_with_a_fraction_is_cut_to_a_whole_one(store: Store, reader: Reader) -> None:
    store.open()
    store.client.log_metric(store.id, "a", 1.0, step=2.5)  # pyright: ignore[reportArgumentType]

    assert [point.step for point in read(reader, store.id, Metric)] == [2]


def test_every_page_of_runs_is_read(store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_RUNS", 2)
    monkeypatch.setattr(clients, "_EXPERIMENTS", 1)
    numbers = [store.client.create_experiment(name) for name in ("one", "two")]
    for i in range(6):
        store.client.create_run(numbers[i % 2], start_time=1000 + i, run_name=str(i))

    assert [run.name for run in reader.runs(None)] == [str(i) for i in range(6)]
    assert [(run.name, run.project) for run in reader.runs("two")] == [
        ("1", "two"),
        ("3", "two"),
        ("5", "two"),
    ]


def test_reading_at_once_and_again_gives_the_same(store: Store, reader: Reader) -> None:
    store.open().write([Metric(name, float(i), i, NOW) for name in "abc" for i in range(300)])

    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: list(reader.events(store.id)), range(4)))

    assert several == [list(reader.events(store.id))] * 4
    assert len(several[0]) == 901


def test_nothing_is_written_where_runs_are_read(store: Store, reader: Reader, tmp_path: Path) -> None:
    store.open().write([Metric("a", 1.0, 1, NOW), RunFinished(NOW + 1, "KILLED")])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    before = store.file.read_bytes()
    environ = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}

    assert [run.status for run in reader.runs("a project")] == ["KILLED"]
    assert read(reader, store.id, RunFinished) == [RunFinished(NOW + 1, "KILLED")]
    reader.close()

    assert store.file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "mlflow.db"]
    assert list(elsewhere.iterdir()) == []
    assert {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")} == environ


def test_a_database_of_another_version_is_left_as_it_is(store: Store, reader: Reader) -> None:
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0584bdc529eb'")
    before = store.file.read_bytes()

    with pytest.raises(Refused, match=r"another version of MLflow: .*mlflow db upgrade.*then try again"):
        list(reader.runs(None))

    assert store.file.read_bytes() == before


def test_what_is_not_there_is_said_and_not_made(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database, but long enough to be one of something else" * 9)

    for name, said in (
        ("no.db", "there is no database"),
        ("empty.db", "empty"),
        ("text.db", "no SQLite database"),
    ):
        with pytest.raises(Refused, match=said):
            list(backends.reader(f"mlflow:sqlite:///{tmp_path}/{name}").runs(None))
    with pytest.raises(Refused, match="there is no directory"):
        list(backends.reader(f"mlflow:file://{tmp_path}/mlruns").runs(None))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.db", store.file.name, "text.db"]


def test_runs_and_projects_that_are_not_there_are_said(store: Store, reader: Reader) -> None:
    store.open()
    number = store.id

    with pytest.raises(Refused, match=r"no experiment called 'a projekt'; .*Did you mean 'a project'\?"):
        list(reader.runs("a projekt"))
    with pytest.raises(Refused, match="not found"):
        next(reader.events("0123456789abcdef0123456789abcdef"))
    store.client.delete_run(number)
    with pytest.raises(Refused, match=f"deleted: `mlflow runs restore --run-id {number}`, then try again"):
        next(reader.events(number))
    assert list(reader.runs("a project")) == []


def test_files_are_downloaded_to_where_they_are_wanted(store: Store, reader: Reader, tmp_path: Path) -> None:
    store.open()
    store.client.log_text(store.id, "content", "deep/er/a #1.txt")

    reader.download(store.id, "deep/er/a #1.txt", tmp_path / "new/place/a.txt")

    assert (tmp_path / "new/place/a.txt").read_text() == "content"
    assert [path.name for path in (tmp_path / "new/place").iterdir()] == ["a.txt"]
    (tmp_path / "secret").touch()
    for path, said in (
        ("deep/er/b.txt", "no file 'deep/er/b.txt'"),
        ("deep/er", "is a directory"),
        ("../../../../secret", "no file"),
    ):
        with pytest.raises(Refused, match=said):
            reader.download(store.id, path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_in_a_run_of_ours_what_the_user_logged_with_mlflow_keeps_its_name(
    store: Store, reader: Reader, tmp_path: Path
) -> None:
    store.open().write([Metric("a_0x23_", 1.0, 1, NOW)])
    store.client.log_metric(store.id, "b_0x41_", 1.0)
    for name in ("c #1.txt", "d_0x41_.txt", "e_0x23_.txt"):
        store.client.log_text(store.id, name, f"theirs/{name}")

    assert {point.name for point in read(reader, store.id, Metric)} == {"a#", "b_0x41_"}
    paths = {artifact.path for artifact in read(reader, store.id, Artifact)}
    assert paths == {"theirs/c #1.txt", "theirs/d_0x41_.txt", "theirs/e#.txt"}  # the last may be ours
    for path in paths:
        reader.download(store.id, path, tmp_path / path)
    assert (tmp_path / "theirs/c #1.txt").read_text() == "c #1.txt"
    assert (tmp_path / "theirs/e#.txt").read_text() == "e_0x23_.txt"


def test_artifacts_that_were_left_on_another_machine_are_told_of(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.open()
    here = backends.reader(f"mlflow:{store.uri}")
    with caplog.at_level(logging.WARNING):
        assert read(here, store.id, Artifact) == []
        assert caplog.text == ""  # MLflow makes the directory with the first artifact
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute(
            "UPDATE runs SET artifact_uri = '/home/nobody/mlruns/1/' || run_uuid || '/artifacts'"
        )

    with caplog.at_level(logging.WARNING):
        assert read(here, store.id, Artifact) == []

    assert f"run {store.id}, and of others, should be in /home/nobody/mlruns" in caplog.text
    here.close()


def test_artifacts_that_only_a_server_hands_out_are_not_passed_over(store: Store, reader: Reader) -> None:
    store.open()
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/1/' || run_uuid")

    with pytest.raises(Refused, match="read the run from there, as in mlflow:http://host:5000"):
        list(reader.events(store.id))


def test_a_database_that_mlflow_would_write_to_when_it_opens_it_is_refused(
    store: Store, reader: Reader
) -> None:
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("DELETE FROM experiments WHERE experiment_id = 0")

    with pytest.raises(Refused, match=r"lacks the experiment 'Default'.*then try again"):
        list(reader.runs(None))


def test_a_served_database_of_another_version_is_not_upgraded(store: Store) -> None:
    """The check itself, on a file: it runs before MLflow's client sees such a URI."""
    assert stores._check_served(store.uri)
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0584bdc529eb'")
    with pytest.raises(Refused, match="another version of MLflow"):
        stores._check_served(store.uri)
    assert not stores._check_served("sqlite://")


def test_a_dead_server_is_an_error_soon_and_the_environment_stays(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    environ = dict(os.environ)
    reader = backends.reader(f"mlflow:{proxy.uri}")

    for mode in ("refuse", "black_hole", "error"):
        proxy.mode = mode
        with pytest.raises(Unavailable, match=r"API request|no MLflow server answers"):
            list(reader.runs(None))

    environ_now = {name: value for name, value in os.environ.items() if not name.startswith("_MLFLOW")}
    assert environ_now == {name: value for name, value in environ.items() if not name.startswith("_MLFLOW")}


def test_several_that_ask_at_once_leave_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracelet.backends.mlflow.reading import asking

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    both = threading.Barrier(2)

    def ask(_: int) -> str:
        with asking(5):
            both.wait(10)
            return os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == ["0", "0"]

    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What MLflow's own file store leaves, with one finished run, `run`; and no git keeps its empty parts."""
    from mlflow import MlflowClient

    root = tmp_path / "mlruns"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        client = MlflowClient(root.as_uri())
        number = client.create_experiment("old/ü")
        for name in ("run", "deleted"):
            run = client.create_run(number, start_time=1_600_000_000_000, tags={"a": " b\n"}, run_name=name)
            client.log_metric(run.info.run_id, "a/b", float("-inf"), timestamp=1_600_000_000_000, step=3)
            client.log_param(run.info.run_id, "deep/p", "x")
            client.set_terminated(run.info.run_id, "FAILED", 1_600_000_001_000)
        client.delete_run(run.info.run_id)
        gone = client.create_experiment("deleted")
        client.create_run(gone)
        client.delete_experiment(gone)
    for empty in [*root.rglob("artifacts"), root / ".trash"]:
        shutil.rmtree(empty)
    return root


def test_a_directory_of_the_old_file_store_is_read_and_left_alone(directory: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    reader = backends.reader(f"mlflow:{directory.as_uri()}")

    (run,) = reader.runs("old/ü")
    assert list(reader.runs(None)) == [run]
    started, params, point, end = reader.events(run.id)

    assert (run.name, run.status, run.started) == ("run", "FAILED", 1_600_000_000.0)
    assert isinstance(started, RunStarted)
    assert started.tags["a"] == " b\n"
    assert getattr(params, "params", None) == {"deep/p": "x"}
    assert point == Metric("a/b", float("-inf"), 3, 1_600_000_000.0)
    assert end == RunFinished(1_600_000_001.0, "FAILED")
    with pytest.raises(Refused, match=r"no run '\.\./secret'"):
        next(reader.events("../secret"))
    with pytest.raises(Refused, match=r"no experiment called 'old'; there are Default, old/ü"):
        list(reader.runs("old"))
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def test_lines_that_old_versions_or_a_kill_left_are_read_as_far_as_they_go(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = backends.reader(f"mlflow:{directory}")
    (run,) = reader.runs(None)
    (file,) = directory.glob(f"*/{run.id}/metrics/a/b")
    lines = ["3000 0.5", "2000 nan 1", "1000 0.1 2 iris digest", "4000 2 1.0", "torn", "5000 0."]
    file.write_text("\n".join(lines))

    with caplog.at_level(logging.WARNING):
        points = read(reader, run.id, Metric)

    assert [(repr(point.value), point.step, point.time) for point in points] == [
        ("0.1", 2, 1.0),
        ("nan", 1, 2.0),
        ("0.5", 0, 3.0),
        ("2.0", 1, 4.0),
        ("0.0", 0, 5.0),
    ]
    assert "1 lines of" in caplog.text


def test_a_source_is_a_uri_a_directory_a_file_or_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BACKEND.source is not None
    (tmp_path / "runs").mkdir()

    def place(text: str) -> str:
        assert BACKEND.source is not None
        return BACKEND.source(text)["tracking_uri"]

    assert place("") == f"sqlite:///{tmp_path}/mlflow.db"
    assert place("sqlite:///runs/a.db") == place("runs/a.db") == f"sqlite:///{tmp_path}/runs/a.db"
    assert place("./runs") == place("file:runs") == f"file://{tmp_path}/runs"
    assert place("http://host:5000/") == "http://host:5000/"
    assert place("databricks") == "databricks"
    (tmp_path / "mlruns/0").mkdir(parents=True)
    (tmp_path / "mlruns/0/meta.yaml").touch()
    assert place("") == f"file://{tmp_path}/mlruns"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host/mlflow")
    assert place("") == place("https://me:secret@host/mlflow") == "https://host/mlflow"
    with pytest.raises(ConfigError, match=r"'https://other' was given with credentials.*MLFLOW_TRACKING_URI"):
        place("https://me:secret@other")
    with pytest.raises(ConfigError, match=r"Did you mean 'http://host:5000'\?"):
        place("host:5000")
    with pytest.raises(ConfigError, match="no SQLite file"):
        place("sqlite://")
