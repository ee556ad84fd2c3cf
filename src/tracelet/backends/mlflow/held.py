"""What MLflow holds of an event: what comes back, if the event could be delivered at all."""

import math
import sys
from typing import Final

import msgspec

from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Image,
    Lost,
    Metric,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Text,
)

_LARGEST: Final = sys.float_info.max


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, Metric):
        return Metric(event.name, _value(event.value), step_of(event), milliseconds(event.time) / 1000)
    if isinstance(event, Params):
        return Params(event.time, {name: str(value) for name, value in event.params.items()})
    if isinstance(event, Artifact):
        return Artifact(time=event.time, path=event.path, size=event.size)
    if isinstance(event, (Histogram, Image)):
        return _in_series(event)
    if isinstance(event, (RunStarted, Text, RunFinished)):
        event = msgspec.structs.replace(event, time=milliseconds(event.time) / 1000)
    return msgspec.structs.replace(event, reason="") if isinstance(event, RunFinished) else event


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


def step_of(event: Metric | Histogram | Image) -> int:
    """Return the step that MLflow has to be given."""
    return event.ordinal if event.step is None else event.step


def milliseconds(seconds: float) -> int:
    """Return a time of ours as MLflow's."""
    return round(seconds * 1000)


def _value(value: float) -> float:
    """Return a value as a SQL store keeps it."""
    if math.isnan(value):
        return value
    return max(-_LARGEST, min(_LARGEST, value)) + 0.0  # -0.0 becomes 0.0
