"""One sample of each kind of event, taken to each backend and back: the table in docs/backends/index.md.

    python -m tests.backends.kinds      writes the page anew, and the table of degradations in mlflow.md

What the table says is what was found there: each sample is a run of its own, recorded in a journal,
delivered by a relay and read with the backend's Reader. `tests/backends/test_kinds.py` fails if the
page says anything else, and if a class of `tracelet.events` has no sample.
"""

import json
import re
import tempfile
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from tests.backends.conftest import NOW, Store
from tests.backends.delivering import deliver
from tracelet import backends, events
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
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Table,
    Tags,
    Text,
    Video,
)
from tracelet.journal import blobs
from tracelet.testing import memory

PAGE: Final = Path(__file__).parents[2] / "docs" / "backends" / "index.md"
MLFLOW_PAGE: Final = PAGE.with_name("mlflow.md")
CLASSES: Final = [*typing.get_args(events.Packed), Metric]
"""Every class of event there is."""
TIME: Final = NOW + 0.0001  # of a tenth of a millisecond
_BEGIN: Final = "<!-- made by python -m tests.backends.kinds -->\n"
_END: Final = "<!-- end -->\n"
_HEAD: Final = """\
| kind | what is logged | what is in MLflow | back from MLflow | back from local | back from memory |
| --- | --- | --- | --- | --- | --- |
"""
_OTHERS: Final = ("aim", "tensorboard", "trackio")
_OTHERS_HEAD: Final = """\
| kind | what is logged | back from Aim | back from TensorBoard | back from Trackio |
| --- | --- | --- | --- | --- |
"""
_ANONYMOUS: Final = {
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "<uuid>",
    r"\b[0-9a-f]{32}\b": "<digest>",
    r"\+[0-9a-f]{8}\b": "+<digest>",
    r"\b[0-9a-f]{16}\b": "<digest>",
    r"\b1700000000123\b": "<milliseconds>",
    r"step-0+3\b": "step-<step>",
    r"step\+3\b": "step+<step>",
    r"(?<=/)(a/b|m)(?=/(step|no-step))|(?<=/)a~b": "<name>",
}
MLFLOW: Final = backends.load("mlflow")
_RUN: Final = RunStarted(time=NOW, run_id="a run", name="a name", project="a project")


class Sample(NamedTuple):
    """What a user logs.

    Attributes:
        what: In words.
        event: How it is recorded.
        content: The bytes of its payload.
        before: What has to be there already.
    """

    what: str
    event: Event
    content: bytes = b""
    before: tuple[Event, ...] = ()


def _array(shape: tuple[int, ...], kind: str) -> tuple[bytes, Payload]:
    content = (np.arange(np.prod(shape)) % 200).astype(kind).tobytes()
    return content, Payload("", len(content), dtype=kind, shape=shape)


def _file(content: bytes, ending: str, shape: tuple[int, ...] = ()) -> tuple[bytes, Payload]:
    return content, Payload("", len(content), format=ending, shape=shape)


def _samples() -> Iterator[Sample]:
    at: dict[str, Any] = {"time": TIME, "name": "a/b", "step": 3}
    yield Sample("a run", RunStarted(
        time=TIME, run_id="a run", name="a name", project="a project", tags={"team": "vision"}, note="a note",
        group="a group", job_type="train",
    ))  # fmt: skip
    yield Sample("a value", Metric("a/b", 0.1, 3, TIME))
    yield Sample("a value without a step", Metric("a/b", 0.1, None, TIME, 0))
    yield Sample("NaN", Metric("a/b", float("nan"), 3, TIME))
    yield Sample("an infinite value", Metric("a/b", float("inf"), 3, TIME))
    yield Sample("params", Params(TIME, {"lr": 0.1, "layers": [1, 2]}))
    yield Sample("tags", Tags(TIME, {"stage": "final"}))
    yield Sample("a note", Note(TIME, "another note"))
    yield Sample("a text", Text(text="a text", **at))
    content, data = _array((1000,), "float32")
    yield Sample("a histogram of values", Histogram(data=data, **at), content)
    yield Sample("counts", Histogram(counts=(1.0, 2.0), limits=(0.0, 0.5, 1.0), **at))
    content, data = _array((4, 6, 3), "uint8")
    yield Sample(
        "an image", Image(data=data, layout="HWC", caption="c", boxes=((0.0, 0.0, 2.0, 2.0),), **at), content
    )
    yield Sample("a plot of matplotlib", Figure(data=data, caption="c", **at), content)
    content, data = _file(b'{"data": [{"type": "scatter", "y": [1, 2]}], "layout": {}}', "plotly.json")
    yield Sample("a plot of plotly", Figure(data=data, **at), content)
    content, data = _file(b"<svg/>", "svg")
    yield Sample("a plot that is a file", Figure(data=data, **at), content)
    content, data = _array((80,), "int16")
    yield Sample("a sound", Audio(data=data, rate=8000, caption="c", **at), content)
    content, data = _file(b"ID3", "mp3")
    yield Sample("a sound that is a file", Audio(data=data, **at), content)
    content, data = _array((2, 3, 1, 4, 4), "uint8")
    yield Sample("a film", Video(data=data, layout="NTCHW", fps=5.0, caption="c", **at), content)
    content, data = _file(b"<p>hello", "html")
    yield Sample("a page of HTML", Html(data=data, **at), content)
    rows = [["cat", 2], ["dog", 3]]
    content, data = _file(json.dumps({"columns": ["a", "b"], "data": rows}).encode(), "json", (2, 2))
    yield Sample("a table", Table(data=data, **at), content)
    curve = {"columns": ["threshold", "fpr", "tpr"], "data": [[0.5, 0.1, 0.9]]}
    content, data = _file(json.dumps(curve).encode(), "json", (1, 3))
    yield Sample("a curve or a confusion matrix", Table(data=data, chart="roc_curve", **at), content)
    yield Sample("a layout", Layout(TIME, (Chart("c", "t", "multiline", ("a", "b")),)))
    yield Sample(
        "a metric's definition",
        Definition(time=TIME, name="a/b", summary=("min",), goal="minimize", step_metric="epoch"),
        before=(Metric("a/b", 0.5, 3, NOW), Metric("a/b", 0.7, 4, NOW)),
    )
    yield from _bundles()
    yield Sample("records that were lost", Lost(TIME, 3, "no room"))
    yield Sample("the end", RunFinished(TIME, "FAILED", "ValueError"))


def _bundles() -> Iterator[Sample]:
    """Make files, and what they are together."""
    file = Artifact(time=TIME, path="m/w.bin", size=3, digest="")
    yield Sample("a file", file, b"abc")
    content, data = _file(b'{"m/w.bin": {"digest": "", "size": 3}}', "json")
    for kind in ("model", "dataset", "checkpoint"):
        bundle = Bundle(
            time=TIME, name="m", kind=kind, path="m", files=1, data=data, aliases=("best",), step=3,
            metadata={"lr": 0.1},
        )  # fmt: skip
        yield Sample(f"a {kind}", bundle, content, before=(file,))
    yield Sample("a dataset by reference", Bundle(time=TIME, name="m", kind="dataset", reference="s3://a/b"))


SAMPLES: Final = [*_samples()]


def rows(store: Store, below: Path) -> Iterator[str]:
    """Take every sample everywhere, and say in a row of a table what became of it.

    Args:
        store: An MLflow store.
        below: Where journals may be.
    """
    usual: set[str] = set()
    for number, sample in enumerate([Sample("", _RUN), *SAMPLES]):
        place = below / f"20260101-000000-{number:06x}"
        place.mkdir(parents=True)
        sent = _sent(place, sample)
        file = below / f"{place.name}.memory"
        store.id = deliver(place, MLFLOW, {**store.options, "user": ""}, sent)
        found = _found(store, sample)
        if not sample.what:
            usual = set(found)  # what every run has
            continue
        deliver(place, memory.BACKEND, {"path": str(file)}, sent, again=True)
        reader = backends.reader(f"journal:{below}")
        back = [store.events(), [*reader.events(place.name)], memory.stored(file)]
        kind = type(sample.event)
        ways = [_way(next(one for one in sent if isinstance(one, kind)), one) for one in back]
        there = [one for one in found if one not in usual or isinstance(sample.event, RunStarted)]
        yield f"| {kind.__name__} | {sample.what} | {'<br>'.join(there) or 'nothing'} | {' | '.join(ways)} |"


def other_rows(below: Path) -> Iterator[str]:
    """Make a line of the second table for each sample.

    Args:
        below: A directory for runs and stores.
    """
    where: dict[str, dict[str, str]] = {
        "aim": {"repo": str(below / "repository"), "artifacts_uri": f"file://{below}/files"},
        "tensorboard": {"dir": str(below / "logs")},
        "trackio": {"dir": str(below / "databases")},
    }
    for number, sample in enumerate(SAMPLES):
        place = below / f"20260102-000000-{number:06x}"
        place.mkdir(parents=True)
        sent = _sent(place, sample)
        back: list[list[Event]] = []
        for name in _OTHERS:
            backend, options = backends.load(name), where[name]
            again = place.joinpath("run.json").exists()
            remote = deliver(place, backend, options, sent, again=again)
            assert backend.reader is not None
            reader = backend.reader(options)
            back.append([*reader.events(remote)])
            reader.close()
        kind = type(sample.event)
        ways = [_way(next(one for one in sent if isinstance(one, kind)), one) for one in back]
        yield f"| {kind.__name__} | {sample.what} | {' | '.join(ways)} |"


def _sent(place: Path, sample: Sample) -> list[Event]:
    """Keep a sample's bytes in a run's directory, and return the run's events."""
    digest = blobs.keep_bytes(place, [sample.content])[0]
    said = [_with_blob(event, digest) for event in (*sample.before, sample.event)]
    start, *rest = said if isinstance(sample.event, RunStarted) else [_RUN, *said]
    end = [RunFinished(NOW + 9, "FINISHED")] if isinstance(sample.event, Definition) else []
    return [msgspec.structs.replace(start, run_id=place.name), *rest, *end]


def _with_blob(event: Any, digest: str) -> Event:
    if isinstance(event, Artifact):
        return msgspec.structs.replace(event, digest=digest)
    data = getattr(event, "data", None)
    return (
        event
        if data is None
        else msgspec.structs.replace(event, data=msgspec.structs.replace(data, digest=digest))
    )


def _found(store: Store, sample: Sample) -> list[str]:
    """List what there is of a run in MLflow."""
    run = store.run
    known = {getattr(event, "path", None) or getattr(event, "name", None) for event in sample.before}
    found = [f"metric `{name}`" for name in sorted(run.data.metrics) if name not in known]
    found += [f"param `{name}`" for name in sorted(run.data.params)]
    found += [f"tag `{name}`" for name in sorted(run.data.tags)]
    found += [f"`{path}`" for path in store.files() if path not in known]
    for version in store.client.search_model_versions(f"run_id='{store.id}'"):
        aliases = ", ".join(store.client.get_registered_model(version.name).aliases)
        found.append(f"a version of the registered model `{version.name}`, alias `{aliases}`")
    found += [f"dataset `{used.dataset.name}`" for used in run.inputs.dataset_inputs]
    if isinstance(sample.event, RunFinished):
        found.append(f"status `{run.info.status}`, end time")
    return [*dict.fromkeys(_anonymous(one) for one in found)]


def _anonymous(text: str) -> str:
    """Replace what is another for each record."""
    for pattern, word in _ANONYMOUS.items():
        text = re.sub(pattern, word, text)
    return text


def _way(sent: Event, back: list[Event]) -> str:
    """Say how an event differs when it has come back."""
    same = [one for one in back if type(one) is type(sent)]
    if len(same) > 1 and isinstance(sent, Params):  # a relay sends them one by one
        same = [
            Params(
                sent.time, {k: v for one in same if isinstance(one, Params) for k, v in one.params.items()}
            )
        ]
    if not same:
        start = next(one for one in back if isinstance(one, RunStarted))
        kept = isinstance(sent, Tags) and sent.tags.items() <= start.tags.items()
        is_there = kept or (isinstance(sent, Note) and start.note == sent.text)
        return "in the run's start" if is_there else "nothing"
    differing = min((_differing(sent, one) for one in same), key=len)
    return f"all but {', '.join(differing)}" if differing else "the same"


def _differing(sent: Any, back: Any) -> list[str]:
    found: list[str] = []
    for field in sent.__struct_fields__:
        one, two = getattr(sent, field), getattr(back, field)
        if repr(one) == repr(two):
            continue
        if isinstance(two, Payload) and (one.format, one.shape) == (two.format, two.shape):
            continue  # the same file, elsewhere
        found.append(f"`{field}` ({two.format})" if isinstance(two, Payload) else f"`{field}`")
    return found


def lost() -> str:
    """Make the page of MLflow, with the table of what does not survive there."""
    table = [f"| {one.what} | {one.becomes} |\n" for one in MLFLOW.degradations]
    return _between(MLFLOW_PAGE, "| what | becomes |\n| --- | --- |\n" + "".join(table))


def page(store: Store, below: Path) -> str:
    """Make the page of all backends."""
    first = _HEAD + "".join(f"{row}\n" for row in rows(store, below))
    second = _OTHERS_HEAD + "".join(f"{row}\n" for row in other_rows(below))
    return _between(PAGE, f"{first}\n{second}")


def _between(page: Path, table: str) -> str:
    """Put a table in its place on a page."""
    before, _, rest = page.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table}\n{_END}{after}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        made = page(Store(Path(directory)), Path(directory, ".tracelet"))
    PAGE.write_text(made, "utf-8")
    MLFLOW_PAGE.write_text(lost(), "utf-8")
