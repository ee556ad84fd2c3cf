"""The snippets on several backends that need MLflow alone run as they are written.

So does the TensorBoard script of the page on experiment tracking, between our two lines. What they
log can be read back.
"""

import os
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

DOCUMENT: Final = Document("multi-backend")
TRACKING: Final = Document("experiment-tracking")
snippet: Final = DOCUMENT.snippet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]


def test_mlflow_alone_and_what_a_backend_can_do(
    tmp_path: Path, run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    client = run(
        snippet("MLflow Example")
        + START
        + snippet("3. Handle Backend-Specific Features")
        + "exp.log_params({'seen': list(exp.active_backends)})\n"
        + STOP
    )

    found = only_run(client, "backend_comparison")
    assert found.data.params == {"model_type": "ResNet50", "dataset": "CIFAR-10", "augmentation": "True"}
    assert points(client, found, "train_loss") == [(epoch, 0.5 - epoch * 0.1) for epoch in range(5)]
    assert points(client, found, "val_accuracy") == [(epoch, 0.8 + epoch * 0.03) for epoch in range(5)]
    drawn = client.download_artifacts(found.info.run_id, "plots/loss_curve.png")
    assert Path(drawn).read_bytes() == (tmp_path / "loss_curve.png").read_bytes()
    second = only_run(client, "p")
    assert second.data.params == {"seen": "['mlflow']"}
    assert second.data.metrics == {}


def test_runs_are_taken_over_by_hand_and_backends_come_from_the_environment(
    run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACELET_BACKEND", "mlflow")
    calls = """
import mlflow
with mlflow.start_run(run_name="old"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.5)
migrate_to_new_backend(export_mlflow_experiment("0"), "mlflow")
"""
    flexible = snippet("2. Use Environment Variables for Flexibility")
    client = run("import mlflow\n" + snippet("Step-by-Step Migration") + calls + flexible + STOP)

    moved = only_run(client, "migration_project")
    assert moved.info.run_name == "migrated_old"
    assert moved.data.params == {"lr": "0.1"}
    assert points(client, moved, "loss") == [(0, 0.5)]
    assert [one.info.run_name for one in all_runs(client, "default")] == ["flexible_backend"]
    assert os.environ["TRACELET_BACKEND"] == "mlflow"


def test_a_script_of_tensorboard_alone(run: Running) -> None:
    variables = """
import torch
torch.manual_seed(0)
def train_epoch(model, train_loader): return 0.5
model, train_loader, val_acc = torch.nn.Linear(3, 2), None, 0.75
images = torch.zeros(4, 3, 8, 8)
images[1, 0] = 1.0
"""
    heading = "TensorBoard (Lightweight Alternative)"
    script = TRACKING.snippet(heading).replace("range(100)", "range(2)")  # pictures take their time
    client = run(START + variables + script + STOP)

    found = only_run(client, "p")
    assert points(client, found, "Loss/train") == [(0, 0.5), (1, 0.5)]
    assert points(client, found, "Accuracy/val") == [(0, 0.75), (1, 0.75)]
    for name, number in (("weight", 6), ("bias", 2)):
        spread = histograms(client, found, name)
        assert [(step, one["num"]) for step, one in spread] == [(0, number), (1, number)]
    (_, shown), _ = images(client, found, "samples")
    assert (shown.size, shown.getpixel((8, 0)), shown.getpixel((0, 0))) == ((32, 8), (255, 0, 0), (0, 0, 0))
