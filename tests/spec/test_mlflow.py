"""The snippets of the MLflow document run as they are written, and what they log can be read back.

A snippet needs its reader's own variables sometimes; the test supplies them before it and leaves
its lines alone.
"""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

DOCUMENT: Final = (Path(__file__).parent / "documents/mlflow.md").read_text(encoding="utf-8")
START: Final = """\
import tracelet
tracelet.start_logging("r", "p", "mlflow")
exp = tracelet.get_active_experiment()
"""
STOP: Final = "\ntracelet.stop_logging()\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]


def snippet(heading: str) -> str:
    """Take the first Python snippet below a heading."""
    below = DOCUMENT[re.search(rf"^#+ {re.escape(heading)}$", DOCUMENT, re.MULTILINE).end() :]  # pyright: ignore[reportOptionalMemberAccess]
    return re.search(r"```python\n(.*?)```", below, re.DOTALL)[1]  # pyright: ignore[reportOptionalSubscript]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An MLflow database without runs: making one takes seconds."""
    from mlflow import MlflowClient

    directory = tmp_path_factory.mktemp("store")
    MlflowClient(f"sqlite:///{directory}/mlflow.db").search_experiments()
    with sqlite3.connect(directory / "mlflow.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (directory / "mlflow.db").read_bytes()


@pytest.fixture
def run(tmp_path: Path, empty_store: bytes) -> Callable[[str], "MlflowClient"]:
    """Run a script in a directory of its own; return MLflow's client of the store beside it."""

    def running(code: str) -> "MlflowClient":
        from mlflow import MlflowClient

        (tmp_path / "mlflow.db").write_bytes(empty_store)
        (tmp_path / "train.py").write_text(code, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "train.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env=os.environ,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")

    return running


def only_run(client: "MlflowClient", project: str) -> Any:
    (run,) = all_runs(client, project)
    return run


def all_runs(client: "MlflowClient", project: str) -> list[Any]:
    experiment = client.get_experiment_by_name(project)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def points(client: "MlflowClient", run: Any, name: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(run.info.run_id, name)
    for point in history:
        assert run.info.start_time <= point.timestamp <= run.info.end_time
    return sorted((point.step, point.value) for point in history)


def test_the_quick_start(run: Callable[[str], "MlflowClient"]) -> None:
    client = run(snippet("Local Tracking"))

    found = only_run(client, "my_project")
    assert (found.info.run_name, found.info.status) == ("mlflow_experiment", "FINISHED")
    assert points(client, found, "loss") == [(1, 0.5)]
    assert points(client, found, "accuracy") == [(1, 0.9)]


def test_the_local_setup(run: Callable[[str], "MlflowClient"]) -> None:
    client = run("import tracelet\n" + snippet("Local Setup (Default)"))

    assert only_run(client, "my_project").info.run_name == "local_experiment"


def test_a_server_that_is_not_there_changes_nothing(
    tmp_path: Path, run: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACELET_LINGER", "0")  # nobody will be there later either

    run("import tracelet\n" + snippet("Remote Tracking Server") + "\ntracelet.stop_logging()\n")

    (directory,) = (tmp_path / ".tracelet").glob("*-*")
    assert '"http://mlflow-server:5000"' in (directory / "run.json").read_text()


def test_params(run: Callable[[str], "MlflowClient"]) -> None:
    client = run(START + snippet("Parameter Logging") + snippet("Parameter Organization") + STOP)

    assert only_run(client, "p").data.params == {
        "learning_rate": "0.001",
        "batch_size": "32",
        "optimizer": "adam",
        "model_architecture": "resnet50",
        "model.architecture": "resnet50",
        "model.layers": "50",
        "data.dataset": "cifar10",
        "data.augmentation": "True",
        "training.optimizer": "adam",
        "training.learning_rate": "0.001",
        "training.batch_size": "32",
    }


def test_artifacts(tmp_path: Path, run: Callable[[str], "MlflowClient"]) -> None:
    (tmp_path / "checkpoints/deep").mkdir(parents=True)
    contents = {
        "model.pth": b"\x00model",
        "config.yaml": b"lr: 0.1",
        "results.json": b"{}",
        "checkpoints/1.pt": b"one",
        "checkpoints/deep/2.pt": b"two",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    client = run(START + snippet("Artifact Management") + snippet("Artifact Organization") + STOP)

    root = Path(client.download_artifacts(only_run(client, "p").info.run_id, ""))
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {path.relative_to(root).as_posix(): path.read_bytes() for path in files} == {
        "models/model.pth": contents["model.pth"],
        "training/1.pt": contents["checkpoints/1.pt"],
        "training/deep/2.pt": contents["checkpoints/deep/2.pt"],
        "config.yaml": contents["config.yaml"],
        "configs/config.yaml": contents["config.yaml"],
        "results/results.json": contents["results.json"],
    }


def test_organisation_by_project_name_and_tags(run: Callable[[str], "MlflowClient"]) -> None:
    client = run("import tracelet\n" + snippet("Experiment Organization") + STOP)

    found = only_run(client, "computer_vision")
    assert found.info.run_name == "resnet_baseline"
    assert found.data.tags["model"] == "resnet50"
    assert found.data.tags["dataset"] == "cifar10"


def test_a_sweep_makes_clean_runs_and_patches_nothing_twice(run: Callable[[str], "MlflowClient"]) -> None:
    writes = '    SummaryWriter("logs").add_scalar("loss", lr, 0)\n'
    loop = snippet("Multi-Run Experiments").replace("    # ... training with this LR ...\n", writes)
    client = run(
        "import tracelet\nfrom torch.utils.tensorboard import SummaryWriter\n"
        "before = SummaryWriter.__dict__['add_scalar']\n"
        f"{loop}\nassert SummaryWriter.__dict__['add_scalar'] is before\n"
    )

    found = all_runs(client, "default")
    rates = [0.001, 0.01, 0.1]
    assert [run.info.run_name for run in found] == [f"lr_sweep_{rate}" for rate in rates]
    assert [run.data.tags["learning_rate"] for run in found] == [str(rate) for rate in rates]
    assert [points(client, run, "loss") for run in found] == [[(0, rate)] for rate in rates]
    assert {run.info.status for run in found} == {"FINISHED"}


def test_names_by_experiment_and_by_metric(run: Callable[[str], "MlflowClient"]) -> None:
    variables = (
        "from torch.utils.tensorboard import SummaryWriter\nwriter, step = SummaryWriter(), 3\n"
        "total_loss, cls_loss, acc, f1 = 0.1, 0.2, 0.3, 0.4\n"
    )
    naming = snippet("Experiment Naming")
    client = run("import tracelet\n" + naming + variables + snippet("Metric Naming") + STOP)

    found = only_run(client, "image_classification")
    assert found.info.run_name == "resnet50_baseline_v1"
    assert {name: points(client, found, name) for name in found.data.metrics} == {
        "train/loss/total": [(3, 0.1)],
        "train/loss/classification": [(3, 0.2)],
        "train/metrics/accuracy": [(3, 0.3)],
        "val/metrics/f1_score": [(3, 0.4)],
    }


def test_the_complete_example(tmp_path: Path, run: Callable[[str], "MlflowClient"]) -> None:
    noted = "\nimport json; json.dump(seen, open('seen.json', 'w'))\n"
    listen = (
        "import torch.utils.tensorboard as tb\nseen = []\n"
        "class Noting(tb.SummaryWriter):\n"
        "    def add_scalar(self, tag, value, step):\n"
        "        seen.append((tag, step, value)); super().add_scalar(tag, value, step)\n"
        "tb.SummaryWriter = Noting\n"
    )
    client = run(listen + snippet("Complete Example") + noted)

    import json

    found = only_run(client, "tutorials")
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert len(seen) == 330
    for name in ("batch/loss", "epoch/loss"):
        logged = sorted((step, value) for tag, step, value in seen if tag == name)
        assert points(client, found, name) == logged
    assert found.data.params["optimizer.learning_rate"] == "0.001"
    assert len(found.data.params) == 8
    root = Path(client.download_artifacts(found.info.run_id, "models"))
    assert (root / "model.pth").read_bytes() == (tmp_path / "model.pth").read_bytes()
