"""MLflow's SQLite stores, for the tests of its Writer."""

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.journal.support import DEEP
from tracelet import arrays, backends
from tracelet.events import Payload, RunStarted
from tracelet.testing.contract.base import PROPERTY
from tracelet.testing.contract.ways import Way
from tracelet.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from mlflow import MlflowClient

HERE = Path(__file__).parent
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


# SQLAlchemy, pydantic and others, by way of MLflow.
WARNINGS = [pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

# For scripts that log models: MLflow loads each one in another process, to see which packages it needs.
NO_INFERENCE = {"MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "0"}


# Promises that take long with each backend, and are left to TRACELET_TESTS_DEEP=1; some by their parameters.
MUCH = {
    "test_a_hundred_thousand_points_come_back": (),
    "test_ten_thousand_params_come_back": (),
    # tests/crash kills more, of a relay that a keeper watches
    "test_a_relay_that_is_killed_three_times_delivers_everything_once": (),
    "test_a_server_that_fails_at_first_gets_everything_later": ("refuse", "error", "cut"),
    "test_a_server_that_fails_meanwhile_is_unavailable_and_misses_nothing": ("refuse", "error"),
    "test_a_server_that_fails_when_it_is_read_is_unavailable": ("error", "cut"),
    "test_whichever_answer_is_lost_nothing_is_doubled": (),
}
# The same of what is not in the contract.
MUCH_OF_OURS = {"test_what_people_log_with_mlflow_is_read_whole": ("server",)}


# Modules whose every test has a client, a process or a server: they are slow. The quick loop asks some
# promises of what writes files, and the whole contract of the journal and of the tracker in memory.
BUSY = {
    "test_aim",
    "test_aim_own",
    "test_clearml",
    "test_mlflow_contract",
    "test_mlflow_told",
    "test_wandb",
    "test_wandb_files",
    "test_wandb_own",
    "test_wandb_reader",
    "test_wandb_relay",
}
FILES = {"test_tensorboard", "test_trackio"}
QUICK = {
    "test_a_bad_record_loses_only_itself",
    "test_a_batch_that_is_written_twice_is_there_once",
    "test_a_run_that_is_not_there_is_refused",
    "test_every_kind_of_event_arrives_or_is_declared_absent",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long with each backend, and mark what the quick loop leaves out."""
    for item in items:
        name = getattr(item, "originalname", "")
        modes = None if DEEP else (MUCH | MUCH_OF_OURS).get(name)
        if modes is not None and (not modes or item.name.partition("[")[2].rstrip("]") in modes):
            item.add_marker(pytest.mark.skip(reason="it takes long: TRACELET_TESTS_DEEP=1 runs it"))
        busy = item.path.stem in BUSY or (item.path.stem in FILES and name not in QUICK)
        if item.path.parent == HERE and busy:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def page_says_so(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where the contract finds something else of a backend than docs/backends/index.md says."""
    yield
    told: dict[str, Any] = {}
    for name, value in request.node.user_properties:
        told |= value if name == PROPERTY else {}
    if "ways" not in told or request.config.getoption("contract_results", None):
        return  # the latter while the page is made
    from tests.backends import kinds

    found = {way.what: kinds.word(way) for way in msgspec.convert(told["ways"], list[Way])}
    if told["backend"] in kinds.COLUMNS:
        assert found == kinds.columns()[told["backend"]], "write it anew: python -m tests.backends.kinds"


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
        assert BACKEND.writer is not None
        return BACKEND.writer(self.options, lambda digest: self.file.parent / "blobs" / digest)

    def open(self) -> Any:
        writer = self.writer()
        self.id = writer.open(RUN).id
        return writer

    def blob(self, content: bytes, kind: str, **more: Any) -> Payload:
        """Keep a file where the Writer finds blobs."""
        digest = hashlib.sha256(content).hexdigest()
        place = self.file.parent / "blobs"
        place.mkdir(exist_ok=True)
        (place / digest).write_bytes(content)
        return Payload(digest, len(content), format=kind, **more)

    def array(self, value: Any) -> Payload:
        """Keep an array there."""
        raw = arrays.raw(value)
        data = self.blob(b"".join(raw.pieces), "")
        return Payload(data.digest, data.size, dtype=raw.dtype, shape=raw.shape)

    def files(self, below: str = "") -> list[str]:
        """List the run's artifacts."""
        found: list[str] = []
        for entry in self.client.list_artifacts(self.id, below):
            found += self.files(entry.path) if entry.is_dir else [entry.path]
        return sorted(found)

    def read(self, path: str) -> bytes:
        return Path(self.client.download_artifacts(self.id, path)).read_bytes()

    def events(self) -> list[Any]:
        """Read the run back."""
        reader = backends.reader(f"mlflow:{self.uri}")
        try:
            return list(reader.events(self.id))
        finally:
            reader.close()

    @property
    def client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    @property
    def run(self) -> Any:
        return self.client.get_run(self.id)

    def delete(self, run: str) -> None:
        """Delete a run so that it cannot be restored, as `mlflow gc` does."""
        deleted_in(self.uri, run)

    def history(self, name: str) -> list[tuple[int | None, int, float]]:
        return [(m.step, m.timestamp, m.value) for m in self.client.get_metric_history(self.id, name)]

    def runs(self) -> list[Any]:
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments))


def deleted_in(uri: str, run: str) -> None:
    """Delete a run from a database so that it cannot be restored, as `mlflow gc` does."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, "")
    store.delete_run(run)
    store._hard_delete_run(run)
    store.engine.dispose()


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
def untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nobody have told MLflow anything in this process, and leave it so."""
    from mlflow.tracking import fluent
    from mlflow.tracking._tracking_service import utils

    from tracelet.backends.mlflow import told

    def forget() -> None:
        fluent._active_run_stack.get().clear()
        fluent._last_active_run_id.set(None)
        told.adopted.clear()

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(utils, "_tracking_uri", None)
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    forget()
    yield
    forget()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Something at an address that is no server; and a client that does not wait long for it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    proxy = FaultProxy(9)
    yield proxy
    proxy.stop()
