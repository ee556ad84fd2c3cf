"""What an event file says of an event: one of TensorBoard's values, as torch's writer makes them.

    Metric      simple_value, a float32. If the float64 is another number, it stands in `node_name`, a
                field that only TensorFlow 1 used: "0x1.999999999999ap-4"
    Text        a tensor, plugin "text"
    Histogram   histo
    Image …     image: PNG or what the user gave; also of pixels of a figure, and of a GIF
    Audio       audio
    Table       a text; or a PR curve a tensor, plugin "pr_curves", and another chart an image
    Layout      the tensor "custom_scalars__config__"
    the rest    a tensor of the plugin "tracelet", which no page shows

`node_name` of all but scalars is JSON: the event as it comes back, without what the value says itself.
Its tag is its name; a tag has one plugin, so a name that has another already gets " (text)" behind it.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

from tracelet.backends.tensorboard.frames import module, protos
from tracelet.backends.tensorboard.held import held, step_of, worded
from tracelet.events import Bundle, Chart, Event, Histogram, Layout, Metric, RunFinished, Table, Text
from tracelet.media import Counted

OURS: Final = "tracelet"
ONLY_SHOWN: Final = '{"only": "shown"}'
"""What stands beside a value that only shows what another value says."""
LAYOUT: Final = "custom_scalars__config__"
STATUS: Final[Mapping[str, str]] = {
    "FINISHED": "STATUS_SUCCESS",
    "FAILED": "STATUS_FAILURE",
    "KILLED": "STATUS_FAILURE",
}
_CELLS: Final = 2000  # of a table that is shown as a text
_CURVE: Final = ("tp", "fp", "tn", "fn", "precision", "recall")
_FLOAT: Final = struct.Struct("<f")
_SAID: Final = frozenset({"name", "step", "time", "ordinal", "text", "charts"})  # by value and record


class Picture(NamedTuple):
    """A picture's file, and its extent in pixels."""

    content: bytes
    width: int
    height: int
    channels: int


class Sound(NamedTuple):
    """A sound's file; what is not known of it is 0."""

    content: bytes
    kind: str
    rate: int = 0
    channels: int = 0
    frames: int = 0


def record_of(event: Any, values: Iterable[Any]) -> bytes:
    """Put the values of an event into a record."""
    step = step_of(event) if hasattr(event, "ordinal") else getattr(event, "step", 0) or 0
    made = protos().Event(wall_time=event.time, step=step)
    made.summary.value.extend(values)
    return cast("bytes", made.SerializeToString())


def graph_of(event: Bundle, content: bytes) -> bytes:
    """Put a model's graph into a record."""
    made = protos().Event(wall_time=event.time, step=event.step or 0, graph_def=content)
    return cast("bytes", made.SerializeToString())


def scalar(metric: Metric, tag: str) -> Any:
    """Say a number."""
    made = _value(tag)
    made.simple_value = short = shortened(metric.value)
    if short != metric.value and not math.isnan(metric.value):
        made.node_name = metric.value.hex()
    return made


def shortened(value: float) -> float:
    """Return the float32 that is next to a value."""
    try:
        return float(_FLOAT.unpack(_FLOAT.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def text(event: Any, tag: str, content: str) -> Any:
    """Say a text."""
    return _strings(event, tag, "text", [content.encode("utf-8", "replace")])


def image(event: Any, tag: str, shown: Picture) -> Any:
    """Say a picture."""
    made = _value(tag, event)
    made.image.encoded_image_string = shown.content
    made.image.width, made.image.height, made.image.colorspace = shown.width, shown.height, shown.channels
    return made


def audio(event: Any, tag: str, heard: Sound) -> Any:
    """Say a sound."""
    made = _value(tag, event)
    made.audio.encoded_audio_string, made.audio.content_type = heard.content, heard.kind
    made.audio.sample_rate = float(heard.rate)
    made.audio.num_channels, made.audio.length_frames = heard.channels, heard.frames
    return made


def histogram(event: Histogram, tag: str, counted: Counted) -> Any:
    """Say counts. An empty bucket in front tells where the first bin begins, as torch's writer does it."""
    known = counted.moments
    said = {"left_out": counted.left_out} if counted.left_out else {}
    made = _value(tag, event, said | ({} if known is not None or not counted.counts else {"counted": True}))
    histo = made.histo
    histo.num = known.num if known is not None else sum(counted.counts)
    if counted.limits:
        histo.min, histo.max = counted.limits[0], counted.limits[-1]
        histo.bucket_limit.extend(counted.limits)
        histo.bucket.extend((0.0, *counted.counts))
    if known is not None:
        histo.min, histo.max, histo.sum, histo.sum_squares = (
            known.min,
            known.max,
            known.sum,
            known.sum_squares,
        )
    return made


def curve(event: Table, content: Mapping[str, Any]) -> Any:
    """Say a curve of precision and recall; None if its columns are others."""
    columns = dict(zip(content["columns"], zip(*content["data"], strict=True), strict=False))
    if not content["data"] or not columns.keys() >= {*_CURVE}:
        return None
    made, count = _value(event.name), len(content["data"])
    made.metadata.plugin_data.plugin_name = "pr_curves"
    made.metadata.plugin_data.content = _curve_metadata(count)
    made.tensor.dtype = 1  # DT_FLOAT
    for size in (len(_CURVE), count):
        made.tensor.tensor_shape.dim.add(size=size)
    made.tensor.float_val.extend(float(cell or 0.0) for name in _CURVE for cell in columns[name])
    return made


def grid(content: Mapping[str, Any]) -> str:
    """Write a table as Markdown; the first rows of a large one."""
    columns = [_cell(column) for column in content["columns"]]
    rows = content["data"][: max(1, _CELLS // max(1, len(columns)))]
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    left = len(content["data"]) - len(rows)
    more = [f"\n{left} more rows"] if left else []
    return "\n".join([f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *lines, *more])


def layout(event: Layout) -> Any:
    """Say which scalars are to be shown together."""
    layout_pb2 = module("tensorboard.plugins.custom_scalar.layout_pb2")
    found: Any = layout_pb2.Layout()
    categories: dict[str, Any] = {}
    for chart in event.charts:
        if chart.category not in categories:
            categories[chart.category] = found.category.add(title=chart.category)
        _chart(categories[chart.category].chart.add(title=chart.title), chart)
    return _strings(event, LAYOUT, "custom_scalars", [found.SerializeToString()])


def ended(event: RunFinished) -> Any:
    """Say how the run ended, as TensorBoard's hparams page asks."""
    metadata = module("tensorboard.plugins.hparams.metadata")
    plugin_data_pb2 = module("tensorboard.plugins.hparams.plugin_data_pb2")
    data: Any = plugin_data_pb2.HParamsPluginData()
    data.session_end_info.status = _status(STATUS[event.status])
    data.session_end_info.end_time_secs = event.time
    return session(str(metadata.SESSION_END_INFO_TAG), data)


def session(tag: str, data: Any) -> Any:
    """Say something to the hparams page."""
    metadata = module("tensorboard.plugins.hparams.metadata")
    made = _value(tag)
    made.metadata.CopyFrom(metadata.create_summary_metadata(data))
    made.tensor.CopyFrom(metadata.NULL_TENSOR)
    return made


def other(event: Any, tag: str, more: Mapping[str, Any]) -> Any:
    """Say what TensorBoard has no place for."""
    return _strings(event, tag, OURS, [b""], more)


def said_of(event: Event) -> dict[str, Any]:
    """Return what the JSON beside a value says of an event."""
    said = msgspec.to_builtins(held(event))
    stepless = {"stepless": True} if isinstance(event, (Text, Bundle)) and event.step is None else {}
    return {key: one for key, one in said.items() if key not in _SAID} | stepless


def _strings(
    event: Any, tag: str, plugin: str, strings: list[bytes], more: Mapping[str, Any] | None = None
) -> Any:
    made = _value(tag, event, more or {})
    made.metadata.plugin_data.plugin_name = plugin
    made.tensor.dtype = 7  # DT_STRING
    if plugin != "custom_scalars":
        made.tensor.tensor_shape.dim.add(size=len(strings))
    made.tensor.string_val.extend(strings)
    return made


def _value(tag: str, event: Any = None, more: Mapping[str, Any] | None = None) -> Any:
    summary_pb2 = module("tensorboard.compat.proto.summary_pb2")
    made: Any = summary_pb2.Summary.Value(tag=tag)
    if event is not None:
        made.node_name = json.dumps(worded(said_of(event) | dict(more or {})), ensure_ascii=False)
    return made


def _chart(made: Any, chart: Chart) -> None:
    if chart.kind == "margin" and len(chart.tags) == 3:  # noqa: PLR2004  value, lower and upper bound
        value, lower, upper = chart.tags
        made.margin.series.add(value=value, lower=lower, upper=upper)
    else:
        made.multiline.tag.extend(chart.tags)


def _curve_metadata(count: int) -> bytes:
    plugin_data_pb2 = module("tensorboard.plugins.pr_curve.plugin_data_pb2")
    return cast(
        "bytes", plugin_data_pb2.PrCurvePluginData(version=0, num_thresholds=count).SerializeToString()
    )


def _status(word: str) -> int:
    api_pb2 = module("tensorboard.plugins.hparams.api_pb2")
    return int(api_pb2.Status.Value(word))


def _cell(value: Any) -> str:
    shown = "" if value is None else str(value)
    return shown.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
