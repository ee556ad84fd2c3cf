"""How a run of Lightning ends, and what happens where it trains in several processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.captures.lightnings import written
from tracelet.events import Metric, Params, RunFinished
from tracelet.journal.reader import Reader

pytestmark = pytest.mark.slow

# How torch's own process ends now and then, also without tracelet, where threads of gloo's outlive the fit.
ABORTED: Final = "terminate called without an active exception"

SCRIPT: Final = """
import os, signal, sys, tracelet
how = sys.argv[1]
if __name__ == "__main__":
    tracelet.start_logging("r", "p", "tracelet.testing.memory:BACKEND", mode="offline")
assert not {name for name in sys.modules if "lightning" in name} - {"tracelet.captures.lightning"}
import torch
import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger

class Model(pl.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, number):
        loss = self.layer(batch).mean()
        self.log("loss", loss)
        if number == 2 and how == "ctrl-c":
            raise KeyboardInterrupt
        if number == 2 and how == "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
        return loss
    def validation_step(self, batch, number):
        self.log("val", self.layer(batch).mean(), sync_dist=True)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

if __name__ == "__main__":
    several = {"strategy": how, "devices": 2} if how.startswith("ddp") else {}
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", log_every_n_steps=1, enable_progress_bar=False,
        enable_checkpointing=False, logger=CSVLogger(".", version=0) if how == "ddp" else False, **several)
    data = torch.utils.data.DataLoader(torch.randn(12, 2), batch_size=2)
    trainer.fit(Model(), data, data)
"""


def run(how: str, place: Path) -> list[object]:
    """Train in a process of its own; read what the only run of it holds."""
    for _ in range(3):
        if (found := attempted(how, place)) is not None:
            return found
    pytest.fail(f"torch aborts each time: {ABORTED}")


def attempted(how: str, place: Path) -> list[object] | None:
    """See `run`; None where torch has aborted."""
    (place / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "train.py", how],
        cwd=place,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if how == "ddp_spawn" and ABORTED in done.stderr:
        shutil.rmtree(place / ".tracelet")
        return None
    assert done.returncode == (how == "ctrl-c"), done.stderr
    (journal,) = [path for path in (place / ".tracelet").iterdir() if path.is_dir()]
    reader = Reader(journal)
    found: list[object] = []
    while records := reader.read(10_000):
        found += [record.event for record in records]
    return found


@pytest.mark.parametrize(("how", "reason"), [("ctrl-c", "KeyboardInterrupt"), ("sigterm", "SIGTERM")])
def test_a_fit_that_is_ended_from_outside_is_killed(how: str, reason: str, tmp_path: Path) -> None:
    found = run(how, tmp_path)

    (end,) = [event for event in found if isinstance(event, RunFinished)]
    assert (end.status, end.reason.rstrip(": ")) == ("KILLED", reason)
    assert [event.step for event in found if isinstance(event, Metric) and event.name == "loss"][:2] == [0, 1]


@pytest.mark.parametrize("how", ["ddp", "ddp_spawn"])
def test_of_several_processes_the_first_records(how: str, tmp_path: Path) -> None:
    found = run(how, tmp_path)

    points = sorted((event.name, event.step, event.value) for event in found if isinstance(event, Metric))
    assert [step for name, step, _ in points if name == "loss"] == [0, 1, 2]
    assert [step for name, step, _ in points if name == "val"] == [2]
    assert [event.params for event in found if isinstance(event, Params)] == [{"lr": 0.1}]
    assert [event.status for event in found if isinstance(event, RunFinished)] == ["FINISHED"]
    if how == "ddp":
        assert points == written("lightning_logs/version_0")
