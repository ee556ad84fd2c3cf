"""What W&B holds of an event: what comes back, if the event could be delivered at all."""

from typing import Any, Final

import msgspec

from tracelet import media
from tracelet.backends.wandb.words import flat
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

PICTURES: Final = frozenset({"png", "jpg", "jpeg", "gif", "webp", "bmp"})
"""Pictures that W&B shows as they are."""
_OWN: Final = frozenset({"type", "time", "name", "step", "ordinal", "data"})


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, Metric):
        return msgspec.structs.replace(event, value=event.value + 0.0, ordinal=0)  # W&B writes -0.0 as -0
    if isinstance(event, Params):
        return Params(event.time, dict(flat(event.params)))
    if isinstance(event, Artifact):
        return Artifact(time=event.time, path=event.path, size=event.size)
    if isinstance(event, Bundle):
        return msgspec.structs.replace(event, data=event.data and Payload("", 0, format="json"))
    return _in_series(event) if isinstance(event, SERIES) else event


def more(event: Series) -> dict[str, Any]:
    """Return what is an event's own beside its place, its name and the file that it becomes."""
    kept: Any = held(event)
    said = msgspec.to_builtins(kept)
    own: dict[str, Any] = {key: value for key, value in said.items() if key not in _OWN}
    own["type"] = type(event).__name__
    data: Payload | None = getattr(kept, "data", None)
    if data is not None:
        own["data"] = {"format": data.format, "size": data.size, "shape": [*data.shape]}
    return own


def _in_series(event: Series) -> Event:
    """Return what can be told without the bytes: of an array, only that it is there."""
    if isinstance(event, Text):
        return event
    changed: dict[str, Any] = {"data": None if isinstance(event, Histogram) else payload_of(event)}
    if isinstance(event, Histogram):
        changed |= {"limits": event.limits if event.counts else (), "bins": "", "max_bins": 0}
    elif isinstance(event, (Image, Video)) and event.data.dtype:
        changed["layout"] = ""
    elif isinstance(event, Audio) and event.data.dtype:
        changed["rate"] = 0  # the file says it
    return msgspec.structs.replace(event, ordinal=0, **changed)


def payload_of(event: Any) -> Payload:
    """Return what is known of the file that a payload becomes."""
    if isinstance(event, Table):
        return Payload("", 0, shape=event.data.shape, format="json")
    if event.data.dtype:
        return Payload("", 0, format=media.ending(event))
    if isinstance(event, Image) and event.data.format not in PICTURES:
        return Payload("", 0, format="png")
    return Payload("", event.data.size, format=event.data.format)


def is_picture(event: Any) -> bool:
    """Tell whether an image, or a figure, is a picture for W&B."""
    return isinstance(event, Image) or (
        isinstance(event, Figure) and (bool(event.data.dtype) or event.data.format in PICTURES)
    )
