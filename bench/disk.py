"""How many bytes a point takes on disk."""

import time
from pathlib import Path
from typing import Final

from bench.bare import RIVALS, client
from bench.place import Place, answer, given
from bench.relay import NAMES, made
from bench.table import Table

JOURNAL: Final = "tracelet's journal"
BATCH: Final = 1000  # points in a call of MLflow's


def measure(place: Place, *, quick: bool) -> Table:
    """Measure."""
    points = 5_000 if quick else 50_000
    found: dict[str, float] = place.child("bench.disk", points=points)
    table = Table("disk", f"bytes per point, of {points:,} in {len(NAMES)} metrics", ["", "bytes", "× ours"])
    table.rows = [[name, size, size / found[JOURNAL]] for name, size in found.items()]
    return table


def main(root: Path, count: int) -> None:
    """Write the same points everywhere, and look at the files."""
    from torch.utils.tensorboard import SummaryWriter

    import tracelet

    points = made(time.time(), count)
    experiment = tracelet.start_experiment(
        "disk", "bench", "mlflow", mode="offline", mlflow_tracking_uri=f"sqlite:///{root}/disk.db"
    )
    assert experiment.directory is not None
    writer = SummaryWriter(str(root / "events"))
    for name, value, step, when in points:
        experiment.scalar(name, value, step, when)
        writer.add_scalar(name, value, step, when)
    writer.close()

    file = root / "disk.db"
    client(f"sqlite:///{file}").create_experiment("bench")
    empty = file.stat().st_size
    bare = RIVALS["mlflow"][0].begin({"mlflow_tracking_uri": f"sqlite:///{file}"})
    for at in range(0, count, BATCH):
        bare.step(points[at : at + BATCH])
    sizes = {
        JOURNAL: sum(path.stat().st_size for path in experiment.directory.glob("*.seg")),
        "TensorBoard's event file": sum(path.stat().st_size for path in (root / "events").iterdir()),
        "MLflow on SQLite": file.stat().st_size - empty,
    }
    answer({name: size / count for name, size in sizes.items()})


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), GIVEN["points"])
