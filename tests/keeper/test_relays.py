"""A relay is started, watched, killed when it hangs, and started again, not too soon."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from tests.conftest import eventually
from tests.keeper import trainers
from tests.keeper.trainers import TIMEOUT, keep, kill, living
from tests.relay.trackers import FINISHED, directory_of, faulty_target, log, new_run
from tracelet.events import Metric
from tracelet.journal import cursors, status
from tracelet.journal.locks import holder, this_process
from tracelet.journal.status import Target
from tracelet.keeper import relays
from tracelet.keeper.keeping import Keeper
from tracelet.keeper.relays import Relay
from tracelet.relay import LOCKED
from tracelet.testing import memory

pytestmark = pytest.mark.slow

IMPATIENT = """
from dataclasses import replace
from tracelet.backend import Limits
from tracelet.relay.pulse import GRACE
from tracelet.testing import faulty


# What is left of the grace is all the time that a call has.
BACKEND = replace(faulty.BACKEND, limits=Limits(batch=100, patience=1.0 - GRACE))
"""


class Clock:
    """Stands for `time` in the module under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


def tended_until(relay: Relay, started: int) -> None:
    """Look after a relay until its process is another one than `started`."""
    eventually(
        lambda: relay.tend() or (relay._process is not None and relay._process.pid != started), TIMEOUT
    )


@pytest.fixture
def impatient(place: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A tracker whose calls may take a second; its first call hangs, and no other of the next twenty."""
    (place / "impatient.py").write_text(IMPATIENT)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
    )
    return Target("impatient:BACKEND", faulty_target(place, seed=92, hanging=0.04).options)


def test_a_relay_that_is_killed_is_started_again_and_nothing_is_doubled(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 150)
    keep(directory_of(place))
    eventually(lambda: points[-1] in memory.received(place / "tracked"), TIMEOUT)
    eventually(lambda: status.lag(directory_of(place), "memory") == 0, TIMEOUT)

    (first,) = kill(place, "relay")
    points += log(writer, 150, begin=150)
    eventually(lambda: living(place, "relay"), TIMEOUT)
    (second,) = living(place, "relay")
    writer.finish(FINISHED)
    eventually(lambda: cursors.load(directory_of(place), "memory").finished, TIMEOUT)

    assert first != second
    assert [event for event in memory.received(place / "tracked") if isinstance(event, Metric)] == points
    eventually(lambda: not living(place, "keeper"), TIMEOUT)


def test_a_tracker_that_kills_its_relay_gets_everything_once(place: Path) -> None:
    writer = new_run(place, targets={"faulty": faulty_target(place, seed=4, killed=0.2, killed_late=0.2)})
    points = log(writer, 400)
    writer.finish(FINISHED)

    assert Keeper(directory_of(place)).run(threading.Event())

    assert [event for event in memory.stored(place / "tracked") if isinstance(event, Metric)] == points
    assert memory.received(place / "tracked").count(FINISHED) >= 1


def test_restarts_are_spaced_twice_as_far_each_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(relays, "time", clock)
    new_run(place, python="/bin/false")
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "memory")
    starts: list[float] = []

    while len(starts) < 12:
        relay.tend()
        if relay._process is not None:
            starts.append(clock.now)
            relay._process.wait()
            relay._reap()
        else:
            clock.now += 0.5

    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_relay_that_had_worked_is_started_again_soon(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(relays, "time", clock)
    new_run(place, python="/bin/false")
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "memory")
    waits: list[float] = []

    for worked in (0.0, 0.0, 0.0, 1000.0):
        clock.now += 100.0
        relay.tend()
        assert relay._process is not None
        relay._process.wait()
        clock.now += worked
        relay._reap()
        waits.append(relay._start_at - clock.now)

    assert waits == [1.0, 2.0, 4.0, 1.0]


def test_a_lock_that_another_relay_holds_is_waited_for_without_pauses_that_grow(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(relays, "time", clock)
    new_run(place)
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "memory")
    lock = directory_of(place) / "relay.memory.lock"
    gaps: list[float] = []

    for _ in range(5):
        lock.unlink(missing_ok=True)
        clock.now = relay._start_at
        relay.tend()
        assert relay._process is not None
        relay._process.kill()
        relay._process.wait()
        relay._process.returncode = LOCKED  # as it says where another was quicker
        relay._reap()
        gaps.append(relay._start_at - clock.now)
        lock.write_bytes(msgspec.json.encode(this_process()))
        clock.now += 1000.0
        relay.tend()
        assert relay._process is None  # as long as it is held

    assert gaps == [1.0] * 5


def test_an_interpreter_that_is_not_there_is_tried_again_later(place: Path) -> None:
    new_run(place, python=str(place / "no" / "python"))
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "memory")

    relay.tend()

    assert relay._process is None
    assert not relay.done
    assert relay._start_at > 0


@pytest.mark.parametrize("target", ["refused", "broken"])
def test_a_relay_that_cannot_work_is_left_alone(place: Path, target: str) -> None:
    broken = Target("no.such.module:BACKEND")
    targets = {"it": faulty_target(place, refused=1) if target == "refused" else broken}
    new_run(place, targets=targets)
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "it")

    eventually(lambda: relay.tend() or relay.given_up, TIMEOUT)

    assert relay.done
    relay.tend()
    assert relay._process is None
    assert status.read_delivery(directory_of(place), "it").state == "refused"


def test_a_relay_that_hangs_is_killed_and_another_delivers(place: Path, impatient: Target) -> None:
    writer = new_run(place, targets={"faulty": impatient})
    points = log(writer, 50)
    writer.finish(FINISHED)

    assert Keeper(directory_of(place)).run(threading.Event())

    calls = (place / "tracked.calls").stat().st_size
    assert calls > 3  # the first one hung
    assert [event for event in memory.received(place / "tracked") if isinstance(event, Metric)] == points


def test_a_relay_of_an_earlier_keeper_that_hangs_is_killed_too(place: Path, impatient: Target) -> None:
    new_run(place, targets={"faulty": impatient})
    command = [sys.executable, "-m", "tracelet.relay", str(directory_of(place)), "faulty"]
    other = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    eventually(lambda: holder(directory_of(place) / "relay.faulty.lock").pid == other.pid, TIMEOUT)
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "faulty")

    eventually(lambda: relay.tend() or other.poll() is not None, TIMEOUT)

    assert other.returncode == -signal.SIGKILL
    relay.stop(TIMEOUT)


def test_a_keeper_that_is_killed_leaves_a_relay_that_the_next_one_does_not_double(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 50)
    keep(directory_of(place))
    eventually(lambda: points[-1] in memory.received(place / "tracked"), TIMEOUT)
    (first,) = living(place, "relay")
    kill(place, "keeper")

    keep(directory_of(place))
    eventually(lambda: living(place, "keeper"), TIMEOUT)
    points += log(writer, 50, begin=50)
    eventually(lambda: points[-1] in memory.received(place / "tracked"), TIMEOUT)
    still = living(place, "relay")
    writer.finish(FINISHED)
    eventually(lambda: not living(place, "keeper"), TIMEOUT)

    assert still == [first]
    assert memory.received(place / "tracked")[1:] == [*points, FINISHED]


def test_a_relay_that_does_not_stop_when_asked_is_killed(place: Path) -> None:
    new_run(place, targets={"faulty": faulty_target(place, hanging=1)})
    relay = Relay(directory_of(place), status.read_run(directory_of(place)), "faulty")
    tended_until(relay, 0)
    eventually((place / "tracked.calls").exists, TIMEOUT)
    assert relay._process is not None
    pid = relay._process.pid

    relay.stop(0.1)

    assert relay._process is None
    assert not Path(f"/proc/{pid}").exists()


def test_a_relay_that_is_stopped_before_it_was_started_is_nothing(place: Path) -> None:
    new_run(place)
    run = msgspec.structs.replace(status.read_run(directory_of(place)), mode="offline")

    Relay(directory_of(place), run, "memory").stop(1.0)

    assert trainers.living(place, "relay") == []
