"""How fast a relay delivers to MLflow, beside a bare loop of `log_batch`."""

import statistics
import time
from pathlib import Path
from typing import Any, Final

from bench.measure import check
from bench.place import Place, answer, given
from bench.table import Table

BATCH: Final = 1000  # points in a call
NAMES: Final = [f"metric/{number}" for number in range(10)]


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    stores = {
        "SQLite file": ("", 3 if quick else 5, 8 if quick else 25),
        "server, on SQLite": (place.uri("good"), 3 if quick else 5, 5 if quick else 10),
    }
    table = Table(
        "relay", f"points per second into MLflow, {BATCH} in a call", ["", "bare", "relay", "ratio"]
    )
    for name, (uri, rounds, batches) in stores.items():
        found: list[dict[str, float]] = place.child("bench.relay", uri=uri, rounds=rounds, batches=batches)
        ratios = [one["bare"] / one["relay"] for one in found]
        rates = [statistics.median(batches * BATCH / one[who] for one in found) for who in ("bare", "relay")]
        table.rows.append([name, *rates, statistics.median(ratios)])
        table.checks.append(check(f"relay / log_batch loop, {name}", ratios, 0.9, at_least=True))
    table.notes = [
        "One process, a batch of the one after a batch of the other; importing mlflow is not counted.",
        "The relay reads a journal, shapes, writes and moves its cursor; bare is a loop of",
        "MlflowClient.log_batch that makes its Metric entities of numbers.",
    ]
    return table


def main(root: Path, uri: str, rounds: int, batches: int) -> None:
    """Measure in this process; each round has databases, or runs, of its own."""
    template = root / "template.db"
    if not uri and not template.exists():
        client(f"sqlite:///{template}").create_experiment("bench")
    answer([one_round(root, template, uri, number, batches) for number in range(rounds)])


def one_round(root: Path, template: Path, uri: str, number: int, batches: int) -> dict[str, float]:
    """Deliver the same points by both ways, in turns."""
    uris: dict[str, str] = {"bare": uri, "relay": uri}
    if not uri:
        for who in uris:
            copy = root / f"{who}-{number}.db"
            copy.write_bytes(template.read_bytes())
            uris[who] = f"sqlite:///{copy}"
    began = time.time()
    points = made(began, batches * BATCH)
    bare = Bare(uris["bare"], points)
    delivery = delivered(uris["relay"], points)
    delivery.step()  # connects, finds the experiment, makes the run, and delivers nothing yet but its start
    seconds = {"bare": 0.0, "relay": 0.0}
    for turn in range(batches):
        for who in ("bare", "relay") if (turn + number) % 2 else ("relay", "bare"):
            before = time.perf_counter()
            (bare if who == "bare" else delivery).step()
            seconds[who] += time.perf_counter() - before
    return seconds


def made(began: float, count: int) -> list[tuple[str, float, int, float]]:
    """Make points: name, value, step, time."""
    return [(NAMES[i % len(NAMES)], i / 3, i // len(NAMES), began + i / 1000) for i in range(count)]


class Bare:
    """What one would write without tracelet."""

    def __init__(self, uri: str, points: list[tuple[str, float, int, float]]) -> None:
        self._client = client(uri)
        experiment = self._client.get_experiment_by_name("bench")
        made = experiment.experiment_id if experiment else self._client.create_experiment("bench")
        self._run = self._client.create_run(made).info.run_id
        self._points = points
        self._at = 0

    def step(self) -> None:
        """Write one batch."""
        from mlflow.entities import Metric

        batch = self._points[self._at : self._at + BATCH]
        self._at += BATCH
        metrics = [Metric(name, value, round(when * 1000), step) for name, value, step, when in batch]
        self._client.log_batch(self._run, metrics=metrics)


def delivered(uri: str, points: list[tuple[str, float, int, float]]) -> Any:
    """Write a run's journal, and make the delivery that a relay would run."""
    import tracelet
    from tracelet import backends
    from tracelet.journal import status
    from tracelet.relay.delivery import Delivery

    experiment = tracelet.start_experiment("relay", "bench", "mlflow", mode="offline", backend_url=uri)
    directory = experiment.directory
    assert directory is not None
    options = status.read_run(directory).targets["mlflow"].options
    delivery = Delivery(directory, "mlflow", backends.load("mlflow"), options)
    delivery.step()
    for name, value, step, when in points:
        experiment.scalar(name, value, step, when)
    return delivery


def client(uri: str) -> Any:
    """Make MLflow's client."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), GIVEN["uri"], GIVEN["rounds"], GIVEN["batches"])
