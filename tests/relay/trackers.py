"""Runs on disk, and a tracker whose failures a test writes down: what these tests share."""

import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet.backend import Backend, Confirms, Limits, Placed, Remote, Rows
from tracelet.events import Event, Metric, Packed, RunFinished, RunStarted
from tracelet.journal import status
from tracelet.journal.locks import this_host, this_process
from tracelet.journal.status import RunFile, Target
from tracelet.journal.writer import Writer
from tracelet.relay.delivery import Delivery
from tracelet.relay.retry import Backoff
from tracelet.testing import memory

STARTED: Final = RunStarted(time=1.0, run_id="run", name="a run", project="a project")
FINISHED: Final = RunFinished(9e9, "FINISHED")


class Killed(BaseException):
    """Stands for SIGKILL: what is in memory is gone, what is on disk stays."""


def nothing(_: Sequence[Event]) -> None:
    """Fail in no way."""


@dataclass
class Tracker:
    """A tracker in memory; `fail` and `fail_late` are called before and after a batch takes effect.

    With `confirms` "count" or "close" its client holds events back, and loses them when it is dropped.
    """

    limits: Limits = field(default_factory=lambda: Limits(batch=10))
    confirms: Confirms = "write"
    identity: Callable[[Event], Hashable] | None = None
    rows: Rows | None = None
    remote: Remote = field(default_factory=lambda: Remote(id="run", url="http://tracker/run"))
    fail: Callable[[Sequence[Event]], None] = nothing
    fail_late: Callable[[Sequence[Event]], None] = nothing
    opened: list[RunStarted] = field(default_factory=list)
    calls: list[list[Event]] = field(default_factory=list)
    batches: list[list[Event]] = field(default_factory=list)
    closed: int = 0

    @property
    def received(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    @property
    def stored(self) -> list[Event]:
        return list({msgspec.msgpack.encode(event): event for event in self.received}.values())

    @property
    def metrics(self) -> list[Metric]:
        return [event for event in self.received if isinstance(event, Metric)]

    @property
    def lines(self) -> dict[int, list[list[Event]]]:
        """The rows, by their number; each as often as it came."""
        found: dict[int, list[list[Event]]] = {}
        for batch in self.batches:
            here: dict[int, list[Event]] = {}
            for event in batch:
                if isinstance(event, Placed):
                    here.setdefault(event.row, []).append(event.event)
            for row, events in here.items():
                found.setdefault(row, []).append(events)
        return found

    @property
    def backend(self) -> Backend:
        return replace(
            memory.BACKEND,
            name="tracker",
            limits=self.limits,
            confirms=self.confirms,
            identity=self.identity,
            rows=self.rows,
            writer=lambda *_: Client(self),
        )


class Client:
    """See `tracelet.backend.Writer`."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._held: list[Event] = []
        self._confirmed = 0
        self._open = False

    def open(self, run: RunStarted) -> Remote:
        self._tracker.fail([run])
        self._tracker.opened.append(run)
        self._open = True
        return self._tracker.remote

    def write(self, batch: Sequence[Event]) -> None:
        assert self._open, "written to after it was closed"
        self._tracker.calls.append(list(batch))
        self._tracker.fail(batch)
        if self._tracker.confirms == "write":
            self._tracker.batches.append(list(batch))
        else:
            self._held.extend(batch)
        self._tracker.fail_late(batch)

    def acknowledged(self) -> int | None:
        if self._tracker.confirms != "count":
            return None
        before = self._confirmed
        self._send((len(self._held) + 1) // 2)
        return before  # late: it tells of what it sent the last time

    def close(self) -> None:
        self._open = False
        self._tracker.closed += 1
        self._send(len(self._held))

    def _send(self, count: int) -> None:
        while 0 < count < len(self._held) and _row(self._held[count - 1]) == _row(self._held[count]) >= 0:
            count += 1  # a row is one line there
        if count:
            self._tracker.batches.append(self._held[:count])
            del self._held[:count]
            self._confirmed += count


def _row(event: Event | Placed) -> int:
    return event.row if isinstance(event, Placed) else -1


def new_run(place: Path, *events: Packed, targets: dict[str, Target] | None = None, **more: Any) -> Writer:
    """Make a run below `place`, with its first records; return its trainer's writer.

    Args:
        place: Where `.tracelet` is made, and where the trainer began.
        events: Records after `RunStarted`.
        targets: Where it goes; by default to the memory backend, in the file `place / "tracked"`.
        more: Fields of `run.json`.
    """
    directory = directory_of(place)
    directory.mkdir(parents=True)
    memory_target = Target("tracelet.testing.memory:BACKEND", {"path": str(place / "tracked")})
    said: dict[str, Any] = {
        "run_id": "run",
        "name": "a run",
        "project": "a project",
        "time": 1.0,
        "trainer": this_process(),
        "host": this_host(),
        "directory": str(place),
        "python": sys.executable,
        "targets": targets or {"memory": memory_target},
    }
    writer = Writer(directory)
    assert writer.event(STARTED)
    for event in events:
        assert writer.event(event)
    status.write_run(directory, RunFile(**{**said, **more}))
    return writer


def directory_of(place: Path) -> Path:
    """Tell where `new_run` puts the run."""
    return place / ".tracelet" / "20260101-000000-abcdef"


def log(writer: Writer, count: int, name: str = "loss", begin: int = 0) -> list[Metric]:
    """Record points with steps; return them as the tracker should get them."""
    points = [Metric(name, float(step), step, 100.0 + step) for step in range(begin, begin + count)]
    for point in points:
        assert writer.scalar(point.name, point.value, point.step or 0, point.time)
    return points


def delivery_of(place: Path, tracker: Tracker, **options: str) -> Delivery:
    """Begin to deliver the run below `place`, as a new process would, and without waiting in between."""
    delivery = Delivery(directory_of(place), "tracker", tracker.backend, options)
    delivery._backoff = Backoff(0.0, 0.0)
    return delivery


def deliver(place: Path, tracker: Tracker) -> status.State:
    """Deliver the run below `place` until that ends; fail if it does not."""
    stop = threading.Event()
    timer = threading.Timer(30.0, stop.set)
    timer.start()
    try:
        return delivery_of(place, tracker).run(stop)
    finally:
        timer.cancel()


def faulty_target(place: Path, attribute: str = "BACKEND", /, **options: object) -> Target:
    """Make a target whose tracker, in the file `place / "tracked"`, has a bad day."""
    said = {name: str(value) for name, value in options.items()}
    return Target(f"tracelet.testing.faulty:{attribute}", {"path": str(place / "tracked"), **said})
