"""What users hand in to tell which classes a classifier mistakes for which: as a table of pairs."""

import itertools
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NoReturn, cast

from tracelet import arrays, values
from tracelet.inputs import scores, texts
from tracelet.inputs.tables import Grid

COLUMNS: Final = ("actual", "predicted", "count")
CLASSES_MAX: Final = 1000  # a million pairs


def of_labels(y_true: Any, y_pred: Any, labels: Any) -> Grid:
    """Count which class was predicted for which.

    Args:
        y_true: The class of each example: a number or a text.
        y_pred: The class that was predicted for it.
        labels: The classes in the order in which they are shown; or the names of the classes 0, 1,
            2 …; None for those that there are, sorted.

    Raises:
        TypeError: They are no such things; the message says what to do.
    """
    if y_true is None or y_pred is None:
        raise TypeError("it takes either y_true and y_pred, or matrix")
    if all(values.is_array(one) and arrays.is_numeric(one) for one in (y_true, y_pred)):
        pairs = _counted(y_true, y_pred)
    else:
        actual, predicted = _classes("y_true", y_true), _classes("y_pred", y_pred)
        scores.check_lengths(len(actual), len(predicted))
        pairs = Counter(zip(actual, predicted, strict=True))
    found = dict.fromkeys(itertools.chain.from_iterable(pairs))
    if labels is None:
        classes = _sorted(list(found))
        return _grid(classes, classes, pairs)
    names = _names(labels)
    if all(one in names for one in found):
        return _grid(names, names, pairs)
    strange = next(one for one in found if one not in names)
    if any(isinstance(one, str) for one in found) or not all(isinstance(one, str) for one in names):
        raise TypeError(f"{strange!r} is not among labels={texts.shown(labels)}")
    if bad := [one for one in found if one not in range(len(names))]:
        message = f"the class {bad[0]!r} has no name: labels= has {len(names)} of them, for 0 to"
        raise TypeError(f"{message} {len(names) - 1}")
    return _grid(list(range(len(names))), names, pairs)


def of_matrix(matrix: Any, labels: Any) -> Grid:
    """Take counts: a row for each actual class, a column for each predicted one.

    Raises:
        TypeError: They are none; the message says what to do.
    """
    numbers, shape = arrays.numbers(matrix)
    if len(shape) != 2 or shape[0] != shape[1] or not 0 < shape[0] <= CLASSES_MAX:  # noqa: PLR2004  rows and columns
        raise TypeError(f"matrix= has the shape (classes, classes), up to {CLASSES_MAX}, and not {shape}")
    if any(not count >= 0 for count in numbers):
        raise TypeError("a count is a number that is not below 0")
    names = list(range(shape[0])) if labels is None else _names(labels)
    if len(names) != shape[0]:
        raise TypeError(f"labels= names {len(names)} classes, and matrix= has {shape[0]}")
    pairs = itertools.product(names, names)
    rows = [
        [*pair, int(count) if count.is_integer() else count]
        for pair, count in zip(pairs, numbers, strict=True)
    ]
    return Grid(list(COLUMNS), rows)


def _grid(classes: list[Any], names: list[Any], pairs: "Counter[tuple[Any, Any]]") -> Grid:
    if len(classes) > CLASSES_MAX:
        _too_many(len(classes))
    named = list(zip(classes, names, strict=True))
    rows = [[a_name, b_name, pairs[a, b]] for a, a_name in named for b, b_name in named]
    return Grid(list(COLUMNS), rows)


def _too_many(classes: int) -> NoReturn:
    message = f"a confusion matrix has up to {CLASSES_MAX:,} classes, and these are {classes:,}"
    raise TypeError(f"{message}; values that are no classes are logged as a histogram")


def _counted(y_true: Any, y_pred: Any) -> "Counter[tuple[Any, Any]]":
    """Count pairs of numbers in arrays; a million of them take too long one by one."""
    numpy: Any = sys.modules["numpy"]  # whoever has such arrays has loaded it
    actual, predicted = scores.array("y_true", y_true), scores.array("y_pred", y_pred)
    scores.check_lengths(len(actual), len(predicted))
    rows, row_of = numpy.unique(actual, return_inverse=True)
    columns, column_of = numpy.unique(predicted, return_inverse=True)
    if max(len(rows), len(columns)) > CLASSES_MAX:
        _too_many(max(len(rows), len(columns)))
    counts = numpy.bincount(row_of * len(columns) + column_of, minlength=len(rows) * len(columns)).tolist()
    pairs = itertools.product(_classes("y_true", rows), _classes("y_pred", columns))
    return Counter({pair: count for pair, count in zip(pairs, counts, strict=True) if count})


def _classes(what: str, given: Any) -> list[Any]:
    return [_class(what, one) for one in scores.listed(what, given)]


def _class(what: str, one: Any) -> Any:
    """Make a number or a text of a class: 1.0 is 1, as labels of torch often are."""
    if one.__class__ is int or one.__class__ is bool:
        return one
    if isinstance(one, (list, tuple)) or (values.is_array(one) and len(one.shape) > 0):
        scores.refuse_classes(what, "a list of lists")
    if values.is_array(one):
        one = values.elements(one)
    if isinstance(one, float):
        if not one.is_integer():
            raise TypeError(f"{what} holds {one!r}, which is no class; give classes, and not scores")
        return int(one)
    if one is None:
        raise TypeError(f"{what} holds None, which is no class")
    return one if isinstance(one, int) else texts.kept("a label", values.text(one))


def _names(labels: Any) -> list[Any]:
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"labels={texts.shown(labels)} is no list of classes")
    found = itertools.islice(cast("Iterable[Any]", labels), CLASSES_MAX + 1)
    made = [_class("labels", one) for one in found]
    if len(set(made)) < len(made):
        raise TypeError(f"labels={texts.shown(cast('object', labels))} has a class twice")
    return made


def _sorted(classes: list[Any]) -> list[Any]:
    """Sort numbers, and then texts."""
    texts_of = [one for one in classes if isinstance(one, str)]
    return sorted(one for one in classes if not isinstance(one, str)) + sorted(texts_of)
