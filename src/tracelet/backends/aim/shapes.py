"""Plotly's figures, as JSON, of tables and of histograms that Aim cannot show: no library draws them.

Aim's page has plotly's own script, so the JSON is all that it needs.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

ROWS: Final = 1_000  # of a table that are shown; what is read back is whole
BINS: Final = 512  # that Aim shows


def table(content: bytes, chart: str) -> str:
    """Make a figure of a table: a curve or a matrix, if it is one, else the table itself.

    Args:
        content: The table's JSON.
        chart: As `Table.chart`.

    Raises:
        ValueError: It is no table.
    """
    try:
        said = json.loads(content)
        names = [str(name) for name in said["columns"]]
        rows: list[Sequence[Any]] = list(said["data"])
        columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"it is no table: {type(error).__name__}: {error}") from error
    drawn: dict[str, Any] | None = _drawn(chart, columns)
    if drawn is None:
        cells = [[_cell(row[at]) for row in rows[:ROWS]] for at in range(len(names))]
        drawn = {
            "data": [{"type": "table", "header": {"values": names}, "cells": {"values": cells}}],
            "layout": {},
        }
    return json.dumps(drawn, ensure_ascii=False)


def equal_bins(counts: Sequence[float], limits: Sequence[float]) -> tuple[list[float], float, float]:
    """Spread counts over bins of equal width, as many as there are and at most `BINS`.

    Returns:
        The counts, and where the first bin begins and the last ends. Empty bins at the ends are left out,
        if the bins had unequal widths.
    """
    import numpy as np

    numpy: Any = np  # whose stubs know little of what follows
    edges: Any = numpy.asarray(limits, dtype="f8")
    weights: Any = numpy.asarray(counts, dtype="f8")
    if not len(weights) or len(edges) != len(weights) + 1:
        return [0.0], 0.0, 1.0
    with numpy.errstate(all="ignore"):
        widths = numpy.diff(edges)
        equal = numpy.allclose(widths, widths[0], rtol=1e-6, atol=0.0)
    if equal and len(weights) <= BINS and numpy.isfinite(edges).all():
        return weights.tolist(), float(edges[0]), float(edges[-1])
    full = numpy.flatnonzero(weights)
    first, last = (int(full[0]), int(full[-1])) if len(full) else (0, len(weights) - 1)
    edges, weights = edges[first : last + 2], weights[first : last + 1]
    with numpy.errstate(all="ignore"):
        spread = edges[-1] - edges[0]
    if not numpy.isfinite(spread) or spread <= 0:  # then the bins can only be counted
        edges = numpy.arange(len(weights) + 1, dtype="f8")
    number = min(len(weights), BINS)
    even = numpy.linspace(edges[0], edges[-1], number + 1)
    total = numpy.concatenate(([0.0], numpy.cumsum(weights)))
    spread_out = numpy.diff(numpy.interp(even, edges, total))
    return spread_out.tolist(), float(edges[0]), float(edges[-1])


def _drawn(chart: str, columns: Mapping[str, list[Any]]) -> dict[str, Any] | None:
    curve = {"pr_curve": ("recall", "precision"), "roc_curve": ("fpr", "tpr")}.get(chart)
    if curve is not None and set(curve) <= columns.keys():
        across, up = curve
        trace = {"type": "scatter", "mode": "lines", "x": columns[across], "y": columns[up]}
        return {"data": [trace], "layout": {"xaxis": _axis(across), "yaxis": _axis(up)}}
    if chart == "confusion_matrix" and {"actual", "predicted", "count"} <= columns.keys():
        return _matrix(columns)
    return None


def _matrix(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    triples = list(zip(columns["actual"], columns["predicted"], columns["count"], strict=True))
    labels = [*dict.fromkeys(str(label) for triple in triples for label in triple[:2])]
    place = {label: at for at, label in enumerate(labels)}
    counts = [[0.0] * len(labels) for _ in labels]
    for actual, predicted, count in triples:
        counts[place[str(actual)]][place[str(predicted)]] += float(count)
    trace = {"type": "heatmap", "x": labels, "y": labels, "z": counts, "colorscale": "Blues"}
    return {"data": [trace], "layout": {"xaxis": _axis("predicted"), "yaxis": _axis("actual")}}


def _axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}}


def _cell(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) or value is None else json.dumps(value)
