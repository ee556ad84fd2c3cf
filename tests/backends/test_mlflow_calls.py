"""Scripts that call MLflow beside tracelet, as users write them; read back with MLflow's own client."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.backends.conftest import NO_INFERENCE, WARNINGS
from tests.conftest import eventually
from tracelet.journal import shelf, status
from tracelet.journal.locks import held
from tracelet.journal.reader import Reader

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [*WARNINGS, pytest.mark.slow]

START: Final = 'import tracelet\nexp = tracelet.start_logging("ours", "p", "mlflow")\n'

LANDING: Final = """
import sys
assert not any(name.split(".")[0] in {"mlflow", "torch", "numpy"} for name in sys.modules)

import os, threading
import matplotlib.figure, sklearn.linear_model
import mlflow, mlflow.pytorch, mlflow.sklearn, torch
from mlflow.tracking import fluent

mlflow.sklearn.autolog()
sklearn.linear_model.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
mlflow.log_param("a param", 1)
mlflow.log_metric("a metric", 0.5, step=3)
mlflow.log_figure(matplotlib.figure.Figure(), "figure.png")
thread = threading.Thread(target=mlflow.log_metric, args=("a thread", 1.0))
thread.start()
thread.join()
exp.log_metric("ours", 0.1 + 0.2, 7)
if os.fork() == 0:
    mlflow.log_metric("a child", 1.0)
    sys.exit(0)
os.wait()
example = torch.zeros(1, 1).numpy()
mlflow.pytorch.log_model(
    torch.nn.Linear(1, 1), name="model", registered_model_name="MyModel", input_example=example
)

run = mlflow.active_run()
assert mlflow.MlflowClient().get_run(run.info.run_id).info.status == "RUNNING"
assert not {"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"} & set(os.environ)
"""


@pytest.fixture
def beside(tmp_path: Path, template: Path) -> Path:
    """A directory for a script, with an empty store in it."""
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


def started(directory: Path, code: str, name: str = "train") -> "subprocess.Popen[str]":
    (directory / f"{name}.py").write_text(code, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, f"{name}.py"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # the machine may be busy
        env={**os.environ, **NO_INFERENCE, "TRACELET_MLFLOW_ATTACH_TIMEOUT": "200"},
    )


def finished(script: "subprocess.Popen[str]") -> str:
    said, _ = script.communicate(timeout=250)
    return said


def client_of(directory: Path) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{directory}/mlflow.db")


def runs(client: "MlflowClient", project: str = "p") -> dict[str, Any]:
    experiment = client.get_experiment_by_name(project)
    assert experiment is not None
    return {str(run.info.run_name): run for run in client.search_runs([experiment.experiment_id])}


def test_what_a_script_logs_with_mlflow_lands_on_the_run(beside: Path) -> None:
    script = started(beside, START + LANDING)
    said = finished(script)

    client = client_of(beside)
    assert script.returncode == 0, said
    assert [experiment.name for experiment in client.search_experiments()] == ["p", "Default"]
    assert runs(client, "Default") == {}
    (run,) = runs(client).values()
    assert (run.info.run_name, run.info.status) == ("ours", "FINISHED")
    assert run.data.params.items() >= {"a param": "1", "fit_intercept": "True"}.items()
    theirs = {"a metric": 0.5, "a thread": 1.0, "a child": 1.0, "training_r2_score": 1.0}
    assert run.data.metrics.items() >= {**theirs, "ours": 0.1 + 0.2}.items()
    assert "figure.png" in [file.path for file in client.list_artifacts(run.info.run_id)]
    (version,) = client.search_model_versions("name='MyModel'")
    assert version.run_id == run.info.run_id


def test_however_a_script_ends_its_run_says_so(beside: Path) -> None:
    call = 'import mlflow\nmlflow.log_metric("m", 1.0)\n'
    opened = 'import mlflow\nmlflow.start_run()\nmlflow.log_metric("m", 1.0)\n'
    name = 'import tracelet\ntracelet.start_logging("{}", "p", "mlflow")\n'
    endings = {
        "raises": name + call + "1 / 0\n",
        "exits": "import mlflow\n" + name + call + "import sys\nsys.exit(3)\n",
        "raises in with": name + "import mlflow\nwith mlflow.start_run():\n    1 / 0\n",
        "exits inside": name + opened + "import sys\nsys.exit(3)\n",
        "is killed": name + call + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    }

    scripts = {how: started(beside, code.format(how), how.replace(" ", "_")) for how, code in endings.items()}
    codes = {how: (finished(script), script.returncode)[1] for how, script in scripts.items()}

    client = client_of(beside)
    assert codes == {"raises": 1, "exits": 3, "raises in with": 1, "exits inside": 3, "is killed": -9}
    ended = dict.fromkeys(endings, "FAILED") | {"is killed": "KILLED"}
    eventually(
        lambda: {how: run.info.status for how, run in runs(client).items()} == ended,
        deadline=120,
    )


def test_with_the_server_away_mlflow_fails_as_it_does_and_the_run_is_unhurt(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        "TRACELET_LINGER": "0",
        "TRACELET_STOP_TIMEOUT": "1",
    }.items():
        monkeypatch.setenv(variable, value)
    code = """
import mlflow
assert mlflow.active_run() is None
try:
    mlflow.log_metric("m", 1.0)
except mlflow.exceptions.MlflowException as error:
    print("MLflow says:", error)
exp.log_metric("ours", 1.0, 1)
"""
    script = started(beside, START + code)
    said = finished(script)

    (directory,) = shelf.runs(beside / ".tracelet")
    eventually(lambda: not held(directory / "keeper.lock"), deadline=120)
    events = [record.event for record in Reader(directory).read(100)]
    assert script.returncode == 0, said
    assert "MLflow says: API request to" in said
    assert said.count("is not part of the run ours") == 1
    assert any(getattr(event, "name", "") == "ours" for event in events[1:])
    assert status.ending(directory) is not None
