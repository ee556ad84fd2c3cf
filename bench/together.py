"""One run to all trackers at once, with and without one that never answers."""

import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from bench.measure import check, turns
from bench.place import REPOSITORY, Place, end_run
from bench.table import Table
from tracelet.journal import shelf, status

SCRIPT: Final = REPOSITORY / "tests" / "live" / "all_at_once.py"
BACKENDS: Final = ("mlflow", "wandb", "clearml", "aim", "trackio", "tensorboard")
SILENT: Final = "mlflow"  # which never answers, in the one state
STATES: Final = ("all answer", "MLflow never answers")
SIZES: Final = ((20_000, 40, 10), (5_000, 10, 5))  # points, images, artifacts; and with --quick
WORK: Final = 1000  # multiplications of matrices in each step, some milliseconds
LOOK: Final = 0.05  # seconds between two looks
PATIENCE: Final = 300.0  # seconds; only what hangs takes so long


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    for server in ("good", "silent", "wandb", "clearml"):
        place.uri(server)
    found: dict[str, list[dict[str, float]]] = {state: [] for state in STATES}
    for number, order in turns(STATES, 2 if quick else 5):
        for state in order:
            found[state].append(one_round(place, state, f"{STATES.index(state)}-{number}", SIZES[quick]))
    points, images, artifacts = SIZES[quick]
    table = Table(
        "together",
        f"{points:,} points, {images} images, {artifacts} artifacts to {len(BACKENDS)} trackers at once",
        ["seconds", *STATES, "ratio"],
    )
    others = [name for name in BACKENDS if name != SILENT]
    for what in ("loop", "loop, CPU", *(f"{name} is complete" for name in others)):
        both = [[one[what] for one in found[state]] for state in STATES]
        ratios = [silent / good for good, silent in zip(*both, strict=True)]
        table.rows.append([what, *map(statistics.median, both), statistics.median(ratios)])
        target = 1.03 if what.startswith("loop") else 1.1
        table.checks.append(check(f"{what}, {STATES[1]} / {STATES[0]}", ratios, target))
    table.notes = [
        "The loop is the training alone, with some milliseconds of its own work in each step. A tracker is",
        "complete once its relay has delivered the end of the run, in seconds since the script was started.",
        "W&B and ClearML are emulators.",
    ]
    return table


def one_round(place: Place, state: str, name: str, size: tuple[int, int, int]) -> dict[str, float]:
    """Train once; tell how long the loop took, and when each tracker had everything."""
    root = place.root / name
    root.mkdir()
    environ = place.environ | {
        "TRACELET_DIR": str(root / "shelf"),
        "MLFLOW_TRACKING_URI": place.uri("good" if state == STATES[0] else "silent"),
        "TRACELET_AIM_REPO": str(root / "aim"),
        "TRACKIO_DIR": str(root / "trackio"),
        "TRACELET_STOP_TIMEOUT": "5",
        "OMP_NUM_THREADS": "1",
    }
    notes = root / "notes.json"
    line = [sys.executable, str(SCRIPT), str(notes), ",".join(BACKENDS), *map(str, size), str(WORK)]
    wanted = {name for name in BACKENDS if name != SILENT or state == STATES[0]}
    with (root / "log").open("wb") as log:
        began = time.monotonic()
        script = subprocess.Popen(line, cwd=root, env=environ, stdout=log, stderr=log)
    try:
        done = _watched(root / "shelf", wanted, began)
        code = script.wait(PATIENCE)
        if code or wanted - set(done):
            left = f"{wanted - set(done)} left, exit code {code}"
            raise RuntimeError(f"{left}: {(root / 'log').read_text(encoding='utf-8')[-2000:]}")
    finally:
        script.kill()
        script.wait()
        for directory in shelf.runs(root / "shelf"):
            end_run(directory)
    said: dict[str, Any] = json.loads(notes.read_bytes())
    complete = {f"{name} is complete": seconds for name, seconds in done.items()}
    return {"loop": said["loop"], "loop, CPU": said["cpu"], **complete}


def _watched(runs: Path, wanted: set[str], began: float) -> dict[str, float]:
    """Look at a run until all is delivered; tell when each tracker had it."""
    done: dict[str, float] = {}
    pause = threading.Event()
    while wanted - set(done) and time.monotonic() < began + PATIENCE:
        for directory in shelf.runs(runs):
            now = time.monotonic() - began
            new = (name for name in wanted - set(done) if status.is_complete(directory, name))
            done |= dict.fromkeys(new, now)
        pause.wait(LOOK)
    return done
