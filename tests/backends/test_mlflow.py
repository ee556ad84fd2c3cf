"""MLflow's Writer against real SQLite stores, read back with MLflow's own client."""

import contextlib
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import eventually
from tests.live.servers import FaultProxy
from tracelet import backends
from tracelet.backend import Configuration
from tracelet.errors import BackendError, ConfigError, Refused, Rejected, Unavailable
from tracelet.events import Artifact, Event, Lost, Metric, Note, Params, RunFinished, RunStarted, Tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [
    # SQLAlchemy, pydantic and others, by way of MLflow.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

BACKEND = backends.load("mlflow")
NOW = 1_700_000_000.123
RUN = RunStarted(
    time=NOW,
    run_id="20261120-093000-3f2a1c",
    name="a name",
    project="a project",
    tags={"team": "vision"},
    note="what it is",
    group="sweep 7",
    job_type="train",
)

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


class Store:
    """One SQLite store, our way into it and MLflow's own way out."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "mlflow.db"
        self.uri = f"sqlite:///{self.file}"
        self.options = {
            "tracking_uri": self.uri,
            "experiment": "a project",
            "artifact_location": str(directory / "mlruns"),
            "user": "somebody",
        }

    def writer(self) -> Any:
        return BACKEND.writer(self.options, lambda digest: self.file.parent / "blobs" / digest)

    def open(self) -> Any:
        writer = self.writer()
        self.id = writer.open(RUN).id
        return writer

    @property
    def client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    @property
    def run(self) -> Any:
        return self.client.get_run(self.id)

    def history(self, name: str) -> list[tuple[int | None, int, float]]:
        return [(m.step, m.timestamp, m.value) for m in self.client.get_metric_history(self.id, name)]

    def runs(self) -> list[Any]:
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database: making one takes seconds, copying it nothing."""
    store = Store(tmp_path_factory.mktemp("template"))
    store.open()
    with contextlib.closing(sqlite3.connect(store.file)) as connection, connection:
        for table in ("tags", "runs"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  a constant
        connection.execute("DELETE FROM experiments WHERE experiment_id > 0")
    return store.file


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    shutil.copy(template, tmp_path / "mlflow.db")
    return Store(tmp_path)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Something at an address that is no server; and a client that does not wait long for it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    proxy = FaultProxy(9)
    yield proxy
    proxy.stop()


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


def blob(store: Store, digest: str, content: bytes) -> Artifact:
    file = store.file.parent / "blobs" / digest
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return Artifact(time=NOW, path="unset", size=len(content), digest=digest)


def at(artifact: Artifact, path: str) -> Artifact:
    return Artifact(time=NOW, path=path, size=artifact.size, digest=artifact.digest)


# --------------------------------------------------------------------------------------- configuring


def configured(
    tmp_path: Path, settings: dict[str, str] | None = None, environ: dict[str, str] | None = None
) -> dict[str, str]:
    return BACKEND.configure(
        Configuration(
            settings=settings or {},
            environ=environ or {},
            project="p",
            directory=tmp_path / "here",
            script_directory=tmp_path / "script",
        )
    )


def test_without_a_word_a_run_goes_into_a_database_beside_the_script(tmp_path: Path) -> None:
    options = configured(tmp_path)

    assert options["tracking_uri"] == f"sqlite:///{tmp_path}/script/mlflow.db"
    assert options["artifact_location"] == f"{tmp_path}/script/mlruns"
    assert options["experiment"] == "p"


def test_a_setting_beats_the_environment_and_the_url_beats_both(tmp_path: Path) -> None:
    environ = {"MLFLOW_TRACKING_URI": "http://third"}

    assert configured(tmp_path, {}, environ)["tracking_uri"] == "http://third"
    assert configured(tmp_path, {"tracking_uri": "http://second"}, environ)["tracking_uri"] == "http://second"
    both = {"tracking_uri": "http://second", "backend_url": "http://first"}
    assert configured(tmp_path, both, environ)["tracking_uri"] == "http://first"


def test_a_relative_database_is_the_one_where_the_user_stands(tmp_path: Path) -> None:
    options = configured(tmp_path, {"tracking_uri": "sqlite:///runs/all.db"})

    assert options["tracking_uri"] == f"sqlite:///{tmp_path}/here/runs/all.db"
    assert options["artifact_location"] == f"{tmp_path}/here/runs/mlruns"


def test_credentials_are_not_among_the_options(tmp_path: Path) -> None:
    options = configured(tmp_path, {"backend_url": "http://user:secret@host:5000"})

    assert options["tracking_uri"] == "http://host:5000"
    assert "secret" not in str(options)


def test_a_server_keeps_its_artifacts_itself(tmp_path: Path) -> None:
    assert configured(tmp_path, {"tracking_uri": "https://host"})["artifact_location"] == ""


def test_artifacts_of_a_shared_database_lie_where_the_user_stands(tmp_path: Path) -> None:
    options = configured(tmp_path, {"tracking_uri": "postgresql://host/db"})

    assert options["artifact_location"] == f"{tmp_path}/here/mlruns"


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "file:///tmp/mlruns", "C:\\mlruns"])
def test_a_directory_is_refused_with_what_to_use_instead(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///mlflow.db"):
        configured(tmp_path, {"tracking_uri": uri})


@pytest.mark.parametrize(
    ("uri", "instead"),
    [
        ("localhost:5000", "'http://localhost:5000'"),
        ("sqlite://mlflow.db", "'sqlite:///mlflow.db'"),
        ("sqlite:///:memory:", "Use a file"),
        ("sqlite://", "Use a file"),
    ],
)
def test_a_mistaken_uri_is_answered_with_the_right_one(tmp_path: Path, uri: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=instead):
        configured(tmp_path, {"tracking_uri": uri})


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile", "mysql+pymysql://h/db", "arn:aws:x:y"])
def test_every_other_uri_is_left_to_mlflow(tmp_path: Path, uri: str) -> None:
    assert configured(tmp_path, {"tracking_uri": uri})["tracking_uri"] == uri


# ------------------------------------------------------------------------------------------- opening


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
    eventually(lambda: any(file.stat().st_size for file in store.file.parent.glob("*.new")), 60)
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


# ------------------------------------------------------------------------------------------- writing


def test_points_keep_value_step_and_milliseconds(store: Store) -> None:
    values = [0.1 + 0.2, 5e-324, -1.5e308, math.pi, 1e-17, 2.0**53 + 2]
    steps = [0, 1, -7, 2**63 - 1, -(2**63), 5]
    times = [NOW + i * 0.0014 for i in range(6)]

    store.open().write([Metric("a", v, s, t) for v, s, t in zip(values, steps, times, strict=True)])

    expected = [(s, round(t * 1000), v) for v, s, t in zip(values, steps, times, strict=True)]
    assert sorted(store.history("a")) == sorted(expected)


def test_values_that_are_no_numbers_are_kept_as_declared(store: Store) -> None:
    values = [math.nan, math.inf, -math.inf, -0.0]

    store.open().write([Metric("a", value, step, NOW) for step, value in enumerate(values)])

    nan, high, low, zero = [
        value for _, _, value in sorted(store.history("a"), key=lambda point: point[0] or 0)
    ]
    assert math.isnan(nan)
    assert (high, low) == (sys.float_info.max, -sys.float_info.max)
    assert zero == 0.0


def test_a_batch_that_is_sent_twice_is_there_once(store: Store) -> None:
    batch: list[Event] = [Metric("a", float(i % 3), i % 5, NOW + i % 2) for i in range(30)]
    batch += [Metric("nan", math.nan, 1, NOW), Metric("inf", math.inf, 1, NOW)]
    batch += [Params(NOW, {"p": 1}), Tags(NOW, {"t": "u"}), Note(NOW, "note")]
    writer = store.open()

    writer.write(batch)
    writer.write(batch)
    writer.write([*batch, Metric("a", 9.0, 9, NOW)])

    assert (
        len(store.history("a"))
        == len({BACKEND.identity(e) for e in batch if e.name == "a"} if BACKEND.identity else ()) + 1
    )  # type: ignore[union-attr]
    assert len(store.history("nan")) == 1
    assert len(store.history("inf")) == 1


def test_what_is_one_point_in_the_store_has_one_identity(store: Store) -> None:
    assert BACKEND.identity is not None
    values = [math.nan, -math.nan, math.inf, sys.float_info.max, 0.0, -0.0, 1.0]
    batch = [Metric("a", value, 1, NOW + late) for value in values for late in (0, 0.0001, 0.002)]

    store.open().write(batch)

    assert len(store.history("a")) == len({BACKEND.identity(event) for event in batch})
    assert BACKEND.identity(Note(NOW, "a")) is None


def test_params_are_mlflows_own_text(store: Store) -> None:
    params: dict[str, Any] = {
        "int": 3,
        "float": 1e-4,
        "bool": True,
        "none": None,
        "text": "a b",
        "empty": "",
        "list": [1, "a", None],
        "dict": {"a": 1},
        "long": "ü" * 6000,
    }
    writer = store.open()
    other = store.client.create_run("0")
    for name, value in params.items():
        store.client.log_param(other.info.run_id, name, value)

    writer.write([Params(NOW, {name: value}) for name, value in params.items()])

    assert store.run.data.params == store.client.get_run(other.info.run_id).data.params


def test_a_param_that_changes_is_rejected_and_the_first_stays(store: Store) -> None:
    writer = store.open()
    writer.write([Params(NOW, {"p": 1})])

    with pytest.raises(Rejected, match="Changing param values is not allowed"):
        writer.write([Params(NOW, {"p": 2})])
    with pytest.raises(Rejected):
        writer.write([Params(NOW, {"q": 1}), Params(NOW, {"q": 2})])

    assert store.run.data.params["p"] == "1"


def test_the_last_of_equal_tags_and_notes_counts(store: Store) -> None:
    store.open().write(
        [Tags(NOW, {"a": "1", "b": "1"}), Note(NOW, "one"), Tags(NOW, {"a": "2"}), Note(NOW, "two")]
    )

    assert store.run.data.tags["a"] == "2"
    assert store.run.data.tags["b"] == "1"
    assert store.run.data.tags["mlflow.note.content"] == "two"


def test_a_tag_may_rename_the_run(store: Store) -> None:
    store.open().write([Tags(NOW, {"mlflow.runName": "another"})])

    assert store.run.info.run_name == "another"


def test_the_largest_batch_that_limits_allow_is_taken(store: Store) -> None:
    batch: list[Event] = [Params(NOW, {f"{'p' * 240}{i}": "\n" * 6000}) for i in range(100)]
    batch += [Tags(NOW, {f"{'t' * 240}{i}": "\U0001f600" * 8000}) for i in range(100)]
    batch += [Metric(f"{'m' * 240}{i}", 1.0, i, NOW) for i in range(800)]

    store.open().write(batch)

    data = store.run.data
    assert len(data.params) == 100
    assert data.tags["t" * 240 + "99"] == "\U0001f600" * 8000
    assert len(data.metrics) == 800


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_the_end_is_status_and_time(store: Store, status: Any) -> None:
    store.open().write([RunFinished(NOW + 60, status)])

    assert store.run.info.status == status
    assert store.run.info.end_time == 1_700_000_060_123


def test_what_no_tracker_holds_is_passed_over(store: Store) -> None:
    writer = store.open()

    writer.write([RUN, Lost(NOW, 3, "disk full")])
    writer.write([])
    writer.close()

    assert writer.acknowledged() is None
    assert store.run.data.metrics == {}


# ----------------------------------------------------------------------------------------- artifacts


def test_artifacts_lie_under_their_paths_beside_the_database(store: Store) -> None:
    content = blob(store, "abc", b"\x00bytes\xff")
    paths = ["model.bin", "deep/er/model.bin", "naïve file (1).txt", "empty/twin.bin"]

    store.open().write([at(content, path) for path in paths])

    place = Path(store.run.info.artifact_uri)
    assert place.is_relative_to(store.file.parent / "mlruns")
    for path in paths:
        downloaded = Path(store.client.download_artifacts(store.id, path))
        assert downloaded.read_bytes() == b"\x00bytes\xff"
        assert not (place / path).is_symlink()


def test_of_artifacts_with_one_path_the_last_counts(store: Store) -> None:
    first, second = blob(store, "a", b"first"), blob(store, "b", b"second")
    writer = store.open()

    writer.write([at(first, "x.txt"), at(second, "x.txt")])
    writer.write([at(second, "y.txt")])
    writer.write([at(first, "y.txt")])

    assert Path(store.client.download_artifacts(store.id, "x.txt")).read_bytes() == b"second"
    assert Path(store.client.download_artifacts(store.id, "y.txt")).read_bytes() == b"first"


def test_a_referenced_file_is_taken_as_it_was(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    was = file.stat()
    artifact = Artifact(
        time=NOW, path="m/model.bin", size=was.st_size, reference=str(file), mtime=was.st_mtime
    )
    writer = store.open()

    writer.write([artifact])

    assert Path(store.client.download_artifacts(store.id, "m/model.bin")).read_bytes() == b"weights"
    file.write_bytes(b"other weights")
    with pytest.raises(Rejected, match="has changed"):
        writer.write([artifact])
    file.unlink()
    with pytest.raises(Rejected, match="cannot be read"):
        writer.write([artifact])


def test_an_artifact_whose_bytes_are_gone_is_rejected(store: Store) -> None:
    with pytest.raises(Rejected, match="are not at"):
        store.open().write([Artifact(time=NOW, path="x", size=1, digest="gone")])


@pytest.mark.parametrize("path", ["../escape", "file/below", "n" * 300])
def test_an_artifact_that_has_no_place_is_rejected(store: Store, path: str) -> None:
    content = blob(store, "abc", b"1")
    writer = store.open()
    writer.write([at(content, "file")])

    with pytest.raises(Rejected):
        writer.write([at(content, path)])


# ------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize("mode", ["refuse", "error", "black_hole"])
def test_a_server_that_does_not_work_is_unavailable(store: Store, proxy: FaultProxy, mode: Any) -> None:
    proxy.mode = mode
    store.options.update(tracking_uri=f"http://user:secret@127.0.0.1:{proxy.port}", artifact_location="")
    before = time.monotonic()

    with pytest.raises(Unavailable) as caught:
        store.open()

    assert time.monotonic() - before < BACKEND.limits.patience
    assert "secret" not in str(caught.value)


def test_a_database_server_that_is_not_there_is_unavailable(store: Store, proxy: FaultProxy) -> None:
    store.options["tracking_uri"] = f"postgresql://127.0.0.1:{proxy.port}/db"

    with pytest.raises(Unavailable, match="no postgresql server answers"):
        store.open()


def test_a_locked_database_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.open()
    with contextlib.closing(sqlite3.connect(store.file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        # The client waits 20 s for a lock; nothing here can shorten that but its own engine.
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        engine = SqlAlchemyStore._engine_map[store.uri]
        from sqlalchemy import event

        event.listen(engine, "before_cursor_execute", _impatient, retval=True)
        with pytest.raises(Unavailable, match="locked"):
            writer.write([Metric("loss", 0.5, 0, NOW)])

    writer.write([Metric("loss", 0.5, 0, NOW)])
    assert len(store.history("loss")) == 1


def _impatient(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> tuple[str, Any]:
    return statement.replace("busy_timeout = 20000", "busy_timeout = 10"), parameters


def test_only_a_process_of_our_own_has_its_environment_changed() -> None:
    program = """
import os, sys
from importlib.machinery import ModuleSpec
from tracelet.backends.mlflow.stores import patient, settle

name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
settle()
assert not any(key.startswith("MLFLOW_") for key in os.environ)
sys.modules["__main__"].__spec__ = ModuleSpec("tracelet.relay.__main__", None)
os.environ[name] = "600"
settle()
assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
assert os.environ[name] == "15"
with patient(20_000_000):
    assert os.environ[name] == "115"
assert os.environ[name] == "15"
os.environ[name] = "3"
settle()
assert os.environ[name] == "3"
"""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}

    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
