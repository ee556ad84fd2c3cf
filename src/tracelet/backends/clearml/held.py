"""What ClearML holds of an event: what comes back, if the event could be delivered at all."""

from typing import Any, Final

import msgspec

from tracelet import media
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Event,
    Figure,
    Histogram,
    Image,
    Lost,
    Metric,
    Payload,
    Table,
    Text,
    Video,
)

PLOTLY: Final = "plotly.json"
SHOWN: Final = frozenset({"png", "jpg", "jpeg", "gif", "webp", "bmp", "svg"})
"""Pictures that a browser shows as they are."""
DRAWN: Final = frozenset({PLOTLY, "pdf", "eps"})
"""And figures that are no pictures."""


def held(event: Event) -> Event | None:
    """See `Backend.held`."""
    if isinstance(event, Lost):
        return None
    if isinstance(event, Metric):
        step = event.ordinal if event.step is None else event.step
        return Metric(event.name, event.value, step, rounded(event.time))
    if isinstance(event, Artifact):
        return Artifact(time=event.time, path=event.path, size=event.size)
    return kept(event) if getattr(event, "data", None) is not None else event


def kept(event: Any, size: int | None = None) -> Any:
    """Return an event whose payload has become a file, or of a histogram counts.

    Args:
        event: What was logged.
        size: Of the file; None if nobody knows it yet.
    """
    if isinstance(event, Histogram):
        limits = event.limits if event.counts else ()
        return msgspec.structs.replace(event, data=None, limits=limits, bins="", max_bins=0)
    shape = event.data.shape if isinstance(event, Table) else ()
    ending = ending_of(event)
    known: int = event.data.size if is_whole(event) else 0
    data = Payload("", known if size is None else size, shape=shape, format=ending)
    made = msgspec.structs.replace(event, data=data)
    if isinstance(made, (Image, Video)) and event.data.dtype:
        return msgspec.structs.replace(made, layout="")
    return msgspec.structs.replace(made, rate=0) if isinstance(made, Audio) else made  # the file says it


def is_whole(event: Any) -> bool:
    """Tell whether a payload stays what it is, byte for byte."""
    return not event.data.dtype and event.data.format == ending_of(event) != PLOTLY


def ending_of(event: Any) -> str:
    """Choose what the name of a payload's file ends in."""
    if isinstance(event, Bundle):
        return "json"
    ending = media.ending(event)
    if isinstance(event, (Image, Figure)) and ending not in DRAWN:
        return "png" if ending not in SHOWN or getattr(event, "boxes", ()) else ending
    return ending


def step_of(event: Any) -> int:
    """Return the step that ClearML has to be given."""
    if event.step is not None:
        return int(event.step)
    return 0 if isinstance(event, Text) else int(event.ordinal)


def moment(time: float) -> int:
    """Return a time as ClearML has it: in whole milliseconds."""
    return round(time * 1000)


def rounded(time: float) -> float:
    """Return what is left of a time."""
    return moment(time) / 1000
