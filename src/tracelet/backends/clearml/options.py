"""Where a run goes, and where runs are read: chosen without a network, and without the client."""

import os
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
_HOSTS: Final = ("api_host", "web_host", "files_host")
_WEB: Final = frozenset({"http", "https"})
_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose where the run goes: a server, or a directory where ClearML's offline sessions are.

    Without settings the client finds its server when the run is delivered, as for everybody: in the
    environment, or in `~/clearml.conf`.

    Raises:
        ConfigError: A setting is no address.
    """
    settings, directory = configuration.settings, configuration.directory.absolute()
    if is_offline(configuration.environ):
        return {OFFLINE: str(offline_directory(configuration.environ, directory))}
    given = {name: settings.get(name, "").strip() for name in _HOSTS}
    given["api_host"] = settings.get("backend_url", "").strip() or given["api_host"]
    chosen = {name: _checked(f"clearml_{name}", value) for name, value in given.items() if value}
    return {name: without_userinfo(value) for name, value in chosen.items()}


def source(text: str) -> dict[str, str]:
    """Make options of a place: a project, the archive of an offline session, or everything.

    Raises:
        ConfigError: There is no such archive.
    """
    place = text.strip()
    if not place:
        return {}
    file = Path(place).expanduser()
    if place.endswith(".zip") or file.is_dir():
        if not file.exists():
            raise ConfigError(f"there is no archive of an offline session at {place!r}")
        return {ARCHIVE: os.path.abspath(file)}  # noqa: PTH100  not what a link leads to
    if "://" in place:
        raise ConfigError(
            f"{without_userinfo(place)!r} is no project: the server is what CLEARML_API_HOST says"
        )
    return {PROJECT: place}


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


def _checked(setting: str, value: str) -> str:
    """Return an address without the slash at its end."""
    parts = urllib.parse.urlsplit(value)
    is_bucket = setting == "clearml_files_host" and "://" in value
    if not is_bucket and (parts.scheme not in _WEB or not parts.hostname):
        shown = without_userinfo(value)
        raise ConfigError(f"{setting}={shown!r} is no address; it takes one such as 'https://api.clear.ml'")
    return value.rstrip("/")
