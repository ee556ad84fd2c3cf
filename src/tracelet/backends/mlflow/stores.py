"""Getting at MLflow's store: a SQLite database is made here, and a silent server is not waited for."""

import contextlib
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tracelet.backend import UPLOAD_RATE
from tracelet.backends.mlflow.options import SERVED, database_file, engine, sqlite_uri
from tracelet.errors import JournalLocked, Refused, Unavailable
from tracelet.journal.locks import take
from tracelet.scrub import without_userinfo

TIMEOUT: Final = 15  # seconds that a server may be silent; the client's own is 120, eight times over
_CREATION: Final = 90.0  # seconds to wait for another process that is making the same database
_LOOK: Final = 0.1  # seconds between two looks at it
LONGEST: Final = 110  # seconds; below `LIMITS.patience`, after which the relay would be killed
_TIMEOUT_VARIABLE: Final = "MLFLOW_HTTP_REQUEST_TIMEOUT"

_ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the relay tries again, and can be stopped meanwhile
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


_timeout: Final = {"seconds": 0}  # of this process; 0 until it is known


def settle() -> None:
    """Make the client impatient and quiet, if this process is a relay's own.

    A relay thread shares the process, and so the environment, with the user's own use of MLflow.
    """
    if not _own_process():
        return
    os.environ.update(_ENVIRONMENT)
    if not _timeout["seconds"]:
        with contextlib.suppress(ValueError):
            _timeout["seconds"] = int(os.environ.get(_TIMEOUT_VARIABLE, ""))
        _timeout["seconds"] = max(1, min(_timeout["seconds"] or TIMEOUT, LONGEST))
    os.environ[_TIMEOUT_VARIABLE] = str(_timeout["seconds"])


def slower() -> None:
    """Give a server that was too slow for a request twice the time for the next one."""
    _timeout["seconds"] = min(2 * (_timeout["seconds"] or TIMEOUT), LONGEST)


@contextlib.contextmanager
def patient(size: int) -> Generator[None, None, None]:
    """Give a server time to put away an artifact of `size` bytes before it answers."""
    if not _own_process():
        yield
        return
    usual = os.environ[_TIMEOUT_VARIABLE]
    os.environ[_TIMEOUT_VARIABLE] = str(int(int(usual) + size / UPLOAD_RATE))
    try:
        yield
    finally:
        os.environ[_TIMEOUT_VARIABLE] = usual


def _own_process() -> bool:
    spec: Any = getattr(sys.modules.get("__main__"), "__spec__", None)  # of `python -m tracelet.relay`
    return spec is not None and str(spec.name).startswith("tracelet.")


def connect(uri: str, artifacts: str) -> Any:
    """Return a client of the store at `uri`, making the store first if it is a SQLite file.

    Args:
        uri: With credentials.
        artifacts: Where a database that is made here keeps its experiments' artifacts.
    """
    file = database_file(uri)
    if file:
        _make(file, artifacts)
    elif engine(uri) in SERVED:
        _knock(uri)
        _check_served(uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def look(uri: str) -> None:
    """Make sure that there is a store to read at `uri`; nothing is made, and nothing upgraded."""
    file = database_file(uri)
    if file is None:
        if engine(uri) in SERVED:
            _knock(uri)
            if not _check_served(uri):
                raise Refused(f"{without_userinfo(uri)} is empty: no run has been logged to it")
        return
    if not file.is_file():
        raise Refused(f"there is no database at {file}: say where it is, as in mlflow:sqlite:///mlflow.db")
    if not _version(file):
        raise Refused(f"{file} is empty: no run has been logged to it")
    _check(file)
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM experiments WHERE experiment_id = 0").fetchone():
            raise Refused(
                f"{file} lacks the experiment 'Default', and MLflow cannot open it without writing that: run "
                f"`mlflow experiments search` with MLFLOW_TRACKING_URI='{sqlite_uri(file)}', if you may, or "
                "with a copy of it, then `tracelet sync`"
            )


def _make(file: Path, artifacts: str) -> None:
    """Make a SQLite database, once, whatever dies meanwhile and whoever else tries.

    MLflow makes one in about fifty migrations that are no transaction: a process that is killed
    among them, or a second one that begins them too, leaves a database that nobody can open. So
    they are done on a file that nobody knows, and the whole is put in its place in one step.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if _version(file):
        return _check(file)
    with _alone(file):
        if not _version(file):
            for left in file.parent.glob(f"{file.name}.tracelet-*.new"):
                shutil.rmtree(left, ignore_errors=True)  # of a process that was killed here
            place = tempfile.mkdtemp(dir=file.parent, prefix=f"{file.name}.tracelet-", suffix=".new")
            try:
                _put(_migrated(Path(place, file.name), artifacts), file)
            finally:
                shutil.rmtree(place, ignore_errors=True)
    return None


def _migrated(new: Path, artifacts: str) -> Path:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    try:
        store = SqlAlchemyStore(sqlite_uri(new), artifacts)
    except Exception as error:  # whatever alembic raises, another try begins anew
        raise Unavailable(f"MLflow could not make a database: {type(error).__name__}: {error}") from error
    store.engine.dispose()
    return new


def _put(new: Path, file: Path) -> None:
    """Give the new database its name, unless somebody else's has it by now."""
    if file.exists():  # and is empty
        new.replace(file)
        return
    try:
        os.link(new, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without links; the lock has to do
        new.replace(file)


@contextlib.contextmanager
def _alone(file: Path) -> Generator[None, None, None]:
    path = file.with_name(f"{file.name}.tracelet.lock")
    deadline = time.monotonic() + _CREATION
    while True:
        try:
            lock = take(path)
            break
        except JournalLocked as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"another process has been making {file} for long: {error}") from None
        threading.Event().wait(_LOOK)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # whoever waits for it finds the database made
        lock.close()


def _version(file: Path) -> str:
    """Return the version of the database's schema; an empty string where there is no database yet.

    Asked of SQLite itself, because MLflow's way to open a file that cannot be opened takes 100 s.
    """
    if not file.exists() or not file.stat().st_size:
        return ""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)) as connection:
            tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}
            if not tables:
                return ""
            if "alembic_version" not in tables:
                raise Refused(f"{file} is a database, but not one of MLflow's: choose another file")
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{file} cannot be opened now: {error}") from None
    except sqlite3.DatabaseError as error:
        raise Refused(f"{file} is no SQLite database ({error}): choose another file") from None
    return str(row[0]) if row else "unknown"


def _check(file: Path) -> None:
    """Refuse a database of another version: upgrading somebody's data is not for us to begin."""
    from mlflow.store.db import utils

    latest: Any = getattr(utils, "_get_latest_schema_revision", None)  # private: it may go
    if latest is not None and _version(file) != latest():
        raise Refused(
            f"{file} has the schema of another version of MLflow: make a copy, run "
            f"`mlflow db upgrade '{sqlite_uri(file)}'`, then `tracelet sync`"
        )


def _check_served(uri: str) -> bool:
    """Refuse a database of another version, which MLflow would upgrade; tell whether it has any."""
    from mlflow.store.db import utils

    latest: Any = getattr(utils, "_get_latest_schema_revision", None)  # private: they may go
    version_of: Any = getattr(utils, "_get_schema_version", None)
    create: Any = getattr(utils, "create_sqlalchemy_engine", None)
    if None in {latest, version_of, create}:
        return True
    database = create(uri)
    try:
        version = version_of(database)
    finally:
        database.dispose()
    if version not in {None, latest()}:
        shown = without_userinfo(uri)
        raise Refused(
            f"{shown} has the schema of another version of MLflow: make a copy, run "
            f"`mlflow db upgrade '{shown}'`, then `tracelet sync`"
        )
    return version is not None


def _knock(uri: str) -> None:
    """Make sure that a database's server answers; MLflow would try for 100 s."""
    parts = urlsplit(uri)
    if not parts.hostname:  # a local socket, or a driver's own syntax
        return
    address = parts.hostname, parts.port or SERVED[engine(uri)]
    try:
        socket.create_connection(address, timeout=TIMEOUT).close()
    except OSError as error:
        host, port = address
        raise Unavailable(f"no {engine(uri)} server answers at {host}:{port}: {error}") from None
