"""MLflow as a company has it: a server, or its database itself, on PostgreSQL, with artifacts in an S3."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from tests.backends.conftest import MUCH, WARNINGS, deleted_in
from tests.conftest import eventually
from tests.journal.support import DEEP
from tests.live.servers import S3, MlflowServer, Postgres
from tracelet import backends
from tracelet.backend import Options
from tracelet.events import Artifact, Image, Note, Params, Tags
from tracelet.journal import progress, shelf, status
from tracelet.journal.locks import held, holder
from tracelet.testing import BackendContract
from tracelet.testing.contract.failures import Failures
from tracelet.testing.contract.naming import Names
from tracelet.testing.contract.points import Points
from tracelet.testing.contract.samples import SAMPLES
from tracelet.testing.contract.scene import BEGAN, Scene

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("postgres"), *WARNINGS]

POISON = (Params(1.0, {"once": "one"}), Params(2.0, {"once": "another"}))
FIRST = {"test_a_param_that_is_logged_again_has_its_last_value": "a reject; the first value stays"}
ELSEWHERE = (
    *MUCH,
    "test_every_kind_of_event_arrives_or_is_declared_absent",
    "test_reading_changes_nothing",
    "test_a_process_that_is_killed_halfway_is_continued_by_the_next",
    "test_a_relay_that_is_killed_three_times_delivers_everything_once",
)
LONG = (
    {}
    if DEEP
    else dict.fromkeys(ELSEWHERE, "with SQLite it is the same: TRACELET_TESTS_DEEP=1 runs it here too")
)
POINTS = 10_000
TRAIN = f"""
import math, sys, time
from pathlib import Path
import tracelet

exp = tracelet.start_logging("a run", sys.argv[1], "mlflow", mlflow_tracking_uri=sys.argv[2])
exp.log_params({{"lr": 0.1, "nul": "a\\0b", "long": "é" * 6000}})
for step in range({POINTS}):
    if step == {POINTS // 2}:
        Path("half").touch()
        while not Path("go on").exists():
            time.sleep(0.02)
    exp.log_metric("loss", 1.0 / (step + 1), step)
exp.log_metric("nan", math.nan, 1)
exp.log_metric("infinite", -math.inf, 1)
for name in ("one.bin", "two.bin"):
    Path(name).write_bytes(bytes(range(256)) * 4096)
    exp.log_artifact(name, "models")
"""


class TestMlflowOnPostgres(Points, Names, Failures):
    """By way of a server, which has the S3 keep artifacts."""

    backend = backends.load("mlflow")
    poison = POISON

    @pytest.fixture
    def options(self, mlflow_on_postgres: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Options:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # as in a relay's process
        self.project = f"project {uuid.uuid4()}"  # the database is shared, and this is empty
        return {"tracking_uri": mlflow_on_postgres.uri, "experiment": self.project, "artifact_location": ""}

    @pytest.fixture
    def away(self) -> Options:
        return {"tracking_uri": "http://127.0.0.1:9", "experiment": "a project", "artifact_location": ""}

    def test_a_space_that_begins_a_part_of_a_path_is_not_lost_on_the_way(self, scene: Scene) -> None:
        picture = next(sample for sample in SAMPLES if isinstance(sample.event, Image))
        run = scene.run()
        for event, content in (
            (Artifact(time=BEGAN, path=" a/ b.txt", size=0), b"abc"),
            (msgspec.structs.replace(picture.event, name=" a/ b"), picture.content),
            (msgspec.structs.replace(picture.event, name=f" {'long ' * 40}"), picture.content),
        ):
            run.log(run.keep(event, content))
        run.finish().deliver()

        assert run.problems() == []


class TestMlflowInPostgres(BackendContract):
    """Without a server: the relay writes to the database, and to the S3."""

    backend = backends.load("mlflow")
    poison = POISON
    exempt: ClassVar = {**FIRST, **LONG, "server": "a database's server is not asked by HTTP"}

    @pytest.fixture
    def options(self, postgres: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Options:
        for name, value in s3.environ.items():
            monkeypatch.setenv(name, value)
        self.project = f"project {uuid.uuid4()}"
        place = f"{s3.bucket}/direct"
        return {"tracking_uri": postgres.uri, "experiment": self.project, "artifact_location": place}

    @pytest.fixture
    def forget(self, postgres: Postgres) -> Callable[[str], None]:
        return lambda run: deleted_in(postgres.uri, run)

    @pytest.fixture
    def away(self) -> Options:
        uri = "postgresql+psycopg2://tracelet@127.0.0.1:9/postgres"
        return {"tracking_uri": uri, "experiment": "a project", "artifact_location": ""}

    def test_a_nul_is_replaced_and_holds_up_nothing(self, scene: Scene) -> None:
        run = scene.run(name="a\0name", note="a\0note", tags={"team": "a\0b"}, group="a\0group")
        run.log(Params(BEGAN, {"lr": "a\0b"}), Tags(BEGAN, {"stage": "a\0b"}), Note(BEGAN, "another\0note"))
        run.finish()

        run.deliver()

        assert run.rejects == []
        assert run.problems() == []


def test_a_run_whose_relays_are_killed_arrives_once_and_whole(
    mlflow_on_postgres: MlflowServer, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(mlflow_on_postgres.uri)
    project = f"project {uuid.uuid4()}"
    client.create_experiment(project, f"{s3.bucket}/theirs")  # where the relay itself puts artifacts
    Path("train.py").write_text(textwrap.dedent(TRAIN))
    command = [sys.executable, "train.py", project, mlflow_on_postgres.uri]

    with subprocess.Popen(command, env=os.environ | {"TRACELET_STOP_TIMEOUT": "60"}) as train:
        eventually(Path("half").exists, 60)
        kill_the_relay()
        Path("go on").touch()
        eventually(lambda: status.lag(directory(), "mlflow") < POINTS // 4 or train.poll() is not None, 60)
        kill_the_relay()
        assert train.wait(90) == 0
    eventually(lambda: progress.everything(directory())("mlflow"), 90)

    experiment: Any = client.get_experiment_by_name(project)
    (found,) = client.search_runs([experiment.experiment_id])
    run: Any = found
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [
        (step, 1.0 / (step + 1)) for step in range(POINTS)
    ]
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["infinite"] == -sys.float_info.max
    assert run.data.params == {"lr": "0.1", "nul": "a�b", "long": "é" * 6000}
    assert run.info.artifact_uri.startswith(f"{s3.bucket}/theirs")
    for name in ("one.bin", "two.bin"):
        place = client.download_artifacts(run.info.run_id, f"models/{name}")
        assert Path(place).read_bytes() == Path(name).read_bytes()
    assert run.info.status == "FINISHED"


def directory() -> Path:
    (found,) = shelf.runs(Path(os.environ["TRACELET_DIR"]))
    return found


def kill_the_relay() -> None:
    """Kill it where it has begun to deliver, and let its keeper start another."""
    lock = directory() / "relay.mlflow.lock"
    eventually(lambda: status.read_delivery(directory(), "mlflow").id and held(lock), 60)
    pid = holder(lock).pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not held(lock) or holder(lock).pid != pid, 30)
