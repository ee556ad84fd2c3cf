"""Where to read runs from, as `mlflow:PLACE` says it: without a network, and without the client."""

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tracelet.backends.mlflow.options import SERVED, database_file, engine, sqlite_uri
from tracelet.errors import ConfigError
from tracelet.scrub import restore_userinfo, without_userinfo

_VARIABLES: Final = ("TRACELET_BACKEND_URL", "TRACELET_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI")
_DATABASES: Final = (".db", ".sqlite", ".sqlite3")
_ADDRESS: Final = re.compile(r"[\w.-]+:\d+(/.*)?")


def source(text: str) -> dict[str, str]:
    """Make options of a place: a URI, a directory, or a SQLite file. Nothing: what the environment says.

    Raises:
        ConfigError: It can be no place of MLflow's.
    """
    uri = _place(text.strip() or _usual())
    shown = without_userinfo(uri)
    if uri != shown and uri not in _environment():
        raise ConfigError(
            f"{shown!r} was given with credentials, and they would be seen by everybody on this machine: put "
            "them in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole URI in "
            "MLFLOW_TRACKING_URI, and leave them out here"
        )
    return {"tracking_uri": shown}


def with_credentials(stored: str) -> str:
    """Return a URI with the credentials that the environment has for it."""
    return restore_userinfo(stored, _environment())


def _environment() -> list[str]:
    return [os.environ.get(name, "").strip() for name in _VARIABLES]


def _usual() -> str:
    """Choose as MLflow itself would, here."""
    said = next(filter(None, _environment()), "")
    if said:
        return said
    directory = Path.cwd() / "mlruns"
    return (
        str(directory) if _has_runs(directory) and not Path("mlflow.db").exists() else "sqlite:///mlflow.db"
    )


def _has_runs(directory: Path) -> bool:
    return any(directory.glob("*/meta.yaml"))


def _place(text: str) -> str:
    name = engine(text)
    if name == "sqlite":
        file = database_file(text)
        if file is None or not file.name or file.name == ":memory:":
            raise ConfigError(f"{text!r} is no SQLite file. Write it as in sqlite:///mlflow.db")
        return sqlite_uri(file.absolute())
    if name == "file":
        return Path(unquote(urlsplit(text).path)).absolute().as_uri()
    if _ADDRESS.fullmatch(text):
        raise ConfigError(f"{text!r} is not a tracking URI. Did you mean 'http://{text}'?")
    if name in SERVED or len(name) > 1 or text == "databricks":
        return text
    path = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  pathlib's raises without a home
    is_file = path.is_file() or (path.suffix in _DATABASES and not path.is_dir())
    return sqlite_uri(path) if is_file else path.as_uri()
