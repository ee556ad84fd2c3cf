"""The same loop on a thread of the training process."""

import threading
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.relay.trackers import FINISHED, directory_of, faulty_target, log, new_run
from tracelet.errors import ConfigError, JournalLocked
from tracelet.journal import status
from tracelet.journal.locks import take
from tracelet.journal.status import Target
from tracelet.relay.thread import RelayThread, deliver
from tracelet.testing import memory


def test_a_thread_delivers_a_live_run_to_its_end(place: Path) -> None:
    writer = new_run(place)
    relay = RelayThread(directory_of(place), "memory")
    relay.start()
    points = log(writer, 250)
    eventually(lambda: points[-1] in memory.received(place / "tracked"))
    points += log(writer, 250, begin=250)
    writer.finish(FINISHED)

    assert relay.join(20.0)
    assert memory.received(place / "tracked")[1:] == [*points, FINISHED]


def test_a_thread_that_is_stopped_leaves_the_rest_to_the_next(place: Path) -> None:
    writer = new_run(place)
    first = RelayThread(directory_of(place), "memory")
    first.start()
    points = log(writer, 30)
    assert first.stop(20.0)

    points += log(writer, 30, begin=30)
    writer.finish(FINISHED)
    state = deliver(directory_of(place), "memory", threading.Event())

    stored = memory.stored(place / "tracked")
    assert state == "finished"
    assert stored[1:] == [*points, FINISHED]


@pytest.mark.parametrize("attribute", ["BACKEND", "COUNTING", "CLOSING"])
def test_a_bad_day_loses_and_doubles_nothing(
    place: Path, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracelet.relay.retry.Backoff.failed", lambda *_: 0.0)
    target = faulty_target(place, attribute, seed=3, unavailable=0.03, unanswered=0.03, rejected=0.01)
    writer = new_run(place, targets={"faulty": target})
    points = log(writer, 1000)
    writer.finish(FINISHED)

    state = deliver(directory_of(place), "faulty", threading.Event())

    rejects = status.rejects(directory_of(place), "faulty")
    stored = memory.stored(place / "tracked")
    assert state == "finished"
    assert 0 < len(rejects) < 100
    assert sorted(stored[1:-1], key=repr) == sorted((point for point in points if point in stored), key=repr)
    assert len(stored) == 1002 - len(rejects)
    assert stored[-1] == FINISHED


def test_a_second_relay_of_a_backend_is_turned_away(place: Path) -> None:
    new_run(place)
    lock = take(directory_of(place) / "relay.memory.lock")

    with pytest.raises(JournalLocked):
        deliver(directory_of(place), "memory", threading.Event())

    lock.close()
    assert memory.received(place / "tracked") == []


def test_a_thread_whose_backend_cannot_be_loaded_ends_and_says_so(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_run(place, targets={"gone": Target("no.such.module:BACKEND", {})})
    relay = RelayThread(directory_of(place), "gone")
    relay.start()

    assert relay.join(20.0)
    assert "no.such.module" in caplog.text
    with pytest.raises(ConfigError):
        deliver(directory_of(place), "gone", threading.Event())
