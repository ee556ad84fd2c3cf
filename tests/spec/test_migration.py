"""The snippets of the migration guide run as they are written, and what they log can be read back.

Those that need another tracker than MLflow are not here.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.spec.reading import START, STOP, Document, Running, all_runs, histograms, only_run, points

DOCUMENT: Final = Document("migration")
snippet: Final = DOCUMENT.snippet
WRITER: Final = "from torch.utils.tensorboard import SummaryWriter\nwriter = SummaryWriter()\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]


def test_from_tensorboard(run: Running) -> None:
    variables = """
import torch
torch.manual_seed(0)
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Linear(2, 3)
    def forward(self, data):
        return self.conv1(data)
model = Model()
train_loader = [(torch.randn(4, 2), torch.randint(0, 3, (4,))) for _ in range(2)]
"""
    client = run(variables + snippet("After (With Tracelet)"))

    found = only_run(client, "my_project")
    assert found.info.run_name == "experiment_1"
    assert [step for step, _ in points(client, found, "Loss/Train")] == list(range(200))
    weights = histograms(client, found, "Weights/Conv1")
    assert [(step, one["num"]) for step, one in weights] == [(2 * epoch, 6) for epoch in range(100)]


def test_from_mlflow(tmp_path: Path, run: Running) -> None:
    (tmp_path / "model.pth").write_bytes(b"weights")
    variables = "def train_epoch(): return 0.5\ndef validate_epoch(): return 0.75\n"

    client = run(variables + _after("Migrating from MLflow"))

    found = only_run(client, "my_project")
    assert found.data.params == {"learning_rate": "0.01", "batch_size": "32", "epochs": "100"}
    assert points(client, found, "train_loss") == [(epoch, 0.5) for epoch in range(100)]
    assert points(client, found, "val_accuracy") == [(epoch, 0.75) for epoch in range(100)]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["model.pth"]


def test_step_by_step(run: Running) -> None:
    first, second = DOCUMENT.snippets("Gradual Migration")[:2]
    variables = "import mlflow\nfrom torch.utils.tensorboard import SummaryWriter\nloss, step = 0.5, 1\n"

    client = run(variables + first + second + STOP)

    (own,) = all_runs(client, "Default")
    (ours,) = all_runs(client, "default")
    assert points(client, own, "loss") == [(1, 0.5)]
    assert ours.info.run_name == "parallel_test"
    assert points(client, ours, "loss_tracelet") == points(client, ours, "loss") == [(1, 0.5)]
    assert "mlflow.parentRunId" not in ours.data.tags
    assert (own.info.status, ours.info.status) == ("FINISHED", "FINISHED")


def test_the_validation(run: Running) -> None:
    client = run(snippet("Testing Migration"))

    (own,) = all_runs(client, "Default")
    (ours,) = all_runs(client, "default")
    assert ours.info.run_name == "validation_test"
    assert own.data.metrics == ours.data.metrics == {"loss": 0.5, "accuracy": 0.95}
    assert (own.info.status, ours.info.status) == ("FINISHED", "FINISHED")


def test_names_params_and_steps(run: Running) -> None:
    variables = "loss, acc, step, epoch, batch_idx, dataloader = 1., 2., 3, 4, 5, range(10)\n"

    client = run(
        START
        + WRITER
        + variables
        + snippet("Metric Name Differences")
        + snippet("Configuration Migration")
        + snippet("Timing Differences")
        + STOP
    )

    found = only_run(client, "p")
    assert {name: points(client, found, name) for name in found.data.metrics} == {
        "Loss/Train": [(3, 1.0)],
        "Metrics/Accuracy": [(3, 2.0)],
        "loss": [(45, 1.0)],
    }
    assert found.data.params == {"learning_rate": "0.01", "architecture": "resnet50"}


def _after(heading: str) -> str:
    """Take the second snippet below a heading, that of the code with tracelet."""
    return DOCUMENT.section(heading).snippet("After (With Tracelet)")
