"""Events are values: frozen, compared by what they hold, and each read back from its own tag."""

from typing import Any, get_args

import msgspec
import pytest

from tracelet import events
from tracelet.events import (
    SERIES,
    Artifact,
    Audio,
    Bundle,
    Chart,
    Definition,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Layout,
    Lost,
    Metric,
    Note,
    Packed,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Series,
    Table,
    Tags,
    Text,
    Video,
    payload_of,
)

EXAMPLES: list[Event] = [
    RunStarted(time=1.0, run_id="r", name="n", project="p"),
    Metric("a", 1.0, 1, 1.0),
    Params(1.0, {"lr": 0.1, "layers": [1, None, {"a": True}]}),
    Tags(1.0, {"a": "b"}),
    Note(1.0, "x"),
    Text(time=1.0, name="n", text="x"),
    Histogram(time=1.0, name="n", counts=(1.0, 2.0), limits=(0.0, 0.5, 1.0)),
    Image(time=1.0, name="n", data=Payload("ab", 6, dtype="uint8", shape=(2, 3)), layout="HW"),
    Figure(time=1.0, name="n", data=Payload("ab", 6, format="plotly.json")),
    Audio(time=1.0, name="n", data=Payload("ab", 6, dtype="int16", shape=(3,)), rate=8000),
    Video(time=1.0, name="n", data=Payload("ab", 6, format="gif"), fps=4.0),
    Html(time=1.0, name="n", data=Payload("ab", 6, format="html")),
    Table(time=1.0, name="n", data=Payload("ab", 6, format="json", shape=(2, 3)), chart="pr_curve"),
    Layout(1.0, (Chart("losses", "all", "multiline", ("a", "b/.*")),)),
    Definition(time=1.0, name="val/*", summary=("min", "best"), goal="minimize"),
    Artifact(time=1.0, path="a/b", size=3),
    Bundle(time=1.0, name="net", kind="model", data=Payload("ab", 6, format="json"), metadata={"a": [1]}),
    Lost(1.0, 2, "no room"),
    RunFinished(1.0, "FINISHED"),
]


def test_the_examples_are_all_there_is() -> None:
    assert {type(event) for event in EXAMPLES} == set(get_args(Event))
    assert set(get_args(Packed)) == set(get_args(Event)) - {Metric}
    assert set(get_args(Series)) == set(SERIES)


@pytest.mark.parametrize("event", EXAMPLES)
def test_an_event_is_frozen_and_equal_to_its_copy(event: Event) -> None:
    copy = msgspec.structs.replace(event)

    assert copy == event
    assert copy is not event
    with pytest.raises(AttributeError):
        event.time = 2.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("event", [event for event in EXAMPLES if not isinstance(event, Metric)])
def test_on_disk_an_event_bears_the_name_of_its_class(event: Packed) -> None:
    """A journal outlives the program that wrote it: a class that is renamed keeps its tag."""
    packed: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(event))

    assert packed["type"] == type(event).__name__
    assert packed["time"] == 1.0
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Packed) == event


def test_every_field_but_the_first_ones_has_a_default() -> None:
    """A field added later needs one, so that older journals stay readable."""
    required = {
        kind.__name__: [field.name for field in msgspec.structs.fields(kind) if field.required]
        for kind in get_args(Event)
    }

    assert required == {
        "RunStarted": ["time", "run_id", "name", "project"],
        "Metric": ["name", "value", "step", "time"],
        "Params": ["time", "params"],
        "Tags": ["time", "tags"],
        "Note": ["time", "text"],
        "Text": ["time", "name", "text"],
        "Histogram": ["time", "name"],
        "Image": ["time", "name", "data"],
        "Figure": ["time", "name", "data"],
        "Audio": ["time", "name", "data"],
        "Video": ["time", "name", "data"],
        "Html": ["time", "name", "data"],
        "Table": ["time", "name", "data"],
        "Layout": ["time", "charts"],
        "Definition": ["time", "name"],
        "Artifact": ["time", "path", "size"],
        "Bundle": ["time", "name"],
        "Lost": ["time", "count", "reason"],
        "RunFinished": ["time", "status"],
    }


def test_a_run_ends_in_one_of_three_ways() -> None:
    assert get_args(events.Status) == ("FINISHED", "FAILED", "KILLED")
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(
            msgspec.msgpack.encode({"type": "RunFinished", "time": 1.0, "status": "LOST"}), type=Packed
        )


def test_an_event_names_the_blob_that_it_needs() -> None:
    data = Payload("ab", 6, dtype="uint8", shape=(2, 3))
    events = [
        Artifact(time=1.0, path="a", size=3, digest="cd"),
        Artifact(time=1.0, path="a", size=3, reference="/a"),
        Image(time=1.0, name="n", data=data),
        Histogram(time=1.0, name="n", data=data),
        Histogram(time=1.0, name="n"),
        Bundle(time=1.0, name="n", data=data),
        Bundle(time=1.0, name="n", reference="s3://a"),
        Note(1.0, "x"),
        Metric("a", 1.0, 1, 1.0),
    ]

    assert [payload_of(event) for event in events] == [
        ("cd", 3), ("", 3), ("ab", 6), ("ab", 6), ("", 0), ("ab", 6), ("", 0), ("", 0), ("", 0),
    ]  # fmt: skip
