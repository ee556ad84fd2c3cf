"""A training script with every state that a tracking server can be in, from start to end.

Whatever the server does: no exception, the script's own exit code, no waiting; and everything is
there, once, as soon as the server is.
"""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.conftest import eventually
from tests.journal.support import DEEP
from tests.live.servers import MlflowServer
from tracelet.journal import progress, shelf, status
from tracelet.journal.locks import held, holder
from tracelet.testing.proxy import FaultProxy

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("mlflow-server"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]

TRAIN = """
import sys, time
from pathlib import Path
import tracelet

exp = tracelet.start_logging("a run", sys.argv[1], "mlflow", mlflow_tracking_uri=sys.argv[2])
exp.log_params({"lr": 0.1})
for step in range(300):
    if step == 100:
        Path("half").touch()
        while not Path("go on").exists():
            time.sleep(0.02)
    exp.log_metric("loss", 1.0 / (step + 1), step)
Path("note.txt").write_text("kept")
exp.log_artifact("note.txt", "notes")
sys.exit(3)
"""


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project of MLflow's for this test alone: the server is shared."""
    return request.node.name.replace("[", "-").rstrip("]")


@pytest.fixture
def train(project: str, fault_proxy: FaultProxy) -> Iterator["subprocess.Popen[str]"]:
    """A training script that stops half-way until the test lets it go on."""
    Path("train.py").write_text(textwrap.dedent(TRAIN))
    process = subprocess.Popen(
        [sys.executable, "train.py", project, fault_proxy.uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TRACELET_STOP_TIMEOUT": "5"},
    )
    yield process
    process.kill()
    process.communicate()


def finish(process: "subprocess.Popen[str]") -> None:
    """Let the script go on to its end, and look at how it got there."""
    Path("go on").touch()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 3, errors
    assert "Traceback" not in errors


def half_way(process: "subprocess.Popen[str]") -> None:
    eventually(lambda: Path("half").exists() or process.poll() is not None, 30)
    assert process.poll() is None


def run_directory() -> Path:
    (directory,) = shelf.runs(Path(os.environ["TRACELET_DIR"]))
    return directory


def everything_is_there_once(server: MlflowServer, project: str) -> None:
    client = MlflowClient(server.uri)
    eventually(lambda: progress.everything(run_directory())("mlflow"), 90)
    experiment: Any = client.get_experiment_by_name(project)
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [
        (step, 1.0 / (step + 1)) for step in range(300)
    ]
    assert run.data.params == {"lr": "0.1"}
    assert [file.path for file in client.list_artifacts(run.info.run_id, "notes")] == ["notes/note.txt"]
    assert run.info.status == "FAILED"  # sys.exit(3)


@pytest.mark.parametrize("mode", ["refuse", "error", "black_hole"] if DEEP else ["black_hole"])
def test_a_server_that_fails_from_start_to_end_is_delivered_to_when_it_is_back(
    mode: Any,
    train: "subprocess.Popen[str]",
    project: str,
    fault_proxy: FaultProxy,
    mlflow_server: MlflowServer,
) -> None:
    fault_proxy.mode = mode  # before the script has got as far as its first line

    half_way(train)
    finish(train)
    said = status.read_delivery(run_directory(), "mlflow")
    fault_proxy.mode = "pass"

    assert said.state in {"unavailable", "starting"}
    everything_is_there_once(mlflow_server, project)


@pytest.mark.parametrize("mode", ["refuse", "error", "black_hole"] if DEEP else ["error"])
def test_a_server_that_fails_in_the_middle_misses_nothing(
    mode: Any,
    train: "subprocess.Popen[str]",
    project: str,
    fault_proxy: FaultProxy,
    mlflow_server: MlflowServer,
) -> None:
    half_way(train)
    eventually(lambda: status.lag(run_directory(), "mlflow") == 0, 60)

    fault_proxy.mode = mode
    finish(train)
    fault_proxy.mode = "pass"

    everything_is_there_once(mlflow_server, project)


def test_a_server_that_is_restarted_in_the_middle_misses_nothing(
    train: "subprocess.Popen[str]", project: str, mlflow_server: MlflowServer
) -> None:
    half_way(train)
    mlflow_server.stop()
    Path("go on").touch()
    eventually(lambda: status.read_delivery(run_directory(), "mlflow").state == "unavailable", 60)
    mlflow_server.start()
    finish(train)

    everything_is_there_once(mlflow_server, project)


def test_what_the_keeper_had_to_leave_is_done_by_sync(
    train: "subprocess.Popen[str]", project: str, fault_proxy: FaultProxy, mlflow_server: MlflowServer
) -> None:
    fault_proxy.mode = "refuse"
    half_way(train)
    os.kill(status.read_run(run_directory()).trainer.pid, 9)
    train.communicate(timeout=30)
    for lock in ("keeper.lock", "relay.mlflow.lock"):
        eventually(lambda lock=lock: held(run_directory() / lock), 30)
    for lock in ("keeper.lock", "relay.mlflow.lock"):
        os.kill(holder(run_directory() / lock).pid, 9)
    fault_proxy.mode = "pass"

    done = subprocess.run(
        [sys.executable, "-m", "tracelet", "sync"], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient(mlflow_server.uri)
    experiment: Any = client.get_experiment_by_name(project)
    (run,) = client.search_runs([experiment.experiment_id])
    steps = sorted(point.step for point in client.get_metric_history(run.info.run_id, "loss"))
    assert steps == list(range(100))
    assert run.info.status == "KILLED"
