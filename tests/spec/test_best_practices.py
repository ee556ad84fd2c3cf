"""The snippets of the best practices run as they are written, and what they log can be read back.

Those that need another tracker than MLflow are not here.
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

DOCUMENT: Final = Document("best-practices")
snippet: Final = DOCUMENT.snippet
WRITER: Final = "from torch.utils.tensorboard import SummaryWriter\nwriter = SummaryWriter()\n"
EXPERIMENT: Final = START + "experiment = exp\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]


def test_names(run: Running) -> None:
    variables = (
        "from datetime import datetime\n"
        "ce_loss, l2_loss, train_acc, val_acc, loss, acc, step = 1., 2., 3., 4., 5., 6., 7\n"
    )

    client = run(START + WRITER + variables + snippet("Naming Conventions") + STOP)

    found = only_run(client, "p")
    assert {name: points(client, found, name) for name in found.data.metrics} == {
        "Loss/Train/CrossEntropy": [(7, 1.0)],
        "Loss/Train/L2Regularization": [(7, 2.0)],
        "Metrics/Accuracy/Train": [(7, 3.0)],
        "Metrics/Accuracy/Validation": [(7, 4.0)],
        "loss": [(7, 5.0)],
        "acc": [(7, 6.0)],
    }


def test_how_often_is_logged(run: Running) -> None:
    variables = """
import torch
model = torch.nn.Linear(3, 4)
scheduler = type("Scheduler", (), {"get_lr": lambda self: [0.1]})()
loss, batch_time, val_acc, epoch, step, steps_per_epoch = 0.5, 0.1, 0.9, 2, 10_000, 100
train_loss, grad_norm, batch_loss = 0.5, 1.0, 0.5
prediction_grid = torch.full((3, 5, 7), 0.5)
"""
    client = run(START + WRITER + variables + snippet("Logging Frequency") + STOP)

    found = only_run(client, "p")
    assert points(client, found, "Accuracy/Validation") == [(2, 0.9)]
    for name, number in (("weight", 12), ("bias", 4)):
        ((step, weights),) = histograms(client, found, f"Parameters/{name}")
        assert (step, weights["num"]) == (10_000, number)
    ((step, picture),) = images(client, found, "Predictions")
    assert (step, picture.size, picture.getpixel((0, 0))) == (10_000, (7, 5), (127, 127, 127))


def test_an_image_is_logged_safely(run: Running) -> None:
    calls = """
import torch
safe_log_image(writer, "Sample", torch.rand(3, 30, 20), 7)
safe_log_image(writer, "Sample", torch.rand(1, 3, 30, 20), 8)  # a batch, which torch refuses
"""
    client = run(START + WRITER + snippet("Graceful Degradation") + calls + STOP)

    ((step, picture),) = images(client, only_run(client, "p"), "Sample")
    assert (step, picture.size) == (7, (20, 30))


def test_a_development_run_and_a_batch_of_metrics(run: Running) -> None:
    variables = "train_loss, val_loss, train_acc, val_acc, step = 1., 2., 3., 4., 5\n"

    client = run(
        "import tracelet\n"
        + snippet("When to Use Multiple Backends")
        + WRITER
        + variables
        + snippet("Network Efficiency")
        + STOP
    )

    found = only_run(client, "default")
    assert found.info.run_name == "dev_experiment"
    assert {name: points(client, found, name) for name in found.data.metrics} == {
        "Loss/Train": [(5, 1.0)],
        "Loss/Validation": [(5, 2.0)],
        "Accuracy/Train": [(5, 3.0)],
        "Accuracy/Validation": [(5, 4.0)],
    }


def test_memory_management(run: Running) -> None:
    client = run("import tracelet\nstep = 1\n" + snippet("Memory Management") + STOP)

    assert only_run(client, "default").info.run_name == "memory_efficient_exp"


def test_reproducibility(run: Running) -> None:
    environment = snippet("Environment Tracking")
    client = run("import tracelet\n" + environment + snippet("Random Seed Management") + STOP)

    found = only_run(client, "default")
    assert found.info.run_name == "reproducible_experiment"
    assert found.data.params == {
        "model_architecture": "ResNet50",
        "optimizer": "AdamW",
        "learning_rate": "0.001",
        "batch_size": "32",
        "epochs": "100",
        "data_augmentation": "True",
        "random_seed": "42",
    }


def test_an_experiment_that_cannot_start_falls_back(run: Running) -> None:
    code = snippet("Robust Experiment Setup").replace('"wandb") as exp', '"wnadb") as exp')

    client = run(code.replace("    pass\n", "    exp.log_metric('loss', 0.5, 0)\n"))

    found = only_run(client, "my_project")
    assert found.info.run_name == "my_experiment_fallback"
    assert points(client, found, "loss") == [(0, 0.5)]


def test_graceful_degradation(run: Running) -> None:
    calls = """
safe_log_metric(writer, "good", 0.5, 1)
safe_log_metric(writer, "bad", object(), 2)
"""
    client = run(START + WRITER + snippet("Graceful Degradation") + calls + STOP)

    found = only_run(client, "p")
    assert {name: points(client, found, name) for name in found.data.metrics} == {"good": [(1, 0.5)]}


def test_handoffs_and_what_is_kept_back(tmp_path: Path, run: Running) -> None:
    (tmp_path / "config.yaml").write_text("lr: 0.1")
    (tmp_path / "model_architecture.py").write_text("layers = 3")
    variables = (
        'config = {"lr": 0.1, "api_key": "k", "password": "p"}\n'
        'all_metrics, step = {"loss": 0.5, "secret_sauce": 1.0}, 1\n'
    )

    client = run(
        EXPERIMENT
        + snippet("Experiment Handoffs")
        + WRITER
        + variables
        + snippet("Sensitive Data Handling")
        + snippet("Data Filtering")
        + STOP
    )

    found = only_run(client, "p")
    assert found.data.params["researcher"] == "alice@company.com"
    assert found.data.params["next_steps"] == "Try cosine annealing scheduler"
    assert found.data.params["lr"] == "0.1"
    assert not {"api_key", "password"} & set(found.data.params)
    assert {name: points(client, found, name) for name in found.data.metrics} == {"loss": [(1, 0.5)]}
    names = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert names == {"config.yaml", "model_architecture.py"}


def test_a_shared_configuration(tmp_path: Path, run: Running) -> None:
    shared = snippet("Shared Experiments").partition("# In individual scripts\n")
    (tmp_path / "shared_config.py").write_text(shared[0].replace('"wandb"', '"mlflow"'))

    client = run("import os, tracelet\n" + shared[2] + STOP)

    (found,) = all_runs(client, "team_project_2024")
    assert found.info.run_name.startswith("member_")
