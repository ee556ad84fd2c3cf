"""One project's database, read without changing it, in whatever version of Trackio wrote it."""

import contextlib
import json
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote

from tracelet.backends.trackio.words import seconds_of
from tracelet.errors import BackendError, Refused, Unavailable

_TIMEOUT: Final = 30.0  # seconds to wait for whoever writes
_TABLES: Final = ("metrics", "system_metrics", "configs", "run_artifact_links")


class Kept(NamedTuple):
    """One row of a run's.

    Attributes:
        number: Its own, in its table.
        step: None in the table of the machine's.
    """

    number: int
    time: float
    step: int | None
    content: dict[str, Any]


class Link(NamedTuple):
    """One version of an artifact that a run has put out.

    Attributes:
        version: Its number in its table.
    """

    version: int
    time: float
    name: str
    kind: str
    manifest: list[dict[str, Any]]
    metadata: dict[str, Any]
    aliases: tuple[str, ...]


class Found(NamedTuple):
    """A run, as a project has it."""

    id: str
    name: str
    started: float


@contextlib.contextmanager
def asking(what: object) -> Generator[None]:
    """Let only `Unavailable` and `Refused` out."""
    try:
        yield
    except BackendError:
        raise
    except sqlite3.OperationalError as error:
        kind = Unavailable if "locked" in str(error) or "busy" in str(error) else Refused
        raise kind(f"{what} cannot be read: {error}") from error
    except sqlite3.Error as error:
        raise Refused(f"{what} cannot be read: {error}") from error
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Refused(f"{what} cannot be read: {error}") from error
    except OSError as error:
        raise Unavailable(f"{what} cannot be read now: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"{what} does not hold what Trackio writes: {error}") from error


class Database:
    """One project's database.

    Args:
        file: Where it is.
    """

    def __init__(self, file: Path) -> None:
        self.project = file.stem
        self._connection = _connected(file)
        self._connection.row_factory = sqlite3.Row
        self._columns = {table: self._columns_of(table) for table in (*_TABLES, "alerts", "traces")}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def runs(self) -> list[Found]:
        """List the runs, those that began first first."""
        found: dict[str, Found] = {}
        for table in _TABLES:
            if not self._columns[table]:
                continue
            key, time = self._key(table), "created_at" if table[0] in "cr" else "timestamp"
            asked = (
                f"SELECT {key} AS id, MAX(run_name) AS name, MIN({time}) AS began FROM {table} "  # noqa: S608  constants
                f"WHERE {key} IS NOT NULL GROUP BY {key}"
            )
            for row in self._connection.execute(asked):
                one = Found(str(row["id"]), str(row["name"] or row["id"]), _seconds(row["began"]))
                there = found.get(one.id)
                if there is None or (table == "system_metrics" and one.started < there.started):
                    found[one.id] = one
        return sorted(found.values(), key=lambda one: one.started)

    def config(self, run: str) -> dict[str, Any]:
        """Read a run's config."""
        for row in self._rows("configs", run, "config", "id"):
            config: Any = json.loads(row["config"])
            return cast("dict[str, Any]", config) if isinstance(config, dict) else {}
        return {}

    def logged(self, run: str) -> Iterator[Kept]:
        """Give a run's rows, the oldest first."""
        for row in self._rows("metrics", run, "id, timestamp, step, metrics", "timestamp, id"):
            yield Kept(row["id"], _seconds(row["timestamp"]), row["step"], _content(row["metrics"]))

    def system(self, run: str) -> Iterator[Kept]:
        """Give a run's rows of the machine's, the oldest first."""
        for row in self._rows("system_metrics", run, "id, timestamp, metrics", "timestamp, id"):
            yield Kept(row["id"], _seconds(row["timestamp"]), None, _content(row["metrics"]))

    def row(self, number: int) -> dict[str, Any]:
        """Read one row."""
        for row in self._connection.execute("SELECT metrics FROM metrics WHERE id = ?", (number,)):
            return _content(row["metrics"])
        return {}

    def alerts(self, run: str) -> Iterator[dict[str, Any]]:
        """Give a run's alerts, the oldest first."""
        for row in self._rows("alerts", run, "timestamp, title, text, level, step", "timestamp, id"):
            yield dict(row) | {"time": _seconds(row["timestamp"])}

    def traces(self, run: str) -> Iterator[dict[str, Any]]:
        """Give a run's traces, the oldest first."""
        for row in self._rows("traces", run, "*", "timestamp, id"):
            yield dict(row) | {"time": _seconds(row["timestamp"])}

    def links(self, run: str) -> list[Link]:
        """Give the versions of artifacts that a run has put out, the last one last."""
        if not self._columns["run_artifact_links"]:
            return []
        asked = """
            SELECT l.created_at AS time, v.id AS version, v.manifest, v.metadata, a.name, a.type
            FROM run_artifact_links AS l
            JOIN artifact_versions AS v ON v.id = l.artifact_version_id
            JOIN artifacts AS a ON a.id = v.artifact_id
            WHERE l.run_id = ? AND l.direction = 'output'
            ORDER BY l.created_at, l.id
        """
        rows = self._connection.execute(asked, (run,)).fetchall()
        return [
            Link(
                row["version"],
                _seconds(row["time"]),
                row["name"],
                row["type"],
                json.loads(row["manifest"]),
                json.loads(row["metadata"] or "{}"),
                self._aliases(row["version"]),
            )
            for row in rows
        ]

    def manifest(self, version: int) -> list[dict[str, Any]]:
        """Read what one version of an artifact consists of."""
        for row in self._connection.execute(
            "SELECT manifest FROM artifact_versions WHERE id = ?", (version,)
        ):
            return json.loads(row["manifest"])
        return []

    def _aliases(self, version: int) -> tuple[str, ...]:
        asked = "SELECT alias FROM artifact_aliases WHERE artifact_version_id = ? ORDER BY rowid"
        return tuple(row["alias"] for row in self._connection.execute(asked, (version,)))

    def _rows(self, table: str, run: str, columns: str, order: str) -> Iterator[sqlite3.Row]:
        if self._columns[table]:
            key = self._key(table)
            asked = f"SELECT {columns} FROM {table} WHERE {key} = ? ORDER BY {order}"  # noqa: S608  constants
            yield from self._connection.execute(asked, (run,))

    def _key(self, table: str) -> str:
        return "run_id" if "run_id" in self._columns[table] else "run_name"  # until 0.20 a run was its name

    def _columns_of(self, table: str) -> set[str]:
        return {row["name"] for row in self._connection.execute(f"PRAGMA table_info({table})")}


def _connected(file: Path) -> sqlite3.Connection:
    """Open a database to read; one that no process may write beside is taken as it lies there."""
    place = f"file:{quote(str(file))}?mode=ro"
    connection = sqlite3.connect(place, uri=True, timeout=_TIMEOUT, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").close()
    except sqlite3.OperationalError:
        connection.close()
        if file.with_name(f"{file.name}-wal").exists() or not file.is_file():
            raise
        connection = sqlite3.connect(f"{place}&immutable=1", uri=True, check_same_thread=False)
    return connection


def _content(text: Any) -> dict[str, Any]:
    content: Any = json.loads(text)
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _seconds(text: Any) -> float:
    return seconds_of(str(text)) if text else 0.0
