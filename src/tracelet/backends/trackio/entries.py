"""What a row of Trackio's says, as events: the way back from `shown`, and that of everybody else's rows."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from tracelet.backends.trackio.database import Kept
from tracelet.backends.trackio.words import name_of, number_of
from tracelet.backends.trackio.writer import BUNDLE
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Metric,
    Moments,
    Payload,
    Table,
    Text,
    Video,
)
from tracelet.names import NameMap

FILES: Final = "media//"
"""What the path of a payload that is a file of Trackio's begins with; no artifact's has two slashes."""
ROWS: Final = "rows//"
"""And of one that is in a row: its number there, and the key."""
MEDIA: Final = "media/"
"""What the path of an artifact begins with that is such a file."""

_KINDS: Final[Mapping[str, type[Any]]] = {
    "trackio.image": Image,
    "trackio.audio": Audio,
    "trackio.video": Video,
    "trackio.html": Html,
}
_SERIES: Final[Mapping[str, type[Any]]] = {
    kind.__name__: kind for kind in (Audio, Figure, Html, Image, Video, Histogram, Table, Text)
}


class Names:
    """A run's names, as they were before they were mapped; of nobody else's run is a name mapped.

    Args:
        names: How ours were mapped; None for a run of somebody else's.
        originals: Those that were cut.
    """

    def __init__(self, names: NameMap | None, originals: Mapping[str, str]) -> None:
        self._map = names
        self._originals = originals

    def read(self, mapped: str) -> str:
        """Return what a name was."""
        if self._map is None:
            return mapped
        original = self._map.from_tracker(mapped, self._originals)
        # What the user's own calls of Trackio have logged to the run was never mapped.
        return original if self._map.to_tracker(original) == mapped else mapped


def events_of(row: Kept, names: Names) -> Iterator[Event]:
    """Give the events that a row tells of."""
    for key, value in row.content.items():
        name = names.read(name_of(key))
        number = number_of(value)
        if number is not None:
            yield Metric(name, number, row.step, row.time)
        elif isinstance(value, str):
            yield Text(time=row.time, name=name, text=value, step=row.step)
        elif isinstance(value, dict):
            yield from _entry(row, key, name, cast("dict[str, Any]", value))
        elif value is not None:
            yield Text(time=row.time, name=name, text=json.dumps(value), step=row.step)


def _entry(row: Kept, key: str, name: str, value: dict[str, Any]) -> Iterator[Event]:
    kind, ours = str(value.get("_type", "")), _ours(value)
    base: dict[str, Any] = {"time": row.time, "name": name, "step": row.step}
    if kind == BUNDLE:
        yield _bundle(row, key, value)
    elif kind == "trackio.markdown":
        base |= {"step": None} if ours.get("stepless") else {}
        yield Text(text=str(value.get("_value", "")), **base)
    elif kind == "trackio.histogram":
        yield _histogram(value, ours, base)
    elif kind == "trackio.table":
        yield _table(row, key, value, base)
    elif "file_path" in value:
        yield _file(value, ours, base)
    else:
        yield Text(text=json.dumps(value), **base)


def _file(value: Mapping[str, Any], ours: Mapping[str, Any], base: Mapping[str, Any]) -> Event:
    kind = _SERIES.get(str(ours.get("kind")), _KINDS.get(str(value["_type"])))
    path = str(ours.get("source") or value["file_path"])
    ending = "plotly.json" if ours.get("source") else path.rpartition("/")[2].rpartition(".")[2].lower()
    data = Payload("", 0, format=ending, path=f"{FILES}{path}")
    if kind is None:  # an object of three dimensions, or what a later version has
        return Artifact(time=base["time"], path=f"{MEDIA}{path}", size=0)
    fields = set(kind.__struct_fields__)
    more = {key: one for key, one in ours.items() if key in fields}
    if "caption" in fields:
        more["caption"] = str(value.get("caption") or "")
    if "boxes" in more:
        more["boxes"] = [[number_of(edge) for edge in box] for box in more["boxes"]]
    made = {"type": kind.__name__, **base, **more, "data": {"digest": "", "size": 0}}
    return msgspec.structs.replace(msgspec.convert(made, kind), data=data)


def _histogram(value: Mapping[str, Any], ours: Mapping[str, Any], base: Mapping[str, Any]) -> Histogram:
    moments = ours.get("moments")
    return Histogram(
        counts=tuple(number_of(one) or 0.0 for one in value.get("values", ())),
        limits=tuple(number_of(one) or 0.0 for one in value.get("bins", ())),
        moments=Moments(*(number_of(moments[name]) or 0.0 for name in Moments.__struct_fields__))
        if isinstance(moments, dict)
        else None,
        **base,
    )


def _table(row: Kept, key: str, value: Mapping[str, Any], base: Mapping[str, Any]) -> Table:
    content = table_of(value)
    path = place_of(row, key)
    shape = (len(content["data"]), len(content["columns"]))
    size = len(json.dumps(content, ensure_ascii=False).encode())
    data = Payload("", size, shape=shape, format="json", path=path)
    return Table(data=data, chart=str(_ours(value).get("chart", "")), **base)


def table_of(value: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the columns and rows of what a row says of a table."""
    rows = cast("list[dict[str, Any]]", value.get("_value") or [])
    keys = [*dict.fromkeys(key for one in rows for key in one)]
    columns = _ours(value).get("columns") or keys
    keys = keys if rows else [*columns]
    return {"columns": [*columns], "data": [[one.get(key) for key in keys] for one in rows]}


def content_at(key: str, content: Mapping[str, Any]) -> Any:
    """Return what a payload consists of that is in a row: that of a table, or a bundle's list of files."""
    value = content.get(key)
    if not isinstance(value, dict):
        return None
    said = cast("dict[str, Any]", value)
    return said.get("files", {}) if said.get("_type") == BUNDLE else table_of(said)


def place_of(row: Kept, key: str) -> str:
    """Return the path of a payload that is in a row."""
    return f"{ROWS}{row.number}/{quote(key, safe='')}.json"


def _bundle(row: Kept, key: str, value: Mapping[str, Any]) -> Bundle:
    found = msgspec.convert(_ours(value), Bundle)
    if found.data is None:
        return found
    data = Payload("", len(json.dumps(value.get("files", {}))), format="json", path=place_of(row, key))
    return msgspec.structs.replace(found, data=data)


def _ours(value: Mapping[str, Any]) -> dict[str, Any]:
    found: Any = value.get("tracelet")
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
