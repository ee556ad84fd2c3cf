"""What of a run goes to one backend, under which names, and how what does not is counted."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.relay.trackers import FINISHED, STARTED, Killed, Tracker, deliver, directory_of, new_run
from tracelet.backend import Limits
from tracelet.errors import Unavailable
from tracelet.events import (
    Artifact,
    Bundle,
    Chart,
    Definition,
    Event,
    Image,
    Layout,
    Lost,
    Metric,
    Note,
    Packed,
    Params,
    Payload,
    Plain,
    RunStarted,
    Tags,
    Text,
)
from tracelet.journal import cursors, status
from tracelet.journal.codec import Addressed
from tracelet.journal.overview import overview
from tracelet.journal.reader import Reader, Record
from tracelet.journal.status import Route, Target
from tracelet.journal.writer import Writer
from tracelet.relay import routing
from tracelet.relay.routing import Router
from tracelet.relay.shaping import Shaper
from tracelet.settings.routes import parse

DATA = Payload("ab", 6, dtype="uint8", shape=(2, 3))
EVENTS: list[Packed] = [
    Params(2.0, {"lr": 0.1, "model.layers": 50}),
    Tags(2.0, {"stage": "test", "secret/key": "x"}),
    Note(2.0, "a note"),
    Text(time=2.0, name="train/sample", text="t", step=1),
    Image(time=2.0, name="val/image", data=DATA, step=1, layout="HW"),
    Definition(time=2.0, name="train/loss", summary=("min",), step_metric="train/epoch"),
    Layout(2.0, (Chart("c", "t", "multiline", ("train/loss", "val/loss")),)),
]


def routed(**said: Any) -> Route:
    """Make a route as a user writes it."""
    return msgspec.convert(parse({"tracker": said})["tracker"], Route)


def begin(place: Path, *events: Packed, **said: Any) -> Writer:
    """Make a run that goes to a tracker by a route."""
    return new_run(place, *events, targets={"tracker": Target("x", route=routed(**said))})


def got(tracker: Tracker) -> list[object]:
    """List what arrived: points as (name, step), params and tags by name, all else as it is."""
    found: list[object] = []
    for event in tracker.received[:-1]:
        if isinstance(event, Metric):
            found.append((event.name, event.step))
        elif isinstance(event, (Params, Tags)):
            found += event.params if isinstance(event, Params) else event.tags
        else:
            found.append(event)
    return found


def titles(tracker: Tracker) -> list[str]:
    """List the classes and names of what arrived, but for points, params and tags."""
    return [
        f"{type(event).__name__} {getattr(event, 'name', '')}".strip()
        for event in got(tracker)
        if not isinstance(event, (tuple, str))
    ]


def test_names_are_included_and_excluded_whatever_they_are_of(place: Path) -> None:
    writer = begin(place, *EVENTS, include=["train/*", "lr", "stage"], exclude=["*/debug"])
    for name in ("train/loss", "train/debug", "val/loss", "loss"):
        writer.scalar(name, 1.0, 1, 3.0)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert [one for one in got(tracker) if isinstance(one, (str, tuple))] == [
        "lr",
        "stage",
        ("train/loss", 1),
    ]
    assert titles(tracker) == ["Note", "Text train/sample", "Definition train/loss", "Layout"]
    assert tracker.received[-1] == FINISHED
    # One param, one tag, one image and three points are left out; the run's start and end are delivered, too.
    cursor = cursors.load(directory_of(place), "tracker")
    assert (cursor.unrouted, cursor.delivered, cursor.finished) == (6, 9, True)
    assert not status.rejects(directory_of(place), "tracker")
    (seen,) = overview(directory_of(place)).backends
    assert (seen.unrouted, seen.pending, seen.state) == (6, 0, "finished")


def test_a_pattern_may_speak_of_one_kind(place: Path) -> None:
    writer = begin(place, *EVENTS, include=["metric:train/*", "param:*"], exclude=["param:model.?ayers"])
    writer.scalar("train/loss", 1.0, 1, 3.0)
    writer.scalar("lr", 1.0, 1, 3.0)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert [one for one in got(tracker) if isinstance(one, (str, tuple))] == ["lr", ("train/loss", 1)]
    assert titles(tracker) == ["Note", "Definition train/loss", "Layout"]


def test_kinds_leave_all_others_out(place: Path) -> None:
    writer = begin(place, *EVENTS, Lost(3.0, 2, "no room"), kinds="param, image")
    writer.scalar("loss", 1.0, 1, 3.0)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert [one for one in got(tracker) if isinstance(one, str)] == ["lr", "model.layers"]
    assert titles(tracker) == ["Image val/image"]
    assert cursors.load(directory_of(place), "tracker").lost == 2


@pytest.mark.parametrize(
    ("route", "tags", "note", "left"),
    [
        ({"exclude": ["tag:secret*"], "rename": {"stage": "phase"}}, {"phase": "a"}, "said", 1),
        ({"kinds": ["metric"]}, {}, "", 3),
    ],
)
def test_a_run_begins_without_the_tags_and_the_note_that_do_not_go(
    route: dict[str, Any], tags: dict[str, str], note: str, left: int
) -> None:
    begun = RunStarted(
        time=1.0, run_id="run", name="n", project="p", tags={"stage": "a", "secret": "b"}, note="said"
    )
    router = Router("tracker", routed(**route))

    shaped = Shaper(Tracker().backend, router=router).started(begun)

    assert (shaped.run_id, shaped.name, shaped.tags, shaped.note) == ("run", "n", tags, note)
    assert router.wants(Record(begun, "s", 0, 1))
    assert router.left_out(Record(begun, "s", 0, 1)) == left


def test_names_are_changed_by_whole_names_and_by_patterns(place: Path) -> None:
    rename = {"train/loss": "loss", "train/*": "t/*", "*/late": "late/*", "lr": "learning rate"}
    writer = begin(place, *EVENTS, rename=rename)
    for name in ("train/loss", "train/acc", "train/late", "a/late", "/late", "train/", "other"):
        writer.scalar(name, 1.0, 1, 3.0)
    writer.finish(FINISHED)
    tracker = Tracker(limits=Limits(batch=10, name_characters=r"\w/"))

    deliver(place, tracker)

    assert [one for one in got(tracker) if isinstance(one, (str, tuple))] == [
        "learning_0x20_rate",
        "model_0x2e_layers",
        "stage",
        "secret/key",
        *(("loss", 1), ("t/acc", 1), ("t/late", 1), ("late/a", 1), ("late/", 1), ("t/", 1), ("other", 1)),
    ]
    assert titles(tracker)[1:-1] == ["Text t/sample", "Image val/image", "Definition loss"]
    (definition,) = [event for event in tracker.received if isinstance(event, Definition)]
    (layout,) = [event for event in tracker.received if isinstance(event, Layout)]
    assert definition.step_metric == "t/epoch"
    assert layout.charts[0].tags == ("loss", "val/loss")


def test_a_new_name_may_be_of_one_kind() -> None:
    rename = {"a/*": "all/*", "metric:a/*": "x/*", "text:a/b": "t", "a/c": "c", "param:a/c": "p"}
    router = Router("tracker", routed(rename=rename))

    def names(kind: str) -> list[str]:
        return [router.renamed(name, kind) for name in ("a/b", "a/c", "b")]

    assert {kind: names(kind) for kind in ("metric", "param", "text", "image")} == {
        "metric": ["x/b", "c", "b"],
        "param": ["all/b", "p", "b"],
        "text": ["t", "c", "b"],
        "image": ["all/b", "c", "b"],
    }
    spoken = Definition(time=1.0, name="a/b", step_metric="a/step")
    drawn = Layout(2.0, (Chart("c", "t", "multiline", ("a/b", "b")),))
    assert router.adapted(spoken) == Definition(time=1.0, name="x/b", step_metric="x/step")
    assert router.adapted(drawn) == Layout(2.0, (Chart("c", "t", "multiline", ("x/b", "b")),))


def test_a_definition_without_an_axis_gets_none() -> None:
    router = Router("tracker", routed(rename={"*": "x/*"}))

    assert router.adapted(Definition(time=1.0, name="a")) == Definition(time=1.0, name="x/a")


def test_what_is_renamed_by_its_kind_arrives_so_and_its_namesakes_stay(place: Path) -> None:
    rename = {"metric:a": "m", "param:a": "p", "tag:a": "t", "text:a": "x", "tag:begun": "b"}
    text = Text(time=2.0, name="a", text="t", step=1)
    image = Image(time=2.0, name="a", data=DATA, step=1, layout="HW")
    writer = begin(place, Params(2.0, {"a": 1}), Tags(2.0, {"a": "x"}), text, image, rename=rename)
    writer.scalar("a", 1.0, 1, 3.0)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    assert [one for one in got(tracker) if isinstance(one, (str, tuple))] == ["p", "t", ("m", 1)]
    assert titles(tracker) == ["Text x", "Image a"]


def test_a_name_never_becomes_empty_and_a_definition_never_speaks_of_every_metric() -> None:
    router = Router("tracker", routed(rename={"train/*": "*"}))

    assert [router.renamed(name) for name in ("train/", "train/a", "a")] == ["train/", "a", "a"]
    assert router.adapted(Definition(time=1.0, name="train/*")) == Definition(time=1.0, name="train/*")


def test_a_bundle_goes_where_its_files_go() -> None:
    files = Bundle(time=1.0, name="net", kind="model", path="models/net", files=1, data=DATA)
    elsewhere = Bundle(time=1.0, name="data", kind="dataset", reference="s3://a/b")
    file = Artifact(time=1.0, path="models/net/model.pt", size=1, digest="ab")

    def taken(**route: Any) -> list[bool]:
        router = Router("tracker", routed(**route))
        return [router.wants(Record(event, "s", 0, 1)) for event in (files, elsewhere, file)]

    assert taken() == [True, True, True]
    assert taken(include=["models/net/*"]) == [True, False, True]
    assert taken(exclude=["models/*"]) == [False, True, False]
    assert taken(kinds=["bundle"]) == [False, True, False]
    assert taken(kinds=["artifact"]) == [False, False, True]
    assert taken(exclude=["bundle:data"]) == [True, False, True]


def test_what_was_logged_for_others_alone_is_passed_over_and_counted(place: Path) -> None:
    writer = new_run(place)
    for number, only in enumerate([(), ("tracker",), ("other",), ("other", "tracker")]):
        writer.scalar(Addressed("loss", only) if only else "loss", float(number), number, 3.0)
        writer.event(Params(3.0, {f"p{number}": 1, f"q{number}": 2}), only)
    writer.finish(FINISHED)
    tracker = Tracker()

    deliver(place, tracker)

    steps = [event.step for event in tracker.received if isinstance(event, Metric)]
    assert steps == [0, 1, 3]
    assert [one for one in got(tracker) if isinstance(one, str)] == ["p0", "q0", "p1", "q1", "p3", "q3"]
    cursor = cursors.load(directory_of(place), "tracker")
    assert (cursor.unrouted, cursor.delivered, cursor.finished) == (3, 8, True)


def test_the_first_point_of_each_interval_goes_and_a_dead_relay_changes_nothing(place: Path) -> None:
    writer = begin(place, rate=0.5, exclude=["debug"])
    for step in range(60):
        writer.scalar("loss", float(step), step, 100.0 + step / 4)
        writer.scalar(Addressed("loss", ("other",)), -1.0, step, 100.0 + step / 4)
        writer.scalar("debug", 1.0, step, 1.0)
        if step % 20 == 7:
            writer.scalar("seldom", 1.0, step, 100.0 + step / 4)
    writer.finish(FINISHED)
    expected = [("loss", step) for step in range(0, 60, 8)]
    deaths = iter(range(7))

    def fail(_: Sequence[Event]) -> None:
        if next(deaths, None) is not None:
            raise Killed

    tracker = Tracker(limits=Limits(batch=7), fail_late=fail)
    for _ in range(7):
        with pytest.raises(Killed):
            deliver(place, tracker)
    deliver(place, tracker)

    points = [event for event in tracker.stored if isinstance(event, Metric)]
    assert [(point.name, point.step) for point in points if point.name == "loss"] == expected
    assert [point.step for point in points if point.name == "seldom"] == [7, 27, 47]
    assert cursors.load(directory_of(place), "tracker").unrouted == 60 - len(expected) + 120


@given(
    points=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.4, 0.9, 1.1, 1.6, 5.0]), st.booleans())
    ),
    cut=st.integers(0, 40),
    rate=st.sampled_from([0.1, 1.0, 2.0]),
)
def test_whoever_begins_in_the_middle_decides_as_who_began_at_the_beginning(
    points: list[tuple[str, float, bool]], cut: int, rate: float
) -> None:
    with tempfile.TemporaryDirectory() as place, mock.patch.object(routing, "FIRSTS", 4):
        writer = Writer(Path(place), segment=500)
        for name, time, ours in points:
            writer.scalar(name if ours else Addressed(name, ("other",)), 1.0, 1, time)
        writer.close()
        records = Reader(Path(place)).read(1000)
        expected: list[bool] = []
        last: dict[tuple[str, str], int] = {}
        for (name, time, ours), record in zip(points, records, strict=True):
            before = last.get((record.segment, name))
            if ours:
                last[record.segment, name] = math.floor(time * rate)
            expected.append(ours and last[record.segment, name] != before)

        one = Router("tracker", Route(rate=rate), Path(place))
        other = Router("tracker", Route(rate=rate), Path(place))

        assert [one.wants(record) for record in records] == expected
        assert [one.left_out(record) for record in records[-8:]] == [not wanted for wanted in expected[-8:]]
        assert [one.wants(record) for record in records] == expected
        assert [other.wants(record) for record in records[cut:]] == expected[cut:]


def test_a_route_holds_while_the_tracker_is_away_and_what_nobody_wants_stays_in_the_journal(
    place: Path,
) -> None:
    writer = begin(place, kinds=["param"])
    values: dict[str, Plain] = {"lr": 0.1}
    writer.event(Params(2.0, values))
    writer.scalar("loss", 1.0, 1, 3.0)
    writer.finish(FINISHED)
    days = iter([True, True])

    def fail(_: Sequence[Event]) -> None:
        if next(days, False):
            raise Unavailable("away")

    tracker = Tracker(fail=fail)

    deliver(place, tracker)

    assert got(tracker) == ["lr"]
    assert cursors.load(directory_of(place), "tracker").unrouted == 1
    kept = [record.event for record in Reader(directory_of(place)).read(10)]
    assert kept == [STARTED, Params(2.0, values), Metric("loss", 1.0, 1, 3.0), FINISHED]
