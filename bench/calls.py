"""One scalar on the calling thread."""

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.measure import Contestant, check, clock, paced, quantile, timed, torch_work, turns
from bench.place import Place, answer, given
from bench.table import Table

BETWEEN: Final = 0.2e-3  # seconds of work between two paced calls
WRITE: Final = "os.write of the same bytes"
LOG: Final = "exp.log_metric"
BARE: Final = "SummaryWriter.add_scalar"
CAPTURED: Final = "the same, captured by tracelet"
SYNC: Final = "mlflow.log_metric, SQLite"
ASYNC: Final = "mlflow.log_metric, SQLite, async"
NAME: Final = "train/loss"


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    rounds: list[dict[str, Any]] = place.child("bench.calls", quick=quick)
    return judged(rounds)


def judged(rounds: Sequence[dict[str, Any]]) -> Table:
    """Make the table of what the rounds gave."""
    table = Table(
        "calls",
        "one scalar, on the calling thread, in µs",
        ["call", "paced p50", "p99", "× os.write", "tight p50", "p99", "× os.write"],
    )

    def each(pace: str, name: str, kind: str) -> list[float]:
        return [found[pace][name][kind] for found in rounds]

    def over(pace: str, kind: str, name: str, other: str) -> list[float]:
        return [a / b for a, b in zip(each(pace, name, kind), each(pace, other, kind), strict=True)]

    for name in rounds[0]["paced"]:
        row: list[str | float | None] = [name]
        for pace in ("paced", "tight"):
            row += [statistics.median(each(pace, name, kind)) for kind in ("p50", "p99")]
            row.append(statistics.median(over(pace, "p50", name, WRITE)))
        table.rows.append(row)
    added = [found["added"] for found in rounds]
    write = each("paced", WRITE, "p50")
    ratio = statistics.median(a / b for a, b in zip(added, write, strict=True))
    pairs: list[str | float | None] = ["captured minus bare, in pairs", statistics.median(added), None, ratio]
    table.rows.append([*pairs, None, None, None])

    logged = each("paced", LOG, "p50")
    table.checks = [
        check("exp.log_metric / os.write, paced p50", over("paced", "p50", LOG, WRITE), 2.0),
        check("exp.log_metric / os.write, paced p99", over("paced", "p99", LOG, WRITE), 2.5),
        check("exp.log_metric / os.write, tight p50", over("tight", "p50", LOG, WRITE), 2.25),
        check(
            "captured minus bare / exp.log_metric, paced p50",
            [a / b for a, b in zip(added, logged, strict=True)],
            2.5,
        ),
        check(
            "captured / bare add_scalar, calls per second, tight",
            [found["throughput"] for found in rounds],
            0.95,
            at_least=True,
        ),
    ]
    return table


def main(root: Path, *, quick: bool) -> None:
    """Measure in this process: a run in mode offline, and two SummaryWriters."""
    work = torch_work(BETWEEN)
    with contestants(root) as (ours, writers):
        slow = [] if quick else mlflow_contestants(root)
        rounds: list[dict[str, Any]] = []
        paced(ours, range(300), work)  # files, caches and branch predictors are warm
        for number, _ in turns([""], 3 if quick else 5):
            rounds.append(one_round(ours, slow, writers, work, 800 if quick else 4000, number))
    answer(rounds)


def one_round(
    ours: Sequence[Contestant], slow: Sequence[Contestant], writers: Any, work: Any, count: int, number: int
) -> dict[str, Any]:
    """Time everything once."""
    numbers = range(number * count, (number + 1) * count)
    spaced = paced(ours, numbers, work)
    tight = {one.name: [timed(one, i) for i in numbers] for one in ours}
    # By themselves: a call of milliseconds would leave cold caches to whoever comes next.
    for one in slow:
        few = range(number * 60, (number + 1) * 60)
        spaced |= paced([one], few, work)
        settle()
        tight[one.name] = [timed(one, i) for i in few]
        settle()
    added = statistics.median(c - b for c, b in zip(spaced[CAPTURED], spaced[BARE], strict=True))
    return {
        "paced": {name: summed(took) for name, took in spaced.items()},
        "tight": {name: summed(took) for name, took in tight.items()},
        "added": added / 1000,
        "throughput": throughput(ours, writers, count // 4),
    }


def summed(took: Sequence[int]) -> dict[str, float]:
    """Reduce nanoseconds to quantiles, in microseconds."""
    return {"p50": quantile(took, 0.5) / 1000, "p99": quantile(took, 0.99) / 1000}


def throughput(ours: Sequence[Contestant], writers: dict[str, Any], count: int) -> float:
    """Compare how many calls captured and bare writers take in a second, their files written."""
    seconds = {BARE: 0, CAPTURED: 0}
    by_name = {one.name: one for one in ours}
    for _, order in turns(list(seconds), 8):
        for name in order:
            call, make = by_name[name].call, by_name[name].arguments
            all_arguments = [make(i) for i in range(count)]
            began = clock()
            for arguments in all_arguments:
                call(*arguments)
            writers[name].flush()  # the writer's thread has written what it was given
            seconds[name] += clock() - began
    return seconds[BARE] / seconds[CAPTURED]


@contextlib.contextmanager
def contestants(root: Path) -> Iterator[tuple[list[Contestant], dict[str, Any]]]:
    """Make what is compared, all on one file system."""
    from torch.utils.tensorboard import SummaryWriter

    import tracelet

    class Bare(SummaryWriter):
        """Keeps the method that a capture would replace."""

        add_scalar = SummaryWriter.add_scalar

    experiment = tracelet.start_logging(
        "calls", "bench", "mlflow", mode="offline", mlflow_tracking_uri=f"sqlite:///{root}/calls.db"
    )
    bare, captured = Bare(str(root / "bare")), SummaryWriter(str(root / "captured"))
    frame = os.urandom(frame_size(root))
    file = os.open(root / "frames", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield (
            [
                Contestant(WRITE, os.write, lambda _: (file, frame)),
                Contestant(LOG, experiment.log_metric, lambda i: (NAME, i / 3, i)),
                Contestant(BARE, bare.add_scalar, lambda i: (NAME, i / 3, i)),
                Contestant(CAPTURED, captured.add_scalar, lambda i: (NAME, i / 3, i)),
            ],
            {BARE: bare, CAPTURED: captured},
        )
    finally:
        os.close(file)
        bare.close()
        captured.close()
        tracelet.stop_logging()


def frame_size(root: Path) -> int:
    """Ask the journal how many bytes one point takes."""
    from tracelet.journal.writer import Writer

    directory = root / "frame"
    directory.mkdir()
    writer = Writer(directory)
    sizes: list[int] = []
    for step in range(3):
        writer.scalar(NAME, 0.5, step, 0.5)
        sizes.append((directory / writer.segment).stat().st_size)
    writer.close()
    return sizes[2] - sizes[1]


def mlflow_contestants(root: Path) -> list[Contestant]:
    """Make the calls to MLflow's own client."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{root}/calls.db")
    mlflow.start_run()
    return [
        Contestant(SYNC, mlflow.log_metric, lambda i: (NAME, i / 3, i)),
        Contestant(ASYNC, mlflow.log_metric, lambda i: (f"{NAME}/async", i / 3, i, False)),
    ]


def settle() -> None:
    """Wait for MLflow's queue, so that it does not work while something else is timed."""
    import mlflow

    mlflow.flush_async_logging()


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), quick=GIVEN["quick"])
