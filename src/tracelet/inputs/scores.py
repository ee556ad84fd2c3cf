"""What users hand in to judge a classifier: as a table of a confusion matrix, or of a PR or ROC curve.

They are computed when they are logged, because they are small. Scores are counted in as many buckets as
there are thresholds, from 0 to 1, as TensorBoard's PR curves are; a threshold's counts are of the
scores that reach it. Whatever numpy or torch hands in is counted by numpy, all else without it.
"""

import itertools
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, cast

from tracelet import arrays, guard, values
from tracelet.inputs import texts
from tracelet.inputs.tables import Grid

THRESHOLDS: Final = 127  # as many as TensorBoard shows
THRESHOLDS_MAX: Final = 10_000
VALUES_MAX: Final = 10_000_000  # of what is no array
PR_COLUMNS: Final = ("threshold", "tp", "fp", "tn", "fn", "precision", "recall")
ROC_COLUMNS: Final = ("threshold", "fpr", "tpr")
_LEAST: Final = 1e-7  # what is divided by is at least this, as in TensorBoard


class Counts(NamedTuple):
    """True and false positives and negatives, one for each threshold."""

    tp: list[float]
    fp: list[float]
    tn: list[float]
    fn: list[float]


def pr_curve(name: str, labels: Any, scores: Any, thresholds: Any, weights: Any) -> Grid:
    """Compute precision and recall at each threshold.

    Args:
        name: What it is called, for warnings.
        labels: 0 or 1, or False or True, for each score.
        scores: From 0 to 1.
        thresholds: How many, the first one 0, the last one 1.
        weights: One for each score; or one for all, which None is, too.

    Raises:
        TypeError: They are no such things; the message says what to do.
    """
    found = _counts(name, labels, scores, thresholds, weights)
    precision = [tp / max(_LEAST, tp + fp) for tp, fp in zip(found.tp, found.fp, strict=True)]
    recall = [tp / max(_LEAST, tp + fn) for tp, fn in zip(found.tp, found.fn, strict=True)]
    return _grid(PR_COLUMNS, *found, precision, recall)


def roc_curve(name: str, labels: Any, scores: Any, thresholds: Any, weights: Any) -> Grid:
    """Compute false and true positive rates at each threshold. See `pr_curve`."""
    found = _counts(name, labels, scores, thresholds, weights)
    fpr = [fp / max(_LEAST, fp + tn) for fp, tn in zip(found.fp, found.tn, strict=True)]
    tpr = [tp / max(_LEAST, tp + fn) for tp, fn in zip(found.tp, found.fn, strict=True)]
    return _grid(ROC_COLUMNS, fpr, tpr)


def counted(given: Any) -> Grid:
    """Take a PR curve that was computed already: tp, fp, tn, fn, precision and recall.

    Raises:
        TypeError: They are others, or not equally many.
    """
    columns = [list(arrays.numbers(one)[0]) for one in itertools.islice(given, len(PR_COLUMNS))]
    if len(columns) != len(PR_COLUMNS) - 1:
        raise TypeError(f"counts are {', '.join(PR_COLUMNS[1:])}, and these are {len(columns)}")
    if len({len(one) for one in columns}) > 1 or not columns[0]:
        raise TypeError(f"counts are equally many, and these are {[len(one) for one in columns]}")
    return _grid(PR_COLUMNS, *columns)


def _grid(names: Sequence[str], *columns: Sequence[float]) -> Grid:
    last = max(1, len(columns[0]) - 1)
    rows = [[at / last, *row] for at, row in enumerate(zip(*columns, strict=True))]
    return Grid(list(names), rows)


def _counts(name: str, labels: Any, scores: Any, thresholds: Any, weights: Any) -> Counts:
    count = values.step(thresholds)
    if count is None or not 1 < count <= THRESHOLDS_MAX:
        raise TypeError(f"thresholds={thresholds!r} is no number from 2 to {THRESHOLDS_MAX:,}")
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and any(values.is_array(one) for one in (labels, scores)):
        positive, negative, outside = _by_numpy(numpy, labels, scores, count, weights)
    else:
        positive, negative, outside = _by_hand(labels, scores, count, weights)
    if outside:
        message = "curve %r: %d of its scores are not from 0 to 1 and count nowhere; give probabilities"
        guard.warn_once(message, name, outside, key=name)
    tp, fp = _from_the_end(positive), _from_the_end(negative)
    return Counts(tp, fp, [fp[0] - one for one in fp], [tp[0] - one for one in tp])


def _from_the_end(buckets: Sequence[float]) -> list[float]:
    return list(itertools.accumulate(reversed(buckets)))[::-1]


def _by_hand(labels: Any, scores: Any, count: int, weights: Any) -> tuple[list[float], list[float], int]:
    truths, predicted = _plain("y_true", labels), _plain("y_score", scores)
    weighted = _plain("weights", weights) if _is_many(weights) else [_one_weight(weights)] * len(truths)
    check_lengths(len(truths), len(predicted), len(weighted))
    positive, negative, outside = [0.0] * count, [0.0] * count, 0
    for truth, score, weight in zip(truths, predicted, weighted, strict=True):
        _check_label(truth)
        place = math.floor(score * (count - 1)) if math.isfinite(score) else -1
        if not 0 <= place < count:
            outside += 1
            continue
        positive[place] += truth * weight
        negative[place] += (1.0 - truth) * weight
    return positive, negative, outside


def _by_numpy(
    numpy: Any, labels: Any, scores: Any, count: int, weights: Any
) -> tuple[list[float], list[float], int]:
    truths, predicted = array("y_true", labels).astype("f8"), array("y_score", scores)
    weighted: Any = array("weights", weights) if _is_many(weights) else _one_weight(weights)
    check_lengths(len(truths), len(predicted), len(weighted) if _is_many(weights) else len(truths))
    wrong = truths[~((truths >= 0) & (truths <= 1))]
    if len(wrong):
        _check_label(float(wrong[0]))
    with numpy.errstate(all="ignore"):
        # Multiplied in their own type, as TensorBoard does: half a bit more may be the next bucket.
        places = numpy.floor(predicted * (count - 1 if predicted.dtype.kind == "f" else count - 1.0))
        inside = (places >= 0) & (places < count)
    at = places[inside].astype("i8")
    positive, negative = truths * weighted, (1.0 - truths) * weighted
    made = [numpy.bincount(at, one[inside], count).tolist() for one in (positive, negative)]
    return made[0], made[1], int(len(predicted) - len(at))


def _is_many(weights: Any) -> bool:
    if values.is_array(weights):
        return len(weights.shape) > 0
    return isinstance(weights, Iterable) and not isinstance(weights, str)


def _one_weight(weights: Any) -> float:
    return 1.0 if weights is None else values.number(weights)


def array(what: str, given: Any) -> Any:
    """Make numpy's array, of one axis, of numbers.

    Raises:
        TypeError: It has a column for each class, or is no array of numbers.
    """
    numpy: Any = sys.modules["numpy"]
    _check_axes(what, given)
    raw = arrays.raw(given if values.is_array(given) else _plain(what, given))
    whole = raw.pieces[0] if len(raw.pieces) == 1 else b"".join(raw.pieces)
    return numpy.frombuffer(whole, numpy.dtype(raw.dtype).newbyteorder("<"))


def _plain(what: str, given: Any) -> list[float]:
    """Make a list of floats."""
    if values.is_array(given):
        _check_axes(what, given)
        return list(arrays.numbers(given)[0])
    return [_number(what, one) for one in listed(what, given)]


def _number(what: str, one: Any) -> float:
    if one.__class__ is float:
        return one
    try:
        return values.number(one)
    except TypeError:
        if isinstance(one, (list, tuple)) or values.is_array(one):
            refuse_classes(what, "a list of lists")
        hint = "; give 0 or 1, as in [label == 'cat' for label in labels]" if what == "y_true" else ""
        raise TypeError(f"{what} holds {texts.shown(one)}, which is no number{hint}") from None


def listed(what: str, given: Any) -> list[Any]:
    """Make a list of labels or scores.

    Raises:
        TypeError: They are none, or there is no end of them.
    """
    if values.is_array(given):
        _check_axes(what, given)
        return given.reshape(-1).tolist() if hasattr(given, "reshape") else list(given.to_list())
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} is a list or an array, and not {texts.shown(given)}")
    found = list(itertools.islice(cast("Iterable[Any]", given), VALUES_MAX + 1))
    if len(found) > VALUES_MAX:
        raise TypeError(f"{what} has more than {VALUES_MAX:,} values, perhaps without end")
    return found


def _check_axes(what: str, given: Any) -> None:
    """Refuse what has a column for each class."""
    shape = tuple(given.shape) if values.is_array(given) else ()
    if sum(length != 1 for length in shape) > 1:
        refuse_classes(what, f"an array of the shape {shape}")


def refuse_classes(what: str, how: str) -> NoReturn:
    """Say what to do with one score for each class of each example."""
    remedies = {
        "y_score": "log a curve for each class: y_true == k, and the scores' column k",
        "y_pred": "give the classes, as in scores.argmax(1)",
    }
    remedy = remedies.get(what, "give the classes alone")
    raise TypeError(f"{what} has one value for each example, and not {how}; {remedy}")


def check_lengths(labels: int, predictions: int, weights: int | None = None) -> None:
    """Refuse labels and predictions that are not equally many, and none at all."""
    if labels != predictions or weights not in {None, labels}:
        told = f"{labels} labels, {predictions} predictions"
        told += "" if weights in {None, labels} else f", {weights} weights"
        raise TypeError(f"there are as many labels as predictions, and here are {told}")
    if not labels:
        raise TypeError("there is nothing to judge: no labels and no predictions")


def _check_label(label: float) -> None:
    if not 0 <= label <= 1:
        raise TypeError(f"y_true is 0 or 1 for each score, and it holds {label:g}; give y_true == that class")
