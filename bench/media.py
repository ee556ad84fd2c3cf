"""Images and histograms on the calling thread, beside a bare SummaryWriter."""

import contextlib
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.measure import Contestant, check, paced, quantile, torch_work, turns
from bench.place import Place, answer, given
from bench.table import Table

BETWEEN: Final = 2e-3  # seconds of work between two calls
SIDE: Final = 512  # pixels
IMAGE: Final = "image, 3×512×512 float32"
BARE: Final = "SummaryWriter"
CAPTURED: Final = "the same, captured"
OURS: Final = "exp.log_*"


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    found: dict[str, Any] = place.child("bench.media", quick=quick)
    table = Table(
        "media",
        "images and histograms, on the calling thread, in ms",
        ["what", "by", "p50", "p99", "longest", "× SummaryWriter"],
    )
    for what, rounds in found["rounds"].items():
        ratios = {by: [one[by]["p50"] / one[BARE]["p50"] for one in rounds] for by in (BARE, CAPTURED, OURS)}
        for by, each in ratios.items():
            row = [statistics.median(one[by][kind] for one in rounds) for kind in ("p50", "p99", "longest")]
            table.rows.append([what, by, *row, statistics.median(each)])
        table.checks += [
            check(f"{what}: exp.log_* / SummaryWriter, p50", ratios[OURS], 0.5),
            check(f"{what}: captured / SummaryWriter, p50", ratios[CAPTURED], 1.5),
        ]
    table.notes = [
        "A captured call is the writer's own call and ours; exp.log_* is ours alone.",
        f"On disk: {found['disk']['blobs'] / 1e6:,.0f} MB of blobs for both, until every tracker has them;",
        f"{found['disk']['events'] / 1e6:,.0f} MB of event files for one writer.",
    ]
    return table


def main(root: Path, *, quick: bool) -> None:
    """Measure in this process: a run in mode offline, and two SummaryWriters."""
    import torch

    work = torch_work(BETWEEN)
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 32, 32), SIDE, mode="bilinear")[0]
    few, many = torch.randn(100_000), torch.randn(1_000_000 if quick else 10_000_000)
    # Another array each time, as in training: equal ones would be one blob.
    calls: list[tuple[str, str, Any, int]] = [
        (IMAGE, "image", lambda i: ("picture", picture + i * 1e-6, i), 30),
        ("histogram, 100,000 float32", "histogram", lambda i: ("few", few + i * 1e-6, i), 20),
        (f"histogram, {len(many):,} float32", "histogram", lambda i: ("many", many + i * 1e-6, i), 4),
    ]
    rounds: dict[str, list[dict[str, Any]]] = {}
    with contestants(root) as (ours, bare, captured):
        for what, kind, make, most in calls:
            several = [
                Contestant(BARE, getattr(bare, f"add_{kind}"), make),
                Contestant(CAPTURED, getattr(captured, f"add_{kind}"), make),
                Contestant(OURS, getattr(ours, f"log_{kind}"), make),
            ]
            paced(several, range(-2, 0), work)
            count = max(2, most // 4) if quick else most
            for turn, _ in turns([""], 3 if quick else 5):
                took = paced(several, range(turn * count, (turn + 1) * count), work)
                rounds.setdefault(what, []).append({by: summed(each) for by, each in took.items()})
        bare.flush()
        disk = {"blobs": size_of(ours.directory / "blobs"), "events": size_of(root / "bare")}
    answer({"rounds": rounds, "disk": disk})


def summed(took: list[int]) -> dict[str, float]:
    """Reduce nanoseconds to what is shown, in milliseconds."""
    return {"p50": quantile(took, 0.5) / 1e6, "p99": quantile(took, 0.99) / 1e6, "longest": max(took) / 1e6}


def size_of(directory: Path) -> int:
    """Measure the files below a directory, in bytes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@contextlib.contextmanager
def contestants(root: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Make what is compared, all on one file system."""
    from torch.utils.tensorboard import SummaryWriter

    import tracelet

    class Bare(SummaryWriter):
        """Keeps the methods that a capture would replace."""

        add_image = SummaryWriter.add_image
        add_histogram = SummaryWriter.add_histogram

    experiment = tracelet.start_logging(
        "media", "bench", "mlflow", mode="offline", mlflow_tracking_uri=f"sqlite:///{root}/media.db"
    )
    bare, captured = Bare(str(root / "bare")), SummaryWriter(str(root / "captured"))
    try:
        yield experiment, bare, captured
    finally:
        bare.close()
        captured.close()
        tracelet.stop_logging()


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), quick=GIVEN["quick"])
