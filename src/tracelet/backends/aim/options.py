"""Where a run goes, and where runs are read: chosen without a network, and without the client."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tracelet.backend import Configuration
from tracelet.errors import ConfigError
from tracelet.scrub import restore_userinfo, without_userinfo

REMOTE: Final = "aim://"
_NAME: Final = "__AIM_REPO_NAME__"
_VARIABLES: Final = ("TRACELET_BACKEND_URL", "TRACELET_AIM_REPO")
_ADDRESS: Final = re.compile(r"[\w.-]+:\d+(/.*)?")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILES: Final = ("file://", "s3://")


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose where the run goes: a server, or a directory that has a repository or will have one.

    Without a setting it is where Aim itself would look: the nearest `.aim` upwards from the working
    directory, else that directory.

    Raises:
        ConfigError: It can be neither.
    """
    settings, directory = configuration.settings, configuration.directory.absolute()
    chosen = settings.get("backend_url", "") or settings.get("repo", "")
    name = repository_name(configuration.environ)
    repo = _place(chosen, directory, name) if chosen.strip() else str(_nearest(directory, name))
    artifacts = settings.get("artifacts_uri", "").strip()
    if artifacts and not artifacts.startswith(_FILES):
        shown = without_userinfo(artifacts)
        raise ConfigError(f"aim_artifacts_uri={shown!r} does not fit; it takes file:///… or s3://BUCKET/…")
    if not artifacts and not repo.startswith(REMOTE):
        artifacts = f"file://{Path(repo, name, 'artifacts')}"
    return {
        "repo": without_userinfo(repo),
        "artifacts_uri": without_userinfo(artifacts),
    }


def source(text: str) -> dict[str, str]:
    """Make options of a place: a directory with a repository, or the URL of a server.

    Raises:
        ConfigError: It can be neither.
    """
    place, here, name = text.strip(), Path.cwd(), repository_name(os.environ)
    chosen = place or next(filter(None, (os.environ.get(one, "").strip() for one in _VARIABLES)), "")
    repo = _place(chosen, here, name) if chosen else str(_nearest(here, name))
    shown = without_userinfo(repo)
    if shown != repo and place:
        raise ConfigError(
            f"{shown!r} was given with credentials, and they would be seen by everybody on this machine: put "
            "the whole URL in TRACELET_AIM_REPO, and leave them out here"
        )
    if not repo.startswith(REMOTE) and not Path(repo, name).is_dir():
        raise ConfigError(f"there is no Aim repository in {repo}: it would have a directory {name!r}")
    return {"repo": shown}


def with_credentials(stored: str) -> str:
    """Return a URL with the credentials that the environment has for it."""
    return restore_userinfo(stored, [os.environ.get(name, "").strip() for name in _VARIABLES])


def repository_name(environ: Mapping[str, str]) -> str:
    """Tell what Aim calls its directory."""
    return environ.get(_NAME, "") or ".aim"


def _place(text: str, directory: Path, name: str) -> str:
    text = text.strip()
    shown = without_userinfo(text)
    if text.startswith(REMOTE):
        address = text.removeprefix(REMOTE).rstrip("/")
        if not address.rpartition("@")[2]:
            raise ConfigError(f"{shown!r} names no server; it takes a URL such as 'aim://localhost:53800'")
        return REMOTE + address
    if _ADDRESS.fullmatch(text):
        raise ConfigError(f"{shown!r} is not a repository. Did you mean '{REMOTE}{shown}'?")
    if _SCHEME.match(text):
        raise ConfigError(f"{shown!r} is no Aim repository; it takes a directory, or 'aim://HOST:PORT'")
    path = Path(os.path.normpath(directory / os.path.expanduser(text)))  # noqa: PTH111  pathlib's may raise
    return str(path.parent if path.name == name else path)


def _nearest(directory: Path, name: str) -> Path:
    return next((place for place in (directory, *directory.parents) if (place / name).is_dir()), directory)
