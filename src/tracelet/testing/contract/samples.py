"""One sample at least of each class of `tracelet.events`, as it is recorded, with real bytes.

Every sample can be logged to one and the same run: `named` gives each a name of its own.
"""

import io
import json
import struct
import typing
import wave
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tracelet.events import (
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
    Table,
    Tags,
    Text,
    Video,
)

CLASSES: Final[tuple[type[Event], ...]] = (*typing.get_args(Packed), Metric)
"""Every class of event there is."""
NOW: Final = 1_700_000_000.125  # seconds since the epoch; exact in milliseconds
TIME: Final = NOW + 0.0001  # which shows where times are rounded to milliseconds
_NAME: Final = "a/b"


class Sample(NamedTuple):
    """What a user logs.

    Attributes:
        what: In words, unlike all others.
        event: How it is recorded. The digests in it are empty.
        content: The bytes of its payload.
        before: What has to be there already.
    """

    what: str
    event: Event
    content: bytes = b""
    before: tuple[tuple[Event, bytes], ...] = ()


def named(sample: Sample, number: int) -> Sample:
    """Give a sample, and what has to be before it, a name that no other sample has."""
    before = tuple((_named(event, number), content) for event, content in sample.before)
    return sample._replace(event=_named(sample.event, number), before=before)


def png(width: int, height: int) -> bytes:
    """Make a picture of 8-bit greys."""
    rows = b"".join(
        b"\0" + bytes((row * width + column) % 256 for column in range(width)) for row in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def wav(frames: int) -> bytes:
    """Make a sound of 16 bits, 8,000 a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((1, 2, 8000, frames, "NONE", "not compressed"))
        made.writeframes(struct.pack(f"<{frames}h", *(at % 1000 for at in range(frames))))
    return file.getvalue()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[bytes, Payload]:
    """Make a table's file, and what its record says of it."""
    content = json.dumps({"columns": columns, "data": rows}).encode()
    return _file(content, "json", (len(rows), len(columns)))


def _array(shape: tuple[int, ...], kind: str, code: str) -> tuple[bytes, Payload]:
    count = 1
    for length in shape:
        count *= length
    content = struct.pack(f"<{count}{code}", *(at % 200 for at in range(count)))
    return content, Payload("", len(content), dtype=kind, shape=shape)


def _file(content: bytes, ending: str, shape: tuple[int, ...] = ()) -> tuple[bytes, Payload]:
    return content, Payload("", len(content), format=ending, shape=shape)


def _named(event: Event, number: int) -> Event:
    if isinstance(event, RunStarted) or not hasattr(event, "name"):
        return event
    return msgspec.structs.replace(event, name=f"{event.name}/{number}")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def _plain() -> Iterator[Sample]:
    yield Sample("a run", RunStarted(
        time=TIME, run_id="a run", name="a name", project="a project", tags={"team": "vision"}, note="a note",
        group="a group", job_type="train",
    ))  # fmt: skip
    yield Sample("a value", Metric(_NAME, 0.1, 3, TIME))
    yield Sample("a value without a step", Metric(_NAME, 0.1, None, TIME, 0))
    yield Sample("NaN", Metric(_NAME, float("nan"), 3, TIME))
    yield Sample("an infinite value", Metric(_NAME, float("inf"), 3, TIME))
    yield Sample("params", Params(TIME, {"lr": 0.1, "layers": [1, 2]}))
    yield Sample("tags", Tags(TIME, {"stage": "final"}))
    yield Sample("a note", Note(TIME, "another note"))
    yield Sample("a text", Text(time=TIME, name=_NAME, text="a *text*, größer", step=3))
    yield Sample("a layout", Layout(TIME, (Chart("c", "t", "multiline", ("a", "b")),)))
    yield Sample(
        "a metric's definition",
        Definition(time=TIME, name=_NAME, summary=("min",), goal="minimize", step_metric="epoch"),
        before=((Metric(_NAME, 0.5, 3, NOW), b""), (Metric(_NAME, 0.7, 4, NOW), b"")),
    )
    yield Sample("records that were lost", Lost(TIME, 3, "no room"))
    yield Sample("the end", RunFinished(TIME + 10.0, "FAILED", "ValueError"))


def _series() -> Iterator[Sample]:
    at: dict[str, Any] = {"time": TIME, "name": _NAME, "step": 3}
    content, data = _array((1000,), "float32", "f")
    yield Sample("a histogram of values", Histogram(data=data, **at), content)
    yield Sample("counts", Histogram(counts=(1.0, 2.0), limits=(0.0, 0.5, 1.0), **at))
    content, data = _array((4, 6, 3), "uint8", "B")
    boxes = ((0.0, 0.0, 2.0, 2.0),)
    yield Sample("an image", Image(data=data, layout="HWC", caption="c", boxes=boxes, **at), content)
    yield Sample("a plot of matplotlib", Figure(data=data, caption="c", **at), content)
    content, data = _file(png(6, 4), "png")
    yield Sample("an image that is a file", Image(data=data, **at), content)
    content, data = _file(b'{"data": [{"type": "scatter", "y": [1, 2]}], "layout": {}}', "plotly.json")
    yield Sample("a plot of plotly", Figure(data=data, **at), content)
    content, data = _file(b'<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"/>', "svg")
    yield Sample("a plot that is a file", Figure(data=data, **at), content)
    content, data = _array((80,), "int16", "h")
    yield Sample("a sound", Audio(data=data, rate=8000, caption="c", **at), content)
    content, data = _file(wav(80), "wav")
    yield Sample("a sound that is a file", Audio(data=data, **at), content)
    content, data = _array((2, 3, 1, 4, 4), "uint8", "B")
    yield Sample("a film", Video(data=data, layout="NTCHW", fps=5.0, caption="c", **at), content)
    content, data = _file(_GIF, "gif")
    yield Sample("a film that is a file", Video(data=data, **at), content)
    content, data = _file("<p>größer</p>".encode(), "html")
    yield Sample("a page of HTML", Html(data=data, **at), content)
    content, data = table(["a", "b"], [["cat", 2], ["dog", 3]])
    yield Sample("a table", Table(data=data, **at), content)
    content, data = table(["threshold", "fpr", "tpr"], [[0.5, 0.1, 0.9], [0.25, 0.3, 1.0]])
    yield Sample("a curve or a confusion matrix", Table(data=data, chart="roc_curve", **at), content)


def _bundles() -> Iterator[Sample]:
    """Make files, and what they are together."""
    file = Artifact(time=TIME, path="m/w.bin", size=3)
    yield Sample("a file", file, b"abc")
    content, data = _file(b'{"m/w.bin": {"digest": "", "size": 3}}', "json")
    for kind in ("model", "dataset", "checkpoint"):
        bundle = Bundle(
            time=TIME, name="m", kind=kind, path="m", files=1, data=data, aliases=("best",), step=3,
            metadata={"lr": 0.1},
        )  # fmt: skip
        yield Sample(f"a {kind}", bundle, content, before=((file, b"abc"),))
    yield Sample("a dataset by reference", Bundle(time=TIME, name="m", kind="dataset", reference="s3://a/b"))


_GIF: Final = bytes.fromhex(  # two pictures of one pixel
    "47494638396101000100800000000000ffffff"
    "21f90400000000002c000000000100010000020244010021f90400000000002c00000000010001000002024c01003b"
)
SAMPLES: Final[tuple[Sample, ...]] = (*_plain(), *_series(), *_bundles())
