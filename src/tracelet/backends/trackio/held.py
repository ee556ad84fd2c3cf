"""What Trackio holds of an event: what comes back, if the event could be delivered at all."""

from typing import Any, Final

import msgspec

from tracelet import media
from tracelet.backends.trackio.words import plain, returned, rounded, worded
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

SYSTEM: Final = "system/"
SHOWN: Final = frozenset({"png", "jpg", "jpeg", "gif", "webp", "bmp", "svg"})
"""Pictures that a browser shows as they are."""


DRAWN: Final = frozenset({"plotly.json", "pdf", "eps"})
"""And those that none shows: kept as files."""


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, (Metric, Params)):
        return _plain(event)
    if isinstance(event, Artifact):
        return Artifact(time=rounded(event.time), path=event.path, size=event.size)
    if isinstance(event, Bundle):
        data = event.data and Payload("", 0, format="json")
        metadata = worded(plain(event.metadata))
        return msgspec.structs.replace(event, time=rounded(event.time), data=data, metadata=metadata)
    return _in_series(event) if isinstance(event, SERIES) else event


def _plain(event: Metric | Params) -> Event:
    if isinstance(event, Params):
        return Params(event.time, {name: returned(value) for name, value in event.params.items()})
    step = None if event.name.startswith(SYSTEM) and event.name != SYSTEM else step_of(event)
    return Metric(event.name, event.value, step, rounded(event.time))


def _in_series(event: Series) -> Event:
    """Return what can be told without the bytes: of an array, only that it is there."""
    time = rounded(event.time)
    if isinstance(event, Text):
        return msgspec.structs.replace(event, time=time)
    more: dict[str, Any] = {"data": None if isinstance(event, Histogram) else payload_of(event)}
    if isinstance(event, Histogram):
        more |= {"limits": event.limits if event.counts else (), "bins": "", "max_bins": 0}
    elif isinstance(event, (Image, Video)):
        more["layout"] = ""
    elif isinstance(event, Audio):
        more["rate"] = 0  # the file says it
    return msgspec.structs.replace(event, time=time, step=step_of(event), ordinal=0, **more)


def payload_of(event: Any) -> Payload:
    """Return what is known of the file that a payload becomes."""
    if isinstance(event, Table):
        return Payload("", 0, shape=event.data.shape, format="json")
    return Payload("", 0, format=ending_of(event))


def ending_of(event: Any) -> str:
    """Choose what the name of a payload's file ends in."""
    ending = media.ending(event)
    if isinstance(event, (Image, Figure)) and ending not in DRAWN:
        return "png" if ending not in SHOWN or getattr(event, "boxes", ()) else ending
    return ending


def step_of(event: Any) -> int:
    """Return the step that Trackio has to be given."""
    return event.ordinal if event.step is None else int(event.step)
