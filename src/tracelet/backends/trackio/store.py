"""Trackio's own storage, at a directory of ours, and what its failures mean.

Its modules take the directory from the environment when they are imported, and keep it in names of
their own. Those are lent ours for the length of a call; that they are there is checked.
"""

import contextlib
import inspect
import json
import sqlite3
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracelet.backend import FORBIDDEN, UNFIT
from tracelet.errors import BackendError, Refused, Rejected, Unavailable

_NAMES: Final = (
    ("trackio.utils", "TRACKIO_DIR", ""),
    ("trackio.utils", "MEDIA_DIR", "media"),
    ("trackio.utils", "ARTIFACTS_DIR", "artifacts"),
    ("trackio.sqlite_storage", "TRACKIO_DIR", ""),
)
_CALLS: Final = {
    "bulk_log": {"steps", "timestamps", "config", "log_ids", "run_id"},
    "bulk_log_system": {"timestamps", "log_ids", "run_id"},
    "commit_artifact_version": {"manifest", "metadata", "aliases", "run_name", "run_id"},
    "get_artifact_manifest": {"name", "spec"},
    "get_run_config": {"run_id"},
    "validate_project_name": {"project"},
}
_TIMEOUT: Final = 30.0  # seconds to wait for whoever else writes, as Trackio itself does
_LOCK: Final = threading.RLock()
_LASTING: Final = FORBIDDEN | UNFIT  # no path here is a record's
_BROKEN: Final = ("not a database", "malformed", "readonly", "unable to open", "no such column")


class Row(NamedTuple):
    """One row of Trackio's.

    Attributes:
        log_id: Trackio takes one row of each, once.
        content: Keys and their values.
    """

    log_id: str
    step: int
    time: str
    content: dict[str, Any]


@contextlib.contextmanager
def mapped(*, opening: bool = False) -> Generator[None]:
    """Let only `BackendError` out.

    Args:
        opening: Nothing has been written yet; what would be rejected is the run itself.
    """
    try:
        yield
    except BackendError:
        raise
    except Exception as error:  # a client may raise anything, and the relay knows three outcomes
        meaning = _meaning(error)
        if opening and meaning is Rejected:
            meaning = Refused
        raise meaning(f"{type(error).__name__}: {error}") from error


def _meaning(error: Exception) -> type[BackendError]:
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError)):
        return Rejected
    if isinstance(error, sqlite3.Error):
        return Refused if any(word in str(error) for word in _BROKEN) else Unavailable
    if isinstance(error, OSError):
        return Refused if error.errno in _LASTING else Unavailable
    return Refused if isinstance(error, ImportError) else Rejected


class Store:
    """One run's way into one project's database.

    Args:
        directory: Where Trackio keeps its databases.
        project: The project, as its user calls it.
        run: Its name and our run_id.
    """

    def __init__(self, directory: Path, project: str, run: tuple[str, str]) -> None:
        self._directory = directory
        self._name, self.run_id = run
        with self.at() as storage:
            utils: Any = sys.modules["trackio.utils"]
            self._check(storage, utils)
            self.project = _allowed(storage, project)
            self.folder = str(utils.canonical_project_name(self.project))
        self.media = directory / "media" / self.folder / _folder(self._name, self.run_id)

    @contextlib.contextmanager
    def at(self) -> Generator[Any]:
        """Let Trackio's storage work at the directory."""
        with _LOCK:
            from trackio.sqlite_storage import SQLiteStorage  # pyright: ignore[reportMissingTypeStubs]

            with _lent(self._directory):
                yield SQLiteStorage

    def log(self, rows: Sequence[Row], config: Mapping[str, Any] | None = None) -> None:
        """Log rows, and replace the config; the first row of the run is the one to come with none."""
        with self.at() as storage:
            storage.bulk_log(
                project=self.project,
                run=self._name,
                run_id=self.run_id,
                metrics_list=[row.content for row in rows],
                steps=[row.step for row in rows],
                timestamps=[row.time for row in rows],
                log_ids=[row.log_id for row in rows],
                config=config,
            )

    def log_system(self, rows: Sequence[Row]) -> None:
        """Log rows of the machine's."""
        with self.at() as storage:
            storage.bulk_log_system(
                project=self.project,
                run=self._name,
                run_id=self.run_id,
                metrics_list=[row.content for row in rows],
                timestamps=[row.time for row in rows],
                log_ids=[row.log_id for row in rows],
            )

    def config(self) -> dict[str, Any]:
        """Read the run's config; empty while there is no such run."""
        with self.at() as storage:
            return dict(storage.get_run_config(self.project, self._name, run_id=self.run_id) or {})

    def keep(self, file: Path) -> tuple[str, int]:
        """Put a file's bytes where artifacts have theirs; return their digest and size."""
        with self.at():
            cas: Any = sys.modules["trackio.cas"]
            digest, size = cas.stage_blob_into_project(file, self.project)
            return str(digest), int(size)

    def has(self, digest: str) -> bool:
        """Tell whether artifacts have bytes of this digest."""
        with self.at():
            cas: Any = sys.modules["trackio.cas"]
            return bool(cas.SHA256_DIGEST_RE.match(digest)) and cas.blob_path(self.project, digest).is_file()

    def commit(
        self,
        name: str,
        kind: str,
        time: str,
        manifest: list[dict[str, Any]],
        metadata: Mapping[str, Any] | None = None,
        aliases: Sequence[str] = (),
    ) -> None:
        """Make a version of an artifact, put out by the run at a time; the same files make the same."""
        with self.at() as storage:
            there = storage.get_artifact_manifest(self.project, name, None)
            if there is not None and there["type"] != kind:
                name = f"{name}.{kind}"  # an artifact keeps its type for ever
            made = storage.commit_artifact_version(
                project=self.project,
                name=name,
                type=kind,
                description=None,
                manifest=manifest,
                metadata=dict(metadata) if metadata else None,
                aliases=list(aliases),
                run_name=self._name,
                run_id=self.run_id,
            )
            self._date(storage.get_project_db_path(self.project), int(made["version_id"]), time)

    def files(self) -> dict[str, dict[str, Any]]:
        """Return the files that the run has put out, by path; of one path the latest."""
        with self.at() as storage:
            database = storage.get_project_db_path(self.project)
        asked = (
            "SELECT v.manifest FROM run_artifact_links AS l "
            "JOIN artifact_versions AS v ON v.id = l.artifact_version_id "
            "WHERE l.run_id = ? AND l.direction = 'output' ORDER BY l.created_at, l.id"
        )
        with contextlib.closing(sqlite3.connect(database, timeout=_TIMEOUT)) as connection:
            manifests = connection.execute(asked, (self.run_id,)).fetchall()
        return {one["path"]: one for (manifest,) in manifests for one in json.loads(manifest)}

    def _date(self, database: Path, version: int, time: str) -> None:
        """Say when the run has put out a version; it may have had it before."""
        asked = (
            "UPDATE run_artifact_links SET created_at = ? "
            "WHERE run_id = ? AND artifact_version_id = ? AND direction = 'output'"
        )
        with contextlib.closing(sqlite3.connect(database, timeout=_TIMEOUT)) as connection, connection:
            connection.execute(asked, (time, self.run_id, version))

    def _check(self, storage: Any, utils: Any) -> None:
        missing = [name for name, wanted in _CALLS.items() if not _takes(storage, name, wanted)]
        if missing:
            raise Refused(
                f"this version of Trackio has no {', '.join(missing)} as tracelet knows it: "
                '`pip install "tracelet[trackio]"`, then `tracelet sync`'
            )
        if utils.get_storage_mode() == "jsonl":
            raise Refused(
                f"{self._directory} is on a network file system, where SQLite databases break; choose "
                "another with `trackio_dir`, or say TRACKIO_STORAGE_MODE=sqlite if only one machine writes "
                "there, then `tracelet sync`"
            )


@contextlib.contextmanager
def _lent(directory: Path) -> Generator[None]:
    before: list[tuple[Any, str, Any]] = []
    try:
        for module, name, below in _NAMES:
            found: Any = sys.modules.get(module)
            if not isinstance(getattr(found, name, None), Path):
                raise Refused(f"this version of Trackio has no {module}.{name}, which says where it writes")
            before.append((found, name, getattr(found, name)))
            setattr(found, name, directory / below)
        yield
    finally:
        for found, name, value in before:
            setattr(found, name, value)


def _takes(storage: Any, name: str, wanted: set[str]) -> bool:
    call = getattr(storage, name, None)
    return call is not None and wanted <= inspect.signature(call).parameters.keys()


def _allowed(storage: Any, project: str) -> str:
    """Change a project's name that Trackio keeps for its own files."""
    for name in (project, f"-{project}", f"{project}-", f"-{project}-"):
        try:
            storage.validate_project_name(name)
        except ValueError:
            continue
        return name
    raise Refused(f"Trackio takes no project called {project!r}")


def _folder(name: str, run_id: str) -> str:
    """Choose where a run's media lie: as Trackio does, below its name, if that can be a directory's."""
    fits = name not in {"", ".", "..", "files"} and not set(name) & set("/\\\0") and len(name.encode()) < 200  # noqa: PLR2004
    return name if fits else run_id
