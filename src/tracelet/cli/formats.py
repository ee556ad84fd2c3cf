"""The files that `tracelet export` writes: each a way to put events into a stream, one by one.

    jsonl    every event, one in each line (see `tracelet.cli.lines`)
    csv      the metrics, a point in each row: run_id, name, step, time, value
    parquet  the same columns, typed; what else is known of the runs is in the file's metadata,
             as JSON under the key "tracelet"

All keep every float64 exactly, and the order of the events. Memory does not grow with their number.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, BinaryIO, Final, Protocol

from tracelet.cli import lines
from tracelet.errors import MissingDependency
from tracelet.events import SERIES, Event, Metric, RunFinished, RunStarted

COLUMNS: Final = ("run_id", "name", "step", "time", "value")
GROUP: Final = 100_000  # rows of a Parquet file that are written at once
VERSION: Final = 1  # of the Parquet file's metadata


class Format(str, Enum):
    """What can be written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


SUFFIXES: Final[Mapping[str, Format]] = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}


class Sink(Protocol):
    """A file that is being written."""

    def take(self, run: str, event: Event) -> bool:
        """Write an event of a run; tell whether the format has a place for it."""
        ...

    def end(self, about: Sequence[Mapping[str, Any]]) -> None:
        """Write what is left, with what is known of the runs."""
        ...

    def close(self) -> None:
        """Let go of the stream, which stays open; also of one that did not come to its end."""
        ...


def sink(wanted: Format, stream: BinaryIO) -> Sink:
    """Begin a file.

    Raises:
        MissingDependency: It needs a package that is not installed.
    """
    match wanted:
        case Format.JSONL:
            return Lines(stream)
        case Format.CSV:
            return Csv(stream)
        case Format.PARQUET:
            return Parquet(stream)


class Lines:
    """JSON lines."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def take(self, run: str, event: Event) -> bool:
        """See `Sink.take`."""
        self._stream.write(lines.encode(run, event).encode() + b"\n")
        return True

    def end(self, about: Sequence[Mapping[str, Any]]) -> None:
        """See `Sink.end`: the events have said everything."""

    def close(self) -> None:
        """See `Sink.close`."""


class Csv:
    """Comma-separated values; a point without a step has an empty cell."""

    def __init__(self, stream: BinaryIO) -> None:
        # A name may hold halves of a character, which are no UTF-8.
        self._text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def take(self, run: str, event: Event) -> bool:
        """See `Sink.take`."""
        if not isinstance(event, Metric):
            return isinstance(event, (RunStarted, RunFinished))  # of which nothing is missed in a table
        step = "" if event.step is None else event.step
        self._rows.writerow((run, event.name, step, _digits(event.time), _digits(event.value)))
        return True

    def end(self, about: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002  there is no place for it
        """See `Sink.end`."""
        self._text.flush()

    def close(self) -> None:
        """See `Sink.close`."""
        self._text.detach()


def _digits(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else str(lines.plain(value))


class Parquet:
    """A Parquet file."""

    def __init__(self, stream: BinaryIO) -> None:
        arrow, parquet = _pyarrow()
        types = (arrow.string(), arrow.string(), arrow.int64(), arrow.float64(), arrow.float64())
        fields = zip(COLUMNS, types, strict=True)
        self._arrow = arrow
        self._schema = arrow.schema(
            [arrow.field(name, kind, nullable=name == "step") for name, kind in fields]
        )
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._rows: list[list[Any]] = [[] for _ in COLUMNS]

    def take(self, run: str, event: Event) -> bool:
        """See `Sink.take`."""
        if not isinstance(event, Metric):
            return not isinstance(event, SERIES)
        cells = (run, _utf8(event.name), event.step, event.time, event.value)
        for column, cell in zip(self._rows, cells, strict=True):
            column.append(cell)
        if len(self._rows[0]) >= GROUP:
            self._write()
        return True

    def end(self, about: Sequence[Mapping[str, Any]]) -> None:
        """See `Sink.end`."""
        if self._rows[0]:
            self._write()
        text = json.dumps(lines.plain({"version": VERSION, "runs": list(about)}), allow_nan=False)
        self._writer.add_key_value_metadata({"tracelet": text})

    def close(self) -> None:
        """See `Sink.close`."""
        self._writer.close()

    def _write(self) -> None:
        arrays = [
            self._arrow.array(column, type=field.type)
            for column, field in zip(self._rows, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        for column in self._rows:
            column.clear()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
        import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingDependency(
            "a Parquet file needs 'pyarrow', which is not installed: pip install \"tracelet[parquet]\""
        ) from error
    return pa, pq


def _utf8(name: str) -> str:
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()
