"""Where a run goes, and where runs are read: chosen without a network, and without the client."""

import os
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tracelet.backend import Configuration
from tracelet.errors import ConfigError
from tracelet.scrub import without_userinfo

OFFLINE: Final = "offline"
ARCHIVE: Final = "archive"
PROJECT: Final = "project"
PARENT: Final = "parent"  # the run's, as `tracelet.backend.Backend.configure` says
_AGENTS: Final = ("CLEARML_TASK_ID", "TRAINS_TASK_ID")
_HOSTS: Final = ("api_host", "web_host", "files_host")
_WEB: Final = frozenset({"http", "https"})
_SAMPLES: Final = {
    "api_host": "https://api.clear.ml",
    "web_host": "https://app.clear.ml",
    "files_host": "https://files.clear.ml",
}
_ADDRESS: Final = re.compile(r"[\w-]+(\.[\w-]+)*(:\d+)?(/.*)?")
_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose where the run goes: a server, or a directory where ClearML's offline sessions are.

    Without settings the client finds its server when the run is delivered, as for everybody: in the
    environment, or in `~/clearml.conf`. Where an agent runs the script, its task is the run's parent.

    Raises:
        ConfigError: A setting is no address.
    """
    settings, directory = configuration.settings, configuration.directory.absolute()
    if is_offline(configuration.environ):
        return {OFFLINE: str(offline_directory(configuration.environ, directory))}
    given = {name: (f"clearml_{name}", settings.get(name, "").strip()) for name in _HOSTS}
    if url := settings.get("backend_url", "").strip():
        given["api_host"] = "backend_url", url
    chosen = {name: _checked(name, *said) for name, said in given.items() if said[1]}
    for name in _HOSTS:
        if name not in chosen:
            _check_own(name, configuration.environ)
    options = {name: without_userinfo(value) for name, value in chosen.items()}
    task = next(filter(None, (configuration.environ.get(name, "").strip() for name in _AGENTS)), "")
    return options | ({PARENT: task} if task else {})


def source(text: str) -> dict[str, str]:
    """Make options of a place: a project, the archive of an offline session, or everything.

    Raises:
        ConfigError: There is no such archive, or the environment's address of the server is none.
    """
    place = text.strip()
    file = Path(os.path.expanduser(place))  # noqa: PTH111  pathlib's raises without a home
    if place.endswith(".zip") or place.startswith((".", "/", "~")) or (place and _has_sessions(file)):
        if not file.exists():
            raise ConfigError(f"there is no archive of an offline session at {place!r}")
        return {ARCHIVE: os.path.abspath(file)}  # noqa: PTH100  not what a link leads to
    if "://" in place:
        raise ConfigError(
            f"{without_userinfo(place)!r} is no project: the server is what CLEARML_API_HOST says"
        )
    options = {PROJECT: place} if place else {}
    for name in _HOSTS:
        variable = f"TRACELET_CLEARML_{name.upper()}"
        if value := os.environ.get(variable, "").strip():
            options[name] = without_userinfo(_checked(name, variable, value))
        else:
            _check_own(name, os.environ)
    return options


def is_offline(environ: Mapping[str, str]) -> bool:
    """Tell whether ClearML is to be offline."""
    said = environ.get("CLEARML_OFFLINE_MODE", "") or environ.get("TRAINS_OFFLINE_MODE", "")
    return said.strip().lower() in _TRUE


def offline_directory(environ: Mapping[str, str], directory: Path) -> Path:
    """Return where ClearML itself would put its offline sessions."""
    cache = environ.get("CLEARML_CACHE_DIR", "") or environ.get("TRAINS_CACHE_DIR", "")
    if not cache:
        return Path(os.path.expanduser("~"), ".clearml", "cache", "offline")  # noqa: PTH111  pathlib's may raise
    return directory / os.path.expandvars(os.path.expanduser(cache)) / "offline"  # noqa: PTH111


def _has_sessions(place: Path) -> bool:
    return (place / "task.json").is_file() or any(place.glob("offline-*"))


def _check_own(name: str, environ: Mapping[str, str]) -> None:
    """Look at an address that the client finds in its own variable, when the run is delivered."""
    variable = f"CLEARML_{name.upper()}"
    if value := environ.get(variable, "").strip():
        _checked(name, variable, value)


def _checked(name: str, said_by: str, value: str) -> str:
    """Return an address without the slash at its end.

    Args:
        name: Which one.
        said_by: The setting or the variable that holds it.
        value: The address.

    Raises:
        ConfigError: It is none.
    """
    parts = urllib.parse.urlsplit(value)
    is_bucket = name == "files_host" and "://" in value
    if is_bucket or (parts.scheme in _WEB and parts.hostname):
        return value.rstrip("/")
    shown = without_userinfo(value) if "://" in value else value.rpartition("@")[2]
    meant = f" Did you mean 'http://{shown}'?" if _ADDRESS.fullmatch(shown) else ""
    raise ConfigError(f"{said_by}={shown!r} is no address; it takes one such as {_SAMPLES[name]!r}.{meant}")
