"""What goes to MLflow comes back: the Reader against the Writer, by way of journal and relay.

A run that hypothesis makes up is recorded, delivered and read. What comes back is what `held` makes
of what was recorded, with long values cut as `Limits` say; and nothing else.
"""

import itertools
import tempfile
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.backends.conftest import BACKEND, WARNINGS, Store
from tests.backends.delivering import deliver
from tests.backends.made_up import (
    DEFINITION,
    HISTOGRAM,
    LAYOUT,
    NAME,
    NOW,
    PAYLOADS,
    STEP,
    TEXT,
    TIME,
    VALUE,
    with_digest,
)
from tests.journal.support import DEEP
from tracelet import backends
from tracelet.backends.mlflow.held import held
from tracelet.events import (
    SERIES,
    Artifact,
    Audio,
    Bundle,
    Definition,
    Event,
    Figure,
    Image,
    Layout,
    Metric,
    Note,
    Params,
    RunFinished,
    RunStarted,
    Tags,
    Text,
    Video,
)
from tracelet.journal import blobs, status

pytestmark = [*WARNINGS, pytest.mark.slow]

CUT: Final = {
    "param": BACKEND.limits.param_value,
    "tag": BACKEND.limits.tag_value,
    "note": BACKEND.limits.note,
}

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
    st.lists(LAYOUT | DEFINITION, max_size=2),
).map(lambda lists: [event for events in lists for event in events])
END = st.builds(RunFinished, st.floats(1, 1e10), st.sampled_from(["FINISHED", "FAILED", "KILLED"]), TEXT)


def cut(text: str, what: str) -> str:
    """Cut a text as the relay does before it sends it."""
    return text if len(text) <= CUT[what] else text[: CUT[what] - 1] + "…"


def bare(event: Any) -> Any:
    """Leave out what only the bytes of a payload tell: where it is, and how large."""
    data = event.data and msgspec.structs.replace(event.data, path="", size=0)
    return msgspec.structs.replace(event, data=data)


def in_series(events: Iterable[Event]) -> dict[str, set[Any]]:
    """Tell what a run holds of entries of series, layouts and bundles, each once."""
    found: dict[str, set[Any]] = {}
    for event in events:
        if isinstance(event, Text):
            found.setdefault("texts", set()).add((event.name, event.step, event.time, event.text))
        elif isinstance(event, (*SERIES, Bundle)):
            found.setdefault(type(event).__name__, set()).add(repr(bare(event)))
        elif isinstance(event, Layout):
            found.setdefault("layouts", set()).add(event)
    return found


def at_rest(events: Sequence[Event]) -> dict[str, Any]:
    """Tell what a run holds in the end: each point once, and of all else of one name the last."""
    found: dict[str, Any] = {"tags": {}, "params": {}, "points": set(), "artifacts": {}, "definitions": {}}
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
        elif isinstance(event, Definition):
            found["definitions"][event.name] = event
        elif isinstance(event, RunFinished):
            found["end"] = event
    found |= in_series(events)
    found["tags"] = {name: cut(value, "tag") for name, value in found["tags"].items()}
    found["params"] = {name: cut(str(value), "param") for name, value in found["params"].items()}
    found["note"] = cut(found["note"], "note")
    return found


def is_one_of(file: Path, event: Any, payloads: list[tuple[bytes, Any]]) -> bool:
    """Tell whether a file that came back shows what was sent."""
    sent = {content for content, one in payloads if type(one) is type(event) and one.name == event.name}
    if isinstance(event, Video) and event.data.format == "gif":
        return file.read_bytes().startswith(b"GIF8")
    if isinstance(event, (Image, Figure)) and event.data.format == "png":
        with Pillow.open(file) as picture:
            return bool(getattr(event, "boxes", ())) or picture.tobytes() in sent
    if isinstance(event, Audio) and event.data.format == "wav":
        with wave.open(str(file)) as sound:
            return sound.readframes(99) in sent
    return file.read_bytes() in sent


@settings(
    max_examples=500 if DEEP else 20,
    phases=[*Phase] if DEEP else [Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    run=RUN,
    events=EVENTS,
    contents=ARTIFACTS,
    payloads=PAYLOADS,
    end=END | st.none(),
)
def test_what_is_written_comes_back(
    store: Store,
    tmp_path: Path,
    run: RunStarted,
    events: list[Event],
    contents: dict[str, bytes],
    payloads: list[tuple[bytes, Any]],
    end: RunFinished | None,
) -> None:
    place = Path(tempfile.mkdtemp(dir=tmp_path))
    run = msgspec.structs.replace(run, run_id=place.name)
    for path, content in contents.items():
        (place / "file").write_bytes(content)
        digest, size = blobs.keep(place, place / "file")
        events = [*events, Artifact(time=NOW, path=path, size=size, digest=digest)]

    for content, event in payloads:
        events = [*events, with_digest(event, blobs.keep_bytes(place, [content])[0])]

    started = [run, *events, *([end] if end else [])]
    number = deliver(place, BACKEND, {**store.options, "experiment": run.project, "user": ""}, started)
    assert [*status.rejects(place, "mlflow")] == []

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
    for event in back:
        data = getattr(event, "data", None)
        if data is None:
            continue
        reader.download(number, data.path, place / "back")
        assert (place / "back").stat().st_size == data.size
        assert is_one_of((place / "back"), event, payloads)
    reader.close()
