"""What an event file says, as events: the way back from `summaries`, and that of everybody else's files.

    scalar, old or new         `Metric`
    text                       `Text`; torch's "/text_summary" is no part of a name
    histogram                  `Histogram`
    image                      `Image`; a GIF is a `Video`, and what we drew of a figure a `Figure`
    audio                      `Audio`
    pr_curves                  `Table`, of the chart "pr_curve"
    custom_scalars             `Layout`
    hparams                    `Params`; a session's end is the run's
    graph                      an `Artifact`, `graphs/…/graph.pb`
    a mesh, any other tensor   an `Artifact`, `<meshes or tensors>/<name>/step-…/<what>.npy`

Bytes stay in the event file: the path of a payload tells where, see `Place`.
"""

import contextlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from tracelet.backends.tensorboard import summaries
from tracelet.backends.tensorboard.contents import (
    PR_COLUMNS,
    Place,
    array_of,
    content_of,
    npy_size,
    sounds_of,
    strings_of,
)
from tracelet.backends.tensorboard.frames import Record, module
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Chart,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Layout,
    Metric,
    Moments,
    Params,
    Payload,
    RunFinished,
    Status,
    Table,
    Text,
    Video,
)

KEPT: Final = "kept//"
"""What the path of a payload begins with that is a file beside the event files."""
_KINDS: Final[Mapping[str, type[Any]]] = {
    kind.__name__: kind for kind in (Audio, Bundle, Figure, Html, Image, Table, Video)
}
_SUFFIX: Final = "/text_summary"
_MESH: Final[tuple[str, ...]] = ("", "vertices", "faces", "colors")
_TYPES: Final = ("", "VERTEX", "FACE", "COLOR")
_ENDED: Final[Mapping[int, Status]] = {1: "FINISHED", 2: "FAILED"}
_MAGIC: Final = (
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"\xff\xd8\xff", "jpg"),
    (b"RIFF", "webp"),
    (b"BM", "bmp"),
)


class Naming(NamedTuple):
    """How the tags of one directory become names.

    Attributes:
        path: What they begin with.
        main: Of what `add_scalars` has written, the tag and the name of all there is.
        ours: Where tracelet wrote them, the plugin and the name of each tag; else None.
    """

    path: str = ""
    main: tuple[str, str] = ("", "")
    ours: Mapping[str, Sequence[str]] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether tracelet wrote them."""
        return self.ours is not None

    def name(self, tag: str) -> str:
        """Return the name for a tag."""
        if self.ours is not None:
            return self.ours[tag][1] if tag in self.ours else tag
        if self.main[1] and tag == self.main[0]:
            return self.main[1]
        return posixpath.join(self.path, tag) if self.path else tag


def events_of(file: str, record: Record, naming: Naming, plugins: dict[str, str]) -> Iterator[Event]:
    """Give what a record says.

    Args:
        file: Below the run's directory.
        record: One of its records.
        naming: How tags become names there.
        plugins: The plugin of each tag, which a writer may say once; it is added to.
    """
    event = record.event
    if event.WhichOneof("what") == "graph_def" and not naming.is_ours:
        place = Place(file, record.offset, -1, "graph")
        yield from _graph(event, place, naming)
    for number, value in enumerate(event.summary.value):
        if value.node_name == summaries.ONLY_SHOWN:
            continue
        plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
        given = value.metadata.plugin_data.plugin_name or plugin
        reading = _Reading(event, value, Place(file, record.offset, number, ""), naming, given)
        yield from reading.events()


class _Reading:
    """One value of a record."""

    def __init__(self, event: Any, value: Any, place: Place, naming: Naming, plugin: str) -> None:
        self._event = event
        self._value = value
        self._place = place
        self._plugin = plugin
        self._naming = naming
        self._said = _said(value.node_name) if naming.is_ours else {}
        name = naming.name(value.tag)
        step = None if self._said.get("stepless") else int(event.step)
        self._base: dict[str, Any] = {"time": float(event.wall_time), "name": name, "step": step}

    def events(self) -> Iterator[Event]:
        """Give what the value says."""
        kind = self._value.WhichOneof("value")
        if kind == "simple_value":
            yield self._metric(float(self._value.simple_value))
        elif kind == "histo":
            yield _histogram(self._value.histo, self._base)
        elif kind == "image":
            yield self._picture(self._value.image.encoded_image_string, 0)
        elif kind == "audio":
            yield self._file(Audio, "audio", 0, (self._value.audio.content_type or "/wav").rpartition("/")[2])
        elif kind == "tensor" or self._plugin == "hparams":
            yield from self._tensor()

    def _tensor(self) -> Iterator[Event]:
        plugin = self._plugin
        if plugin == "hparams":
            yield from _hparams(self._value.metadata.plugin_data.content, self._base)
        elif plugin == "custom_scalars":
            yield Layout(self._base["time"], _charts(strings_of(self._value.tensor)[0], self._naming))
        elif plugin == summaries.OURS and self._naming.is_ours:
            yield from self._ours()
        elif plugin == "text":
            yield self._text()
        elif plugin == "images":
            for number, content in enumerate(strings_of(self._value.tensor)[2:]):
                yield self._picture(content, number)
        elif plugin == "audio":
            for number in range(len(sounds_of(self._value.tensor))):
                yield self._file(Audio, "audio", number, "wav")
        elif not self._value.tensor.string_val:
            yield from self._array()

    def _array(self) -> Iterator[Event]:
        array = array_of(self._value.tensor)
        if self._plugin == "histograms":
            yield _histogram_of(array, self._base)
        elif self._plugin == "pr_curves" and array.ndim == 2:  # noqa: PLR2004  kinds and thresholds
            shape = (int(array.shape[1]), len(PR_COLUMNS))
            yield Table(data=self._payload("table", 0, "json", shape), chart="pr_curve", **self._base)
        elif array.ndim == 0 and array.dtype.kind in "fiub":
            yield self._metric(float(array))
        else:
            yield self._numbers()

    def _metric(self, value: float) -> Metric:
        exact = self._value.node_name
        if "0x" in exact:
            with contextlib.suppress(ValueError, OverflowError):
                found = float.fromhex(exact)
                value = found if summaries.shortened(found) == value else value
        return Metric(self._base["name"], value, self._base["step"], self._base["time"])

    def _text(self) -> Text:
        name, found = (
            self._base["name"],
            [one.decode("utf-8", "replace") for one in strings_of(self._value.tensor)],
        )
        if not self._naming.is_ours:
            name = name.removesuffix(_SUFFIX)
        text = found[0] if len(found) == 1 else json.dumps(found, ensure_ascii=False)
        return Text(**{**self._base, "name": name}, text=text)

    def _picture(self, content: bytes, number: int) -> Event:
        ending = next((ending for magic, ending in _MAGIC if content.startswith(magic)), "png")
        kind = _KINDS.get(str(self._said.get("type")), Video if ending == "gif" else Image)
        return self._file(kind, "image", number, ending)

    def _file(self, kind: type[Any], what: str, number: int, ending: str) -> Event:
        said: dict[str, Any] = self._said.get("data") or {}
        return self._made(kind, self._payload(what, number, str(said.get("format") or ending)))

    def _ours(self) -> Iterator[Event]:
        kind = _KINDS.get(str(self._said.get("type")))
        if kind is None:
            return
        said, file = self._said.get("data"), self._said.get("file")
        if said is None or not file:
            yield self._made(kind, None)
            return
        shape = tuple(said.get("shape", ()))
        yield self._made(
            kind, Payload("", 0, format=said.get("format", ""), shape=shape, path=f"{KEPT}{file}")
        )

    def _made(self, kind: type[Any], data: Payload | None) -> Event:
        fields = {
            key: one for key, one in self._said.items() if key in kind.__struct_fields__ and key != "data"
        }
        given: dict[str, Any] = {
            "type": kind.__name__,
            **self._base,
            **fields,
            "data": {"digest": "", "size": 0},
        }
        if "boxes" in given:
            given["boxes"] = [[float(edge) for edge in box] for box in given["boxes"]]
        made: Any = msgspec.convert(given, kind)
        return cast("Event", msgspec.structs.replace(made, data=data))

    def _numbers(self) -> Event:
        place, content = self._place, self._value.metadata.plugin_data.content
        folder, what, name = "tensors", "tensor", cast("str", self._base["name"])
        if self._plugin == "mesh":
            metadata = module("tensorboard.plugins.mesh.metadata")
            said: Any = metadata.parse_plugin_metadata(content)
            number = int(said.content_type)
            folder, what = "meshes", _MESH[number] or "tensor"
            name = name.removesuffix(f"_{_TYPES[number]}")  # of the tag, which is one for each
        where = f"step-{self._base['step'] or 0:08d}"
        path = posixpath.join(folder, name.strip("/") or "_", where, f"{what}.npy")
        there = place._replace(what="npy").path
        return Artifact(
            time=self._base["time"], path=path, size=npy_size(self._value.tensor), reference=there
        )

    def _payload(self, what: str, number: int, ending: str, shape: tuple[int, ...] = ()) -> Payload:
        place = self._place._replace(what=what, number=number)
        size = len(content_of(self._event, place))
        return Payload("", size, format=ending, shape=shape, path=place.path)


def _said(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        said: Any = json.loads(text) if text.startswith("{") else {}
        return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    return {}


def _histogram(histo: Any, base: Mapping[str, Any]) -> Histogram:
    counts, ends = [*map(float, histo.bucket)], [*map(float, histo.bucket_limit)]
    if counts and counts[0] == 0:
        limits, counts = ends, counts[1:]
    else:
        limits = [min(float(histo.min), *ends[:1]), *ends] if ends else []
    moments = Moments(*(float(getattr(histo, name)) for name in ("num", "min", "max", "sum", "sum_squares")))
    return Histogram(counts=tuple(counts), limits=tuple(limits), moments=moments, **base)


def _histogram_of(array: Any, base: Mapping[str, Any]) -> Histogram:
    """Read buckets, each with its left and right end, and its count; TensorFlow writes them so."""
    rows = array.reshape(-1, 3).astype("f8").tolist()
    limits = (rows[0][0], *(row[1] for row in rows)) if rows else ()
    return Histogram(counts=tuple(row[2] for row in rows), limits=limits, **base)


def _hparams(content: bytes, base: Mapping[str, Any]) -> Iterator[Event]:
    plugin_data_pb2 = module("tensorboard.plugins.hparams.plugin_data_pb2")
    data: Any = plugin_data_pb2.HParamsPluginData.FromString(content)
    if data.HasField("session_start_info"):
        found: dict[str, Any] = {}
        for name, value in sorted(data.session_start_info.hparams.items()):
            kind = value.WhichOneof("kind")
            found[name] = (
                getattr(value, kind) if kind in {"number_value", "string_value", "bool_value"} else None
            )
        if found:
            yield Params(base["time"], found)
    elif data.HasField("session_end_info") and data.session_end_info.status in _ENDED:
        end = float(data.session_end_info.end_time_secs) or base["time"]
        yield RunFinished(end, _ENDED[data.session_end_info.status])


def _charts(content: bytes, naming: Naming) -> tuple[Chart, ...]:
    layout_pb2 = module("tensorboard.plugins.custom_scalar.layout_pb2")
    found: list[Chart] = []
    for category in layout_pb2.Layout.FromString(content).category:
        for chart in category.chart:
            margins = [(one.value, one.lower, one.upper) for one in chart.margin.series]
            for tags in margins or [tuple(chart.multiline.tag)]:
                kind = "margin" if margins else "multiline"
                found.append(Chart(category.title, chart.title, kind, tuple(map(naming.name, tags))))
    return tuple(found)


def _graph(event: Any, place: Place, naming: Naming) -> Iterator[Event]:
    time, path = float(event.wall_time), posixpath.join("graphs", naming.path, "graph.pb")
    yield Artifact(time=time, path=path, size=len(event.graph_def), reference=place.path)
