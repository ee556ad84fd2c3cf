"""Trainers as users write them, and what became of their runs: what the keeper's tests share."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import alive, end, holders
from tracelet.events import Event, Metric, RunFinished
from tracelet.journal import shelf, status
from tracelet.journal.reader import Reader
from tracelet.keeper.starting import start_keeper
from tracelet.testing import memory

BEGINNING: Final = """
    import os, signal, sys, threading
    import tracelet

    experiment = tracelet.start_logging("a run", "a project", "tracelet.testing.memory:BACKEND")
    for step in range(50):
        experiment.log_metric("loss", float(step), step)
"""
TIMEOUT: Final = 60.0  # seconds; only a test that fails waits so long

Trainers = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def train(place: Path) -> Iterator[Trainers]:
    """Start training scripts; those that a test leaves running are ended."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(
        ending: str, environ: Mapping[str, str] | None = None, *, beginning: str = BEGINNING
    ) -> "subprocess.Popen[bytes]":
        script = script_of(place, ending, beginning)
        environ = {**os.environ, **tracked(place), **(environ or {})}
        with (place / "train.log").open("ab") as log:
            command = [sys.executable, str(script)]
            started.append(subprocess.Popen(command, cwd=place, env=environ, stdout=log, stderr=log))
        return started[-1]

    yield begin

    for process in started:
        process.kill()
        process.wait()


def script_of(place: Path, ending: str, beginning: str = BEGINNING) -> Path:
    """Write a training script, in a directory of its own."""
    script = place / "scripts" / "train.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(textwrap.dedent(beginning) + textwrap.dedent(ending))
    return script


def tracked(place: Path) -> dict[str, str]:
    """Tell the variable by which the tracker's file is chosen."""
    return {"MEMORY_BACKEND_FILE": str(place / "tracker" / "tracked")}


def tracker_is_there(place: Path) -> None:
    """Let the tracker be there: until its directory exists it is away."""
    (place / "tracker").mkdir(exist_ok=True)


def received(place: Path) -> list[Event]:
    """Tell what the tracker was given, as often as it came."""
    return memory.received(place / "tracker" / "tracked")


def points(place: Path) -> list[int | None]:
    """Tell the steps of the points that the tracker was given, as often as they came."""
    return [event.step for event in received(place) if isinstance(event, Metric)]


def ends(place: Path) -> list[str]:
    """Tell the statuses that the tracker was given."""
    return [event.status for event in received(place) if isinstance(event, RunFinished)]


def runs(place: Path) -> list[Path]:
    """List the runs of the test."""
    return shelf.runs(place / ".tracelet")


def run_of(place: Path) -> Path:
    """Find the only run of the test."""
    (directory,) = runs(place)
    return directory


def ends_in_journal(directory: Path) -> list[str]:
    """Tell the statuses that stand in a run's journal."""
    records = Reader(directory).read(100_000)
    return [record.event.status for record in records if isinstance(record.event, RunFinished)]


def living(place: Path, role: str) -> list[int]:
    """List the processes of a role, "keeper" or "relay", that live."""
    return [holder.pid for holder in holders(place) if holder.lock.name.startswith(role)]


def kill(place: Path, role: str) -> list[int]:
    """Kill the processes of a role, and wait until they are gone; tell which those were."""
    found = [holder for holder in holders(place) if holder.lock.name.startswith(role)]
    for holder in found:
        end(holder)
    assert not any(alive(holder) for holder in found)
    return [holder.pid for holder in found]


def keep(directory: Path) -> None:
    """Start a keeper, as a trainer does."""
    start_keeper(directory, status.read_run(directory))
