"""Tables on their way in, also those that judge a classifier: as JSON, made when they are logged."""

from typing import TYPE_CHECKING, Any

import msgspec

from tracelet.events import Table
from tracelet.inputs.texts import Raised, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracelet.inputs.tables import Grid
    from tracelet.intake import Intake


def table(
    intake: "Intake", name: object, rows: Any, step: object, time: float | None, *, columns: Any = None
) -> None:
    """See `Recording.log_table`."""

    def take(called: str) -> "Grid":
        from tracelet.inputs import tables

        return tables.grid(called, rows, columns)

    _record(intake, name, step, time, take, "")


def confusion_matrix(
    intake: "Intake",
    name: object,
    y_true: Any,
    y_pred: Any,
    step: object,
    time: float | None,
    *,
    labels: Any = None,
    matrix: Any = None,
) -> None:
    """See `Recording.log_confusion_matrix`."""

    def take(_: str) -> "Grid":
        from tracelet.inputs import confusion

        if matrix is None:
            return confusion.of_labels(y_true, y_pred, labels)
        if y_true is not None or y_pred is not None:
            raise TypeError("it takes either y_true and y_pred, or matrix")
        return confusion.of_matrix(matrix, labels)

    _record(intake, name, step, time, take, "confusion_matrix")


def pr_curve(
    intake: "Intake",
    name: object,
    labels: Any,
    predictions: Any,
    step: object,
    time: float | None,
    *,
    thresholds: Any = 127,
    weights: Any = None,
    counts: Any = None,
) -> None:
    """See `Recording.log_pr_curve`; `counts` are those of a curve that was computed already."""

    def take(called: str) -> "Grid":
        from tracelet.inputs import scores

        if counts is not None:
            return scores.counted(counts)
        return scores.pr_curve(called, labels, predictions, thresholds, weights)

    _record(intake, name, step, time, take, "pr_curve")


def roc_curve(
    intake: "Intake",
    name: object,
    labels: Any,
    predictions: Any,
    step: object,
    time: float | None,
    *,
    thresholds: Any = 127,
    weights: Any = None,
) -> None:
    """See `Recording.log_roc_curve`."""

    def take(called: str) -> "Grid":
        from tracelet.inputs import scores

        return scores.roc_curve(called, labels, predictions, thresholds, weights)

    _record(intake, name, step, time, take, "roc_curve")


def _record(
    intake: "Intake",
    name: object,
    step: object,
    time: float | None,
    take: "Callable[[str], Grid]",
    chart: str,
) -> None:
    what = chart.replace("_", " ") or "table"
    at = intake.place(what, name, step, time)
    if at is None:
        return
    found = attempt(take, at.name)
    if isinstance(found, Raised):
        intake.refused(what, at.name, found.error)
        return
    encoded = attempt(found.encode)
    if isinstance(encoded, Raised):
        intake.refused(what, at.name, encoded.error)
        return
    data = intake.written(what, at.name, "json", lambda blob: blob.write(encoded))
    if data is None:
        return
    intake.event(
        Table(
            time=at.time,
            name=at.name,
            data=msgspec.structs.replace(data, shape=(len(found.rows), len(found.columns))),
            step=at.step,
            ordinal=intake.ordinal("table", at),  # they share their names with other tables
            chart=chart,
        )
    )
