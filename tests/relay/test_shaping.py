"""Records become what one tracker can take, always the same, and what is cut is counted."""

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.relay.trackers import FINISHED, STARTED, Tracker, deliver, delivery_of, directory_of, log, new_run
from tracelet.backend import Limits
from tracelet.errors import Rejected, Unavailable
from tracelet.events import (
    Event,
    Histogram,
    Image,
    Lost,
    Metric,
    Note,
    Params,
    Payload,
    Plain,
    RunStarted,
    Tags,
)
from tracelet.journal import cursors, status
from tracelet.journal.writer import Writer
from tracelet.names import NameMap, digest_of


def params_of(batch: Sequence[Event]) -> dict[str, Plain]:
    """Join the params of a batch."""
    return {
        name: value for event in batch if isinstance(event, Params) for name, value in event.params.items()
    }


def test_params_come_one_by_one_and_not_too_many_at_once(place: Path) -> None:
    params: dict[str, Plain] = {f"p{index}": index for index in range(25)}
    new_run(place, Params(2.0, params)).finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=100, params=10))

    deliver(place, tracker)

    assert [len(call) for call in tracker.calls] == [10, 10, 5, 1]
    assert all(len(event.params) == 1 for event in tracker.received if isinstance(event, Params))
    assert params_of(tracker.received) == params


def test_tags_come_one_by_one_and_not_too_many_at_once(place: Path) -> None:
    tags = {f"t{index}": str(index) for index in range(25)}
    new_run(place, Tags(2.0, tags)).finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=100, tags=7))

    deliver(place, tracker)

    assert [len(call) for call in tracker.calls] == [7, 7, 7, 4, 1]
    assert [event.tags for event in tracker.received if isinstance(event, Tags)] == [
        {name: text} for name, text in tags.items()
    ]


def test_images_and_histograms_go_alone_and_with_a_step_where_one_is_needed(place: Path) -> None:
    data = Payload("ab", 6, dtype="uint8", shape=(2, 3))
    stepless = Image(time=2.0, name="a#", data=data, ordinal=4, layout="HW", caption="c")
    counted = Histogram(time=2.0, name="a#", counts=(1.0,), limits=(0.0, 1.0), step=7)
    writer = new_run(place, stepless, counted)
    points = log(writer, 3)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=100, name_characters="a-z", needs_step=True))

    deliver(place, tracker)

    assert [len(call) for call in tracker.calls] == [1, 1, 3, 1]
    assert tracker.received[:2] == [
        msgspec.structs.replace(stepless, name="a_0x23_", step=4),
        msgspec.structs.replace(counted, name="a_0x23_"),
    ]
    assert tracker.metrics == points


def test_where_no_step_is_needed_none_is_made_up(place: Path) -> None:
    image = Image(time=2.0, name="a", data=Payload("ab", 6, format="png"), ordinal=4)
    new_run(place, image).finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert tracker.received[0] == image


def test_an_image_that_is_delivered_smaller_is_counted(place: Path) -> None:
    shapes = {"HW": (10, 10), "HWC": (10, 10, 3), "NCHW": (4, 3, 10, 10)}
    images = [
        Image(time=2.0, name=layout, data=Payload("ab", 6, dtype="f4", shape=shape), layout=layout)
        for layout, shape in shapes.items()
    ]
    images.append(Image(time=2.0, name="file", data=Payload("ab", 6, format="png")))
    new_run(place, *images).finish(FINISHED)

    delivery_of(place, Tracker(), max_image_size="300").run(threading.Event())

    assert cursors.load(directory_of(place), "tracker").degraded == 1  # four of them as one picture


def test_no_call_has_more_events_than_the_tracker_takes(place: Path) -> None:
    writer = new_run(place, Params(2.0, {f"p{index}": index for index in range(30)}))
    points = log(writer, 100)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=8))

    deliver(place, tracker)

    assert max(len(call) for call in tracker.calls) == 8
    assert tracker.metrics == points


def test_one_bad_param_is_kept_under_its_name_and_the_others_arrive(place: Path) -> None:
    new_run(place, Params(2.0, {"good": 1, "bad": 2, "also good": 3})).finish(FINISHED)

    def fail(batch: Sequence[Event]) -> None:
        if "bad" in params_of(batch):
            message = "a param that is changed"
            raise Rejected(message)

    tracker = Tracker(fail=fail)

    deliver(place, tracker)

    assert params_of(tracker.received) == {"good": 1, "also good": 3}
    assert [(r.key, r.event, r.reason) for r in status.rejects(directory_of(place), "tracker")] == [
        ("bad", "Params", "a param that is changed")
    ]


def test_long_values_are_cut_and_counted(place: Path) -> None:
    new_run(
        place,
        Params(2.0, {"long": "x" * 100, "list": list(range(100)), "short": "x", "number": 10**40 % 10**18}),
        Tags(3.0, {"long": "t" * 100, "exact": "t" * 20}),
        Note(4.0, "n" * 100),
    ).finish(FINISHED)
    tracker = Tracker(limits=Limits(param_value=10, tag_value=20, note=30))

    deliver(place, tracker)

    assert params_of(tracker.received) == {
        "long": "x" * 9 + "…",
        "list": "[0, 1, 2,…",
        "short": "x",
        "number": 10**40 % 10**18,
    }
    assert Tags(3.0, {"long": "t" * 19 + "…"}) in tracker.received
    assert Tags(3.0, {"exact": "t" * 20}) in tracker.received
    assert Note(4.0, "n" * 29 + "…") in tracker.received
    assert cursors.load(directory_of(place), "tracker").degraded == 4


def test_short_values_keep_their_type(place: Path) -> None:
    params: dict[str, Plain] = {"list": [1, 2.5, None], "map": {"a": [True]}, "none": None, "flag": False}
    new_run(place, Params(2.0, params)).finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert params_of(tracker.received) == params


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_stepless_points_are_numbered_the_same_however_often_they_are_read(place: Path, batch: int) -> None:
    writer = new_run(place)
    child = Writer(directory_of(place), "joined")
    for index in range(5):
        writer.stepless("loss", float(index), 10.0 + index)
        writer.stepless("time", float(index), 10.0 + index)
    child.stepless("loss", 100.0, 20.0)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=batch, needs_step=True))

    for _ in range(3):
        delivery_of(place, tracker).step()  # and is killed
    deliver(place, tracker)

    steps = {(point.name, point.value): point.step for point in tracker.metrics}
    assert steps == {
        **{("loss", float(index)): index for index in range(5)},
        **{("time", float(index)): index for index in range(5)},
        ("loss", 100.0): 0,
    }


def test_a_point_without_a_step_stays_without_one_where_that_can_be(place: Path) -> None:
    writer = new_run(place)
    writer.stepless("loss", 1.0, 10.0)
    writer.stepless("loss", 2.0, 11.0)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert tracker.metrics == [Metric("loss", 1.0, None, 10.0, 0), Metric("loss", 2.0, None, 11.0, 1)]


def test_names_that_the_tracker_refuses_come_back_from_it(place: Path) -> None:
    names = ["loss", "loss (%)", "_0x", "a/b", "损失"]
    writer = new_run(place, Params(2.0, dict.fromkeys(names)), Tags(3.0, dict.fromkeys(names, "x")))
    for name in names:
        log(writer, 1, name)
    writer.finish(FINISHED)
    limits = Limits(name_characters="a-z0-9_", name_length=100)
    tracker = Tracker(limits=limits)

    deliver(place, tracker)

    back = NameMap(limits).from_tracker
    assert [back(point.name) for point in tracker.metrics] == names
    assert [back(name) for name in params_of(tracker.received)] == names
    assert [
        back(name) for event in tracker.received if isinstance(event, Tags) for name in event.tags
    ] == names


def test_a_name_that_is_too_long_is_told_by_a_tag_before_it_is_used(place: Path) -> None:
    long = "n" * 300
    log(new_run(place), 30, long)
    tracker = Tracker(limits=Limits(batch=10, name_length=50))
    delivery = delivery_of(place, tracker)

    while delivery.step():
        pass

    tags = [event for event in tracker.received if isinstance(event, Tags)]
    mapped = tracker.metrics[0].name
    assert tags == [Tags(100.0, {f"tracelet.name.{digest_of(mapped)}": long})]
    assert tracker.received[0] == tags[0]
    assert {point.name for point in tracker.metrics} == {mapped}
    assert len(mapped) <= 50


def test_a_long_name_is_told_again_when_its_tag_was_not_confirmed(place: Path) -> None:
    writer = new_run(place)
    log(writer, 3, "n" * 300)
    writer.finish(FINISHED)
    left = iter([None, Unavailable("away")])

    def fail(_: Sequence[Event]) -> None:
        error = next(left, None)
        if error is not None:
            raise error

    tracker = Tracker(limits=Limits(name_length=50), fail=fail)

    deliver(place, tracker)

    assert [type(event) for event in tracker.received[:2]] == [Tags, Metric]


def test_a_long_tag_of_the_run_itself_is_told_too(place: Path) -> None:
    writer = new_run(place)
    started = msgspec.structs.replace(STARTED, tags={"t" * 300: "x"})
    writer.finish(FINISHED)
    path = directory_of(place)
    for segment in path.glob("*.seg"):
        segment.unlink()
    again = Writer(path)
    again.event(started)
    again.finish(FINISHED)
    tracker = Tracker(limits=Limits(name_length=50))

    deliver(place, tracker)

    mapped = next(iter(tracker.opened[0].tags))
    assert tracker.received[0] == Tags(1.0, {f"tracelet.name.{digest_of(mapped)}": "t" * 300})


def test_the_runs_own_tags_and_note_are_shaped_like_others(place: Path) -> None:
    directory = directory_of(place)
    new_run(place).close()
    for segment in directory.glob("*.seg"):
        segment.unlink()
    started = RunStarted(
        time=1.0,
        run_id="run",
        name="a run",
        project="p",
        tags={"a b": "x" * 30, "ok": "y"},
        note="n" * 30,
        group="g",
        job_type="j",
    )
    writer = Writer(directory)
    writer.event(started)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(name_characters="a-z0-9_", tag_value=10, note=20))

    deliver(place, tracker)

    shaped = {"a_0x20_b": "x" * 9 + "…", "ok": "y"}
    assert tracker.opened == [msgspec.structs.replace(started, tags=shaped, note="n" * 19 + "…")]


def test_points_that_are_one_to_the_tracker_are_counted_as_merged(place: Path) -> None:
    writer = new_run(place)
    for _ in range(3):
        writer.scalar("loss", 1.0, 1, 5.0)
    writer.scalar("loss", 2.0, 1, 5.0)
    writer.scalar("loss", 3.0, 2, 5.0)
    writer.finish(FINISHED)
    tracker = Tracker(
        limits=Limits(batch=2),
        identity=lambda event: (event.name, event.step) if isinstance(event, Metric) else None,
    )

    deliver(place, tracker)

    cursor = cursors.load(directory_of(place), "tracker")
    assert len(tracker.metrics) == 5
    assert (cursor.merged, cursor.delivered) == (3, 7)


def test_a_batch_that_comes_again_is_not_counted_as_merged(place: Path) -> None:
    writer = new_run(place)
    log(writer, 10)
    writer.finish(FINISHED)
    left = iter([None, None, Unavailable("away"), None, Unavailable("away")])

    def fail(_: Sequence[Event]) -> None:
        error = next(left, None)
        if error is not None:
            raise error

    tracker = Tracker(limits=Limits(batch=4), identity=repr, fail_late=fail)

    deliver(place, tracker)

    assert cursors.load(directory_of(place), "tracker").merged == 0


def test_damage_is_kept_as_a_reject_and_the_rest_arrives(place: Path) -> None:
    writer = new_run(place)
    points = log(writer, 20)
    size = (directory_of(place) / writer.segment).stat().st_size
    writer.finish(FINISHED)
    path = directory_of(place) / writer.segment
    content = bytearray(path.read_bytes())
    content[size - 45 * 10] ^= 0xFF  # somewhere in the middle, in one record or at the seam of two
    path.write_bytes(content)
    tracker = Tracker()

    state = deliver(place, tracker)

    rejects = status.rejects(directory_of(place), "tracker")
    missing = [point for point in points if point not in tracker.metrics]
    assert state == "finished"
    assert len(missing) == 1
    assert [reject.event for reject in rejects] == ["Damage"]
    assert cursors.load(directory_of(place), "tracker").delivered == 21


def test_records_that_were_never_written_are_counted_as_lost(place: Path) -> None:
    new_run(place, Lost(2.0, 7, "No space left on device"), Lost(3.0, 5, "again")).finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    cursor = cursors.load(directory_of(place), "tracker")
    assert tracker.received == [FINISHED]
    assert (cursor.lost, cursor.delivered) == (12, 2)


def test_the_same_batch_twice_is_the_same_twice(place: Path) -> None:
    writer = new_run(place, Params(2.0, {"a b": "x" * 100, "n" * 300: [1, 2]}), Tags(3.0, {"t" * 300: "y"}))
    writer.stepless("m" * 300, 1.0, 4.0)
    tracker = Tracker(limits=Limits(batch=3, name_length=50, needs_step=True, param_value=20))

    for _ in range(2):
        delivery_of(place, tracker).step()
        delivery_of(place, tracker).step()
        cursors.path_of(directory_of(place), "tracker").unlink()

    half = len(tracker.batches) // 2
    assert tracker.batches[:half] == tracker.batches[half:]
