"""Train a small network on handwritten digits: an ordinary script, and a few lines of tracelet.

The data are scikit-learn's 1,797 digits of 8 x 8 pixels, which the package ships. Afterwards the
script reads back, with MLflow's own client, what has arrived there.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import tracelet

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"  # it would stand in the middle of our lines

PROJECT = "examples"
# Where tracelet puts it unless told otherwise: a database beside the script.
TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{Path(__file__).parent / 'mlflow.db'}")
EPOCHS = 15
SHOWN = 5  # epochs after which mistakes are looked at
BATCH = 64
LEARNING_RATE = 0.01


def train() -> tuple[Any, Any]:
    """Train as one would without tracelet; return the answers that were held back, and the guesses."""
    torch.manual_seed(0)
    pixels, targets = load_digits(return_X_y=True)
    images, held_back, labels, answers = train_test_split(
        torch.tensor(pixels / 16.0, dtype=torch.float32),
        torch.tensor(targets),
        test_size=0.25,
        random_state=0,
    )
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss_of = nn.CrossEntropyLoss()
    writer = SummaryWriter()
    step = 0
    for epoch in range(EPOCHS):
        order = torch.randperm(len(images))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            loss = loss_of(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            step += 1
        with torch.no_grad():
            guesses = model(held_back).argmax(dim=1)
        right = guesses == answers
        writer.add_scalar("test/accuracy", right.float().mean().item(), epoch)
        if epoch % SHOWN == SHOWN - 1:
            writer.add_images("test/mistakes", held_back[~right][:16].reshape(-1, 1, 8, 8), epoch)
            writer.add_histogram("weights/first", model[0].weight, epoch)
    writer.close()
    torch.save(model.state_dict(), "digits.pt")
    return answers, model(held_back).argmax(dim=1)


def confused(client: MlflowClient, run: Run) -> str:
    """Read the confusion matrix back, and tell which digits were mistaken most often."""
    (file,) = json.loads(run.data.tags["mlflow.loggedArtifacts"])
    table = client.load_table(run.info.experiment_id, file["path"], [run.info.run_id])
    wrong = [row for row in table.to_dict("records") if row["actual"] != row["predicted"]]
    worst = sorted(wrong, key=lambda row: row["count"], reverse=True)[:3]
    return ", ".join(f"{row['actual']} taken for {row['predicted']} ({row['count']})" for row in worst)


def show(run_name: str) -> None:
    """Show what has arrived in MLflow, and how to look at it."""
    client = MlflowClient(tracking_uri=TRACKING_URI)
    project = client.get_experiment_by_name(PROJECT)
    assert project is not None
    newest = ["attributes.start_time DESC"]
    run = client.search_runs([project.experiment_id], order_by=newest, max_results=1)[0]
    table = Table("metric", "points", "first step", "last step", "last value")
    for name in sorted(run.data.metrics):
        history = sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.step)
        first, last = history[0], history[-1]
        table.add_row(name, str(len(history)), str(first.step), str(last.step), f"{last.value:.4f}")
    console = Console()
    console.print(f"\nRun [bold]{run_name}[/bold] in MLflow: {run.info.status}")
    console.print(table)
    console.print("params:", ", ".join(f"{name}={value}" for name, value in run.data.params.items()))
    files = client.list_artifacts(run.info.run_id, "model")
    console.print("artifacts:", ", ".join(f"{file.path} ({file.file_size:,} bytes)" for file in files))
    pictures = client.list_artifacts(run.info.run_id, "images")
    mistakes = [file for file in pictures if "mistakes" in file.path and file.path.endswith(".png")]
    console.print(f"images: {len(mistakes)} of the mistakes")
    console.print("confusion matrix:", confused(client, run))
    console.print(f"\nLook at it:  mlflow ui --backend-store-uri {TRACKING_URI}", soft_wrap=True)
    console.print("then open    http://127.0.0.1:5000")


if __name__ == "__main__":
    experiment = tracelet.start_logging("digits", PROJECT, "mlflow")
    experiment.log_params({"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": LEARNING_RATE})
    answers, guesses = train()
    experiment.log_confusion_matrix("test/confusion", answers, guesses, EPOCHS - 1)
    experiment.log_artifact("digits.pt", "model/")
    tracelet.stop_logging()
    show("digits")
