"""Read back what arrived, each tracker by its own means, in the words of the trainer's notes."""

import functools
import hashlib
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tracelet.events import Artifact, Event, Metric, Params, RunFinished, RunStarted, Tags
from tracelet.testing import memory

Key = tuple[str, str, object, int | None]
"""A record: kind, name, value, and a metric's step."""


@dataclass
class Arrived:
    """What a tracker has of one run."""

    records: Counter[Key] = field(default_factory=Counter[Key])
    latest: dict[str, int] = field(default_factory=dict[str, int])
    times: list[float] = field(default_factory=list[float])
    runs: int = 0
    statuses: list[str] = field(default_factory=list[str])

    def tag(self, name: str, text: str) -> None:
        """Take a tag; of those that are set anew the last one counts."""
        if name.endswith("-latest"):
            self.latest[name] = int(text)
        elif name.startswith(("main-", "thread-", "child-")):
            self.records["tag", name, text, None] = 1


class Tracker(Protocol):
    """Where a trainer's run goes, and how it is read back."""

    backend: str
    name: str
    seconds: float

    def environment(self, place: Path) -> dict[str, str]:
        """Prepare the tracker in `place`; tell the trainer's variables."""
        ...

    def read(self, place: Path, run_id: str) -> Arrived:
        """Read a run back."""
        ...


class Memory:
    """`tracelet.testing.memory`: fast, and keeps each event as it came."""

    backend = "tracelet.testing.memory:BACKEND"
    name = "memory"
    seconds = 1.2  # of training

    def environment(self, place: Path) -> dict[str, str]:
        """See `Tracker.environment`."""
        return {"MEMORY_BACKEND_FILE": str(place / "tracked")}

    def read(self, place: Path, run_id: str) -> Arrived:
        """See `Tracker.read`."""
        found, file = Arrived(), place / "tracked"
        for event in memory.stored(file):
            self._take(event, found, run_id, memory.artifacts_of(file))
        for event in memory.received(file):  # also what came again: the last one counts
            if isinstance(event, Tags):
                for name, text in event.tags.items():
                    found.tag(name, text)
        return found

    def _take(self, event: Event, found: Arrived, run_id: str, artifacts: Path) -> None:
        if isinstance(event, Metric):
            step = event.ordinal if event.step is None else event.step
            found.records["metric", event.name, event.value.hex(), step] += 1
            found.times.append(event.time)
        elif isinstance(event, Params):
            for name, value in event.params.items():
                found.records["param", name, value, None] += 1
        elif isinstance(event, Artifact):
            content = (artifacts / event.path).read_bytes()
            found.records["artifact", event.path, hashlib.sha256(content).hexdigest(), None] += 1
        elif isinstance(event, RunStarted) and event.run_id == run_id:
            found.runs += 1
        elif isinstance(event, RunFinished):
            found.statuses.append(event.status)


class Mlflow:
    """MLflow on SQLite, read with its own client."""

    backend = "mlflow"
    name = "mlflow"
    seconds = 4.0  # of training: the client alone takes two to import

    def __init__(self, template: Path) -> None:
        self._template = template

    def environment(self, place: Path) -> dict[str, str]:
        """See `Tracker.environment`."""
        shutil.copyfile(_template(self._template), place / "mlflow.db")
        return {"MLFLOW_TRACKING_URI": _uri(place)}

    def read(self, place: Path, run_id: str) -> Arrived:
        """See `Tracker.read`."""
        client = _client(_uri(place))
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments)
        found = Arrived(runs=len([run for run in runs if run.data.tags.get("tracelet.uid") == run_id]))
        for run in runs:
            found.statuses.append(run.info.status)
            for name in run.data.metrics:
                for point in client.get_metric_history(run.info.run_id, name):
                    found.records["metric", name, point.value.hex(), point.step] += 1
                    found.times.append(point.timestamp / 1000)
            for name, text in run.data.params.items():
                found.records["param", name, int(text), None] += 1
            for name, text in run.data.tags.items():
                found.tag(name, text)
            for item in client.list_artifacts(run.info.run_id, "files"):
                content = Path(client.download_artifacts(run.info.run_id, item.path)).read_bytes()
                found.records["artifact", item.path, hashlib.sha256(content).hexdigest(), None] += 1
        return found


def _uri(place: Path) -> str:
    return f"sqlite:///{place / 'mlflow.db'}"


@functools.cache
def _template(directory: Path) -> Path:
    """Make an empty database, once: it takes MLflow seconds."""
    _client(_uri(directory)).search_experiments()
    return directory / "mlflow.db"


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)
