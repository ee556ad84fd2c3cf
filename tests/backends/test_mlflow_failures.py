"""What MLflow's failures mean to the relay."""

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.backends.conftest import BACKEND, RUN, WARNINGS, Store
from tracelet.backends.mlflow import failures
from tracelet.backends.mlflow.failures import Baffling, mapped, translated
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.events import Metric, Tags
from tracelet.testing.proxy import FaultProxy

NOW = RUN.time
pytestmark = [pytest.mark.slow, *WARNINGS]


@pytest.mark.parametrize("mode", ["refuse", "error", "black_hole"])
def test_a_server_that_does_not_work_is_unavailable(store: Store, proxy: FaultProxy, mode: Any) -> None:
    proxy.mode = mode
    store.options.update(tracking_uri=f"http://user:secret@127.0.0.1:{proxy.port}", artifact_location="")
    before = time.monotonic()

    with pytest.raises(Unavailable) as caught:
        store.open()

    assert time.monotonic() - before < BACKEND.limits.patience
    assert "secret" not in str(caught.value)


def test_a_tag_by_which_a_run_is_found_is_rejected(store: Store) -> None:
    writer = store.open()

    with pytest.raises(Rejected, match=r"'tracelet\.uid' is tracelet's own") as caught:
        writer.write([Tags(NOW, {"team": "mine"}), Tags(NOW, {"tracelet.uid": "mine"})])

    assert caught.value.at == 1
    assert store.run.data.tags["tracelet.uid"] == RUN.run_id


def test_a_database_server_that_is_not_there_is_unavailable(store: Store, proxy: FaultProxy) -> None:
    store.options["tracking_uri"] = f"postgresql://127.0.0.1:{proxy.port}/db"

    with pytest.raises(Unavailable, match="no postgresql server answers"):
        store.open()


def test_a_locked_database_is_unavailable(store: Store) -> None:
    writer = store.open()
    with contextlib.closing(sqlite3.connect(store.file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        # The client waits 20 s for a lock. Nothing shortens that but changing what it says to SQLite.
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
        from sqlalchemy import event

        engine = SqlAlchemyStore._engine_map[store.uri]
        event.listen(engine, "before_cursor_execute", _impatient, retval=True)
        with pytest.raises(Unavailable, match="locked"):
            writer.write([Metric("loss", 0.5, 0, NOW)])

    writer.write([Metric("loss", 0.5, 0, NOW)])
    assert len(store.history("loss")) == 1


def _impatient(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> tuple[str, Any]:
    return statement.replace("busy_timeout = 20000", "busy_timeout = 10"), parameters


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        ("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", Rejected),
        ("INVALID_PARAMETER_VALUE", "The run x must be in the 'active' state.", Refused),
        ("BAD_REQUEST", "(psycopg2.errors.NumericValueOutOfRange) value out of range", Rejected),
        ("BAD_REQUEST", "QueuePool limit of size 5 overflow 10 reached", Unavailable),
        ("RESOURCE_DOES_NOT_EXIST", "Run with id=x not found", Refused),
        ("PERMISSION_DENIED", "", Refused),
        ("UNAUTHENTICATED", "", Refused),
        ("REQUEST_LIMIT_EXCEEDED", "", Unavailable),
        ("TEMPORARILY_UNAVAILABLE", "database is locked", Unavailable),
        ("ENDPOINT_NOT_FOUND", "", Unavailable),
        ("INTERNAL_ERROR", "Detected out-of-date database schema (found version x)", Refused),
        ("INTERNAL_ERROR", "API request to endpoint /x failed with error code 413 != 200.", Rejected),
        ("INTERNAL_ERROR", "Caused by ResponseError('too many 503 error responses')", Unavailable),
        ("INTERNAL_ERROR", "Caused by ResponseError('too many 500 error responses')", Baffling),
        ("INTERNAL_ERROR", "API request to http://h failed with exception", Unavailable),
        ("INTERNAL_ERROR", "nobody knows", Baffling),
    ],
)
def test_mlflows_codes_have_a_meaning(code: str, message: str, meaning: type[BackendError]) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    assert type(translated(MlflowException(message, ErrorCode.Value(code)))) is meaning


def test_every_code_is_one_of_mlflows() -> None:
    from mlflow.protos.databricks_pb2 import ErrorCode

    assert set(failures._CODES) <= set(ErrorCode.keys())


def _answered(status: int) -> Exception:
    import requests

    response = requests.Response()
    response.status_code = status
    response.headers["Retry-After"] = "7"
    return requests.HTTPError("answered", response=response)


def _of_database(name: str) -> Exception:
    import sqlalchemy.exc

    return getattr(sqlalchemy.exc, name)("statement", {}, Exception("why"))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (lambda: _answered(401), Refused),
        (lambda: _answered(413), Rejected),
        (lambda: _answered(429), Unavailable),
        (lambda: _answered(500), Baffling),
        (lambda: _answered(502), Unavailable),
        (lambda: _of_database("OperationalError"), Unavailable),
        (lambda: _of_database("DataError"), Rejected),
        (lambda: ConnectionResetError("gone"), Unavailable),
        (lambda: OSError(errno.ENOSPC, "full"), Unavailable),
        (lambda: NotADirectoryError(errno.ENOTDIR, "a file"), Rejected),
        (lambda: TypeError("what is this"), Rejected),
        (lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), Rejected),
        (lambda: ModuleNotFoundError("No module named 'boto3'"), Rejected),
        (lambda: EOFError("unheard of"), Baffling),
    ],
)
def test_other_exceptions_have_a_meaning(error: Callable[[], Exception], meaning: type[BackendError]) -> None:
    assert type(translated(error())) is meaning


def test_a_tracker_that_says_when_to_come_back_is_believed() -> None:
    later = translated(_answered(429))

    assert isinstance(later, Unavailable)
    assert later.retry_after == 7


def test_what_wraps_an_exception_means_what_that_means() -> None:
    from mlflow.exceptions import MlflowException

    error = MlflowException("wrapped")
    error.__cause__ = OverflowError("Python int too large to convert to SQLite INTEGER")

    assert type(translated(error)) is Rejected


def test_a_message_is_one_line_of_bounded_length_that_names_the_exception() -> None:
    said = str(translated(EOFError("http://u:p@h/x\n" * 1000)))

    assert said.startswith("EOFError: http://h/x http://h/x")
    assert len(said) < 1000


def test_while_opening_nothing_is_rejected_but_the_run() -> None:
    with pytest.raises(Refused, match="what is this"), mapped(opening=True):
        raise TypeError("what is this")


@pytest.mark.parametrize(("users", "ours"), [("3", "3"), ("60", "60"), ("600", "110"), ("soon", "15")])
def test_a_timeout_of_the_user_is_kept_within_what_a_relay_may_take(users: str, ours: str) -> None:
    program = f"""
import os, sys
from importlib.machinery import ModuleSpec
from tracelet.backends.mlflow.stores import settle

sys.modules["__main__"].__spec__ = ModuleSpec("tracelet.relay.__main__", None)
settle()
assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == {ours!r}
"""
    environ = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": users}

    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_only_a_process_of_our_own_has_its_environment_changed() -> None:
    program = """
import os, sys
from importlib.machinery import ModuleSpec
from tracelet.backends.mlflow.stores import patient, settle, slower

name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
settle()
assert not any(key.startswith("MLFLOW_") for key in os.environ)
sys.modules["__main__"].__spec__ = ModuleSpec("tracelet.relay.__main__", None)
settle()
assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
assert os.environ[name] == "15"
with patient(20_000_000):
    assert os.environ[name] == "115"
assert os.environ[name] == "15"
for longer in ("30", "60", "110", "110"):
    slower()
    settle()
    assert os.environ[name] == longer
"""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}

    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
