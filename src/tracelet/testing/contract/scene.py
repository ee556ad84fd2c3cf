"""A run of a test: recorded as a trainer records it, delivered as a relay does, read back.

Nothing stands between a backend and its test but what stands there in use: the journal, which holds
what was logged, and the relay, which keeps to `Limits` and repeats what was not confirmed.
"""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from tracelet.backend import Backend, BlobPath, Options, Reader, Writer
from tracelet.errors import Unavailable
from tracelet.events import Artifact, Event, Metric, Payload, RunFinished, RunStarted
from tracelet.journal import blobs, cursors, status
from tracelet.journal.locks import this_host, this_process
from tracelet.journal.status import RunFile, Target
from tracelet.journal.writer import Writer as Journal
from tracelet.relay.delivery import Delivery
from tracelet.testing.contract import dying
from tracelet.testing.contract.comparing import differences

BEGAN: Final = 1_700_000_000.125  # seconds since the epoch; exact in milliseconds, and in binary
TRIES: Final = 3  # of a delivery: a tracker may have a bad moment, and not three
LATE: Final = 60.0  # seconds, beyond the backend's patience, that a delivery may take
END: Final = RunFinished(BEGAN + 1e6, "FINISHED")
RUN: Final = "20231114-221320-{:06x}"  # as tracelet's own run ids look
_NUMBERS: Final = itertools.count(1)  # a server that many tests share may tell runs apart by their ids alone
_PAUSE: Final = 0.01  # seconds between two looks at a client that confirms later


@dataclass(kw_only=True)
class Scene:
    """One backend and one store of it.

    Attributes:
        place: A directory of the test's own.
        backend: The backend.
        load: What `tracelet.backends.load` takes for it, in another process.
        options: As `Backend.configure` chooses them.
        project: Of every run.
        reader: Opens the store; called once something has been written.
    """

    place: Path
    backend: Backend
    load: str
    options: Options
    project: str
    reader: Callable[[], Reader]
    runs: int = 0

    def run(self, *events: Event, **fields: object) -> "Run":
        """Begin a run, and log events.

        Args:
            events: What is logged.
            fields: Of its `RunStarted`, if others than the usual.
        """
        run_id = RUN.format(next(_NUMBERS))
        self.runs += 1
        given = {"time": BEGAN, "run_id": run_id, "name": f"run {self.runs}", "project": self.project}
        run = Run(scene=self, started=msgspec.convert({**given, **fields}, RunStarted))
        run.log(*events)
        return run

    def writer(self, run: "Run") -> Writer:
        """Make a Writer for a run, as the relay does."""
        assert self.backend.writer is not None
        return self.backend.writer(self.options, lambda digest: blobs.path_of(run.directory, digest))


@dataclass(kw_only=True)
class Run:
    """One run: its journal, and what was logged to it."""

    scene: Scene
    started: RunStarted
    events: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        self.directory = self.scene.place / ".tracelet" / self.started.run_id
        self.directory.mkdir(parents=True)
        self._name = self.scene.backend.name
        self._journal = Journal(self.directory)
        self._ordinals: dict[str, int] = {}
        self._write(self.started)
        status.write_run(self.directory, self._said())

    def log(self, *events: Event) -> None:
        """Record events."""
        for event in events:
            self._write(event)

    def keep(self, event: Event, content: bytes) -> Event:
        """Keep the bytes of an event that has a payload; return the event that names them."""
        digest, size = blobs.keep_bytes(self.directory, [content])
        if isinstance(event, Artifact):
            return msgspec.structs.replace(event, digest=digest, size=size)
        data: Payload = getattr(event, "data", None) or Payload("", 0)
        return msgspec.structs.replace(event, data=msgspec.structs.replace(data, digest=digest, size=size))

    def finish(self, end: RunFinished = END) -> "Run":
        """Record the run's end."""
        assert self._journal.finish(end)
        self.events.append(end)
        return self

    def go_on(self, *events: Event) -> None:
        """Record events after the run's end, as a process does that the trainer has left behind."""
        self._journal = Journal(self.directory, "child")
        self.log(*events)
        self._journal.close()

    def deliver(self, backend: Backend | None = None) -> str:
        """Deliver all of the run in this process; return the tracker's id of it."""
        chosen = backend or self.scene.backend
        if chosen.writer is None:
            return self.directory.name
        for left in reversed(range(TRIES)):
            try:
                self._deliver(chosen)
                break
            except Unavailable:
                if not left:
                    raise
        return self.remote

    def deliver_anew(self, backend: Backend | None = None) -> str:
        """Deliver everything once more, as if no cursor had ever been moved."""
        cursors.path_of(self.directory, self._name).unlink()
        return self.deliver(backend)

    def relay(self, *, kill: int = 0, late: bool = False, batch: int = 0) -> int:
        """Deliver in a relay of its own process; return its exit code, negative for a signal.

        Args:
            kill: At which call of `write` it is killed; 0 for never.
            late: After that call has had its effect.
            batch: Events in one call, at most; 0 for as many as the backend's limits allow.
        """
        told = {"KILL": str(kill), "KILL_LATE": str(int(late)), "BATCH": str(batch)}
        environ = {**os.environ, **{f"{dying.PREFIX}{name}": value for name, value in told.items()}}
        environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-m", "tracelet.relay", str(self.directory), self._name]
        seconds = self.scene.backend.limits.patience + LATE
        with (self.scene.place / "relay.log").open("ab") as log:
            return subprocess.run(
                command, env=environ, cwd=self.scene.place, stderr=log, timeout=seconds, check=False
            ).returncode

    @property
    def remote(self) -> str:
        """The tracker's id of the run."""
        return status.read_delivery(self.directory, self._name).id

    @property
    def id(self) -> str:
        """The id by which a Reader knows the run: where the journal is the store, its directory."""
        return self.remote or self.directory.name

    @property
    def rejects(self) -> list[str]:
        """What the tracker would not take, and why."""
        return [f"{reject.event}: {reject.reason}" for reject in status.rejects(self.directory, self._name)]

    def back(self) -> list[Event]:
        """Read the run back."""
        return [*self.scene.reader().events(self.id)]

    def problems(self) -> list[str]:
        """Tell in which way what comes back is not what was logged; empty if it is the same."""
        found = differences(self.events, self.back(), self.scene.backend)
        return found and [*found, *(f"rejected: {reject}" for reject in self.rejects)]

    def _write(self, event: Event) -> None:
        if isinstance(event, Metric) and event.step is None:
            ordinal = self._ordinals.get(event.name, 0)
            self._ordinals[event.name] = ordinal + 1
            assert self._journal.stepless(event.name, event.value, event.time)
            event = Metric(event.name, event.value, None, event.time, ordinal)
        elif isinstance(event, Metric):
            assert self._journal.scalar(event.name, event.value, event.step or 0, event.time)
        else:
            assert self._journal.event(event)
        self.events.append(event)

    def _deliver(self, backend: Backend) -> None:
        delivery = Delivery(self.directory, self._name, backend, self.scene.options)
        end = time.monotonic() + backend.limits.patience + LATE
        pause, stopped = threading.Event(), threading.Event()
        stopped.set()
        ends = isinstance(self.events[-1], RunFinished)
        try:
            while delivery.step() or (ends and not cursors.load(self.directory, self._name).finished):
                assert time.monotonic() < end, (
                    f"not delivered: {status.read_delivery(self.directory, self._name)}"
                )
                if backend.confirms != "write":
                    pause.wait(_PAUSE)
        finally:
            delivery.run(stopped)  # which only lets go of the writer

    def _said(self) -> RunFile:
        started, relayed = self.started, self.scene.backend.writer is not None
        load = f"{dying.__name__}:{self.scene.load}" if relayed else self.scene.load
        return RunFile(
            run_id=started.run_id,
            name=started.name,
            project=started.project,
            time=started.time,
            trainer=this_process(),
            host=this_host(),
            directory=str(self.scene.place),
            python=sys.executable,
            targets={self._name: Target(load, dict(self.scene.options), relayed=relayed)},
            nice=0,
        )


def watched(backend: Backend, watch: Callable[[Writer], Writer]) -> Backend:
    """Return a backend whose Writers are looked at."""
    make = backend.writer
    assert make is not None

    def writer(options: Options, blob: BlobPath) -> Writer:
        return watch(make(options, blob))

    return replace(backend, writer=writer)


def points(name: str, values: Sequence[float], begin: int = 0) -> list[Metric]:
    """Make points at steps that count up, a second apart."""
    return [Metric(name, value, step, BEGAN + step) for step, value in enumerate(map(float, values), begin)]
