"""The page on several backends: its snippets run as they are written, to the trackers that they name.

So does the TensorBoard script of the page on experiment tracking, between our two lines. What they log
is read back with each tracker's own client; W&B and ClearML have emulators of their servers.
"""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.spec.reading import (
    START,
    STOP,
    Document,
    Has,
    Running,
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


def test_one_script_goes_to_three_trackers_at_once(run: Running, has: Has) -> None:
    run(snippet("Basic Multi-Backend Setup"))

    (mlflow,), (clearml,), (wandb,) = (
        has(name, "backend_comparison") for name in ("mlflow", "clearml", "wandb")
    )
    assert {one.name for one in (mlflow, clearml, wandb)} == {"multi_backend_demo"}
    assert {one.status for one in (mlflow, clearml, wandb)} == {"FINISHED"}
    losses = mlflow.series("Loss/Train")
    assert [step for step, _ in losses] == [*range(30)]
    assert clearml.series("Loss/Train") == wandb.series("Loss/Train") == losses
    for one in (mlflow, clearml, wandb):
        assert one.series("Metrics/LearningRate") == [(epoch, 0.01) for epoch in range(30)]
    assert wandb.params == {"learning_rate": 0.01, "batch_size": 64, "epochs": 30, "optimizer": "adam"}
    assert mlflow.params == clearml.params == {name: str(value) for name, value in wandb.params.items()}


def test_each_tracker_alone(run: Running, has: Has) -> None:
    run("".join(snippet(f"{name} Example") for name in ("ClearML", "Weights & Biases", "AIM")))

    (clearml,) = has("clearml", "backend_comparison")
    assert (clearml.name, clearml.status) == ("clearml_demo", "FINISHED")
    assert clearml.params == {"framework": "PyTorch", "clearml_auto_capture": "True"}
    assert {point.name: (point.step, point.value) for point in clearml.points} == {
        f"accuracy_lr{lr}_bs{size}": (0, 0.8 + lr * 0.5 + size * 0.001)
        for lr in (0.001, 0.01, 0.1)
        for size in (32, 64, 128)
    }
    (wandb,) = has("wandb", "backend_comparison")
    assert (wandb.name, wandb.status) == ("wandb_demo", "FINISHED")
    assert wandb.params == {"architecture": "transformer", "attention_heads": 8, "hidden_size": 512}
    assert wandb.series("training/loss") == [(step, 2.0 * 0.9**step) for step in range(20)]
    assert wandb.series("training/perplexity") == [(step, 50 * 0.95**step) for step in range(20)]
    assert wandb.series("validation/bleu_score") == [(step, min(0.9, step * 0.05)) for step in range(20)]
    (aim,) = has("aim", "backend_comparison")
    assert (aim.name, aim.status) == ("aim_demo", "FINISHED")
    assert aim.params == {"model": "lightweight_cnn", "optimization": "fast_iteration"}
    for run_id in range(3):
        wanted = [(epoch, 0.7 + epoch * 0.02 + run_id * 0.1) for epoch in range(10)]
        assert aim.series(f"run_{run_id}/accuracy") == wanted


def test_runs_move_to_another_tracker_by_hand_and_by_logging_to_both(
    run: Running, has: Has, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACELET_BACKEND", "mlflow,wandb")
    calls = """
import mlflow
with mlflow.start_run(run_name="old"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.5)
exported = export_mlflow_experiment("0")
migrate_to_new_backend(exported, "wandb")
"""
    flexible = snippet("2. Use Environment Variables for Flexibility")
    run(
        "import mlflow\n"
        + snippet("Step-by-Step Migration")
        + calls
        + snippet("Parallel Logging for Safe Migration")
        + flexible
        + STOP
    )

    moved, parallel = has("wandb", "migration_project")
    assert (moved.name, moved.params) == ("migrated_old", {"lr": "0.1"})
    assert moved.series("loss") == [(0, 0.5)]
    (other,) = has("mlflow", "migration_project")
    for one in (parallel, other):
        assert (one.name, one.params) == ("safe_migration", {"migration_phase": "parallel_logging"})
        assert one.series("loss") == [(epoch, 1.0 / (epoch + 1)) for epoch in range(10)]
        assert one.series("accuracy") == [(epoch, min(0.95, epoch * 0.1)) for epoch in range(10)]
    for name in ("mlflow", "wandb"):
        assert [one.name for one in has(name, "default")] == ["flexible_backend"]
    assert os.environ["TRACELET_BACKEND"] == "mlflow,wandb"


def test_a_backend_is_added_and_used_for_what_only_it_can(run: Running, has: Has) -> None:
    both = START.replace('"p", "mlflow"', '"features", ["wandb", "clearml"]')
    features = snippet("3. Handle Backend-Specific Features")
    run("import tracelet\n" + snippet("1. Start Simple") + STOP + both + features + STOP)

    assert [one.status for one in has("mlflow", "default")] == ["FINISHED", "FINISHED"]
    (second,) = has("wandb", "default")
    assert second.status == "FINISHED"
    for name in ("wandb", "clearml"):
        (special,) = has(name, "features")
        assert special.series("wandb/special_metric") == [(0, 0.95)]
        assert special.params == {"clearml_task_id": "auto_captured"}


def test_settings_of_each_backend(run: Running, has: Has, tmp_path: Path) -> None:
    code = snippet("Backend-Specific Configuration")
    # Whoever runs this test may have a server of their own at that port.
    run(code.replace("http://localhost:5000", f"sqlite:///{tmp_path}/mlflow.db"))

    (wandb,) = has("wandb", "your_team_name/comparison_study")
    (mlflow,) = has("mlflow", "backend_specific_demo")
    for one in (wandb, mlflow):
        assert (one.name, one.status) == ("configured_multi_backend", "FINISHED")
        assert one.series("test_metric") == [(0, 0.95)]


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
