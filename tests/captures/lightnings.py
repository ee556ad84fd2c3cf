"""What the tests of Lightning share: a tiny model, a Trainer without frills, and its CSVLogger's word."""

import csv
import importlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from tests.recording import recorded
from tracelet.events import Metric
from tracelet.experiment import Experiment

NAMESPACES: Final = ["lightning.pytorch", "pytorch_lightning"]

QUIET: Final = [
    pytest.mark.filterwarnings(warning)
    for warning in (
        "ignore:The '.*dataloader' does not have many workers",
        "ignore:You called `self.log",  # with no logger: it is what tracelet is for
        "ignore:The number of training batches",
        "ignore:Checkpoint directory .* exists and is not empty",
        "ignore:Experiment logs directory .* exists and is not empty",
        "ignore:Trying to infer the `batch_size`",
        "ignore:You're resuming from a checkpoint that ended before the epoch ended",
        "ignore:You defined a `validation_step`",
        "ignore:.isinstance.treespec, LeafSpec.. is deprecated",  # torch's, in Lightning's own code
    )
]

Point = tuple[str, int | None, float]


def loggers(namespace: str) -> Any:
    return importlib.import_module(f"{namespace}.loggers")


def callbacks(namespace: str) -> Any:
    return importlib.import_module(f"{namespace}.callbacks")


def data(batches: int = 8) -> Any:
    generator = torch.Generator().manual_seed(0)
    rows: Any = torch.randn(2 * batches, 2, generator=generator)
    return torch.utils.data.DataLoader(rows, batch_size=2)


def model(namespace: str) -> Any:
    """Make a module that logs in all of the ways that there are."""
    lightning = importlib.import_module(namespace)

    class Model(lightning.LightningModule):
        def __init__(self, lr: float = 0.1, head: dict[str, int] | None = None) -> None:
            super().__init__()
            self.save_hyperparameters()
            torch.manual_seed(1)
            self.layer = torch.nn.Linear(2, 1)
            del lr, head

        def training_step(self, batch: Any, number: int) -> Any:
            loss = self.layer(batch).pow(2).mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            self.log_dict({"number": number, "half": torch.tensor(0.1, dtype=torch.bfloat16)})
            self.log("most", loss, on_step=False, on_epoch=True, reduce_fx=max)
            return loss

        def validation_step(self, batch: Any, number: int, dataloader_idx: int = 0) -> None:
            loss = self.layer(batch).pow(2).mean()
            self.log("val/loss", loss)
            self.log("val/each", loss, on_step=True, on_epoch=False)
            self.log(f"val/own{dataloader_idx}", float(number), add_dataloader_idx=False)

        def on_validation_epoch_end(self) -> None:
            self.log("val/end", 1.0)

        def test_step(self, batch: Any) -> None:
            self.log("test/loss", self.layer(batch).pow(2).mean())

        def on_train_epoch_end(self) -> None:
            self.log("infinite", math.inf)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Model(head={"size": 3})


def trainer(namespace: str, **more: Any) -> Any:
    lightning = importlib.import_module(namespace)
    frills = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    given = {"max_epochs": 2, "log_every_n_steps": 3, "accelerator": "cpu", **frills, **more}
    return lightning.Trainer(**given)


def points(experiment: Experiment) -> list[Point]:
    found = [event for event in recorded(experiment) if isinstance(event, Metric)]
    return ordered((event.name, event.step, event.value) for event in found)


def ordered(points: Iterable[Point]) -> list[Point]:
    return sorted(points, key=lambda point: (point[0], -1 if point[1] is None else point[1], point[2]))


def written(*directories: str) -> list[Point]:
    """Read what a CSVLogger wrote: each value of a row is a point.

    Each row has the epoch, also where the row before had it at the same step: then it says nothing new.
    """
    found: list[Point] = []
    epoch: Point | None = None
    for directory in directories:
        for row in rows(Path(directory) / "metrics.csv"):
            step = int(row.pop("step"))
            for name, text in row.items():
                point = name, step, float(text)
                if name != "epoch" or point != epoch:
                    found.append(point)
                epoch = point if name == "epoch" else epoch
    return ordered(found)


def rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {name: text for name, text in row.items() if text}
