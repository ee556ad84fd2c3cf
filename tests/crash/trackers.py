"""The trackers that a run is killed on its way to, and what arrived there, in the words of the notes."""

import contextlib
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from tests.clients import asked
from tests.emulators.clearml import ClearML
from tests.emulators.wandb import WandbServer
from tracelet.events import Artifact, Event, Metric, Params, RunFinished, RunStarted, Tags
from tracelet.testing import memory

PROJECT: Final = "crashes"
Key: TypeAlias = tuple[str, str, object, int | None]
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

    @property
    def backend(self) -> str:
        """As in `start_logging`."""
        ...

    @property
    def name(self) -> str:
        """What the run calls it."""
        ...

    @property
    def seconds(self) -> float:
        """How long a training to it lasts."""
        ...

    @property
    def single(self) -> bool:
        """Whether its client shows values as float32."""
        ...

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
    seconds = 1.2
    single = False

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


class Asked:
    """A tracker that is read with its own client, of `tests.clients`.

    Args:
        name: Which.
        where: Tell, of a place, what that client is told.
        prepare: Prepare the place; tell the variables that trainer and client need there.
        seconds: How long a training to it lasts.
        single: Whether its client shows values as float32.
    """

    def __init__(
        self,
        name: str,
        where: Callable[[Path], str],
        prepare: Callable[[Path], dict[str, str]],
        *,
        seconds: float = 4.0,  # the client alone takes two to import
        single: bool = False,
    ) -> None:
        self.name = self.backend = name
        self.seconds = seconds
        self.single = single
        self._where = where
        self._prepare = prepare
        self._told: dict[Path, dict[str, str]] = {}

    def environment(self, place: Path) -> dict[str, str]:
        """See `Tracker.environment`."""
        self._told[place] = self._prepare(place)
        return self._told[place]

    def read(self, place: Path, run_id: str) -> Arrived:
        """See `Tracker.read`."""
        found = Arrived()
        for run in asked(self.name, self._where(place), PROJECT, {"HOME": str(place), **self._told[place]}):
            found.runs += run.uid == run_id
            found.statuses.append(run.status)
            for name, step, value, time in map(_fields, run.points):
                found.records["metric", name, value.hex(), step] += 1
                found.times.append(time)
            for name, value in run.params.items():
                found.records["param", name, int(float(value)), None] += 1
            for name, text in run.tags.items():
                found.tag(name, text)
            for path, digest in run.artifacts.items():
                found.records["artifact", path, digest, None] += 1
        return found


def _fields(point: Any) -> tuple[str, int, float, float]:
    return point.name, point.step, point.value, point.time


@contextmanager
def _memory(_: Path) -> Iterator[Tracker]:
    yield Memory()


@contextmanager
def _mlflow(root: Path) -> Iterator[Tracker]:
    template = root / "template.db"
    if not template.exists():  # an empty database; it takes MLflow seconds
        asked("mlflow", f"sqlite:///{template}", PROJECT)

    def prepare(place: Path) -> dict[str, str]:
        shutil.copyfile(template, place / "mlflow.db")
        return {"MLFLOW_TRACKING_URI": _database(place)}

    yield Asked("mlflow", _database, prepare)


def _database(place: Path) -> str:
    return f"sqlite:///{place / 'mlflow.db'}"


@contextmanager
def _aim(_: Path) -> Iterator[Tracker]:
    yield Asked("aim", str, lambda place: {"TRACELET_AIM_REPO": str(place)})


@contextmanager
def _trackio(_: Path) -> Iterator[Tracker]:
    yield Asked(
        "trackio",
        lambda place: str(place / "trackio"),
        lambda place: {"TRACKIO_DIR": str(place / "trackio")},
    )


@contextmanager
def _tensorboard(_: Path) -> Iterator[Tracker]:
    yield Asked("tensorboard", lambda place: str(place / "runs"), lambda _: {}, single=True)


@contextmanager
def _wandb(_: Path) -> Iterator[Tracker]:
    with contextlib.ExitStack() as running:
        servers = {}

        def prepare(place: Path) -> dict[str, str]:
            servers[place] = _started(WandbServer(), running)
            return servers[place].environment

        yield Asked("wandb", lambda place: servers[place].url, prepare, seconds=6.0)


@contextmanager
def _clearml(_: Path) -> Iterator[Tracker]:
    with contextlib.ExitStack() as running:
        servers = {}

        def prepare(place: Path) -> dict[str, str]:
            servers[place] = _started(ClearML(), running)
            return servers[place].environment(place)

        yield Asked("clearml", lambda place: servers[place].url, prepare)


def _started(server: Any, running: contextlib.ExitStack) -> Any:
    """Start an emulator, which ends with the others."""
    server.start()
    running.callback(server.close)
    return server


TRACKERS: Final[dict[str, Callable[[Path], AbstractContextManager[Tracker]]]] = {
    "memory": _memory,
    "mlflow": _mlflow,
    "aim": _aim,
    "trackio": _trackio,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "clearml": _clearml,
}
"""Make each; what it needs is kept in a directory that all share, and gone with the context."""
