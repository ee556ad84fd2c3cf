"""A training loop with 100 scalars in each step, beside a busy relay."""

import contextlib
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from bench.measure import clock, quantile, torch_work
from bench.place import Place, answer, given, until, workers
from bench.table import Check, Table

SCALARS: Final = 100  # in a step
BLOCK: Final = 50  # steps; then the other writer has its turn
WORK: Final = 2e-3  # seconds of work in a step
NAMES: Final = [f"layer{number:02d}/norm" for number in range(SCALARS)]
BARE: Final = "SummaryWriter"
TAIL: Final = 0.999
CAPTURED: Final = "the same, captured, relay busy"


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    found = place.child("bench.steps", blocks=12 if quick else 60)
    took: dict[str, list[float]] = found["took"]
    table = Table(
        "steps",
        f"steps of 2 ms of work and {SCALARS} add_scalar each, in ms",
        ["", "p50", "p99", "p99.9", "longest", "steps"],
    )
    for name, each in took.items():
        row = [quantile(each, share) / 1e6 for share in (0.5, 0.99, TAIL)]
        table.rows.append([name, *row, max(each) / 1e6, len(each)])
    ratio = quantile(took[CAPTURED], TAIL) / quantile(took[BARE], TAIL)
    low, high = resampled(took)
    table.checks.append(Check("captured / bare, p99.9 of all steps", ratio, 1.5, low, high))
    table.notes = [
        f"In {found['seconds']:.0f} s of captured steps the relay delivered {found['delivered']:,} points",
        f"to MLflow on SQLite; it was behind at the end of {found['behind']:.0%} of their blocks.",
        "While bare steps run, keeper and relay are stopped (SIGSTOP), as if they were not there.",
        "For this ratio, `rounds` is the interval that holds 90 % of 200 resamplings by blocks.",
    ]
    return table


def resampled(took: dict[str, list[float]]) -> tuple[float, float]:
    """Say how much a far quantile's ratio owes to chance: draw the blocks again, with replacement."""
    draw = random.Random(1)  # the same figures give the same interval
    blocks = {name: [each[i : i + BLOCK] for i in range(0, len(each), BLOCK)] for name, each in took.items()}
    ratios: list[float] = []
    for _ in range(200):
        tails = {
            name: quantile(list(itertools.chain.from_iterable(draw.choices(all_of, k=len(all_of)))), TAIL)
            for name, all_of in blocks.items()
        }
        ratios.append(tails[CAPTURED] / tails[BARE])
    return quantile(ratios, 0.05), quantile(ratios, 0.95)


def main(root: Path, blocks: int) -> None:
    """Measure in this process."""
    from torch.utils.tensorboard import SummaryWriter

    import tracelet
    from tracelet.journal import cursors, status

    class Bare(SummaryWriter):
        """Keeps the method that a capture would replace."""

        add_scalar = SummaryWriter.add_scalar

    work = torch_work(WORK)
    uri = f"sqlite:///{root}/steps.db"
    experiment = tracelet.start_logging("steps", "bench", "mlflow", mlflow_tracking_uri=uri)
    directory = experiment.directory
    assert directory is not None
    writers = {BARE: Bare(str(root / "bare")), CAPTURED: SummaryWriter(str(root / "captured"))}
    until(lambda: cursors.load(directory, "mlflow").delivered, 120, "the relay delivers")
    everybody = list(workers(directory).values())

    took: dict[str, list[int]] = {BARE: [], CAPTURED: []}
    behind, seconds, step = 0, 0.0, 0
    before = cursors.load(directory, "mlflow").delivered
    for turn in range(-2, blocks):  # the first two warm up, and give the relay something to do
        for name in (BARE, CAPTURED) if turn % 2 else (CAPTURED, BARE):
            with paused(everybody) if name == BARE else contextlib.nullcontext():
                began = time.monotonic()
                each = [one_step(writers[name], work, step + number) for number in range(BLOCK)]
                if turn >= 0:
                    took[name] += each
                if turn >= 0 and name == CAPTURED:
                    seconds += time.monotonic() - began
                    behind += status.backlog(directory, "mlflow") > 1000 * 39
        step += BLOCK
    answer(
        {
            "took": took,
            "behind": behind / blocks,
            "seconds": seconds,
            "delivered": cursors.load(directory, "mlflow").delivered - before,
        }
    )
    for writer in writers.values():
        writer.close()
    experiment.stop(wait=False)  # the bench ends what is left


def one_step(writer: Any, work: Any, step: int) -> int:
    """Do one step and return its nanoseconds."""
    began = clock()
    work()
    for number, name in enumerate(NAMES):
        writer.add_scalar(name, step / (number + 1), step)
    return clock() - began


@contextlib.contextmanager
def paused(processes: list[psutil.Process]) -> Iterator[None]:
    """Stop processes for a while."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), GIVEN["blocks"])
