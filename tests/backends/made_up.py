"""Entries of series, and all else that has a payload, as hypothesis makes them up."""

import json
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from tracelet.events import (
    Audio,
    Bundle,
    Chart,
    Definition,
    Figure,
    Histogram,
    Html,
    Image,
    Layout,
    Moments,
    Payload,
    Table,
    Video,
)

NOW: Final = 1_700_000_000.123

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LONG = st.builds(lambda text, times: text * times, st.text("aé漢😀 ", min_size=1), st.integers(1000, 9000))
VALUE = TEXT | LONG
# Any, and much of what the mapping of names is about; some too long, which differ at the end alone.
NAME = st.one_of(
    TEXT.filter(bool),
    st.sampled_from(["loss", "a/b", "a//b", "/a", "../a", "a/", ".", "_0x41_", "a_0xh0123456789abcdef_"]),
    st.builds(lambda text, end: text * 300 + end, st.sampled_from("ab#漢/"), st.sampled_from("abc")),
).filter(lambda name: not name.startswith(("mlflow.", "tracelet.")))

STEP = st.none() | st.integers(-(2**63), 2**63 - 1)
TIME = st.just(NOW) | st.floats(0, 1e10)
NUMBERS = st.lists(st.floats(0, 1e9) | st.just(0.1), min_size=1, max_size=5)
# Grey, of some pixels; what becomes of other arrays is for the tests of `media`.
PIXELS = Payload("", 6, dtype="uint8", shape=(2, 3))
IMAGE = st.builds(
    lambda shades, **given: (bytes(shades), Image(data=PIXELS, layout="HW", **given)),
    st.binary(min_size=6, max_size=6),
    name=NAME,
    step=STEP,
    time=TIME,
    ordinal=st.integers(0, 9),
    caption=TEXT,
    boxes=st.lists(st.tuples(*[st.floats(0, 9)] * 4), max_size=2).map(tuple),
)
HISTOGRAM = st.builds(
    lambda counts, moments, **given: Histogram(
        counts=tuple(counts), limits=tuple(map(float, range(len(counts) + 1))), moments=moments, **given
    ),
    NUMBERS,
    st.none() | st.builds(Moments, *[st.floats(allow_nan=False)] * 5),
    name=NAME,
    step=STEP,
    time=TIME,
    ordinal=st.integers(0, 9),
)
ENTRY: dict[str, Any] = {"name": NAME, "step": STEP, "time": TIME, "ordinal": st.integers(0, 9)}
CAPTIONED: dict[str, Any] = {**ENTRY, "caption": TEXT}


def filed(kind: type, file: Any, ending: str, **given: Any) -> Any:
    """Make up pairs of a file's bytes and what has it as its payload."""
    return st.builds(
        lambda content, **fields: (content, kind(data=Payload("", len(content), format=ending), **fields)),
        file,
        **given,
    )


def drawn(kind: type, data: Payload, **given: Any) -> Any:
    """Make up pairs of an array's bytes and what has it as its payload."""
    return st.builds(
        lambda content, **fields: (content, kind(data=data, **fields)),
        st.binary(min_size=data.size, max_size=data.size),
        **given,
    )


def table(columns: list[str], rows: list[list[Any]]) -> bytes:
    return json.dumps({"columns": columns, "data": rows}).encode()


JSON = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXT
FILE = st.binary(max_size=20)
FIGURE = drawn(Figure, Payload("", 18, dtype="uint8", shape=(2, 3, 3)), **CAPTIONED) | filed(
    Figure, FILE, "svg", **CAPTIONED
)
AUDIO = drawn(
    Audio, Payload("", 8, dtype="int16", shape=(4,)), rate=st.integers(1, 96_000), **CAPTIONED
) | filed(Audio, FILE, "mp3", **CAPTIONED)
VIDEO = drawn(
    Video,
    Payload("", 12, dtype="uint8", shape=(2, 1, 2, 3)),
    layout=st.just("TCHW"),
    fps=st.floats(0.5, 100),
    **CAPTIONED,
) | filed(Video, FILE, "mp4", **CAPTIONED)
HTML = filed(Html, FILE, "html", **ENTRY)
TABLE = filed(
    Table,
    st.builds(
        lambda rows: table(["a", "b"], rows), st.lists(st.lists(st.integers(), min_size=2, max_size=2))
    ),
    "json",
    chart=st.sampled_from(["", "confusion_matrix"]),  # which that table is not
    **ENTRY,
)
BUNDLE = st.builds(
    lambda named, **fields: (b"{}" if named else b"", Bundle(
        data=Payload("", 2, format="json") if named else None,
        files=int(named), path="a.bin" if named else "", reference="" if named else "s3://a/b", **fields,
    )),
    st.booleans(),
    name=NAME,
    kind=st.sampled_from(["checkpoint", "mesh", ""]) | TEXT,
    time=TIME,
    step=STEP,
    aliases=st.lists(TEXT, max_size=2).map(tuple),
    metadata=st.dictionaries(TEXT, JSON | st.lists(JSON, max_size=2), max_size=3),
).filter(lambda pair: pair[1].kind not in {"model", "dataset"})  # fmt: skip
PAYLOADS = st.lists(IMAGE | FIGURE | AUDIO | VIDEO | HTML | TABLE | BUNDLE, max_size=4)
CHARTS = st.lists(st.builds(Chart, TEXT, TEXT, st.just("multiline"), st.lists(TEXT, max_size=2).map(tuple)))
LAYOUT = st.builds(Layout, TIME, CHARTS.map(tuple))
# Summaries of metrics have tests of their own: these speak of no metric.
DEFINITION = st.builds(
    Definition,
    time=TIME,
    name=NAME,
    summary=st.just(()),
    goal=st.sampled_from(["", "minimize"]),
    step_metric=TEXT,
)


def with_digest(event: Any, digest: str) -> Any:
    """Give an event the blob that its payload is, if it has one."""
    if event.data is None:
        return event
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, digest=digest))
