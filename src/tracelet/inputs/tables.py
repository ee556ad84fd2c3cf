"""What users hand in as tables: rows and columns of plain values, as JSON.

The JSON is what pandas reads and writes with `orient="split"`. A value that is missing, of pandas or
as NaN, is null, as there; infinities, which JSON has no word for, are the texts "Infinity" and
"-Infinity". Dates are texts as ISO 8601 has them.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from numbers import Integral
from typing import Any, Final, NamedTuple, cast

import msgspec

from tracelet import guard, values
from tracelet.inputs import opening, texts
from tracelet.inputs.plain import Walk, as_name, free
from tracelet.scrub import without_userinfo_in

ROWS_MAX: Final = 200_000  # the first are kept; as many as in W&B
COLUMNS_MAX: Final = 10_000
CELLS_MAX: Final = 5_000_000  # of a table with many columns fewer rows are kept; they take some seconds
_SHORT: Final = 10_000  # characters of a text that need no further look
_MISSING: Final = frozenset({"NaTType", "NAType"})  # classes of pandas


class Grid(NamedTuple):
    """A table: its columns' names, and rows of as many plain values."""

    columns: list[str]
    rows: list[list[Any]]

    def encode(self) -> bytes:
        """Make the JSON of it."""
        return msgspec.json.encode({"columns": self.columns, "data": self.rows})


class _Columns(NamedTuple):
    """A table as it was handed in, by its columns."""

    names: list[Any]
    lists: list[Sequence[Any]]


class _Rows(NamedTuple):
    """A table as it was handed in, by its rows; without names, if it had none."""

    names: list[Any] | None
    lists: list[Sequence[Any]]


def grid(name: str, given: Any, columns: Any = None) -> Grid:
    """Take a table.

    Args:
        name: What it is called, for warnings.
        given: Lists of values, or dicts of them, one for each row; a dict of columns; a frame or
            series of pandas or polars; an array of 1 or 2 axes.
        columns: The columns' names; of what has names already, the columns that are wanted.

    Raises:
        TypeError: It is no table; the message says what to do.
    """
    found = _found(given)
    wanted = None if columns is None else _names(columns)
    found = _turned(_chosen(found, wanted)) if isinstance(found, _Columns) else _named(found, wanted)
    most = _most(len(found.names or ()))
    if len(found.lists) > most:
        message = "table %r has more than %d rows; the first are kept. Write it to a file for log_artifact"
        guard.warn_once(message, name, most, key=name)
    taken: set[str] = set()
    made = [free(as_name(one), taken) for one in found.names or []]
    cell = _Cells(name).value
    return Grid(made, [[cell(value) for value in row] for row in found.lists[:most]])


def _most(columns: int) -> int:
    """Tell how many rows of a table are kept."""
    return max(1, min(ROWS_MAX, CELLS_MAX // max(1, columns)))


def _turned(found: _Columns) -> _Rows:
    """Make rows of columns, one more than are kept."""
    rows = itertools.islice(zip(*found.lists, strict=True), _most(len(found.names)) + 1)
    return _Rows(found.names, list(rows))


def _names(columns: Any) -> list[Any]:
    if isinstance(columns, (str, bytes)) or not isinstance(columns, Iterable):
        raise TypeError(f"columns={texts.shown(columns)} is no list of names")
    return list(itertools.islice(cast("Iterable[Any]", columns), COLUMNS_MAX))


def _found(given: Any) -> _Columns | _Rows:
    kind = cast("Any", type(given))
    for mark, take in _FRAMES:
        if hasattr(kind, mark):
            return take(given)
    if values.is_array(given):
        return _of_array(given)
    if isinstance(given, Mapping):
        return _of_dict(cast("Mapping[Any, Any]", given))
    if isinstance(given, (str, bytes, bytearray)) or not isinstance(given, Iterable):
        message = "a table is a list of rows, a dict of columns, a frame of pandas or polars, or an array"
        raise TypeError(f"{message}, and not a {values.class_of(given)}")
    return _of_rows(list(itertools.islice(cast("Iterable[Any]", given), ROWS_MAX + 1)))


def _of_pandas(frame: Any) -> _Columns:
    frame = frame.iloc[: _most(frame.shape[1]) + 1]
    index = frame.index
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    # Numbers without a name only say where a row stands.
    kept = [level for level in levels if level.name is not None or str(level.dtype.kind) not in {"i", "u"}]
    names = [level.name if level.name is not None else "index" for level in kept]
    lists = [level.tolist() for level in kept]
    lists += [frame.iloc[:, at].tolist() for at in range(frame.shape[1])]
    return _Columns([*names, *frame.columns.tolist()], lists)


def _of_polars(frame: Any) -> _Columns:
    frame = frame.head(_most(frame.width) + 1)
    return _Columns(list(frame.columns), [column.to_list() for column in frame.get_columns()])


def _lazy(given: Any) -> _Columns:
    raise TypeError(f"a {values.class_of(given)} has no rows yet; give its .collect()")


_FRAMES: Final[tuple[tuple[str, Callable[[Any], _Columns]], ...]] = (
    ("collect_schema_async", _lazy),
    ("sink_csv", _lazy),
    ("to_frame", lambda series: _found(series.to_frame())),  # pyright: ignore[reportAssignmentType]
    ("iloc", _of_pandas),
    ("get_columns", _of_polars),
    ("to_pydict", lambda table: _of_dict(table.to_pydict())),  # of pyarrow
)
"""What a class has, and how to take its instances apart; the first that fits."""


def _of_array(given: Any) -> _Columns | _Rows:
    names = getattr(getattr(given, "dtype", None), "names", None)
    if names:  # numpy's structured arrays
        return _Columns(list(names), [_listed(given[name].reshape(-1)) for name in names])
    axes = len(given.shape)
    if axes not in {1, 2}:
        raise TypeError(f"a table has 2 axes, and this array has the shape {tuple(given.shape)}")
    listed = _listed(given[: _most(given.shape[-1] if axes > 1 else 1) + 1])
    return _Rows(None, [[value] for value in listed] if axes == 1 else listed)


def _listed(array: Any) -> list[Any]:
    if str(getattr(getattr(array, "dtype", None), "kind", "")) in {"m", "M"}:
        # Of numpy's times a list would be numbers, some of them.
        array = array.astype(str).astype(object)
        array[array == "NaT"] = None
    return array.tolist()


def _of_dict(given: Mapping[Any, Any]) -> _Columns:
    names = list(itertools.islice(given, COLUMNS_MAX))
    columns = [given[name] for name in names]
    if columns and not any(_is_column(one) for one in columns):
        return _Columns(names, [[value] for value in columns])  # one row
    lists = [_column(name, one) for name, one in zip(names, columns, strict=True)]
    if len({len(one) for one in lists}) > 1:
        told = ", ".join(f"{name!r}: {len(one)}" for name, one in zip(names[:5], lists, strict=False))
        raise TypeError(f"the columns of a table are equally long, and these are not ({told})")
    return _Columns(names, lists)


def _is_column(value: Any) -> bool:
    if values.is_array(value):
        return len(value.shape) > 0
    return isinstance(value, (list, tuple, range))


def _column(name: Any, value: Any) -> Sequence[Any]:
    if hasattr(cast("Any", type(value)), "to_list"):
        return value.to_list()
    if values.is_array(value) and len(value.shape) == 1:
        return _listed(value)
    if isinstance(value, (list, tuple, range)):
        return cast("Sequence[Any]", value)
    raise TypeError(f"column {texts.shown(name)} of the table is no list of values")


def _of_rows(rows: list[Any]) -> _Rows:
    parts = [_parts(row) for row in rows]
    if any(one is not None for one in parts):
        if any(one is None for one in parts):
            raise TypeError("the rows of a table are all lists, or all dicts")
        dicts = [
            {key: one.get(key) for key in itertools.islice(one.names, COLUMNS_MAX)}
            for one in parts
            if one is not None
        ]
        names = list(dict.fromkeys(itertools.islice(_keys(dicts), ROWS_MAX)))
        return _Rows(names, [[one.get(name) for name in names] for one in dicts])
    return _Rows(None, [_row(row) for row in rows])


def _keys(dicts: list[dict[Any, Any]]) -> Iterator[Any]:
    return itertools.chain.from_iterable(dicts)


def _parts(row: Any) -> opening.Parts | None:
    return None if isinstance(row, list) or values.is_array(row) else opening.parts(row)


def _row(row: Any) -> Sequence[Any]:
    if isinstance(row, (list, tuple)):
        return cast("Sequence[Any]", row)
    if values.is_array(row) and len(row.shape) == 1:
        return _listed(row)
    return [row]  # a list of values is one column


def _chosen(found: _Columns, wanted: list[Any] | None) -> _Columns:
    if wanted is None:
        return found
    if missing := [name for name in wanted if name not in found.names]:
        there = ", ".join(map(repr, found.names[:20]))
        raise TypeError(f"the table has no column {missing[0]!r}; there are {there}")
    return _Columns(wanted, [found.lists[found.names.index(name)] for name in wanted])


def _named(found: _Rows, wanted: list[Any] | None) -> _Rows:
    """Give rows their names, and see that each is as long as these are many."""
    if found.names is not None:
        if wanted is None:
            return found
        columns = [list(column) for column in zip(*found.lists, strict=True)]
        chosen = _chosen(_Columns(found.names, cast("list[Sequence[Any]]", columns)), wanted)
        return _Rows(wanted, [list(row) for row in zip(*chosen.lists, strict=True)])
    count = len(found.lists[0]) if found.lists else 0
    names = list(range(count)) if wanted is None else wanted
    for number, row in enumerate(found.lists):
        if len(row) != len(names):
            message = f"row {number} of the table has {len(row)} values, and there are {len(names)} columns"
            raise TypeError(message)
    return _Rows(names, found.lists)


class _Cells:
    """Makes plain values of cells."""

    def __init__(self, name: str) -> None:
        self._name = name

    def value(self, value: Any) -> Any:
        """Make a plain value of a cell, which JSON can hold; first what most cells are."""
        if value is None or value.__class__ is bool:
            return value
        if value.__class__ is str:
            return _text(value) if "://" in value or len(value) > _SHORT else values.unicode(value)
        if isinstance(value, float):
            return _number(float(value))
        if value.__class__ is int or isinstance(value, Integral):  # of numpy
            return values.simple(int(value))
        return None if type(value).__name__ in _MISSING else self._other(value)

    def _other(self, value: Any) -> Any:
        if isinstance(value, (date, time)):
            return value.isoformat()
        return _in_json(Walk("table", self._name).value(value))


def _text(value: str) -> str:
    return without_userinfo_in(texts.kept("a table's text", value))


def _number(value: float) -> float | str | None:
    """Make JSON of a float: of NaN as pandas does, and of an infinity its name."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"


def _in_json(value: Any) -> Any:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return [_in_json(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _in_json(one) for key, one in cast("dict[str, Any]", value).items()}
    return value
