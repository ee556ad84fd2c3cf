"""How long `start_logging` takes, whatever the tracking server does."""

import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.measure import check, turns
from bench.place import Place, end_run, until, workers
from bench.table import Check, Table

STATES: Final = ("good", "refusing", "silent")
TORCH: Final = "from torch.utils.tensorboard import SummaryWriter\n"
# Text, because a module of the bench would have loaded already what is to be loaded here.
TRACELET: Final = """
import sys, time
import tracelet
began = time.perf_counter()
experiment = tracelet.start_logging("start", "bench", "mlflow", mlflow_tracking_uri=sys.argv[1])
print("result:", time.perf_counter() - began, experiment.directory)
experiment.stop(wait=False)
"""
MLFLOW: Final = """
import sys, time
began = time.perf_counter()
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("bench")
mlflow.start_run()
print("result:", time.perf_counter() - began, "-")
mlflow.end_run()
"""


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    took: dict[tuple[str, bool], list[float]] = {}
    for torch, rounds in ((False, 3 if quick else 5), (True, 1 if quick else 3)):
        for _, order in turns(STATES, rounds):
            for state in order:
                took.setdefault((state, torch), []).append(started(place, state, torch=torch))
    theirs = [one(place, MLFLOW, "good")[0] for _ in range(3)]

    title = "tracelet.start_logging in a fresh process, in ms"
    table = Table("start", title, ["server", "p50", "longest", "× good"])
    for (state, torch), each in took.items():
        name = f"{state}{', torch is imported' if torch else ''}"
        pairs = [a / b for a, b in zip(each, took["good", torch], strict=True)]
        table.rows.append([name, statistics.median(each), max(each), statistics.median(pairs)])
        if state != "good":
            table.checks.append(check(f"{name} / good, in pairs", pairs, 1.2))
    base = statistics.median(took["good", False])
    ratio = statistics.median(theirs) / base
    name = "good; instead: import mlflow, mlflow.start_run"
    table.rows.append([name, statistics.median(theirs), max(theirs), ratio])
    slowest = max(took.values(), key=statistics.median)
    for what, target in (("aim: the slowest row", 100.0), ("limit: the slowest row", 250.0)):
        middle = statistics.median(slowest)
        table.checks.append(Check(what, middle, target, min(slowest), max(slowest), unit="ms"))
    table.notes = [
        "Loading tracelet's own modules counts, too: where torch is imported, many are there already."
    ]
    return table


def started(place: Place, state: str, *, torch: bool) -> float:
    """Start one run in a process of its own, and end what it started; return the milliseconds."""
    took, directory = one(place, TORCH * torch + TRACELET, state)
    run = Path(directory)
    until(lambda: "keeper" in workers(run), 20, "the keeper is there")
    end_run(run)
    shutil.rmtree(run)  # or the next start would find a run that is not delivered
    return took


def one(place: Place, script: str, state: str) -> tuple[float, str]:
    """Run a script, and return what it says: milliseconds, and the run's directory."""
    done = subprocess.run(
        [sys.executable, "-c", script, place.uri(state)],
        cwd=place.root,
        env=place.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("result:"))
    _, took, directory = line.split(" ", 2)
    return float(took) * 1000, directory
