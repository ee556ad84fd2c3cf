"""What MLflow holds of an event: what comes back, if the event could be delivered at all."""

import math
import sys
from typing import Any, Final, TypeAlias, cast

import msgspec

from tracelet import media
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
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

Filed: TypeAlias = Figure | Audio | Video | Html | Table
"""What is logged under a name again and again, and is a file here."""
_LARGEST: Final = sys.float_info.max


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, (Metric, Params, Artifact)):
        return _plain(event)
    if isinstance(event, (Histogram, Image)):
        return _in_series(event)
    if isinstance(event, (Figure, Audio, Video, Html, Table, Bundle)):
        return _in_files(event)
    if isinstance(event, (RunStarted, Tags, Note)):
        event = _said(event)
    if isinstance(event, (RunStarted, Text, RunFinished)):
        event = msgspec.structs.replace(event, time=milliseconds(event.time) / 1000)
    return msgspec.structs.replace(event, reason="") if isinstance(event, RunFinished) else event


def _said(event: RunStarted | Tags | Note) -> Event:
    if isinstance(event, Note):
        return Note(event.time, storable(event.text))
    tags = {name: storable(text) for name, text in event.tags.items()}
    if isinstance(event, Tags):
        return Tags(event.time, tags)
    fields = ("name", "project", "note", "group", "job_type")
    told = {field: storable(getattr(event, field)) for field in fields}
    return msgspec.structs.replace(event, tags=tags, **told)


def _plain(event: Metric | Params | Artifact) -> Event:
    if isinstance(event, Metric):
        return Metric(event.name, _value(event.value), step_of(event), milliseconds(event.time) / 1000)
    if isinstance(event, Params):
        return Params(event.time, {name: storable(str(value)) for name, value in event.params.items()})
    return Artifact(time=event.time, path=event.path, size=event.size)


def _in_series(event: Histogram | Image) -> Histogram | Image:
    """Return what can be told without the bytes: of an array, only that it is there."""
    time, step = milliseconds(event.time) / 1000, step_of(event)
    if isinstance(event, Image):
        data = Payload("", 0, format="png")
        return msgspec.structs.replace(event, time=time, step=step, ordinal=0, data=data, layout="")
    limits = event.limits if event.counts else ()
    return msgspec.structs.replace(
        event, time=time, step=step, ordinal=0, data=None, limits=limits, bins="", max_bins=0
    )


def _in_files(event: Filed | Bundle) -> Event:
    """Return what is a file, once an array has become one."""
    if isinstance(event, Bundle):
        data = event.data and Payload("", 0, format="json")
        return msgspec.structs.replace(event, data=data, metadata=worded(event.metadata))
    shape = event.data.shape if isinstance(event, Table) else ()
    data = Payload("", 0, shape=shape, format=media.ending(event))
    event = msgspec.structs.replace(event, step=step_of(event), ordinal=0, data=data)
    if isinstance(event, Audio):
        return msgspec.structs.replace(event, rate=0)  # the file says it
    return msgspec.structs.replace(event, layout="") if isinstance(event, Video) else event


def storable(text: str) -> str:
    """Return a text as every database takes it: PostgreSQL has no place for a NUL."""
    return text.replace("\0", "�")


def step_of(event: Metric | Histogram | Image | Filed) -> int:
    """Return the step that MLflow has to be given."""
    return event.ordinal if event.step is None else event.step


def milliseconds(seconds: float) -> int:
    """Return a time of ours as MLflow's."""
    return round(seconds * 1000)


def worded(value: Any) -> Any:
    """Return a plain value as JSON can hold it: of NaN and infinities their words, of a tuple a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: worded(one) for name, one in cast("dict[str, Any]", value).items()}
    return [worded(one) for one in cast("list[Any]", value)] if isinstance(value, (list, tuple)) else value


def _value(value: float) -> float:
    """Return a value as a SQL store keeps it."""
    if math.isnan(value):
        return value
    return max(-_LARGEST, min(_LARGEST, value)) + 0.0  # -0.0 becomes 0.0
