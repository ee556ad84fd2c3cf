"""A tracker that has lost the run gets all of it again; what becomes of each record is counted once."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.relay.trackers import (
    FINISHED,
    STARTED,
    Tracker,
    deliver,
    delivery_of,
    directory_of,
    log,
    new_run,
    nothing,
)
from tracelet.backend import Limits, Remote
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Event, Metric, Note, Params, RunFinished, RunStarted, Tags, Text
from tracelet.journal import codec, cursors, status
from tracelet.journal.writer import Writer

AGAIN = [Remote(id="run", anew=True), Remote(id="another run of that name")]


def deliver_so_far(place: Path, tracker: Tracker) -> None:
    """Deliver what is there, as one process."""
    delivery = delivery_of(place, tracker)
    while delivery.step():
        pass


@pytest.mark.parametrize("remote", AGAIN, ids=["made anew", "another"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_tracker_that_lost_the_run_gets_all_of_it(place: Path, remote: Remote, fails: bool) -> None:
    writer = new_run(place)
    before = log(writer, 20)
    tracker = Tracker()
    deliver_so_far(place, tracker)
    after = log(writer, 5, begin=20)
    writer.finish(FINISHED)
    tracker.batches.clear()
    tracker.remote = remote

    def away(batch: Sequence[Event]) -> None:
        if not isinstance(batch[0], RunStarted):
            raise Unavailable("it is away again")

    if fails:
        tracker.fail = away
        with pytest.raises(Unavailable):
            deliver_so_far(place, tracker)
        tracker.fail = nothing
        tracker.remote = Remote(id=remote.id)  # which it has now
    deliver(place, tracker)

    assert tracker.metrics == [*before, *after]
    assert tracker.received[-1] == FINISHED
    assert cursors.load(directory_of(place), "tracker").delivered == 27


def test_a_run_that_a_tracker_still_has_is_not_delivered_again(place: Path) -> None:
    writer = new_run(place)
    before = log(writer, 20)
    tracker = Tracker()
    deliver_so_far(place, tracker)
    after = log(writer, 5, begin=20)
    writer.finish(FINISHED)

    deliver(place, tracker)

    assert tracker.metrics == [*before, *after]


def test_a_childs_record_that_is_seen_half_at_the_end_is_delivered_when_it_is_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = directory_of(place)
    writer = new_run(place)
    writer.finish(FINISHED)
    child = Writer(directory, "child")
    texts = [Text(time=5.0, name="first", text="1")]
    assert child.event(texts[0])
    segment = directory / child.segment
    salt = codec.salt_of(child.segment)
    texts += [Text(time=6.0, name="second", text="2"), Text(time=7.0, name="third", text="x" * 100_000)]
    small, large = (codec.event_frame(text, salt) for text in texts[1:])

    def append(data: bytes) -> None:
        with segment.open("ab") as file:
            file.write(data)

    real, steps = status.sizes, [small + large[:40_000], large[40_000:]]

    def sizes(of: Path) -> dict[str, int]:
        found = real(of)
        if steps:
            append(steps.pop(0))  # as another process does, right after this one has looked
        return found

    monkeypatch.setattr(status, "sizes", sizes)
    tracker = Tracker()
    deliver(place, tracker)
    deliver(place, tracker)

    assert [event for event in tracker.received if isinstance(event, Text)] == texts
    assert status.lag(directory, "tracker") == 0


def test_what_is_rejected_is_neither_degraded_nor_merged(place: Path) -> None:
    writer = new_run(place, Params(2.0, {"p": "v" * 7000}))
    log(writer, 3)
    log(writer, 3)
    writer.finish(FINISHED)

    def fail(batch: Sequence[Event]) -> None:
        if any(isinstance(event, (Params, Metric, RunFinished)) for event in batch):
            raise Rejected("it does not like that")

    tracker = Tracker(Limits(batch=100), identity=lambda event: getattr(event, "step", None), fail=fail)
    deliver(place, tracker)

    cursor = cursors.load(directory_of(place), "tracker")
    assert (cursor.delivered, cursor.degraded, cursor.merged) == (1, 0, 0)
    assert len(status.rejects(directory_of(place), "tracker")) == 8


@pytest.mark.parametrize("at_start", [True, False])
def test_what_is_cut_is_counted_whether_it_is_said_at_the_start_or_later(
    place: Path, monkeypatch: pytest.MonkeyPatch, at_start: bool
) -> None:
    note, tags = "n" * 9000, {"k": "v" * 6000}
    if at_start:
        started = msgspec.structs.replace(STARTED, note=note, tags=tags)
        monkeypatch.setattr("tests.relay.trackers.STARTED", started)
    writer = new_run(place, *(() if at_start else (Note(2.0, note), Tags(2.0, tags))))
    writer.finish(FINISHED)

    deliver(place, Tracker(Limits()))

    assert cursors.load(directory_of(place), "tracker").degraded == 2
