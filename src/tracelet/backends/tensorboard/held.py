"""What event files, and the files beside them, hold of an event."""

import math
from typing import Any, Final, cast

import msgspec

from tracelet import media
from tracelet.events import (
    SERIES,
    Artifact,
    Audio,
    Bundle,
    Event,
    Figure,
    Histogram,
    Image,
    Lost,
    Metric,
    Params,
    Payload,
    Series,
    Table,
    Text,
    Video,
)

SHOWN: Final = frozenset({"png", "jpg", "jpeg", "gif", "webp", "bmp"})
"""Pictures that a browser shows as they are."""
PLOTLY: Final = "plotly.json"
DRAWN: Final = frozenset({PLOTLY, "svg", "pdf", "eps"})
"""And those that are no pixels: kept as files."""
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, Metric):
        return Metric(event.name, event.value, step_of(event), event.time)
    if isinstance(event, Params):
        return Params(event.time, {name: returned(value) for name, value in event.params.items()})
    if isinstance(event, Artifact):
        return Artifact(time=event.time, path=event.path, size=event.size)
    if isinstance(event, Bundle):
        data = event.data and Payload("", 0, format="json")
        return msgspec.structs.replace(event, data=data, metadata=worded(event.metadata))
    return _in_series(event) if isinstance(event, SERIES) else event


def _in_series(event: Series) -> Event:
    """Return what can be told without the bytes: of an array, only that it is there."""
    if isinstance(event, Text):
        return event
    more: dict[str, Any] = {"data": None if isinstance(event, Histogram) else _payload_of(event)}
    if isinstance(event, Histogram):
        more |= {"limits": event.limits if event.counts else (), "bins": "", "max_bins": 0}
    elif isinstance(event, (Image, Video)):
        more["layout"] = ""
    elif isinstance(event, Audio):
        more["rate"] = 0  # the file says it
    return msgspec.structs.replace(event, step=step_of(event), ordinal=0, **more)


def _payload_of(event: Any) -> Payload:
    shape = event.data.shape if isinstance(event, Table) else ()
    return Payload("", 0, shape=shape, format=ending_of(event))


def ending_of(event: Any) -> str:
    """Choose what the name of a payload's file ends in."""
    ending = media.ending(event)
    if isinstance(event, (Image, Figure)) and ending not in DRAWN:
        return "png" if ending not in SHOWN or getattr(event, "boxes", ()) else ending
    return ending


def step_of(event: Any) -> int:
    """Return the step that an event file has to be given."""
    return event.ordinal if event.step is None else int(event.step)


def worded(value: Any) -> Any:
    """Return a plain value as JSON can hold it: of NaN and infinities their words, of a tuple a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): worded(one) for key, one in cast("dict[Any, Any]", value).items()}
    return [worded(one) for one in cast("list[Any]", value)] if isinstance(value, (list, tuple)) else value


def written(value: Any) -> Any:
    """Return a param's value as `tracelet.json` has it: a float that JSON has no number for as a map."""
    word = worded(value)
    return {"float": word} if isinstance(value, float) and isinstance(word, str) else word


def read(value: Any) -> Any:
    """Return the value that `written` wrote."""
    if isinstance(value, dict):
        said = cast("dict[str, Any]", value)
        if said.keys() == {"float"}:
            return _WORDS.get(said["float"], math.nan)
    return cast("Any", value)


def returned(value: Any) -> Any:
    """Return what comes back of a param."""
    return read(written(value))
