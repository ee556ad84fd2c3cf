"""Train a small network on handwritten digits: an ordinary script, and two lines of tracelet.

The data are scikit-learn's 1,797 digits of 8 x 8 pixels, which the package ships. Afterwards the
script reads back, with MLflow's own client, what has arrived there.
"""

import os
from pathlib import Path

import torch
from mlflow import MlflowClient
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import tracelet

PROJECT = "examples"
# Where tracelet puts it unless told otherwise: a database beside the script.
TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{Path(__file__).parent / 'mlflow.db'}")
EPOCHS = 15
BATCH = 64
LEARNING_RATE = 0.01


def train() -> None:
    """Train as one would without tracelet."""
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
        writer.add_scalar("test/accuracy", (guesses == answers).float().mean().item(), epoch)
    writer.close()
    torch.save(model.state_dict(), "digits.pt")


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
    console.print(f"\nLook at it:  mlflow ui --backend-store-uri {TRACKING_URI}", soft_wrap=True)
    console.print("then open    http://127.0.0.1:5000")


if __name__ == "__main__":
    experiment = tracelet.start_logging("digits", PROJECT, "mlflow")
    experiment.log_params({"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": LEARNING_RATE})
    train()
    experiment.log_artifact("digits.pt", "model/")
    tracelet.stop_logging()
    show("digits")
