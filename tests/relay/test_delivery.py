"""Every record arrives exactly once, whatever fails on the way."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.trackers import FINISHED, Killed, Tracker, deliver, delivery_of, directory_of, log, new_run
from tracelet.backend import Confirms, Limits
from tracelet.errors import JournalCorrupt, Unavailable
from tracelet.events import Artifact, Event, Metric, Note, Params, RunFinished, Tags, Text
from tracelet.journal import codec, cursors, status
from tracelet.journal.writer import Writer

pytestmark = pytest.mark.slow

CONFIRMS: tuple[Confirms, ...] = ("write", "count", "close")


def kill_at(wanted: int) -> Callable[[Sequence[Event]], None]:
    """Kill at the call of that number, from 0 on, and at no other."""
    calls = iter(range(1_000_000))

    def fail(_: Sequence[Event]) -> None:
        if next(calls) == wanted:
            raise Killed

    return fail


def deliver_despite_kills(place: Path, tracker: Tracker) -> int:
    """Begin anew after each kill, as a new process; tell how often that was."""
    for kills in range(1000):
        try:
            state = deliver(place, tracker)
        except Killed:
            continue
        assert state == "finished"
        return kills
    pytest.fail("the delivery never ends")


@pytest.mark.parametrize("confirms", CONFIRMS)
def test_a_run_arrives_whole_in_order_and_its_end_last(place: Path, confirms: Confirms) -> None:
    writer = new_run(place, Params(2.0, {"lr": 0.1}), Tags(3.0, {"kind": "test"}), Note(4.0, "a note"))
    points = log(writer, 35)
    writer.finish(FINISHED)
    tracker = Tracker(confirms=confirms)

    state = deliver(place, tracker)

    cursor = cursors.load(directory_of(place), "tracker")
    assert state == "finished"
    assert tracker.received == [
        Params(2.0, {"lr": 0.1}),
        Tags(3.0, {"kind": "test"}),
        Note(4.0, "a note"),
        *points,
        FINISHED,
    ]
    assert (cursor.delivered, cursor.finished) == (40, True)
    assert status.lag(directory_of(place), "tracker") == 0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("confirms", CONFIRMS)
@pytest.mark.parametrize("call", range(7))
def test_a_kill_at_any_call_loses_and_doubles_nothing(
    place: Path, confirms: Confirms, call: int, late: bool
) -> None:
    writer = new_run(place)
    points = log(writer, 35)
    writer.finish(FINISHED)
    tracker = Tracker(confirms=confirms)
    setattr(tracker, "fail_late" if late else "fail", kill_at(call))

    deliver_despite_kills(place, tracker)

    assert tracker.stored == [*points, FINISHED]
    assert tracker.received[-1] == FINISHED
    assert cursors.load(directory_of(place), "tracker").delivered == 37


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("confirms", CONFIRMS)
def test_a_kill_at_any_move_of_the_cursor_loses_and_doubles_nothing(
    place: Path, confirms: Confirms, saved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_run(place)
    points = log(writer, 35)
    writer.finish(FINISHED)
    tracker = Tracker(confirms=confirms)
    save, moves = cursors.save, iter(range(1000))

    def killing(directory: Path, name: str, cursor: cursors.Cursor) -> None:
        kill = next(moves) in {0, 2, 3, 5, 8, 9, 13}
        if saved or not kill:
            save(directory, name, cursor)
        if kill:
            raise Killed

    monkeypatch.setattr(cursors, "save", killing)

    kills = deliver_despite_kills(place, tracker)

    assert kills > 0
    assert tracker.stored == [*points, FINISHED]
    assert tracker.received[-1] == FINISHED
    assert cursors.load(directory_of(place), "tracker").delivered == 37


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    confirms=st.sampled_from(CONFIRMS),
    faults=st.lists(st.sampled_from([None, Killed, Unavailable, RuntimeError]), max_size=25),
    batch=st.integers(1, 12),
)
def test_any_sequence_of_faults_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    confirms: Confirms,
    faults: list[type[BaseException] | None],
    batch: int,
) -> None:
    place = tmp_path_factory.mktemp("run")
    writer = new_run(place)
    points = log(writer, 30)
    writer.finish(FINISHED)
    left = iter(faults)

    def fail(_: Sequence[Event]) -> None:
        fault = next(left, None)
        if fault is not None:
            raise fault("a fault")

    tracker = Tracker(limits=Limits(batch=batch), confirms=confirms, fail=fail)

    deliver_despite_kills(place, tracker)

    rejected = status.rejects(directory_of(place), "tracker")
    missing = [point for point in points if point not in tracker.stored]
    assert [reject.event for reject in rejected] == ["Metric loss"] * len(missing)
    assert tracker.received[-1] == FINISHED
    assert len(tracker.stored) == len(points) - len(missing) + 1


def test_what_is_recorded_meanwhile_is_delivered_too(place: Path) -> None:
    writer = new_run(place)
    tracker = Tracker()
    delivery = delivery_of(place, tracker)
    points: list[Metric] = []

    for begin in range(0, 50, 5):
        points += log(writer, 5, begin=begin)
        assert delivery.step()
        assert not delivery.step()

    assert tracker.received == points
    assert delivery._pulse.state == "idle"


def test_the_end_waits_for_the_records_of_all_processes(place: Path) -> None:
    writer = new_run(place)
    child = Writer(directory_of(place), "joined")
    log(writer, 5)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=4))
    delivery = delivery_of(place, tracker)
    delivery.step()
    points = log(child, 25, "child")

    deliver(place, tracker)

    assert [point for point in tracker.metrics if point.name == "child"] == points
    assert [index for index, event in enumerate(tracker.received) if event == FINISHED] == [
        len(tracker.received) - 1
    ]


def test_what_a_child_records_after_the_end_is_delivered_too(place: Path) -> None:
    writer = new_run(place)
    child = Writer(directory_of(place), "joined")
    log(child, 5, "child")
    writer.finish(FINISHED)
    tracker = Tracker()
    deliver(place, tracker)
    points = log(child, 5, "child", begin=5)

    deliver(place, tracker)  # as `tracelet sync` does

    assert tracker.metrics[5:] == points
    assert status.is_complete(directory_of(place), "tracker")


@pytest.mark.parametrize("confirms", CONFIRMS)
def test_the_end_is_sent_once(place: Path, confirms: Confirms) -> None:
    new_run(place).finish(FINISHED)
    tracker = Tracker(confirms=confirms)

    deliver(place, tracker)

    assert tracker.received == [FINISHED]
    assert cursors.load(directory_of(place), "tracker").delivered == 2


@pytest.mark.parametrize("confirms", CONFIRMS)
def test_an_end_alone_meets_no_closed_client(place: Path, confirms: Confirms) -> None:
    writer = new_run(place)
    log(writer, 3)
    writer.finish(FINISHED)
    tracker = Tracker(confirms=confirms)
    delivery = delivery_of(place, tracker)

    while not cursors.load(directory_of(place), "tracker").finished:
        delivery.step()  # raises if the client was closed

    assert tracker.received[-1] == FINISHED


def test_an_orphan_ends_when_there_is_nothing_to_do_and_not_before(place: Path) -> None:
    points = log(new_run(place), 35)
    tracker = Tracker()

    state = delivery_of(place, tracker).run(threading.Event(), lambda: True)

    assert state == "stopped"
    assert tracker.received == points


def test_a_directory_that_vanishes_ends_the_delivery(place: Path) -> None:
    log(new_run(place), 5)

    def fail(_: Sequence[Event]) -> None:
        directory_of(place).rename(place / "gone")

    state = delivery_of(place, Tracker(fail_late=fail)).run(threading.Event())

    assert state == "stopped"
    assert not directory_of(place).exists()


def test_a_journal_of_a_newer_version_is_not_guessed_at(place: Path) -> None:
    writer = new_run(place)
    log(writer, 5)
    name = "trainer-ffffffff-0000.seg"
    header = codec.SegmentHeader(codec.VERSION + 1, "trainer-ffffffff", 0, 1, 1, 1.0)
    (directory_of(place) / name).write_bytes(codec.header_frame(header, codec.salt_of(name)))

    with pytest.raises(JournalCorrupt, match="Upgrade tracelet"):
        deliver(place, Tracker())


def test_an_artifact_is_alone_in_its_call(place: Path) -> None:
    writer = new_run(place)
    log(writer, 3)
    artifact = Artifact(time=5.0, path="model.pt", size=10, digest="0" * 64)
    writer.event(artifact)
    log(writer, 3, begin=3)
    tracker = Tracker()

    delivery_of(place, tracker).step()

    assert [len(call) for call in tracker.calls] == [3, 1, 3]
    assert tracker.calls[1] == [artifact]


def test_the_cursor_moves_between_files_and_not_only_behind_all_of_a_batch(place: Path) -> None:
    """A thousand images take minutes: who waits must see them move, and a kill must not repeat all."""
    texts = [Text(time=2.0, name="sample", text=str(number), step=number) for number in range(40)]
    writer = new_run(place, *texts)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=1000), fail=kill_at(31))  # the first call opens the run

    with pytest.raises(Killed):
        deliver(place, tracker)
    delivered = cursors.load(directory_of(place), "tracker").delivered
    state = deliver(place, tracker)

    assert delivered == 1 + 24  # the run's start, and of 30 files the last six are not confirmed
    assert state == "finished"
    assert tracker.stored == [*texts, FINISHED]
    assert len(tracker.received) == 41 + 6


def test_equal_events_are_told_apart_by_the_journal_not_by_their_value(place: Path) -> None:
    writer = new_run(place)
    for _ in range(3):
        writer.scalar("loss", float("nan"), 1, 5.0)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert [msgspec.msgpack.encode(point) for point in tracker.metrics] == [
        msgspec.msgpack.encode(Metric("loss", float("nan"), 1, 5.0))
    ] * 3


def test_the_last_of_two_ends_counts_and_nothing_is_delivered_twice(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 5)
    writer.finish(FINISHED)
    Writer(directory_of(place), "keeper").finish(RunFinished(9.1e9, "KILLED"))
    tracker = Tracker()

    deliver(place, tracker)

    assert tracker.metrics == points
    assert sum(isinstance(event, RunFinished) for event in tracker.received) == 1
