"""A confusion matrix counts every pair of classes, the ones that never occur too."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import confusion_matrix

from tracelet.inputs import confusion


def matrix(grid: Any) -> Any:
    assert grid.columns == ["actual", "predicted", "count"]
    side = round(len(grid.rows) ** 0.5)
    return np.array([row[2] for row in grid.rows]).reshape(side, side)


@pytest.mark.parametrize("form", [list, np.asarray, torch.tensor, lambda given: torch.tensor(given).float()])
def test_the_counts_are_those_of_scikit_learn(form: Any) -> None:
    random = np.random.default_rng(1)
    actual, predicted = random.integers(0, 5, 300), random.integers(0, 4, 300)

    found = confusion.of_labels(form(actual.tolist()), form(predicted.tolist()), None)

    assert np.array_equal(matrix(found), confusion_matrix(actual, predicted))
    assert found.rows[1][:2] == [0, 1]


def test_classes_may_be_texts_and_of_any_series() -> None:
    found = confusion.of_labels(pd.Series(["cat", "dog"]), np.array(["dog", "dog"]), None)

    assert found.rows == [["cat", "cat", 0], ["cat", "dog", 1], ["dog", "cat", 0], ["dog", "dog", 1]]


def test_labels_are_the_classes_in_their_order_or_the_names_of_numbers() -> None:
    ordered = confusion.of_labels(["b"], ["a"], ["b", "a", "c"])
    named = confusion.of_labels([0, 1], [1.0, 1.0], ["no", "yes"])

    assert [row[0] for row in ordered.rows] == [*"bbbaaaccc"]
    assert matrix(ordered)[0, 1] == 1
    assert named.rows == [["no", "no", 0], ["no", "yes", 1], ["yes", "no", 0], ["yes", "yes", 1]]


def test_numbers_and_texts_may_be_classes_together() -> None:
    assert [row[0] for row in confusion.of_labels([2, "x"], [10, 2], None).rows[::3]] == [2, 10, "x"]


def test_a_matrix_that_was_counted_is_kept() -> None:
    found = confusion.of_matrix(np.array([[1, 2], [3, 4]]), ["a", "b"])

    assert found.rows == [["a", "a", 1], ["a", "b", 2], ["b", "a", 3], ["b", "b", 4]]
    assert confusion.of_matrix([[0.5, 0.5], [0, 1]], None).rows[0] == [0, 0, 0.5]


@pytest.mark.parametrize(
    ("actual", "predicted", "labels", "words"),
    [
        ([0, 1], [0], None, "2 labels, 1 predictions"),
        ([0, 1], None, None, "either y_true and y_pred, or matrix"),
        ([0, 1], np.eye(2), None, r"scores.argmax\(1\)"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], None, r"scores.argmax\(1\)"),
        ([0, 1], [0.1, 0.9], None, "classes, and not scores"),
        (np.array([0, 1]), np.array([0.1, 0.9]), None, "classes, and not scores"),
        ([0, 1], [0, 2], ["no", "yes"], "the class 2 has no name"),
        (["a"], ["x"], ["a", "b"], "'x' is not among labels="),
        (["a"], ["a"], ["a", "a"], "a class twice"),
        (["a"], ["a"], "ab", "no list of classes"),
        ([None], ["a"], None, "holds None"),
        (range(1001), range(1001), None, "up to 1,000 classes"),
        (np.arange(2000), np.arange(2000), None, "up to 1,000 classes"),
    ],
)
def test_what_is_no_class_is_told(actual: Any, predicted: Any, labels: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        confusion.of_labels(actual, predicted, labels)


@pytest.mark.parametrize(
    ("given", "labels", "words"),
    [
        ([[1, 2]], None, "the shape"),
        ([1, 2], None, "the shape"),
        ([[-1]], None, "not below 0"),
        ([[1, 2], [3, 4]], ["a"], "names 1 classes"),
        ("text", None, "no array"),
    ],
)
def test_what_is_no_matrix_is_told(given: Any, labels: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        confusion.of_matrix(given, labels)
