"""Where a run goes, chosen in the training process: without a network, and without the client."""

import contextlib
import getpass
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from tracelet.backend import Configuration
from tracelet.errors import ConfigError
from tracelet.scrub import without_userinfo

SERVED: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""The databases that MLflow can use and that a server holds, with their ports."""


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose where the run goes: settings, then MLFLOW_TRACKING_URI, then a database by the script.

    Raises:
        ConfigError: MLflow has no store for such a URI, or only its file store.
    """
    uri = _absolute(_chosen(configuration), configuration.directory.absolute())
    file = database_file(uri)
    # As MLflow itself would, if it ran in the directory of the database, or of the script.
    place = file.parent if file else configuration.directory.absolute() if engine(uri) in SERVED else None
    return {
        "tracking_uri": without_userinfo(uri),
        "experiment": configuration.settings.get("experiment_name", "") or configuration.project,
        "artifact_location": str(place / "mlruns") if place else "",
        "user": _user(),
    }


def engine(uri: str) -> str:
    """Return "sqlite" for `sqlite:///a.db`, "mysql" for `mysql+pymysql://…`, "https" for a server."""
    return uri.partition(":")[0].partition("+")[0].lower() if ":" in uri else ""


def database_file(uri: str) -> Path | None:
    """Return the file that a SQLite URI names; None for any other URI."""
    if engine(uri) != "sqlite":
        return None
    return Path(unquote(uri.partition(":///")[2].partition("?")[0]))


def sqlite_uri(file: Path) -> str:
    """Return the URI of a SQLite database."""
    return f"sqlite:///{_quoted(file)}"


def _chosen(configuration: Configuration) -> str:
    settings = configuration.settings
    given = (
        settings.get("backend_url", ""),
        settings.get("tracking_uri", ""),
        configuration.environ.get("MLFLOW_TRACKING_URI", ""),
    )
    said = next((uri.strip() for uri in given if uri.strip()), "")
    return said or sqlite_uri(configuration.script_directory.absolute() / "mlflow.db")


def _absolute(uri: str, directory: Path) -> str:
    """Make a URI mean the same wherever it is used, or say why MLflow cannot use it."""
    shown = without_userinfo(uri)
    if engine(uri) == "sqlite":
        return _absolute_sqlite(uri, directory)
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        raise ConfigError(f"{shown!r} is not a tracking URI. Did you mean 'http://{shown}'?")
    scheme, colon, _ = uri.partition(":")
    if not (uri == "databricks" or (colon and len(scheme) > 1 and scheme != "file")):
        raise ConfigError(
            f"{shown!r} is a directory: MLflow 3 keeps no runs in one, and a point that is sent twice "
            "would be two there. Use a database, as in sqlite:///mlflow.db, or a server, as in "
            "http://localhost:5000"
        )
    return uri


def _absolute_sqlite(uri: str, directory: Path) -> str:
    scheme, _, path = uri.partition("://")
    if path in {"", "/", "/:memory:"}:
        raise ConfigError(f"{uri!r} is gone with its process. Use a file, as in sqlite:///mlflow.db")
    if not path.startswith("/"):
        raise ConfigError(f"{uri!r} lacks a slash. Did you mean '{scheme}:///{path}'?")
    file = path[1:]
    if file.startswith("/") or file[1:2] == ":":  # or a drive
        return uri
    return f"{scheme}:///{_quoted(directory)}/{file.removeprefix('./')}"


def _quoted(path: Path) -> str:
    return path.as_posix().replace("%", "%25").replace("?", "%3F")


def _user() -> str:
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        return getpass.getuser()
    return ""
