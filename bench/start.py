"""How long `start_logging` takes, whatever the tracking server does."""

import statistics
import time
from pathlib import Path
from typing import Final

from bench.measure import check, turns
from bench.place import Place, answer, end_run, given, until, workers
from bench.table import Check, Table

STATES: Final = ("good", "refusing", "silent")
MLFLOW: Final = "mlflow.start_run"


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    rounds = 3 if quick else 9
    took: dict[tuple[str, bool], list[float]] = {}
    for torch in (False, True):
        for _, order in turns(STATES, rounds if not torch else 2 if quick else 5):
            for state in order:
                took.setdefault((state, torch), []).append(started(place, state, torch=torch))
    good = place.uri("good")
    theirs = [place.child("bench.start", uri=good, who=MLFLOW, torch=False)["ms"] for _ in range(3)]
    title = "tracelet.start_logging in a fresh process, in ms"
    table = Table("start", title, ["server", "p50", "longest", "× good"])
    for (state, torch), each in took.items():
        name = f"{state}{', torch is imported' if torch else ''}"
        ratio = statistics.median(each) / statistics.median(took["good", torch])
        table.rows.append([name, statistics.median(each), max(each), ratio])
    base = took["good", False]
    ratio = statistics.median(theirs) / statistics.median(base)
    name = "good; instead: import mlflow, mlflow.start_run"
    table.rows.append([name, statistics.median(theirs), max(theirs), ratio])
    for state in ("refusing", "silent"):
        pairs = [a / b for a, b in zip(took[state, False], base, strict=True)]
        table.checks.append(check(f"{state} / good", pairs, 1.2))
    slowest = max((took[state, False] for state in STATES), key=statistics.median)
    for what, target in (("aim: the slowest state", 100.0), ("limit: the slowest state", 250.0)):
        table.checks.append(
            Check(what, statistics.median(slowest), target, min(slowest), max(slowest), unit="ms")
        )
    table.notes = [
        "Loading tracelet's own modules counts, too: where torch is imported, many are there already."
    ]
    return table


def started(place: Place, state: str, *, torch: bool) -> float:
    """Start one run in a process of its own, and end what it started."""
    found = place.child("bench.start", uri=place.uri(state), who="tracelet", torch=torch)
    directory = Path(found["directory"])
    until(lambda: "keeper" in workers(directory), 20, "the keeper is there")
    end_run(directory)
    return found["ms"]


def main(uri: str, who: str, *, torch: bool) -> None:
    """Measure in this process."""
    if torch:
        from torch.utils.tensorboard import SummaryWriter  # noqa: F401  as a training script does
    if who == MLFLOW:
        began = time.perf_counter()
        import mlflow

        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("bench")
        mlflow.start_run()
        answer({"ms": (time.perf_counter() - began) * 1000})
        mlflow.end_run()
        return
    import tracelet

    began = time.perf_counter()
    experiment = tracelet.start_logging("start", "bench", "mlflow", mlflow_tracking_uri=uri)
    answer({"ms": (time.perf_counter() - began) * 1000, "directory": str(experiment.directory)})
    experiment.stop(wait=False)


if __name__ == "__main__":
    GIVEN = given()
    main(GIVEN["uri"], GIVEN["who"], torch=GIVEN["torch"])
