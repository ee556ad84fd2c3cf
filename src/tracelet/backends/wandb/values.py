"""What a row of W&B's holds, as events: numbers, texts, and the objects that its client makes of media.

    number, true, false, NaN as text        `Metric`
    text, list, an object of no known type  `Text`; of the latter JSON
    object without a type                   what it holds, under names joined by dots
    histogram                               `Histogram`
    image-file, images/separated            `Image`, each with its boxes and caption
    audio-file, audio                       `Audio`
    video-file, videos                      `Video`
    html-file, html                         `Html`
    plotly-file                             `Figure`
    table-file                              `Table`
    null                                    nothing

A payload's path is that of the run's file. Of an object whose file W&B keeps in an artifact only, such as
a joined table, the row holds no more than a reference: it is a `Text`, and the artifact has the file.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

from tracelet.events import (
    Audio,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Metric,
    Payload,
    Table,
    Text,
    Video,
)

Boxes: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Read the file of a run in which the client has put the boxes of a picture."""
PLOTLY: Final = "plotly.json"
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_FILES: Final[Mapping[str, type[Any]]] = {
    "image-file": Image,
    "audio-file": Audio,
    "video-file": Video,
    "html-file": Html,
    "plotly-file": Figure,
    "table-file": Table,
}
_LISTS: Final = {"audio": "audio", "videos": "videos", "html": "html"}
"""Where an object that holds several has them, by its type."""


class At(NamedTuple):
    """A place in a run's history."""

    name: str
    time: float
    step: int | None


def number_of(value: Any) -> float | None:
    """Return the number that a row holds; None for anything else."""
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:  # no float is so large
            return math.inf if value > 0 else -math.inf
    return _WORDS.get(value) if isinstance(value, str) else None


def events_of(at: At, value: Any, boxes: Boxes) -> Iterator[Event]:
    """Give what one value of a row says."""
    number = number_of(value)
    if number is not None:
        yield Metric(at.name, number, at.step, at.time)
    elif isinstance(value, str):
        yield Text(time=at.time, name=at.name, text=value, step=at.step)
    elif isinstance(value, dict) and "_type" not in value:
        for key, inner in sorted(cast("dict[str, Any]", value).items()):
            yield from events_of(at._replace(name=f"{at.name}.{key}"), inner, boxes)
    elif isinstance(value, dict):
        yield from _object(at, cast("dict[str, Any]", value), boxes)
    elif value is not None:
        yield _text(at, value)


def _text(at: At, value: Any) -> Text:
    return Text(time=at.time, name=at.name, text=_json(value), step=at.step)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _object(at: At, value: Mapping[str, Any], boxes: Boxes) -> Iterator[Event]:
    kind = str(value["_type"])
    if kind == "histogram":
        yield _histogram(at, value)
    elif kind == "images/separated":
        yield from _pictures(at, value, boxes)
    elif kind in _LISTS:
        captions = value.get("captions") or ()
        for number, one in enumerate(value.get(_LISTS[kind]) or ()):
            caption = captions[number] if number < len(captions) else ""
            yield from events_of(at, {"caption": caption, **one}, boxes)
    elif kind in _FILES and value.get("path"):
        yield _file(at, _FILES[kind], value, boxes)
    else:
        yield _text(at, value)


def _histogram(at: At, value: Mapping[str, Any]) -> Event:
    counts = tuple(number_of(one) or 0.0 for one in value.get("values") or ())
    packed: Any = value.get("packedBins")  # of equal bins, some versions of the server say only this
    if isinstance(packed, dict):
        said = cast("dict[str, Any]", packed)
        begin, size = (number_of(said.get(key)) or 0.0 for key in ("min", "size"))
        limits = tuple(begin + size * edge for edge in range(len(counts) + 1))
    else:
        limits = tuple(number_of(one) or 0.0 for one in value.get("bins") or ())
    if not counts or len(limits) != len(counts) + 1:
        return _text(at, value)
    return Histogram(time=at.time, name=at.name, step=at.step, counts=counts, limits=limits)


def _pictures(at: At, value: Mapping[str, Any], boxes: Boxes) -> Iterator[Event]:
    """Give each of several pictures that were logged together."""
    captions, drawn = value.get("captions") or (), value.get("all_boxes") or ()
    for number, path in enumerate(value.get("filenames") or ()):
        one = {"path": path, "width": value.get("width"), "height": value.get("height")}
        one["caption"] = captions[number] if number < len(captions) else ""
        one["boxes"] = drawn[number] if number < len(drawn) else None
        yield _file(at, Image, one, boxes)


def _file(at: At, kind: type[Any], value: Mapping[str, Any], boxes: Boxes) -> Event:
    path = str(value["path"])
    shape = (int(value.get("nrows") or 0), int(value.get("ncols") or 0)) if kind is Table else ()
    data = Payload("", int(value.get("size") or 0), shape=shape, format=_format(kind, path), path=path)
    more: dict[str, Any] = {}
    if "caption" in kind.__struct_fields__:
        more["caption"] = str(value.get("caption") or "")
    if kind is Image and value.get("boxes"):
        more["boxes"], more["labels"] = _boxes(value, boxes)
    return kind(time=at.time, name=at.name, step=at.step, data=data, **more)


def _format(kind: type[Any], path: str) -> str:
    if kind is Table:
        return "json"
    if kind is Figure:
        return PLOTLY
    return path.rpartition("/")[2].rpartition(".")[2].lower()


def _boxes(value: Mapping[str, Any], read: Boxes) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return a picture's boxes in pixels, and their labels, whatever groups they are in."""
    size = (number_of(value.get("width")) or 1.0, number_of(value.get("height")) or 1.0)
    found: list[tuple[tuple[float, float, float, float], str]] = []
    groups = cast("dict[str, dict[str, Any]]", value["boxes"])
    for group in groups.values():
        said = group if "box_data" in group else read(str(group.get("path") or ""))
        classes: dict[str, Any] = said.get("class_labels") or {}
        boxes: list[dict[str, Any]] = said.get("box_data") or []
        for box in boxes:
            label = box.get("box_caption") or classes.get(str(box.get("class_id")), "")
            found.append((_edges(box, size), str(label)))
    labels = tuple(label for _, label in found)
    return tuple(edges for edges, _ in found), labels if any(labels) else ()


def _edges(box: Mapping[str, Any], size: Sequence[float]) -> tuple[float, float, float, float]:
    place: dict[str, Any] = box.get("position") or {}
    scale = (1.0, 1.0) if box.get("domain") == "pixel" else size
    edges = {key: number_of(place.get(key)) or 0.0 for key in place if key != "middle"}
    if "middle" in place:
        middle = [number_of(one) or 0.0 for one in cast("list[Any]", place["middle"])]
        for at, (low, high, extent) in enumerate((("minX", "maxX", "width"), ("minY", "maxY", "height"))):
            half = edges.get(extent, 0.0) / 2
            edges[low], edges[high] = middle[at] - half, middle[at] + half
    left, top, right, bottom = (edges.get(key, 0.0) for key in ("minX", "minY", "maxX", "maxY"))
    return left * scale[0], top * scale[1], right * scale[0], bottom * scale[1]
