"""A tracker that knows a point by its place gets each row once, and always the same one."""

import threading
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import eventually
from tests.relay.trackers import FINISHED, Killed, Tracker, deliver, delivery_of, directory_of, log, new_run
from tracelet.backend import Confirms, Limits, Placed, Remote, Rows
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Event, Metric, Note, Params
from tracelet.journal import cursors, status
from tracelet.journal.reader import Record
from tracelet.journal.writer import Writer
from tracelet.relay.planfile import HEAD, PlanFile

pytestmark = pytest.mark.slow

CONFIRMS: tuple[Confirms, ...] = ("write", "count", "close")
NAMES = [f"metric {number}" for number in range(20)]


def tracker_of(batch: int = 50, seconds: float = 2.0, confirms: Confirms = "write") -> Tracker:
    return Tracker(limits=Limits(batch=batch), rows=Rows(seconds=seconds), confirms=confirms)


def log_row(writer: Writer, step: int, names: Sequence[str] = NAMES) -> list[Metric]:
    points = [Metric(name, step + place / 100, step, 100.0 + step) for place, name in enumerate(names)]
    for point in points:
        assert writer.scalar(point.name, point.value, step, point.time)
    return points


def deliver_despite_kills(place: Path, tracker: Tracker) -> None:
    for _ in range(1000):
        try:
            assert deliver(place, tracker) == "finished"
        except Killed:
            continue
        return
    pytest.fail("the delivery never ends")


def rows_of(tracker: Tracker) -> list[list[Event]]:
    """Return the rows in their order; fail if one was another when it came again."""
    for row, times in tracker.lines.items():
        assert all(events == times[0] for events in times), f"row {row} changed"
    assert sorted(tracker.lines) == [*range(len(tracker.lines))]
    return [tracker.lines[row][0] for row in sorted(tracker.lines)]


@pytest.mark.parametrize("confirms", CONFIRMS)
def test_rows_of_two_processes_stay_whole(place: Path, confirms: Confirms) -> None:
    main = new_run(place)
    child = Writer(directory_of(place), "child")
    rows: list[list[Metric]] = []
    for step in range(30):
        rows += [log_row(main, step), log_row(child, step, [f"child {name}" for name in NAMES])]
    main.finish(FINISHED)
    tracker = tracker_of(batch=30, confirms=confirms)

    deliver(place, tracker)

    assert sorted(rows_of(tracker), key=str) == sorted(rows, key=str)
    assert tracker.received[-1] == FINISHED


@pytest.mark.parametrize(
    ("points", "rows"),
    [
        ([("a", 0, 0.0), ("b", 0, 0.5), ("c", 0, 1.0)], 1),
        ([("a", 0, 0.0), ("b", 1, 0.0)], 2),
        ([("a", 0, 0.0), ("a", 0, 0.0)], 2),
        ([("a", 0, 0.0), ("b", 0, 2.5)], 2),
        ([("a", None, 0.0), ("b", None, 0.0), ("a", None, 0.0)], 2),
        ([("a", 1, 0.0), ("b", None, 0.0)], 2),
    ],
)
def test_a_row_is_one_step_of_neighbours(
    place: Path, points: list[tuple[str, int | None, float]], rows: int
) -> None:
    writer = new_run(place)
    for name, step, time in points:
        assert writer.stepless(name, 1.0, time) if step is None else writer.scalar(name, 1.0, step, time)
    writer.finish(FINISHED)
    tracker = tracker_of()

    deliver(place, tracker)

    assert len(rows_of(tracker)) == rows


def test_a_row_is_sent_when_nothing_comes_any_more(place: Path) -> None:
    writer = new_run(place)
    tracker = tracker_of(seconds=0.2)
    delivery = delivery_of(place, tracker)
    points = log_row(writer, 3)

    assert delivery.step()
    assert tracker.lines == {}
    eventually(lambda: delivery.step() and tracker.lines)

    assert rows_of(tracker) == [points]


@pytest.mark.parametrize("busy", ["another process", "params"])
def test_a_row_is_sent_whatever_else_comes(place: Path, busy: str) -> None:
    writer = new_run(place)
    other = Writer(directory_of(place), "child") if busy == "another process" else writer
    tracker = tracker_of(seconds=0.2)
    delivery = delivery_of(place, tracker)
    points = log_row(writer, 3)
    steps = iter(range(1_000_000))

    def sent() -> bool:
        if busy == "params":
            assert other.event(Params(200.0, {f"p{next(steps)}": 1}))
        else:
            log(other, 1, "busy", next(steps))
        delivery.step()
        return points in [times[0] for times in tracker.lines.values()]

    eventually(sent)


def test_what_is_no_row_waits_with_its_process_and_comes_once(place: Path) -> None:
    writer = new_run(place, Params(1.0, {"lr": 0.1}))
    log(writer, 1)
    assert writer.event(Params(2.0, {"depth": 3}))
    log(writer, 1, "accuracy")
    assert writer.event(Params(3.0, {"width": 5}))
    writer.finish(FINISHED)
    tracker = tracker_of()

    deliver(place, tracker)

    assert [event for event in tracker.received if isinstance(event, Params)] == [
        Params(1.0, {"lr": 0.1}),
        Params(2.0, {"depth": 3}),
        Params(3.0, {"width": 5}),
    ]
    assert [len(row) for row in rows_of(tracker)] == [2]
    assert cursors.load(directory_of(place), "tracker").delivered == 7


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    confirms=st.sampled_from(CONFIRMS),
    logged=st.lists(
        st.tuples(
            st.integers(0, 2),  # who
            st.sampled_from(["a", "b", "c", "params"]),
            st.integers(0, 3),  # the step
            st.sampled_from([0.0, 0.0, 0.1, 3.0]),  # seconds since the last
        ),
        max_size=60,
    ),
    faults=st.lists(st.sampled_from([None, None, Killed, Unavailable]), max_size=20),
    batch=st.integers(1, 12),
    split=st.integers(0, 60),
)
def test_any_faults_and_any_interleaving_leave_each_point_in_one_row(
    tmp_path_factory: pytest.TempPathFactory,
    confirms: Confirms,
    logged: list[tuple[int, str, int, float]],
    faults: list[type[BaseException] | None],
    batch: int,
    split: int,
) -> None:
    place = tmp_path_factory.mktemp("run")
    main = new_run(place)
    writers = [main, *(Writer(directory_of(place), f"child{number}") for number in range(2))]
    left = iter(faults)

    def fail(_: Sequence[Event]) -> None:
        fault = next(left, None)
        if fault is not None:
            raise fault("a fault")

    tracker = tracker_of(batch, confirms=confirms)
    tracker.fail = fail
    time, points, others = 100.0, [], 0
    for number, (who, name, step, later) in enumerate(logged):
        time += later
        if number == split:
            _some_steps(place, tracker)
        if name == "params":
            others += 1
            assert writers[who].event(Params(time, {f"p{number}": number}))
        else:
            points.append(Metric(name, float(number), step, time))
            assert writers[who].scalar(name, float(number), step, time)
    main.finish(FINISHED)

    deliver_despite_kills(place, tracker)

    rows = rows_of(tracker)
    assert sorted((event for row in rows for event in row), key=str) == sorted(points, key=str)
    for row in rows:
        assert len({event.name for event in row if isinstance(event, Metric)}) == len(row)
        assert len({event.step for event in row if isinstance(event, Metric)}) == 1
    assert cursors.load(directory_of(place), "tracker").delivered == len(points) + others + 2


def _some_steps(place: Path, tracker: Tracker) -> None:
    """Deliver a little, as a relay does that is then killed."""
    delivery = delivery_of(place, tracker)
    try:
        for _ in range(3):
            delivery.step()
    except (Killed, Unavailable):
        pass


@pytest.mark.parametrize("remote", [Remote(id="run", anew=True), Remote(id="run", rows=2)])
def test_a_tracker_that_has_less_gets_the_same_rows_again(place: Path, remote: Remote) -> None:
    writer = new_run(place, Params(1.0, {"lr": 0.1}))
    for step in range(7):
        log_row(writer, step, NAMES[:3])
    tracker = tracker_of(batch=6, seconds=0.05)
    first = delivery_of(place, tracker)
    eventually(lambda: first.step() and len(tracker.lines) == 7)
    eventually(lambda: not first.step())
    before = rows_of(tracker)
    writer.finish(FINISHED)
    tracker.remote = remote
    tracker.batches.clear()

    deliver(place, tracker)

    assert rows_of(tracker) == before
    assert Params(1.0, {"lr": 0.1}) in tracker.received
    assert cursors.load(directory_of(place), "tracker").delivered == 1 + 21 + 2


def test_a_plan_that_is_shorter_than_what_is_there_is_no_plan(place: Path) -> None:
    log_row(new_run(place), 0)
    tracker = tracker_of(seconds=0.05)
    delivery = delivery_of(place, tracker)
    eventually(lambda: delivery.step() and tracker.lines)
    tracker.remote = Remote(id="run", rows=7)

    assert deliver(place, tracker) == "refused"


def test_an_entry_of_the_plan_that_is_torn_was_not_sent(place: Path) -> None:
    writer = new_run(place)
    for step in range(4):
        log_row(writer, step, NAMES[:3])
    writer.finish(FINISHED)
    tracker = tracker_of(batch=6)

    def killed(batch: Sequence[Event]) -> None:
        if any(isinstance(event, Placed) and event.row == 1 for event in batch):
            raise Killed

    tracker.fail = killed
    with pytest.raises(Killed):
        deliver(place, tracker)
    plan = directory_of(place) / "plan.tracker"
    whole = plan.read_bytes()
    tracker.fail = lambda _: None

    for cut in range(len(whole)):
        plan.write_bytes(whole[:cut])
        found = PlanFile(plan)
        assert found.rows in {0, 1, 2, 3}
        assert plan.read_bytes() == whole[:cut]
    deliver(place, tracker)

    assert [len(row) for row in rows_of(tracker)] == [3, 3, 3, 3]


def test_a_plan_that_was_damaged_or_is_another_versions_is_left_as_it_is(tmp_path: Path) -> None:
    plan = tmp_path / "plan.tracker"
    file = PlanFile(plan)
    for at in range(50):
        file.append([[Record(Note(1.0, ""), "trainer-1-0001.seg", at, at + 1)]])
    damaged = bytearray(plan.read_bytes())
    damaged[40] ^= 1
    plan.write_bytes(damaged)
    body = msgspec.msgpack.encode({"rows": []})
    (tmp_path / "other").write_bytes(HEAD.pack(len(body), crc32(body)) + body)

    assert PlanFile(plan).rows == 1
    assert plan.read_bytes() == damaged
    with pytest.raises(Refused, match="another version"):
        PlanFile(tmp_path / "other")


def test_a_plan_that_cannot_be_written_is_a_tracker_that_is_away(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_run(place)
    points = log_row(writer, 0)
    writer.finish(FINISHED)
    tracker, append, full = tracker_of(), PlanFile.append, [True]

    def no_room(self: PlanFile, rows: list[list[object]]) -> None:
        if full:
            full.clear()
            raise OSError("no room")
        append(self, rows)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(PlanFile, "append", no_room)

    assert deliver(place, tracker) == "finished"

    assert rows_of(tracker) == [points]


@pytest.mark.parametrize("told", [True, False])
def test_one_bad_event_loses_only_itself_or_its_row(place: Path, told: bool) -> None:
    writer = new_run(place)
    rows = [log_row(writer, step, NAMES[:4]) for step in range(5)]
    writer.finish(FINISHED)
    tracker, bad = tracker_of(), rows[2][1]

    def fail(batch: Sequence[Event]) -> None:
        for at, event in enumerate(batch):
            if isinstance(event, Placed) and event.event == bad:
                raise Rejected("not this", at if told else None)

    tracker.fail = fail

    deliver(place, tracker)

    rows[2] = [point for point in rows[2] if point != bad] if told else []
    assert [tracker.lines.get(row, [[]])[0] for row in range(5)] == rows
    assert len(status.rejects(directory_of(place), "tracker")) == (1 if told else 4)
    assert all(len(times) == 1 for times in tracker.lines.values())


def test_an_orphaned_relay_does_not_leave_an_open_row(place: Path) -> None:
    writer = new_run(place)
    points = log_row(writer, 0)
    tracker = tracker_of(seconds=0.1)

    assert delivery_of(place, tracker).run(threading.Event(), lambda: True) == "stopped"

    assert rows_of(tracker) == [points]
