"""Tables, and what judges a classifier: confusion matrices, PR and ROC curves."""

from typing import TYPE_CHECKING, Any

from tracelet import guard

if TYPE_CHECKING:
    from tracelet.intake import Intake


class Tables:
    """What has rows and columns."""

    __slots__ = ()

    _intake: "Intake"

    def log_table(
        self,
        name: str,
        table: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        columns: Any = None,
    ) -> None:
        """Log a table.

        Args:
            name: Any text that is not empty.
            table: A list of lists or of dicts, one for each row; a dict of columns; a frame of pandas
                or polars; or an array of two axes.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            columns: The columns' names; of a table that has some, those that are wanted.
        """
        self.table(name, table, step if iteration is None else iteration, columns=columns)

    @guard.contained
    def table(
        self, name: object, rows: Any, step: object, time: float | None = None, *, columns: Any = None
    ) -> None:
        """Record a table: what captures call."""
        from tracelet.intake import tables

        tables.table(self._intake, name, rows, step, time, columns=columns)

    @guard.contained
    def log_confusion_matrix(
        self,
        name: str,
        y_true: Any = None,
        y_pred: Any = None,
        iteration: int | None = None,
        *,
        step: int | None = None,
        labels: Any = None,
        matrix: Any = None,
    ) -> None:
        """Log how often which class was taken for which: a table of actual, predicted, count.

        Args:
            name: Any text that is not empty.
            y_true: The class of each example, a number or a text.
            y_pred: The class that was predicted for it.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            labels: All classes, in their order; or the names of the classes 0, 1, 2 …
            matrix: Instead of `y_true` and `y_pred`, the counts: a row for each actual class, a column
                for each predicted one.
        """
        from tracelet.intake import tables

        at = step if iteration is None else iteration
        tables.confusion_matrix(self._intake, name, y_true, y_pred, at, None, labels=labels, matrix=matrix)

    def log_pr_curve(
        self,
        name: str,
        y_true: Any,
        y_score: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        thresholds: int = 127,
        weights: Any = None,
    ) -> None:
        """Log precision and recall: a table of threshold, tp, fp, tn, fn, precision, recall.

        Args:
            name: Any text that is not empty.
            y_true: 0 or 1, or False or True, for each example.
            y_score: How probable 1 is for it, from 0 to 1.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            thresholds: How many there are, from 0 to 1.
            weights: What each example counts.
        """
        at = step if iteration is None else iteration
        self.pr_curve(name, y_true, y_score, at, thresholds=thresholds, weights=weights)

    @guard.contained
    def pr_curve(
        self,
        name: object,
        labels: Any,
        predictions: Any,
        step: object,
        time: float | None = None,
        **more: Any,
    ) -> None:
        """Record a PR curve: what captures call. `more` is as in `tracelet.intake.tables.pr_curve`."""
        from tracelet.intake import tables

        tables.pr_curve(self._intake, name, labels, predictions, step, time, **more)

    @guard.contained
    def log_roc_curve(
        self,
        name: str,
        y_true: Any,
        y_score: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        thresholds: int = 127,
        weights: Any = None,
    ) -> None:
        """Log a ROC curve: a table of threshold, fpr, tpr. The arguments are as in `log_pr_curve`."""
        from tracelet.intake import tables

        at = step if iteration is None else iteration
        more = {"thresholds": thresholds, "weights": weights}
        tables.roc_curve(self._intake, name, y_true, y_score, at, None, **more)
