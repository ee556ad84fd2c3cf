"""Curves have TensorBoard's numbers, and what cannot be judged is told."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from torch.utils.tensorboard.summary import compute_curve

from tracelet import guard
from tracelet.inputs import scores

examples = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.floats(0, 1, width=32), st.floats(0, 5)), min_size=1, max_size=50
)


def columns(grid: Any) -> dict[str, list[float]]:
    return dict(zip(grid.columns, map(list, zip(*grid.rows, strict=True)), strict=True))


@given(examples, st.integers(2, 127), st.booleans(), st.sampled_from(["f4", "f8"]))
def test_a_pr_curve_has_the_numbers_of_tensorboard(
    rows: list[tuple[int, float, float]], thresholds: int, weighted: bool, dtype: str
) -> None:
    labels, predictions = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype)
    weights = np.array([row[2] for row in rows]) if weighted else None

    found = scores.pr_curve("a", labels, predictions, thresholds, weights)

    expected = compute_curve(labels, predictions, thresholds, weights)
    shown = np.array([columns(found)[name] for name in scores.PR_COLUMNS[1:]])
    assert np.allclose(shown, expected, rtol=1e-12, atol=1e-12)
    assert columns(found)["threshold"] == [at / (thresholds - 1) for at in range(thresholds)]


@given(examples, st.integers(2, 127), st.booleans())
def test_lists_and_arrays_give_the_same(
    rows: list[tuple[int, float, float]], thresholds: int, weighted: bool
) -> None:
    labels, predictions, weights = (list(column) for column in zip(*rows, strict=True))
    more = weights if weighted else None

    plain = scores.pr_curve("a", labels, predictions, thresholds, more)
    arrays = scores.pr_curve("a", np.array(labels), torch.tensor(predictions).double(), thresholds, more)

    assert np.allclose(plain.rows, arrays.rows, rtol=1e-12, atol=1e-12)


def test_a_roc_curve_passes_through_the_points_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    labels, predictions = random.integers(0, 2, 500), np.round(random.random(500) * 64) / 64

    found = columns(scores.roc_curve("a", labels, predictions, 65, None))

    fpr, tpr, thresholds = roc_curve(labels, predictions, drop_intermediate=False)
    at = {threshold: place for place, threshold in enumerate(found["threshold"])}
    for x, y, threshold in zip(fpr[1:], tpr[1:], thresholds[1:], strict=True):
        assert found["fpr"][at[threshold]] == pytest.approx(x)
        assert found["tpr"][at[threshold]] == pytest.approx(y)


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_what_is_no_probability_counts_nowhere_as_in_tensorboard(
    form: Any, caplog: pytest.LogCaptureFixture
) -> None:
    labels, predictions = [0, 1, 1, 0], [0.25, -1.0, 2.0, float("nan")]
    guard.forget()

    found = scores.pr_curve("a", form(labels), form(predictions), 5, None)

    with np.errstate(invalid="ignore"):
        expected = compute_curve(np.array(labels), np.array(predictions), 5)
    assert np.array_equal(np.array(found.rows)[:, 1:].T, expected)
    assert "3 of its scores are not from 0 to 1" in caplog.text


def test_a_curve_that_was_computed_is_kept() -> None:
    computed = compute_curve(np.array([0, 1]), np.array([0.2, 0.8]), 3)

    assert scores.counted(computed) == scores.pr_curve("a", [0, 1], [0.2, 0.8], 3, None)


@pytest.mark.parametrize(
    ("labels", "predictions", "words"),
    [
        ([0, 1], [0.5], "2 labels, 1 predictions"),
        ([], [], "nothing to judge"),
        ([0, 2], [0.5, 0.5], "it holds 2; give y_true == that class"),
        (np.array([-1, 1]), np.array([0.5, 0.5]), "it holds -1"),
        ([0, float("nan")], [0.5, 0.5], "it holds nan"),
        (["cat", "dog"], [0.5, 0.5], "label == 'cat'"),
        (np.array([0, 1]), np.eye(2), "log a curve for each class"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], "log a curve for each class"),
        ([0, 1], "text", "is a list or an array"),
        ([0, 1], itertools.repeat(0.5), "without end"),
        ([0, 1], None, "is a list or an array"),
    ],
)
def test_what_cannot_be_judged_is_told(
    labels: Any, predictions: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "VALUES_MAX", 1000)

    with pytest.raises(TypeError, match=words):
        scores.pr_curve("a", labels, predictions, 127, None)


@pytest.mark.parametrize("thresholds", [1, 0, 1.5, "many", 10**6])
def test_what_is_no_number_of_thresholds_is_told(thresholds: Any) -> None:
    with pytest.raises(TypeError):
        scores.pr_curve("a", [0, 1], [0.2, 0.8], thresholds, None)
