"""What goes to MLflow comes back: the Reader against the Writer, by way of journal and relay.

A run that hypothesis makes up is recorded, delivered and read. What comes back is what `held` makes
of what was recorded, with long values cut as `Limits` say; and nothing else.
"""

import itertools
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.backends.conftest import BACKEND, WARNINGS, Store
from tests.journal.support import DEEP
from tracelet import backends
from tracelet.backends.mlflow.held import held
from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Image,
    Metric,
    Moments,
    Note,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Tags,
    Text,
)
from tracelet.journal import blobs, status
from tracelet.journal.locks import this_host, this_process
from tracelet.journal.writer import Writer
from tracelet.relay.delivery import Delivery

pytestmark = [*WARNINGS, pytest.mark.slow]

NOW: Final = 1_700_000_000.123
CUT: Final = {
    "param": BACKEND.limits.param_value,
    "tag": BACKEND.limits.tag_value,
    "note": BACKEND.limits.note,
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LONG = st.builds(lambda text, times: text * times, st.text("aé漢😀 ", min_size=1), st.integers(1000, 9000))
VALUE = TEXT | LONG
# Any, and much of what the mapping of names is about; some too long, which differ at the end alone.
NAME = st.one_of(
    TEXT.filter(bool),
    st.sampled_from(["loss", "a/b", "a//b", "/a", "../a", "a/", ".", "_0x41_", "a_0xh0123456789abcdef_"]),
    st.builds(lambda text, end: text * 300 + end, st.sampled_from("ab#漢/"), st.sampled_from("abc")),
).filter(lambda name: not name.startswith(("mlflow.", "tracelet.")))
POINT = st.tuples(
    st.floats() | st.sampled_from([0.0, -0.0, 0.1, 1.7976931348623157e308, 5e-324]),
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2),
    st.sampled_from([NOW, NOW + 0.0001, NOW + 0.001, NOW - 5]) | st.floats(0, 1e10),
)
PARAM = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | VALUE
    | st.lists(st.integers(0, 9) | TEXT)
)
ARTIFACTS = st.dictionaries(
    st.sampled_from(
        [
            "a.bin",
            "deep/er/a.bin",
            "text/loss/step-1+2+01234567.txt",
            "ü (1).txt",
            "#1?/a%20b\\.txt",
            "_0x23_/b",
        ]
    ),
    st.binary(max_size=20),
)


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


def metrics(points: dict[str, list[Any]]) -> list[Metric]:
    """Make points as the journal's reader gives them: those without a step are numbered."""
    made: list[Metric] = []
    for name, logged in points.items():
        ordinals = itertools.count()
        made += [
            Metric(name, value, step, time, next(ordinals) if step is None else 0)
            for value, step, time in logged
        ]
    return made


RUN = st.builds(
    RunStarted,
    time=st.floats(1, 1e10),
    run_id=st.just(""),
    name=TEXT.filter(bool),
    project=st.sampled_from(["a project", "ein Projekt/ü #1"]),
    tags=st.dictionaries(NAME, VALUE, max_size=3),
    note=VALUE,
    group=TEXT,
    job_type=TEXT,
)
EVENTS = st.tuples(
    st.dictionaries(NAME, st.lists(POINT, min_size=1, max_size=30), max_size=5).map(metrics),
    st.lists(st.builds(Params, st.just(NOW), st.dictionaries(NAME, PARAM, max_size=5)), max_size=1),
    st.lists(st.builds(Tags, st.just(NOW), st.dictionaries(NAME, VALUE, max_size=3)), max_size=3),
    st.lists(st.builds(Note, st.just(NOW), VALUE), max_size=2),
    st.lists(
        st.builds(
            lambda name, text, step, time: Text(name=name, text=text, step=step, time=time),
            NAME,
            VALUE,
            STEP,
            TIME,
        ),
        max_size=4,
    ),
    st.lists(HISTOGRAM, max_size=3),
).map(lambda lists: [event for events in lists for event in events])
END = st.builds(RunFinished, st.floats(1, 1e10), st.sampled_from(["FINISHED", "FAILED", "KILLED"]), TEXT)


def deliver(
    place: Path, store: Store, run: RunStarted, events: Iterable[Event], end: RunFinished | None
) -> str:
    """Record a run, deliver all of it as a relay does, and return what MLflow calls it."""
    writer = Writer(place)
    assert writer.event(run)
    for event in events:
        if not isinstance(event, Metric):
            assert writer.event(event)
        elif event.step is None:
            assert writer.stepless(event.name, event.value, event.time)
        else:
            assert writer.scalar(event.name, event.value, event.step, event.time)
    if end is not None:
        assert writer.finish(end)
    writer.close()
    target = status.Target("mlflow", store.options)
    said = status.RunFile(
        run_id=run.run_id,
        name=run.name,
        project=run.project,
        time=run.time,
        trainer=this_process(),
        host=this_host(),
        directory=str(place),
        python="",
        targets={"mlflow": target},
    )
    status.write_run(place, said)
    delivery = Delivery(place, "mlflow", BACKEND, {**store.options, "experiment": run.project, "user": ""})
    while delivery.step():
        pass
    assert [*status.rejects(place, "mlflow")] == []
    return status.read_delivery(place, "mlflow").id


def cut(text: str, what: str) -> str:
    """Cut a text as the relay does before it sends it."""
    return text if len(text) <= CUT[what] else text[: CUT[what] - 1] + "…"


def in_series(events: Iterable[Event]) -> dict[str, set[Any]]:
    """Tell what a run holds of texts, images and histograms, each once."""
    found: dict[str, set[Any]] = {"texts": set(), "images": set(), "histograms": set()}
    for event in events:
        if isinstance(event, Text):
            found["texts"].add((event.name, event.step, event.time, event.text))
        elif isinstance(event, Image):
            found["images"].add((event.name, event.step, event.time, event.caption, event.boxes))
        elif isinstance(event, Histogram):
            found["histograms"].add(event)
    return found


def at_rest(events: Sequence[Event]) -> dict[str, Any]:
    """Tell what a run holds in the end: each point once, and of all else of one name the last."""
    found: dict[str, Any] = {"tags": {}, "params": {}, "points": set(), "artifacts": {}}
    for event in events:
        if isinstance(event, RunStarted):
            found |= {"run": (event.run_id, event.name, event.project, event.time, event.parent)}
            found |= {"group": (event.group, event.job_type), "note": event.note}
        if isinstance(event, (RunStarted, Tags)):
            found["tags"] |= event.tags
        elif isinstance(event, Params):
            found["params"] |= event.params
        elif isinstance(event, Note):
            found["note"] = event.text
        elif isinstance(event, Metric):
            assert BACKEND.identity is not None
            found["points"].add(BACKEND.identity(event))
        elif isinstance(event, Artifact):
            found["artifacts"][event.path] = event.size
        elif isinstance(event, RunFinished):
            found["end"] = event
    found |= in_series(events)
    found["tags"] = {name: cut(value, "tag") for name, value in found["tags"].items()}
    found["params"] = {name: cut(str(value), "param") for name, value in found["params"].items()}
    found["note"] = cut(found["note"], "note")
    return found


@settings(
    max_examples=500 if DEEP else 20,
    phases=[*Phase] if DEEP else [Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    run=RUN,
    events=EVENTS,
    contents=ARTIFACTS,
    images=st.lists(IMAGE, max_size=3),
    end=END | st.none(),
)
def test_what_is_written_comes_back(
    store: Store,
    tmp_path: Path,
    run: RunStarted,
    events: list[Event],
    contents: dict[str, bytes],
    images: list[tuple[bytes, Image]],
    end: RunFinished | None,
) -> None:
    place = Path(tempfile.mkdtemp(dir=tmp_path))
    run = msgspec.structs.replace(run, run_id=place.name)
    for path, content in contents.items():
        (place / "file").write_bytes(content)
        digest, size = blobs.keep(place, place / "file")
        events = [*events, Artifact(time=NOW, path=path, size=size, digest=digest)]

    shades: dict[str, list[bytes]] = {}
    for pixels, image in images:
        digest, _ = blobs.keep_bytes(place, [pixels])
        data = msgspec.structs.replace(PIXELS, digest=digest)
        events = [*events, msgspec.structs.replace(image, data=data)]
        shades.setdefault(image.name, []).append(pixels)

    number = deliver(place, store, run, events, end)

    reader = backends.reader(f"mlflow:{store.uri}")
    back = list(reader.events(number))
    sent = [event for event in [run, *events, *([end] if end else [])] if event is not None]
    assert at_rest(back) == at_rest([*filter(None, map(held, sent))])
    points = [event for event in back if isinstance(event, Metric)]
    assert len(points) == len(at_rest(back)["points"])
    for name in {point.name for point in points}:
        times = [point.time for point in points if point.name == name]
        assert times == sorted(times)
    for path, content in contents.items():
        reader.download(number, path, place / "back")
        assert (place / "back").read_bytes() == content
    for image in (event for event in back if isinstance(event, Image)):
        reader.download(number, image.data.path, place / "back.png")
        with Pillow.open(place / "back.png") as picture:
            assert image.boxes or picture.tobytes() in shades[image.name]
    reader.close()
