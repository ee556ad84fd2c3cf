"""What `wandb:PLACE` names: a project on a server, or files of this machine.

    wandb:                                        as W&B's own variables and settings say
    wandb:PROJECT, wandb:ENTITY/PROJECT           a project there
    wandb:ENTITY/                                 all projects of a user or team
    wandb:https://HOST/ENTITY/PROJECT             a project of a server; a page's address will do
    wandb:PATH                                    a `.wandb` file, the directory of a run, or one of many

What is on this machine, and holds such files, is a path; so is what begins with `.`, `/` or `~`.
"""

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tracelet.backends.wandb import local
from tracelet.backends.wandb.options import BASE_URL, usual
from tracelet.errors import ConfigError
from tracelet.scrub import without_userinfo

PATH: Final = "path"
_PAGES: Final = frozenset({"wandb.ai", "www.wandb.ai"})
_FORGE: Final = "forge.coreweave.com"
_NAME: Final = re.compile(r"[^/\\#?%:\s][^/\\#?%:]*")


def source(text: str) -> dict[str, str]:
    """Make options of a place.

    Raises:
        ConfigError: It is none.
    """
    place = text.strip()
    if place.startswith(("http://", "https://")):
        return _at(place)
    file = Path.cwd() / os.path.expanduser(place)  # noqa: PTH111  pathlib's raises without a home
    if place.startswith((".", "/", "~")) or place.endswith(".wandb") or (place and local.runs(file)):
        if not local.runs(file):
            raise ConfigError(
                f"there are no runs of W&B's in {file}; wandb: takes a .wandb file, an offline-run-* or "
                "run-* directory, or the directory wandb/ that holds them"
            )
        return {PATH: str(file)}
    return usual(os.environ, Path.cwd()) | _named(place)


def _named(place: str) -> dict[str, str]:
    """Read ENTITY/PROJECT, or one of both."""
    if not place:
        return {}
    entity, slash, project = place.partition("/")
    if not slash:
        entity, project = "", entity
    project = project.rstrip("/")
    if any(part and not _NAME.fullmatch(part) for part in (entity, project)) or not entity + project:
        raise ConfigError(
            f"{place!r} is no project of W&B's; wandb: takes ENTITY/PROJECT, PROJECT, "
            "https://HOST/ENTITY/PROJECT, or a path that begins with ./ or /"
        )
    return {"project": project} | ({"entity": entity} if slash else {})


def _at(address: str) -> dict[str, str]:
    """Read the address of a server, of a project there, or of one of its pages."""
    parts = urlsplit(address)
    inside = [part for part in parts.path.split("/") if part]
    base = f"{parts.scheme}://{parts.netloc}"
    if parts.hostname in _PAGES:
        base = BASE_URL
    elif parts.hostname == _FORGE:
        base, inside = f"https://api.{_FORGE}", inside[1:]
    found = usual(os.environ, Path.cwd()) if not inside else {}
    return found | {"base_url": without_userinfo(base)} | _named("/".join(inside[:2]))
