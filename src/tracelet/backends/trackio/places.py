"""Where Trackio keeps its databases, found without importing it."""

import os
from collections.abc import Mapping
from pathlib import Path

from tracelet.backend import Configuration
from tracelet.errors import ConfigError


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose the directory: the setting `trackio_dir`, then TRACKIO_DIR, then Trackio's own."""
    chosen = configuration.settings.get("dir", "") or str(usual(configuration.environ))
    return {"dir": str(configuration.directory.absolute() / _expanded(chosen))}


def source(text: str) -> dict[str, str]:
    """Make options of a directory, or of one project's database in it; empty for the usual one.

    Raises:
        ConfigError: There is no database there.
    """
    place = Path.cwd() / (_expanded(text.strip()) if text.strip() else usual(os.environ))
    if place.is_file() and place.suffix == ".db":
        return {"dir": str(place.parent), "project": place.stem}
    if not place.is_dir() or not any(place.glob("*.db")):
        raise ConfigError(
            f"there is no database of Trackio's in {place}; trackio: takes the directory that TRACKIO_DIR "
            "names, or one project's database in it"
        )
    return {"dir": str(place)}


def usual(environ: Mapping[str, str]) -> Path:
    """Choose as Trackio itself would, by way of where Hugging Face keeps its files."""
    if chosen := environ.get("TRACKIO_DIR", ""):
        return _expanded(chosen)
    if home := environ.get("HF_HOME", ""):
        return _expanded(os.path.expandvars(home)) / "trackio"
    cache = environ.get("XDG_CACHE_HOME", "") or "~/.cache"
    return _expanded(os.path.expandvars(cache)) / "huggingface" / "trackio"


def _expanded(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises without a home
