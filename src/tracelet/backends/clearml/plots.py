"""Plotly's figures, of histograms, tables and pictures: ClearML's page draws them, and no library is needed.

What we know besides stands under one key more, "tracelet", which plotly ignores: the event as it is kept,
and of a table its JSON.
"""

import base64
import itertools
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from tracelet.backends.clearml.said import items, mapping, objects
from tracelet.events import Histogram, Packed

OURS: Final = "tracelet"
ROWS: Final = 1_000  # of a table that are shown; what is read back is whole
Figure = dict[str, Any]


def packed(event: Any) -> str:
    """Return an event as text."""
    return base64.b64encode(msgspec.msgpack.encode(event)).decode()


def unpacked(said: object) -> Any:
    """Return the event that a text is, or bytes are; None if it is none."""
    try:
        content = said if isinstance(said, bytes) else base64.b64decode(str(said), validate=True)
        return msgspec.msgpack.decode(content, type=Packed)
    except (ValueError, msgspec.MsgspecError):  # somebody else's, or of a newer version
        return None


def histogram(event: Histogram) -> Figure:
    """Make a figure of counts; bins of no or infinite width are drawn beside each other."""
    edges = event.limits
    widths = [high - low for low, high in itertools.pairwise(edges)]
    plain = all(0.0 < width < 1e300 for width in widths)  # noqa: PLR2004  beyond which sums are infinite
    centers = [low + width / 2 for low, width in zip(edges, widths, strict=False)]
    shown = centers if plain else [f"{low:g} … {high:g}" for low, high in itertools.pairwise(edges)]
    bars: Figure = {"type": "bar", "x": shown, "y": [*event.counts], "name": event.name}
    if plain:
        bars["width"] = widths
    return {"data": [bars], "layout": {"bargap": 0, **_titled(event.name)}}


def table(name: str, content: bytes, chart: str) -> Figure:
    """Make a figure of a table: a curve or a matrix, if it is one, else the table itself.

    Args:
        name: What it is called.
        content: Its JSON.
        chart: As `Table.chart`.

    Raises:
        ValueError: It is no table.
    """
    try:
        said = json.loads(content)
        names = [str(column) for column in said["columns"]]
        rows: list[Sequence[Any]] = list(said["data"])
        columns = {column: [row[at] for row in rows] for at, column in enumerate(names)}
        drawn = _drawn(chart, columns)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"it is no table: {type(error).__name__}: {error}") from error
    if drawn is not None:
        return {**drawn, "layout": {**drawn["layout"], **_titled(name)}}
    cells = {"values": [[_cell(row[at]) for row in rows[:ROWS]] for at in range(len(names))]}
    whole = {"type": "table", "header": {"values": names}, "cells": cells}
    return {"data": [whole], "layout": _titled(name)}


def picture(name: str, url: str, size: tuple[int, int], caption: str) -> Figure:
    """Make a figure that is a picture, which lies somewhere."""
    width, height = size
    image = {
        "source": url, "xref": "x", "yref": "y", "x": 0, "y": height, "sizex": width, "sizey": height,
        "sizing": "contain", "layer": "below", "opacity": 1.0,
    }  # fmt: skip
    axes = {
        "xaxis": {"visible": False, "range": [0, width]},
        "yaxis": {"visible": False, "range": [0, height], "scaleanchor": "x"},
    }
    margin = {"l": 0, "r": 0, "t": 64, "b": 0}
    return {"data": [], "layout": {**axes, "margin": margin, "images": [image], **_titled(caption or name)}}


def with_file(drawn: Figure, url: str) -> Figure:
    """Name a file in a figure, as an image that is not shown: ClearML's importer knows no other place."""
    image = {"source": url, "visible": False, "sizex": 0, "sizey": 0}
    return {**drawn, "layout": {**mapping(drawn["layout"]), "images": [image]}}


def file_in(drawn: Figure) -> str:
    """Return the address of the file that a figure of ours names."""
    images = objects(mapping(drawn.get("layout")).get("images"))
    return str(images[0].get("source") or "") if images else ""


def figure(content: bytes) -> Figure:
    """Read a figure of plotly's own.

    Raises:
        ValueError: It is none.
    """
    try:
        said = json.loads(content, parse_constant=lambda _: None)  # a page's JSON has no NaN
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    made = mapping(said)
    if "data" not in made:
        raise ValueError("it is no figure of plotly's: it has no `data`")
    return {"layout": {}, **{key: value for key, value in made.items() if key != OURS}}


def text_of(drawn: Figure, event: Any, **more: str) -> str:
    """Return a figure as ClearML takes it.

    Args:
        drawn: The figure.
        event: As it is kept.
        more: What else is to be known of it.
    """
    return json.dumps(
        {**_finite(drawn), OURS: {"event": packed(event), **more}}, ensure_ascii=False, allow_nan=False
    )


def said_in(text: str) -> tuple[Figure, Mapping[str, Any]]:
    """Return the figure that a text is, and what we know of it; nothing of somebody else's."""
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    drawn = mapping(found)
    return drawn, mapping(drawn.pop(OURS, None))


def text_in(document: Mapping[str, Any]) -> str:
    """Return the JSON of a document that is a plot; a server may have packed it."""
    text, packed_text = document.get("plot_str"), document.get("plot_data")
    if text is None and packed_text:
        return zlib.decompress(base64.b64decode(str(packed_text))).decode()
    return str(text or "")


def rows_of(drawn: Figure) -> dict[str, Any] | None:
    """Return the columns and rows of a figure that is a table, as somebody else has made it."""
    traces = objects(drawn.get("data"))
    if len(traces) != 1 or traces[0].get("type") != "table":
        return None
    heads = items(mapping(traces[0].get("header")).get("values"))
    cells = [items(one) for one in items(mapping(traces[0].get("cells")).get("values"))]
    names = [str((items(head) or [head])[0]) for head in heads]  # each of which may be a list
    columns = [cells[at] if at < len(cells) else [] for at in range(len(names))]
    length = max(map(len, columns), default=0)
    rows = [[column[at] if at < len(column) else None for column in columns] for at in range(length)]
    return {"columns": names, "data": rows}


def _drawn(chart: str, columns: Mapping[str, list[Any]]) -> Figure | None:
    curve = {"pr_curve": ("recall", "precision"), "roc_curve": ("fpr", "tpr")}.get(chart)
    if curve is not None and set(curve) <= columns.keys():
        across, up = curve
        trace = {"type": "scatter", "mode": "lines", "x": columns[across], "y": columns[up]}
        return {"data": [trace], "layout": {"xaxis": _titled(across), "yaxis": _titled(up)}}
    if chart == "confusion_matrix" and {"actual", "predicted", "count"} <= columns.keys():
        return _matrix(columns)
    return None


def _matrix(columns: Mapping[str, list[Any]]) -> Figure:
    triples = list(zip(columns["actual"], columns["predicted"], columns["count"], strict=True))
    labels = [*dict.fromkeys(str(label) for triple in triples for label in triple[:2])]
    place = {label: at for at, label in enumerate(labels)}
    counts = [[0.0] * len(labels) for _ in labels]
    for actual, predicted, count in triples:
        counts[place[str(actual)]][place[str(predicted)]] += float(count)
    trace = {"type": "heatmap", "x": labels, "y": labels, "z": counts, "colorscale": "Blues"}
    return {"data": [trace], "layout": {"xaxis": _titled("predicted"), "yaxis": _titled("actual")}}


def _titled(text: str) -> dict[str, Any]:
    return {"title": {"text": text}}


def _cell(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) or value is None else json.dumps(value)


def _finite(value: Any) -> Any:
    """Leave out what JSON cannot say: NaN and infinities."""
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in cast("list[Any]", value)]
    return value
