"""What can be looked at of a plotly figure, and of a table that is a curve or a confusion matrix.

plotly and matplotlib draw it, if they are installed where this runs; else there is nothing, and the
figure's or the table's own JSON has to do. matplotlib is used without pyplot, whose state is global.
"""

import importlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_LABELS: Final = 30  # of a confusion matrix, up to which its cells have numbers
_TICKS: Final = 60  # and up to which its axes have labels
_DOTS: Final = 120  # per inch


def page(file: Path) -> bytes | None:
    """Make a page of HTML of plotly's JSON; None if plotly is not there, or does not understand it.

    The page loads plotly's script from where plotly says; it has 5 MB.
    """
    plotly = _there("plotly.io")
    if plotly is None:
        return None
    try:
        figure = plotly.from_json(file.read_text("utf-8"), skip_invalid=True)
        html = plotly.to_html(figure, include_plotlyjs="cdn", div_id="figure")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return str(html).encode()


def chart(kind: str, file: Path) -> "Picture | None":
    """Draw a table; None if matplotlib is not there, or the table is not what its kind says.

    Args:
        kind: As in `Table.chart`.
        file: The table's JSON.
    """
    draw = _CHARTS.get(kind)
    backend, figures = _there("matplotlib.backends.backend_agg"), _there("matplotlib.figure")
    if draw is None or backend is None or figures is None:
        return None
    try:
        table = json.loads(file.read_bytes())
        rows = [*zip(*table["data"], strict=True)] or [()] * len(table["columns"])
        columns = dict(zip(table["columns"], rows, strict=True))
        figure = figures.Figure(figsize=(5.0, 4.0), dpi=_DOTS, layout="constrained")
        canvas = backend.FigureCanvasAgg(figure)
        draw(figure.add_subplot(), columns)
        canvas.draw()
    except (ValueError, TypeError, KeyError):
        return None
    from PIL import Image as Pillow

    return Pillow.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def _confusion_matrix(axes: Any, columns: Mapping[str, Any]) -> None:
    import numpy as np

    pairs = [(str(one), str(two)) for one, two in zip(columns["actual"], columns["predicted"], strict=True)]
    labels = [*dict.fromkeys(label for pair in pairs for label in pair)]
    place = {label: at for at, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)))
    for (actual, predicted), count in zip(pairs, columns["count"], strict=True):
        counts[place[actual], place[predicted]] += float(count)
    axes.imshow(counts, cmap="Blues")
    axes.set(xlabel="predicted", ylabel="actual")
    if len(labels) <= _TICKS:
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
    if len(labels) <= _LABELS:
        bright = counts.max() / 2
        for row, line in enumerate(counts.tolist()):
            for column, count in enumerate(line):
                colour = "white" if count > bright else "black"
                axes.text(column, row, f"{count:g}", ha="center", va="center", color=colour)


def _pr_curve(axes: Any, columns: Mapping[str, Any]) -> None:
    precision = _numbers(columns["precision"])
    if (
        "tp" in columns and "fp" in columns
    ):  # where nothing is found there is no precision, and 0 stands for it
        found = zip(_numbers(columns["tp"]), _numbers(columns["fp"]), strict=True)
        precision = [one if sum(counts) else math.nan for one, counts in zip(precision, found, strict=True)]
    axes.plot(_numbers(columns["recall"]), precision, marker=".")
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(visible=True)


def _roc_curve(axes: Any, columns: Mapping[str, Any]) -> None:
    axes.plot((0, 1), (0, 1), color="grey", linestyle=":")
    axes.plot(_numbers(columns["fpr"]), _numbers(columns["tpr"]), marker=".")
    axes.set(
        xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
    )
    axes.grid(visible=True)


_CHARTS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], None]]] = {
    "confusion_matrix": _confusion_matrix,
    "pr_curve": _pr_curve,
    "roc_curve": _roc_curve,
}


def _numbers(column: Any) -> list[float]:
    return [math.nan if value is None else float(value) for value in column]


def _there(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
