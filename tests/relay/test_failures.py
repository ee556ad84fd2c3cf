"""A tracker that is away, rejects, refuses or raises something strange holds up nothing else."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.relay.trackers import FINISHED, Tracker, deliver, delivery_of, directory_of, log, new_run
from tracelet.backend import Limits
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Event, Metric
from tracelet.journal import cursors, status


def raising(*errors: Exception | None) -> Callable[[Sequence[Event]], None]:
    """Raise these, one at each call, and then nothing."""
    left: Iterator[Exception | None] = iter(errors)

    def fail(_: Sequence[Event]) -> None:
        error = next(left, None)
        if error is not None:
            raise error

    return fail


def test_halving_finds_the_bad_among_a_thousand_and_keeps_them(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 1000)
    writer.finish(FINISHED)
    bad = {0, 1, 499, 500, 777, 999}

    def fail(batch: Sequence[Event]) -> None:
        if any(isinstance(event, Metric) and event.step in bad for event in batch):
            message = "not these"
            raise Rejected(message)

    tracker = Tracker(limits=Limits(batch=1000), fail=fail)

    state = deliver(place, tracker)

    rejects = status.rejects(directory_of(place), "tracker")
    assert state == "finished"
    assert tracker.metrics == [point for point in points if point.step not in bad]
    assert [(reject.event, reject.reason) for reject in rejects] == [("Metric loss", "not these")] * len(bad)
    assert len(tracker.calls) < 1 + 2 * 10 * len(bad) + 1
    assert cursors.load(directory_of(place), "tracker").delivered == 1002 - len(bad)


def test_a_reject_that_is_met_again_is_one_reject(place: Path) -> None:
    writer = new_run(place)
    log(writer, 3)
    tracker = Tracker(fail=raising(None, Rejected("x"), Rejected("x"), None, None, Unavailable("later")))
    delivery = delivery_of(place, tracker)

    delivery.step()
    cursors.path_of(directory_of(place), "tracker").unlink()
    tracker.fail = raising()
    delivery_of(place, tracker).step()

    lines = (directory_of(place) / "rejects.tracker").read_text().splitlines()
    assert len(lines) == 1  # it was not even tried again
    assert len(status.rejects(directory_of(place), "tracker")) == 1


def test_a_tracker_that_is_away_gets_everything_once_it_is_back(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 35)
    writer.finish(FINISHED)
    tracker = Tracker(fail=raising(None, None, *[Unavailable("away")] * 5))

    deliver(place, tracker)

    assert tracker.received == [*points, FINISHED]


def test_unavailability_goes_back_to_the_cursor_and_says_so(place: Path) -> None:
    writer = new_run(place)
    log(writer, 15)
    tracker = Tracker()
    delivery = delivery_of(place, tracker)
    delivery.step()
    tracker.fail = raising(Unavailable("away, at http://tracker"))

    with pytest.raises(Unavailable) as raised:
        delivery.step()
    delivery._give_up_for_now(raised.value)

    said = status.read_delivery(directory_of(place), "tracker")
    assert (said.state, said.error) == ("unavailable", "away, at http://tracker")
    assert tracker.closed == 1
    delivery.step()
    assert [len(call) for call in tracker.calls] == [9, 6, 6]  # the first batch had `RunStarted`
    assert status.read_delivery(directory_of(place), "tracker").state == "delivering"
    assert status.read_delivery(directory_of(place), "tracker").error == ""


def test_a_strange_exception_that_passes_costs_nothing(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 5)
    writer.finish(FINISHED)
    tracker = Tracker(fail=raising(None, *[KeyError("?")] * 3))

    deliver(place, tracker)

    assert tracker.received == [*points, FINISHED]
    assert status.rejects(directory_of(place), "tracker") == []


def test_a_record_that_always_raises_something_strange_becomes_a_reject(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 35)
    writer.finish(FINISHED)

    def fail(batch: Sequence[Event]) -> None:
        if any(isinstance(event, Metric) and event.step == 20 for event in batch):
            message = "who knows"
            raise ArithmeticError(message)

    tracker = Tracker(fail=fail)

    state = deliver(place, tracker)

    rejects = status.rejects(directory_of(place), "tracker")
    assert state == "finished"
    assert tracker.metrics == [point for point in points if point.step != 20]
    assert [reject.reason for reject in rejects] == ["ArithmeticError: who knows"]


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_refusal_ends_the_delivery_and_keeps_the_journal(place: Path, at: int) -> None:
    writer = new_run(place)
    points = log(writer, 35)
    writer.finish(FINISHED)
    tracker = Tracker(fail=raising(*[None] * at, Refused("wrong password")))

    state = deliver(place, tracker)

    said = status.read_delivery(directory_of(place), "tracker")
    assert state == "refused"
    assert (said.state, said.error) == ("refused", "wrong password")
    assert status.lag(directory_of(place), "tracker") == 37 - (1 + len(tracker.received) if at > 1 else 0)
    assert deliver(place, tracker) == "finished"  # what `tracelet sync` does later
    assert tracker.received == [*points, FINISHED]
    assert status.read_delivery(directory_of(place), "tracker").error == ""


def test_a_run_that_is_rejected_as_a_whole_is_refused(place: Path) -> None:
    new_run(place)

    assert deliver(place, Tracker(fail=raising(Rejected("no such project")))) == "refused"


def test_an_end_that_is_rejected_is_kept_and_ends_the_delivery(place: Path) -> None:
    new_run(place).finish(FINISHED)

    state = deliver(place, Tracker(fail=raising(None, Rejected("no such status"))))

    assert state == "finished"
    assert [r.event for r in status.rejects(directory_of(place), "tracker")] == ["RunFinished"]


def test_a_stop_is_heard_while_the_tracker_is_away(place: Path) -> None:
    new_run(place)
    stop = threading.Event()

    def fail(_: Sequence[Event]) -> None:
        stop.set()
        message = "away"
        raise Unavailable(message, retry_after=1000.0)

    state = delivery_of(place, Tracker(fail=fail)).run(stop)

    assert state == "stopped"
    assert status.read_delivery(directory_of(place), "tracker").state == "unavailable"


def test_a_cursor_that_cannot_be_written_is_a_tracker_that_is_away(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_run(place)
    points = log(writer, 25)
    writer.finish(FINISHED)
    tracker = Tracker()
    save, tries = cursors.save, iter(range(1000))

    def full(directory: Path, name: str, cursor: cursors.Cursor) -> None:
        if next(tries) in {1, 2}:
            raise OSError(28, "No space left on device")
        save(directory, name, cursor)

    monkeypatch.setattr(cursors, "save", full)

    state = deliver(place, tracker)

    assert state == "finished"
    assert tracker.stored == [*points, FINISHED]
    assert len(tracker.received) == 25 + 2 * 10 + 1  # the second batch came three times
