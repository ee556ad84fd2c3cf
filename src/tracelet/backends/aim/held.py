"""What Aim holds of an event: what comes back, if the event could be delivered at all."""

from collections.abc import Iterator
from typing import Any, Final, cast

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
    Params,
    Payload,
    Table,
    Video,
)

_INT64: Final = range(-(2**63), 2**63)


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, (Artifact, Params)):
        return _plain(event)
    if isinstance(event, Histogram):
        limits = event.limits if event.counts else ()
        return msgspec.structs.replace(event, data=None, limits=limits, bins="", max_bins=0)
    if isinstance(event, Image):
        return msgspec.structs.replace(event, data=Payload("", 0, format="png"), layout="")
    if isinstance(event, (Figure, Audio, Video, Html, Table, Bundle)):
        return _kept(event)
    return event


def _plain(event: Artifact | Params) -> Event:
    if isinstance(event, Params):
        return Params(event.time, dict(flat(event.params)))
    return Artifact(time=event.time, path=event.path, size=event.size)


def _kept(event: Figure | Audio | Video | Html | Table | Bundle) -> Event:
    """Return what is a file, once an array has become one."""
    if event.data is None:
        return event
    shape = event.data.shape if isinstance(event, Table) else ()
    size = 0 if event.data.dtype else event.data.size  # a file stays what it is
    kept = msgspec.structs.replace(event, data=Payload("", size, shape=shape, format=media.ending(event)))
    if not event.data.dtype:
        return kept
    if isinstance(kept, Audio):
        return msgspec.structs.replace(kept, rate=0)  # the file says it
    return msgspec.structs.replace(kept, layout="") if isinstance(kept, Video) else kept


def flat(params: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Give params as Aim keeps them: a mapping's entries one by one, under names joined by dots."""
    for name, value in cast("dict[Any, Any]", params).items():
        whole = f"{before}.{name}" if before else str(name)
        if isinstance(value, dict) and value:
            yield from flat(value, whole)
        else:
            yield whole, fitting(value)


def fitting(value: Any) -> Any:
    """Return a plain value as Aim can keep it."""
    if isinstance(value, int) and value not in _INT64:
        return str(value)
    if isinstance(value, (list, tuple)):
        return [fitting(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: fitting(one) for name, one in cast("dict[str, Any]", value).items()}
    return value
