"""Entries of Aim's series of objects, as events of ours; and where the payload of one is found.

A payload's path is `aim/<index>/<name>/<step>-<number>.<ending>`: the number of the context, the name
with everything but letters and digits in percent signs, and the place in the list, if it is one.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote

import msgspec

from tracelet.backends.aim.contexts import joined
from tracelet.backends.aim.found import Found, Series
from tracelet.backends.aim.objects import OURS, PLOTLY, content_of, event_of
from tracelet.events import Audio, Event, Figure, Histogram, Image, Payload, Text

KINDS: Final = frozenset(
    {"aim.image", "aim.audio", "aim.figure", "aim.text", "aim.distribution", "aim.log_record"}
)
"""The types of objects that become events."""
TERMINAL: Final = "aim.log_line"
"""The type of what Aim's own `Run` has copied from the terminal."""
_PATH: Final = re.compile(r"aim/(?P<index>-?\d+)/(?P<name>[^/]+)/(?P<step>-?\d+)-(?P<number>\d+)\.[\w.]+")


class Entry(NamedTuple):
    """One event, and whether it is as tracelet recorded it."""

    event: Any
    ours: bool


def kind_of(series: Series) -> str:
    """Return the type of the objects of a series, in lists or not."""
    return series.kind.removeprefix("list(").removesuffix(")")


def entries(found: Found, series: Series, step: int, time: float) -> Iterator[Entry]:
    """Give what is at a step of a series."""
    for number, one in enumerate(_listed(found.entry(series, step))):
        said = one.storage.get(OURS, None) if found.own else None
        event: Any = event_of(said)
        if event is not None:
            yield Entry(_placed(event, series, step, number), ours=True)
        elif (other := _read(one, series, step, time, number)) is not None:
            yield Entry(other, ours=False)


def content(found: Found, path: str) -> bytes | None:
    """Return the bytes of a payload by its path; None if it is no such path."""
    told = _PATH.fullmatch(path)
    if told is None:
        return None
    for series in found.series():
        if str(series.place) == told["index"] and _quoted(series.name) == told["name"]:
            there = _listed(found.entry(series, int(told["step"])))
            number = int(told["number"])
            return content_of(there[number].storage) if number < len(there) else None
    return None


def terminal(found: Found) -> Iterator[bytes]:
    """Give the lines that Aim has copied from a terminal."""
    for series in found.series():
        if kind_of(series) == TERMINAL:
            for step, _ in found.steps(series):
                for line in _listed(found.entry(series, step)):
                    yield f"{line.data}\n".encode("utf-8", "replace")


def _listed(found: Any) -> list[Any]:
    return list(cast("list[Any]", found)) if isinstance(found, (list, tuple)) else [found]


def _placed(event: Any, series: Series, step: int, number: int) -> Event:
    """Tell where the payload of an event of ours is; one that is an artifact knows it."""
    data: Payload | None = getattr(event, "data", None)
    if data is None or data.path:
        return event
    path = _path(series, step, number, data.format or "bin")
    return msgspec.structs.replace(event, data=msgspec.structs.replace(data, path=path))


def _read(one: Any, series: Series, step: int, time: float, number: int) -> Event | None:
    """Make an event of somebody else's object."""
    name, kind, storage = joined(series.name, series.context), kind_of(series), one.storage
    if kind == "aim.text":
        return Text(time=time, name=name, text=str(one.data), step=step)
    if kind == "aim.log_record":
        return Text(time=time, name=name, text=str(one.message), step=step)
    if kind == "aim.distribution":
        counts, limits = one.to_np_histogram()
        return Histogram(
            time=time,
            name=name,
            step=step,
            counts=tuple(map(float, counts)),
            limits=tuple(map(float, limits)),
        )
    form = PLOTLY if kind == "aim.figure" else str(storage.get("format", "") or "bin").lower()
    size, path = len(content_of(storage)), _path(series, step, number, form)
    data = Payload("", size, format=form, path=path)
    if kind == "aim.figure":
        return Figure(time=time, name=name, step=step, data=data)
    caption = str(storage.get("caption", "") or "")
    if kind == "aim.audio":
        return Audio(time=time, name=name, step=step, data=data, caption=caption)
    return Image(time=time, name=name, step=step, data=data, caption=caption)


def _path(series: Series, step: int, number: int, form: str) -> str:
    return f"aim/{series.place}/{_quoted(series.name)}/{step}-{number}.{form}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
