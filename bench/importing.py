"""What an import costs, in fresh interpreters."""

import json
import statistics
import subprocess
import sys
import time
from typing import Final

from bench.measure import check, turns
from bench.place import Place
from bench.table import Table

NOTHING: Final = "python -c pass"
TRACELET: Final = "import tracelet"
LINES: Final = {
    NOTHING: "pass",
    TRACELET: "import tracelet",
    "from tracelet import start_logging": "from tracelet import start_logging",
    "import mlflow": "import mlflow",
}
COUNT: Final = "\nimport sys, json; print(json.dumps(len(sys.modules)))"


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    often, rarely = (7, 1) if quick else (31, 3)
    took: dict[str, list[float]] = {name: [] for name in LINES}
    for number, order in turns(list(LINES), often):
        for name in order:
            if name != "import mlflow" or number < rarely:
                took[name].append(seconds(place, LINES[name]))
    loaded = {name: modules(place, line) for name, line in LINES.items()}
    table = Table("import", "fresh interpreters, in ms", ["", "p50", "more than pass", "modules", "× pass"])
    nothing = statistics.median(took[NOTHING])
    for name, each in took.items():
        median = statistics.median(each)
        row: list[str | float | None] = [name, median * 1000, (median - nothing) * 1000]
        table.rows.append([*row, loaded[name] - loaded[NOTHING], median / nothing])
    pairs = [a / b for a, b in zip(took[TRACELET], took[NOTHING], strict=True)]
    table.checks = [check("import tracelet / python -c pass", pairs, 3.0)]
    return table


def seconds(place: Place, line: str) -> float:
    """Run a line in an interpreter of its own, and return how long that took."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", line], cwd=place.root, env=place.environ, check=True)
    return time.perf_counter() - began


def modules(place: Place, line: str) -> int:
    """Count the modules that are loaded after a line."""
    said = subprocess.run(
        [sys.executable, "-c", line + COUNT],
        cwd=place.root,
        env=place.environ,
        check=True,
        capture_output=True,
    )
    return json.loads(said.stdout.splitlines()[-1])
