"""The specification's snippet of Lightning runs as it is written, and what it logs can be read back.

It names two trackers. Of the second there is no backend yet: another package's takes its place here.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.spec.reading import Document, Running, only_run, points

SECTION: Final = Document("migration").section("Migrating from PyTorch Lightning Loggers")
READERS_OWN: Final = """
import torch
class Whole(MyModel):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)
    def compute_loss(self, batch):
        return self.layer(batch).pow(2).mean()
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
model = Whole()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]


def test_from_lightnings_loggers(tmp_path: Path, run: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "packages" / "other-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[tracelet.backends]\nwandb = tracelet.testing.memory:BACKEND\n")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    snippet = SECTION.snippet("After (Lightning + Tracelet)")
    before, trainer, after = snippet.partition("# No logger needed")

    client = run(before + READERS_OWN + trainer + after)

    found = only_run(client, "my_project")
    assert (found.info.run_name, found.info.status) == ("experiment_1", "FINISHED")
    assert [step for step, _ in points(client, found, "train/loss")] == [49, 99, 149, 199]
    assert points(client, found, "epoch") == [(49, 24.0), (99, 49.0), (149, 74.0), (199, 99.0)]
    assert found.data.params == {"lr": "0.1"}
