"""Tables of any library become columns and rows of plain values, which JSON can hold."""

import datetime as dt
import decimal
import enum
import io
import itertools
import json
import math
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracelet import guard
from tracelet.inputs import tables

Row = namedtuple("Row", ["a", "b"])  # noqa: PYI024  as users write them


@dataclass
class Sample:
    a: int
    b: str


class Kind(enum.Enum):
    GOOD = "good"


def read(given: Any, columns: Any = None) -> tuple[list[str], list[list[Any]]]:
    """Read back what is written."""
    found = json.loads(tables.grid("t", given, columns).encode())
    return found["columns"], found["data"]


@pytest.mark.parametrize(
    "table",
    [
        [[1, "x"], [2, "y"]],
        ((1, "x"), (2, "y")),
        [{"a": 1, "b": "x"}, {"b": "y", "a": 2}],
        {"a": [1, 2], "b": ("x", "y")},
        {"a": np.array([1, 2]), "b": pd.Series(["x", "y"])},
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pd.DataFrame({"b": ["x", "y"]}, index=pd.Index([1, 2], name="a")),
        pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}),
        np.array([(1, "x"), (2, "y")], dtype=[("a", "i4"), ("b", "U1")]),
        [Row(1, "x"), Row(2, "y")],
        [Sample(1, "x"), Sample(2, "y")],
        iter([[1, "x"], [2, "y"]]),
    ],
)
def test_every_form_is_the_same_table(table: Any) -> None:
    columns = None if isinstance(table, (dict, pd.DataFrame, pl.DataFrame, pa.Table)) else ["a", "b"]

    if isinstance(table, np.ndarray) or not hasattr(table, "__getitem__"):
        assert read(table, ["a", "b"]) == (["a", "b"], [[1, "x"], [2, "y"]])
    else:
        assert read(table, columns) == (["a", "b"], [[1, "x"], [2, "y"]])


def test_arrays_and_lists_without_names_are_numbered() -> None:
    assert read(np.arange(4).reshape(2, 2)) == (["0", "1"], [[0, 1], [2, 3]])
    assert read(torch.tensor([[0.5, 1.0]], requires_grad=True)) == (["0", "1"], [[0.5, 1.0]])
    assert read([1, 2]) == (["0"], [[1], [2]])
    assert read(pd.Series([1, 2], name="x")) == (["x"], [[1], [2]])
    assert read({"loss": 0.5, "name": "x"}) == (["loss", "name"], [[0.5, "x"]])
    assert read([]) == ([], [])
    assert read([], ["a"]) == (["a"], [])


def test_what_a_row_lacks_is_null() -> None:
    assert read([{"a": 1}, {"b": 2}]) == (["a", "b"], [[1, None], [None, 2]])


def test_columns_choose_and_order_what_has_names() -> None:
    frame = pd.DataFrame({"a": [1], "b": [2], "c": [3]})

    for table in (frame, frame.to_dict("list"), frame.to_dict("records"), pl.from_pandas(frame)):
        assert read(table, ["c", "a"]) == (["c", "a"], [[3, 1]])


def test_names_become_texts_that_differ(caplog: pytest.LogCaptureFixture) -> None:
    guard.forget()

    assert read([[1, 2, 3]], [0, "0", Kind.GOOD])[0] == ["0", "0 (2)", "good"]
    assert "2 values have the name '0'" in caplog.text


def test_an_index_with_a_meaning_becomes_a_column() -> None:
    described = pd.DataFrame({"x": [1.0, 3.0]}).describe()
    filtered = pd.DataFrame({"x": [1, 2, 3]}).query("x > 1")
    grouped = pd.DataFrame({"g": ["a", "a"], "h": [1, 2], "x": [1, 2]}).groupby(["g", "h"]).sum()

    assert read(described)[1][1] == ["mean", 2.0]
    assert read(filtered) == (["x"], [[2], [3]])
    assert read(grouped) == (["g", "h", "x"], [["a", 1, 1], ["a", 2, 2]])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (math.nan, None),
        (math.inf, "Infinity"),
        (np.float32(-math.inf), "-Infinity"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (torch.tensor(0.25), 0.25),
        (pd.NA, None),
        (pd.NaT, None),
        (dt.date(2024, 2, 3), "2024-02-03"),
        (pd.Timestamp("2024-02-03 04:05"), "2024-02-03T04:05:00"),
        (np.datetime64("2024-02-03"), "2024-02-03"),
        (decimal.Decimal("1.50"), "1.50"),
        (Kind.GOOD, "good"),
        (2**70, str(2**70)),
        ([1, math.inf], [1, "Infinity"]),
        ({"a": math.nan}, {"a": None}),
        ("http://me:password@host/x", "http://host/x"),
        ("\udc80", "\\udc80"),
        (b"ab", "b'ab'"),
    ],
)
def test_a_cell_is_a_plain_value(value: Any, kept: Any) -> None:
    assert read([[value]])[1] == [[kept]]


def test_a_cell_that_raises_costs_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    class Bad:
        def __str__(self) -> str:
            raise ValueError("no")

    guard.forget()

    assert read([[1, Bad()]])[1][0][0] == 1
    assert "its value raised ValueError" in caplog.text


def test_times_of_arrays_and_frames_are_iso_text() -> None:
    days = np.array(["2024-01-01", "NaT"], "M8[ns]")

    assert read({"t": days})[1] == [["2024-01-01T00:00:00.000000000"], [None]]
    assert read(pd.DataFrame({"t": days}))[1] == [["2024-01-01T00:00:00"], [None]]
    assert read(pl.DataFrame({"t": days}))[1] == [["2024-01-01T00:00:00"], [None]]


cells = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_infinity=False) | st.text()


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_pandas_reads_what_is_written(rows: list[tuple[Any, Any]]) -> None:
    written = tables.grid("t", rows, ["a", "b"]).encode()

    read_json: Any = pd.read_json
    frame = read_json(io.BytesIO(written), orient="split", dtype=False)
    assert list(frame.columns) == ["a", "b"]
    assert len(frame) == len(rows)
    again = [[None if isinstance(one, float) and math.isnan(one) else one for one in row] for row in rows]
    decoded = json.loads(written)["data"]
    assert [[_scrubbed(one) for one in row] for row in again] == decoded


def _scrubbed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tables._text(value)


def test_of_a_table_that_is_too_long_the_first_rows_are_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_MAX", 3)
    frame = pd.DataFrame({"a": range(5)})

    for table in (
        frame,
        pl.from_pandas(frame),
        frame.to_numpy(),
        frame.to_dict("list"),
        itertools.repeat([0]),
    ):
        guard.forget()
        caplog.clear()
        assert len(read(table)[1]) == 3
        assert "more than 3 rows" in caplog.text


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("text", None, "and not a str"),
        (3, None, "and not a int"),
        (None, None, "and not a NoneType"),
        (np.zeros((2, 2, 2)), None, "2 axes"),
        ([[1, 2], [3]], None, "row 1 of the table has 1 values, and there are 2 columns"),
        ([[1, 2]], ["a"], "has 2 values, and there are 1"),
        ([{"a": 1}, [2]], None, "all lists, or all dicts"),
        ({"a": [1], "b": [1, 2]}, None, r"equally long, and these are not \('a': 1, 'b': 2\)"),
        ({"a": [1], "b": 2}, None, "column 'b' of the table is no list"),
        ({"a": [1]}, ["b"], "no column 'b'; there are 'a'"),
        ({"a": [1]}, "a", "no list of names"),
        (pl.LazyFrame({"a": [1]}), None, r"give its .collect\(\)"),
    ],
)
def test_what_is_no_table_is_told(table: Any, columns: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        tables.grid("t", table, columns)
