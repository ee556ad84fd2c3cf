"""Where a run goes, chosen in the training process: without a network, and without the client."""

import contextlib
import getpass
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from tracelet.backend import Configuration
from tracelet.backends.mlflow import told
from tracelet.backends.mlflow.told import OpenRun, State
from tracelet.errors import ConfigError
from tracelet.scrub import without_userinfo, without_userinfo_in

SERVED: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""The databases that MLflow can use and that a server holds, with their ports."""

_LOCKED: Final = 0.1  # seconds to wait for a SQLite database that somebody writes to


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose where the run goes, and whether it is one that the script holds open.

    A URI comes from settings, then from what the script told MLflow, then from MLFLOW_TRACKING_URI;
    else the run goes where the script's own calls of MLflow went, or into a database by the script.

    Raises:
        ConfigError: MLflow has no store for such a URI, or only its file store.
    """
    script = told.state()
    uri = _absolute(_chosen(configuration, script), configuration.directory.absolute())
    file = database_file(uri)
    # As MLflow itself would, if it ran in the directory of the database, or of the script.
    place = file.parent if file else configuration.directory.absolute() if engine(uri) in SERVED else None
    return {
        "tracking_uri": without_userinfo(uri),
        "experiment": configuration.settings.get("experiment_name", "") or configuration.project,
        "artifact_location": str(place / "mlruns") if place else "",
        "user": _user(),
        **({"source": without_userinfo_in(configuration.script)} if configuration.script else {}),
        **_continued(configuration, script, uri),
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


def is_same_store(uri: str, stored: str, directory: Path) -> bool:
    """Tell whether a URI of MLflow's names the store that a run's options name.

    Args:
        uri: As MLflow has it: credentials and all, a relative path perhaps.
        stored: As `configure` made it.
        directory: Where relative paths begin.
    """
    try:
        one = without_userinfo(_absolute(uri, directory))
    except ConfigError:
        return False
    file, other = database_file(one), database_file(stored)
    if file is not None and other is not None:
        return os.path.realpath(file) == os.path.realpath(other)
    return _plain(one) == _plain(stored)


def _plain(uri: str) -> tuple[str, ...]:
    parts = urlsplit(uri)
    return parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query


def _chosen(configuration: Configuration, script: State) -> str:
    settings = configuration.settings
    given = (
        settings.get("backend_url", ""),
        settings.get("tracking_uri", ""),
        script.said,
        configuration.environ.get("MLFLOW_TRACKING_URI", ""),
        script.used if _is_offered(script.used, configuration.directory) else "",
    )
    chosen = next((uri.strip() for uri in given if uri.strip()), "")
    return chosen or sqlite_uri(configuration.script_directory.absolute() / "mlflow.db")


def _is_offered(uri: str, directory: Path) -> bool:
    try:
        _absolute(uri, directory)
    except ConfigError:
        return False
    return True


def _continued(configuration: Configuration, script: State, uri: str) -> dict[str, str]:
    """Choose what the run takes over from the script: its open run, or its experiment.

    Returns:
        Of a run that it is: `run`, `name`, `project`. Of a run that it is nested in: `parent`. Of
        an experiment: `experiment_id`, `project`.
    """
    stored, directory = without_userinfo(uri), configuration.directory.absolute()
    if not is_same_store(script.now, stored, directory):
        script = State()
    there = configuration.environ.get("MLFLOW_TRACKING_URI", "")
    is_there = not there or is_same_store(there, stored, directory)
    environ = configuration.environ if is_there else dict[str, str]()
    options: dict[str, str] = {}
    run = script.run or _handed_over(environ.get("MLFLOW_RUN_ID", ""))
    if run is not None and not configuration.name and run.id not in told.adopted:
        options = {"run": run.id, "name": run.name}
    elif run is not None and (run.by_script or run.id in told.adopted):
        options = {"parent": run.id}
    if not configuration.project:
        named = environ.get("MLFLOW_EXPERIMENT_NAME", "")
        chosen = script.experiment_id or ("" if named else environ.get("MLFLOW_EXPERIMENT_ID", ""))
        experiment_id = (run.experiment_id if run is not None and options else "") or chosen
        if experiment_id:
            options |= {"experiment_id": experiment_id, "project": _experiment_name(uri, experiment_id)}
    return options


def _handed_over(run_id: str) -> OpenRun | None:
    """Make what is known of a run that was opened for this process, as `mlflow run` does."""
    return OpenRun(id=run_id, by_script=False) if run_id else None


def _experiment_name(uri: str, experiment_id: str) -> str:
    """Find an experiment's name, if that takes no network; MLflow itself keeps only its id."""
    file = database_file(uri)
    if file is not None:
        import sqlite3  # the script uses MLflow, so it has this already

        place = f"file:{quote(str(file))}?mode=ro"
        asked = "SELECT name FROM experiments WHERE experiment_id = ?"
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(place, uri=True, timeout=_LOCKED)) as connection,
        ):
            for row in connection.execute(asked, (experiment_id,)):
                return str(row[0])
    return "Default" if experiment_id == "0" else f"experiment {experiment_id}"


def _absolute(uri: str, directory: Path) -> str:
    """Make a URI mean the same wherever it is used, or say why MLflow cannot use it."""
    shown = without_userinfo(uri)
    if engine(uri) == "sqlite":
        return _absolute_sqlite(uri, directory)
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        raise ConfigError(f"{shown!r} is not a tracking URI. Did you mean 'http://{shown}'?")
    if engine(uri) in {"http", "https"} and not urlsplit(uri).hostname:
        raise ConfigError(f"{shown!r} names no server; it takes a URL such as 'http://localhost:5000'")
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
