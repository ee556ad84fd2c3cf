"""A relay says what it does and how long that may take, before it takes it."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.relay.trackers import FINISHED, Client, Tracker, deliver, delivery_of, directory_of, log, new_run
from tracelet.backend import Limits
from tracelet.errors import Unavailable
from tracelet.events import Artifact, Event, RunStarted
from tracelet.journal import status
from tracelet.journal.status import DeliveryStatus
from tracelet.relay import pulse
from tracelet.relay.delivery import STALLS

PATIENCE = 7.0
LIMITS = Limits(batch=10, patience=PATIENCE, upload_rate=1000.0)


def time_left(said: DeliveryStatus) -> float:
    """Tell how many seconds after its beat a relay counts as hanging."""
    return round(said.deadline - said.beat, 3)


@pytest.mark.parametrize("kind", [RunStarted, Artifact])
def test_a_call_has_its_deadline_before_it_begins(place: Path, kind: type[Event]) -> None:
    new_run(place, Artifact(time=2.0, path="a", size=5000, digest="0" * 64)).finish(FINISHED)
    seen: list[DeliveryStatus] = []

    def fail(batch: Sequence[Event]) -> None:
        if isinstance(batch[0], kind):
            seen.append(status.read_delivery(directory_of(place), "tracker"))

    deliver(place, Tracker(limits=LIMITS, fail=fail))

    upload = 5.0 if kind is Artifact else 0.0
    assert [said.pid for said in seen] == [os.getpid()]
    assert [time_left(said) for said in seen] == [PATIENCE + pulse.GRACE + upload]


def test_an_idle_relay_goes_on_beating(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_run(place)
    delivery = delivery_of(place, Tracker(limits=LIMITS))
    while delivery.step():
        pass
    before = status.read_delivery(directory_of(place), "tracker")
    clock = pulse.time.time
    monkeypatch.setattr(pulse.time, "time", lambda: clock() + 6.0)

    delivery.step()

    said = status.read_delivery(directory_of(place), "tracker")
    assert said.state == before.state == "idle"
    assert said.beat > before.beat
    assert time_left(said) == PATIENCE + pulse.GRACE


def test_the_state_tells_since_when_the_tracker_is_away(place: Path) -> None:
    new_run(place)

    def fail(_: Sequence[Event]) -> None:
        message = "away"
        raise Unavailable(message)

    delivery = delivery_of(place, Tracker(limits=LIMITS, fail=fail))
    since: list[float] = []
    for _ in range(3):
        with pytest.raises(Unavailable) as raised:
            delivery.step()
        delivery._give_up_for_now(raised.value)
        since.append(status.read_delivery(directory_of(place), "tracker").since)

    assert len(set(since)) == 1


def test_the_runs_page_is_told_as_soon_as_it_is_open(place: Path) -> None:
    new_run(place)

    delivery_of(place, Tracker()).step()

    said = status.read_delivery(directory_of(place), "tracker")
    assert (said.id, said.url) == ("run", "http://tracker/run")


def test_a_tracker_that_confirms_bit_by_bit_is_not_taken_for_hanging(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(new_run(place), 100)
    delivery = delivery_of(place, Tracker(limits=LIMITS, confirms="count"))
    while delivery.step():
        pass
    assert status.lag(directory_of(place), "tracker")  # much of it is not confirmed yet
    clock, later = pulse.time.time, iter(range(6, 600, 6))
    monkeypatch.setattr(pulse.time, "time", lambda: clock() + moved)
    moves: list[bool] = []
    beats: list[bool] = []

    while left := status.lag(directory_of(place), "tracker"):
        before, moved = status.read_delivery(directory_of(place), "tracker").beat, next(later)
        delivery.step()
        moves.append(status.lag(directory_of(place), "tracker") < left)
        beats.append(status.read_delivery(directory_of(place), "tracker").beat > before)

    assert all(beats)
    assert any(moves)


def test_a_client_that_counts_and_confirms_nothing_is_opened_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(new_run(place), 3)
    tracker = Tracker(limits=LIMITS, confirms="count")
    delivery = delivery_of(place, tracker)
    monkeypatch.setattr(Client, "acknowledged", lambda _: 0)
    while delivery.step():
        pass
    now = time.monotonic()

    monkeypatch.setattr("tracelet.relay.delivery.time.monotonic", lambda: now + STALLS * LIMITS.patience + 60)

    with pytest.raises(Unavailable, match="confirmed nothing for"):
        delivery.step()
