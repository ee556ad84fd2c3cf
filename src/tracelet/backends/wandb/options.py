"""Where a run goes, and where runs are read: chosen without a network, and without the client.

What nobody says is left to W&B's own settings files, of the user and of the working directory, as
`wandb online`, `wandb offline` and `wandb login` write them.
"""

import configparser
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tracelet.backend import Configuration
from tracelet.errors import ConfigError
from tracelet.scrub import restore_userinfo, without_userinfo

ONLINE: Final = "online"
OFFLINE: Final = "offline"
DISABLED: Final = "disabled"
BASE_URL: Final = "https://api.wandb.ai"  # what W&B calls its own; its client knows where that is now
_MODES: Final[Mapping[str, str]] = {
    "online": ONLINE,
    "run": ONLINE,
    "offline": OFFLINE,
    "dryrun": OFFLINE,
    "disabled": DISABLED,
}
_PROJECT: Final = 128  # characters
_REFUSED: Final = re.compile(r"[/\\#?%:\x00-\x1f\x7f]")
_VARIABLES: Final[Mapping[str, str]] = {
    "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
    "tags": "WANDB_TAGS",
    "notes": "WANDB_NOTES",
    "name": "WANDB_NAME",
}
_URLS: Final = ("TRACELET_BACKEND_URL", "WANDB_BASE_URL")


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose where the run goes, as W&B itself would.

    Raises:
        ConfigError: The mode is none, or the address.
    """
    environ, settings, here = configuration.environ, configuration.settings, configuration.directory
    place = Path(_expanded(environ.get("WANDB_DIR", "").strip() or str(here)))
    place = Path(os.path.normpath(here / place))
    told = _told(environ, place)
    own = {key: text for key, name in _VARIABLES.items() if (text := environ.get(name, "").strip())}
    if configuration.name:
        own.pop("name", None)
    chosen = {
        "mode": mode_of(environ.get("WANDB_MODE", "") or told.get("mode", "")),
        "base_url": _url(settings.get("backend_url", "") or base_url(environ, told)),
        "entity": settings.get("entity", "") or environ.get("WANDB_ENTITY", "") or told.get("entity", ""),
        "project": settings.get("project", "") or ("" if configuration.project else told.get("project", "")),
        "dir": str(place),
        "program": configuration.script,
    }
    return {key: text.strip() for key, text in chosen.items() if text.strip()} | own


def mode_of(text: str) -> str:
    """Return what a word of W&B's for a mode means here; without one a run goes online.

    Raises:
        ConfigError: It is none.
    """
    word = text.strip().lower()
    if word == "shared":
        raise ConfigError(
            "WANDB_MODE='shared' is not for tracelet: all processes of a run write to one journal, and one "
            "relay delivers it. Set WANDB_MODE=online, or remove it"
        )
    if word and word not in _MODES:
        raise ConfigError(f"WANDB_MODE={text!r} is no mode; there are online, offline, disabled")
    return _MODES.get(word, ONLINE)


def project_of(name: str) -> str:
    """Return W&B's name for a project: some characters may not stand there."""
    return _REFUSED.sub("-", name)[:_PROJECT].strip() or "uncategorized"


def base_url(environ: Mapping[str, str], told: Mapping[str, str]) -> str:
    """Return W&B's address, as its own variable and files say; empty for the one that the client knows."""
    return environ.get("WANDB_BASE_URL", "").strip() or told.get("base_url", "")


def with_credentials(stored: str) -> str:
    """Return an address with the credentials that the environment has for it."""
    return restore_userinfo(stored, [os.environ.get(name, "").strip() for name in _URLS])


def usual(environ: Mapping[str, str], place: Path) -> dict[str, str]:
    """Return what W&B's settings files, and its variables, say of server, entity and project."""
    told = _told(environ, place)
    found = {
        "base_url": base_url(environ, told),
        "entity": environ.get("WANDB_ENTITY", "") or told.get("entity", ""),
        "project": environ.get("WANDB_PROJECT", "") or told.get("project", ""),
    }
    return {key: text for key, text in found.items() if text}


def _told(environ: Mapping[str, str], place: Path) -> dict[str, str]:
    """Read W&B's settings files: the user's, and above it that of a directory."""
    home = environ.get("WANDB_CONFIG_DIR", "") or "~/.config/wandb"
    hidden = place / ".wandb"
    own = (hidden if hidden.is_dir() else place / "wandb") / "settings"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([Path(_expanded(home), "settings"), own], encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}


def _url(text: str) -> str:
    found = text.strip().rstrip("/")
    if found and not found.startswith(("http://", "https://")):
        shown = without_userinfo(found)
        raise ConfigError(f"{shown!r} is no address of W&B; it takes a URL such as {BASE_URL!r}")
    return without_userinfo(found)


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  pathlib's raises without a home
