"""What there is of a run in a store of MLflow's, whichever it is; and how a store is asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from tracelet.backend import RunSummary
from tracelet.events import Status

ENDED: Final[tuple[Status, ...]] = ("FINISHED", "FAILED", "KILLED")


class Point(NamedTuple):
    """One value of a metric; `time` in milliseconds."""

    step: int
    time: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One of MLflow 3's logged models: it has files, which lie apart from the run's.

    Attributes:
        place: The URI of its files.
        about: All else that MLflow knows of it, as JSON.
    """

    id: str
    name: str
    place: str
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run. Times are in milliseconds.

    Attributes:
        place: The URI of its artifacts.
        metrics: The names of its metrics.
        more: What no event can say, as JSON: datasets, models, registered versions. Keys without
            anything are left out.
    """

    id: str
    name: str
    project: str
    status: str
    started: int
    ended: int | None
    place: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[str, ...]
    models: tuple[Model, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Store(Protocol):
    """A store of MLflow's. Every method may raise `Unavailable` or `Refused`, and nothing else."""

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`."""
        ...

    def run(self, run: str) -> Found:
        """Find one run."""
        ...

    def history(self, run: str, metric: str) -> Iterator[Point]:
        """Give every point of a metric, oldest first."""
        ...

    def close(self) -> None:
        """See `Reader.close`."""
        ...


def seconds(milliseconds: int | None) -> float:
    """Return a time of MLflow's as ours."""
    return (milliseconds or 0) / 1000


def summary(found: Found) -> RunSummary:
    """Return a run as a list shows it."""
    return RunSummary(
        id=found.id,
        name=found.name,
        project=found.project,
        status=found.status,
        started=seconds(found.started),
    )
