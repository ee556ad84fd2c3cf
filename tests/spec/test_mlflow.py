"""The snippets of the MLflow document run as they are written, and what they log can be read back.

A snippet needs its reader's own variables sometimes; the test supplies them before it and leaves
its lines alone.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.spec.reading import (
    START,
    STOP,
    Document,
    Running,
    all_runs,
    histograms,
    images,
    only_run,
    points,
)

DOCUMENT: Final = Document("mlflow")
snippet: Final = DOCUMENT.snippet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]


def test_the_quick_start(run: Running) -> None:
    client = run(snippet("Local Tracking"))

    found = only_run(client, "my_project")
    assert (found.info.run_name, found.info.status) == ("mlflow_experiment", "FINISHED")
    assert points(client, found, "loss") == [(1, 0.5)]
    assert points(client, found, "accuracy") == [(1, 0.9)]


def test_the_local_setup(run: Running) -> None:
    client = run("import tracelet\n" + snippet("Local Setup (Default)"))

    assert only_run(client, "my_project").info.run_name == "local_experiment"


def test_a_server_that_is_not_there_changes_nothing(
    tmp_path: Path, run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACELET_LINGER", "0")  # nobody will be there later either
    monkeypatch.setenv("TRACELET_STOP_TIMEOUT", "2")

    run("import tracelet\n" + snippet("Remote Tracking Server") + "\ntracelet.stop_logging()\n")

    (directory,) = (tmp_path / ".tracelet").glob("*-*")
    assert '"http://mlflow-server:5000"' in (directory / "run.json").read_text()


def test_every_kind_that_a_writer_takes(run: Running) -> None:
    variables = """
import torch
from torch.utils.tensorboard import SummaryWriter
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Linear(30, 2))
loss, acc, epoch = 0.5, 0.25, 3
image_tensor = torch.zeros(3, 4, 6)
image_tensor[0, 1, 2] = 1.0
"""
    client = run(START + variables + snippet("Automatic Metric Logging") + STOP)

    found = only_run(client, "p")
    assert points(client, found, "train/loss") == [(3, 0.5)]
    assert points(client, found, "val/accuracy") == [(3, 0.25)]
    ((step, weights),) = histograms(client, found, "model/weights")
    assert (step, weights["num"], sum(weights["counts"])) == (3, 692, 692)
    ((step, picture),) = images(client, found, "predictions")
    assert (step, picture.size, picture.getpixel((2, 1))) == (3, (6, 4), (255, 0, 0))
    (note,) = client.list_artifacts(found.info.run_id, "text/notes")
    assert (
        Path(client.download_artifacts(found.info.run_id, note.path)).read_text()
        == "Training progressing well"
    )


def test_params(run: Running) -> None:
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


def test_artifacts(tmp_path: Path, run: Running) -> None:
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


def test_organisation_by_project_name_and_tags(run: Running) -> None:
    client = run("import tracelet\n" + snippet("Experiment Organization") + STOP)

    found = only_run(client, "computer_vision")
    assert found.info.run_name == "resnet_baseline"
    assert found.data.tags["model"] == "resnet50"
    assert found.data.tags["dataset"] == "cifar10"


def test_a_sweep_makes_clean_runs_and_patches_nothing_twice(run: Running) -> None:
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


def test_names_by_experiment_and_by_metric(run: Running) -> None:
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


def test_the_complete_example(tmp_path: Path, run: Running) -> None:
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
    shapes = {"0.weight": 128 * 784, "0.bias": 128, "2.weight": 1280, "2.bias": 10}
    for name, number in shapes.items():
        weights = histograms(client, found, f"weights/{name}")
        assert [(step, one["num"]) for step, one in weights] == [(epoch, number) for epoch in range(10)]
    assert found.data.params["optimizer.learning_rate"] == "0.001"
    assert len(found.data.params) == 8
    root = Path(client.download_artifacts(found.info.run_id, "models"))
    assert (root / "model.pth").read_bytes() == (tmp_path / "model.pth").read_bytes()


def test_settings_in_config(run: Running, tmp_path: Path) -> None:
    code = snippet("Backend-Specific Settings")
    there = code.replace("http://localhost:5000", f"sqlite:///{tmp_path}/mlflow.db")
    client = run(there + STOP)

    found = only_run(client, "Custom Experiment")
    assert found.info.run_name == "baseline_run"
    assert (found.data.tags["team"], found.data.tags["version"]) == ("ml", "v1.0")


def test_from_tensorboard(run: Running) -> None:
    code = snippet("From TensorBoard")
    client = run(
        f"from torch.utils.tensorboard import SummaryWriter\n{code}writer.add_scalar('a', 1.5, 0){STOP}"
    )

    assert points(client, only_run(client, "default"), "a") == [(0, 1.5)]


def test_nested_runs(run: Running) -> None:
    code = snippet("Nested Runs").replace(
        "            # ... train with params ...\n",
        "            tracelet.get_active_experiment().log_metric('loss', params['lr'], 0)\n",
    )
    client = run(f"import mlflow, tracelet\nparam_grid = [{{'lr': 0.5}}, {{'lr': 0.25}}]\n{code}")

    parent, *children = all_runs(client, "Default")
    assert parent.info.run_name == "hyperparameter_sweep"
    assert [child.info.run_name for child in children] == ["child_{'lr': 0.5}", "child_{'lr': 0.25}"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert [points(client, child, "loss") for child in children] == [[(0, 0.5)], [(0, 0.25)]]
    assert {found.info.status for found in (parent, *children)} == {"FINISHED"}


def test_a_model_in_the_registry(run: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    # MLflow would load the model in another process, to see which packages it needs.
    monkeypatch.setenv("MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT", "0")
    model = (
        "import torch\n"
        "torch.manual_seed(0)\n"
        "model = torch.nn.Linear(2, 1)\n"
        "import mlflow.pytorch\n"
        "mine = mlflow.active_run().info.run_id\n"
    )
    code = snippet("Model Registry Integration")
    # MLflow refuses a pickled model by default; what it says is the user's to see.
    allowed = "import os; os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'] = 'true'\n"
    client = run(
        f"{START}{allowed}{model}try:\n{_indented(code)}except mlflow.MlflowException as e: print(e)\n{STOP}"
    )

    found = only_run(client, "p")
    assert found.info.status == "FINISHED"
    assert [version.run_id for version in client.search_model_versions("name='MyModel'")] in (
        [found.info.run_id],
        [],
    )


def _indented(code: str) -> str:
    return "".join(f"    {line}" for line in code.splitlines(keepends=True))
