"""How fast each relay delivers, beside a bare loop of the same client's fastest call; and its memory."""

import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from bench.bare import RIVALS, Point, Rival, client
from bench.measure import check
from bench.place import Place, answer, given
from bench.table import Table
from bench.wall import MB

NAMES: Final = [f"metric/{number}" for number in range(20)]
WHO: Final = ("bare", "relay")
LOOK: Final = 0.02  # seconds between two looks at a relay's memory


class Case(NamedTuple):
    """One tracker.

    Attributes:
        server: Of `Place.uri`; empty if it needs none.
        batches: How many batches are delivered; with --quick the second number.
        target: Of the bare loop's points per second; None where a client's call costs less than what a relay
            does for a point besides.
    """

    backend: str
    server: str
    batches: tuple[int, int]
    target: float | None


CASES: Final = {
    "mlflow, SQLite file": Case("mlflow", "", (25, 8), 0.9),
    "mlflow, server on SQLite": Case("mlflow", "good", (10, 5), 0.9),
    "wandb, emulated": Case("wandb", "wandb", (100, 30), None),
    "clearml, emulated": Case("clearml", "clearml", (25, 8), None),
    "aim": Case("aim", "", (20, 8), 0.9),
    "trackio": Case("trackio", "", (20, 6), None),
    "tensorboard": Case("tensorboard", "", (50, 15), 0.9),
}


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    columns = ["to", "bare call", "bare", "relay", "ratio", "of CPU", "relay MB"]
    table = Table("relay", "points per second, from a journal into a tracker", columns)
    for name, case in CASES.items():
        found: dict[str, Any] = place.child(
            "bench.relay",
            seconds=1200,
            backend=case.backend,
            server=place.uri(case.server) if case.server else "",
            rounds=3 if quick else 5,
            batches=case.batches[quick],
        )
        for call, rounds in found["rounds"].items():
            ratios, cpu = (
                [one["bare"][clock] / one["relay"][clock] for one in rounds] for clock in ("wall", "cpu")
            )
            rates = [statistics.median(found["points"] / one[who]["wall"] for one in rounds) for who in WHO]
            table.rows.append(
                [name, call, *rates, statistics.median(ratios), statistics.median(cpu), found["memory"]]
            )
            if case.target is not None:
                table.checks.append(check(f"{name}: relay / {call}", ratios, case.target, at_least=True))
    table.notes = [
        "Both in one process, a batch of the one after a batch of the other, as many points in each;",
        "importing the client and making the run are not counted. The relay reads a journal, shapes,",
        "writes and moves its cursor. Of CPU: the same ratio of this process's CPU seconds, which others",
        "disturb less. Relay MB: the most that a relay's process had which delivered as many points, with",
        "the processes that its client started.",
    ]
    return table


def main(root: Path, backend: str, server: str, rounds: int, batches: int) -> None:
    """Measure in this process; each round has databases, or runs, of its own."""
    from tracelet import backends

    batch = backends.load(backend).limits.batch
    found: dict[str, list[dict[str, dict[str, float]]]] = {rival.call: [] for rival in RIVALS[backend]}
    for number in range(rounds):
        for turn, rival in enumerate(RIVALS[backend]):
            places = [fresh(root, backend, server, f"{who}-{number}-{turn}") for who in WHO]
            points = made(time.time(), batches * batch)
            found[rival.call].append(one_round(rival, backend, places, points, batch, number))
    options = fresh(root, backend, server, "memory")
    memory = peak(backend, options, made(time.time(), batches * batch))
    answer({"rounds": found, "points": batches * batch, "memory": memory})


def fresh(root: Path, backend: str, server: str, name: str) -> dict[str, str]:
    """Choose where a run goes; what takes a client seconds to make is a copy."""
    if backend == "mlflow" and not server:
        template = root / "template.db"
        if not template.exists():
            client(f"sqlite:///{template}").create_experiment("bench")
        copy = root / f"{name}.db"
        copy.write_bytes(template.read_bytes())
        return {"mlflow_tracking_uri": f"sqlite:///{copy}"}
    if backend == "mlflow":
        return {"mlflow_tracking_uri": server}
    if backend in {"wandb", "clearml"}:
        return {}  # the environment says it
    if backend == "aim":
        return {"aim_repo": str(root)}  # each run has a database of its own there
    return {f"{backend}_dir": str(root / name)}


def one_round(
    rival: Rival,
    backend: str,
    places: Sequence[Mapping[str, str]],
    points: list[Point],
    batch: int,
    number: int,
) -> dict[str, dict[str, float]]:
    """Deliver the same points by both ways, in turns."""
    bare = rival.begin(places[0])
    delivery, journal = delivered(backend, places[1], points)
    batches = [points[at : at + batch] for at in range(0, len(points), batch)]
    seconds = {who: {"wall": 0.0, "cpu": 0.0} for who in WHO}
    steps: dict[str, Callable[[int], object]] = {
        "bare": lambda turn: bare.step(batches[turn]),
        "relay": lambda _: delivery.step(),
    }
    ends: dict[str, Callable[[], object]] = {"bare": bare.end, "relay": lambda: None}
    if rival.whole:
        steps["relay"] = lambda _: None
        ends["relay"] = lambda: (journal.stop(), delivery.run(threading.Event()))
    for some in [range(len(batches))] if rival.whole else [range(at, at + 1) for at in range(len(batches))]:
        for who in WHO if (some[0] + number) % 2 else WHO[::-1]:
            before, cpu = time.perf_counter(), time.process_time()
            for turn in some:
                steps[who](turn)
            if some[-1] == len(batches) - 1:
                ends[who]()
            seconds[who]["wall"] += time.perf_counter() - before
            seconds[who]["cpu"] += time.process_time() - cpu
    if not rival.whole:
        journal.stop()
    return seconds


def made(began: float, count: int) -> list[Point]:
    """Make points."""
    return [(NAMES[i % len(NAMES)], i / 3, i // len(NAMES), began + i / 1000) for i in range(count)]


def delivered(backend: str, options: Mapping[str, Any], points: list[Point]) -> tuple[Any, Any]:
    """Write a run's journal, and make the delivery that a relay would run, connected."""
    import tracelet
    from tracelet import backends
    from tracelet.journal import status
    from tracelet.relay.delivery import Delivery

    experiment = tracelet.start_experiment("relay", "bench", backend, mode="offline", **options)
    directory = experiment.directory
    assert directory is not None
    chosen = status.read_run(directory).targets[backend].options
    delivery = Delivery(directory, backend, backends.load(backend), chosen)
    delivery.step()  # connects, makes the run, and delivers nothing yet but its start
    for name, value, step, when in points:
        experiment.scalar(name, value, step, when)
    return delivery, experiment


def peak(backend: str, options: Mapping[str, Any], points: list[Point]) -> float:
    """Let a relay of its own deliver points; return its peak memory in MB, with its children's."""
    import tracelet

    experiment = tracelet.start_experiment("relay", "bench", backend, mode="offline", **options)
    for name, value, step, when in points:
        experiment.scalar(name, value, step, when)
    experiment.stop()
    line = [sys.executable, "-m", "tracelet.relay", str(experiment.directory), backend]
    with Path(f"{experiment.directory}.log").open("wb") as log:
        relay = subprocess.Popen(line, stdout=log, stderr=log)
    peaks: dict[int, float] = {}
    pause = threading.Event()
    while relay.poll() is None:
        with contextlib.suppress(psutil.Error, OSError, StopIteration):
            process = psutil.Process(relay.pid)
            for pid in [relay.pid, *(child.pid for child in process.children(recursive=True))]:
                text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                line_ = next(line for line in text.splitlines() if line.startswith("VmHWM"))
                peaks[pid] = int(line_.split()[1]) * 1024 / MB
        pause.wait(LOOK)
    if relay.returncode:
        raise RuntimeError(Path(f"{experiment.directory}.log").read_text(encoding="utf-8")[-3000:])
    return sum(peaks.values())


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), GIVEN["backend"], GIVEN["server"], GIVEN["rounds"], GIVEN["batches"])
