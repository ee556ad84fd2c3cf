"""The shelf: the directory `.tracelet` that holds a project's runs, one directory each."""

import os
import secrets
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tracelet.errors import ConfigError, JournalCorrupt, suggestion
from tracelet.journal import status

LISTED: Final = 10  # runs that an error names
_NETWORK: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "lustre",
        "cifs",
        "smb3",
        "beegfs",
        "gpfs",
        "fuse.sshfs",
        "ceph",
        "fuse.ceph",
        "9p",
        "afs",
    }
)


def locate(started_in: Path, environ: Mapping[str, str]) -> Path:
    """Find the shelf: `TRACELET_DIR`, else the nearest `.tracelet` upwards, else a new one here.

    The search begins in the directory where the interpreter was started, since frameworks change
    the current one, and stops at the git root and at the home directory.

    Raises:
        ConfigError: `TRACELET_DIR` is below a home directory that nobody knows.
    """
    if named := environ.get("TRACELET_DIR"):
        place = os.path.expanduser(named)  # noqa: PTH111  as for `home`
        if place.startswith("~"):
            message = f"TRACELET_DIR={named!r} begins in no home directory that is known; give a whole path"
            raise ConfigError(message)
        return Path(started_in, place)
    # Not `Path.home`: it raises where a container's user has neither a HOME nor an entry.
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    for directory in (started_in, *started_in.parents):
        if stat.S_ISDIR(_mode(directory / ".tracelet")):
            return directory / ".tracelet"
        if _mode(directory / ".git") or directory == home:
            break
    return started_in / ".tracelet"


def _mode(path: Path) -> int:
    """Return a file's mode; 0 if it is not there, or in a place that we may not look into."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def new_run_id() -> str:
    """Make a run's id: when it began (UTC), and six hexadecimal digits."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def create(shelf: Path, run_id: str) -> Path:
    """Make a run's directory, and the shelf if it is not there.

    Raises:
        ConfigError: The directory cannot be written; the message says where and what to do.
    """
    directory = shelf / run_id
    try:
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = shelf / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        directory.mkdir(mode=0o700)
    except OSError as error:
        message = (
            f"the journal cannot be kept in {shelf}: {error.strerror or error}. "
            "Set TRACELET_DIR to a directory that can be written"
        )
        raise ConfigError(message) from None
    return directory


def runs(shelf: Path) -> list[Path]:
    """List the directories of all runs, oldest first; not those of others that we may not look into."""
    try:
        return sorted(path for path in shelf.iterdir() if stat.S_ISREG(_mode(path / "run.json")))
    except OSError:
        return []


def find(shelf: Path, wanted: str) -> Path:
    """Find a run by its id, its name (the newest of that name), or the beginning or end of its id.

    Raises:
        ConfigError: There is none, or several ids fit.
    """
    if not wanted:  # every id begins so
        raise ConfigError("a run's name or id is empty; `tracelet ls` lists the runs")
    directories = runs(shelf)
    names = {name: path for path in directories if (name := _name(path))}
    if wanted in names and shelf / wanted not in directories:
        return names[wanted]
    ids = [path for path in directories if path.name.startswith(wanted) or path.name.endswith(wanted)]
    exact = [path for path in ids if path.name == wanted]
    if len(exact or ids) == 1:
        return (exact or ids)[0]
    if ids:
        newest = ", ".join(path.name for path in ids[-LISTED:])
        older = f" and {len(ids) - LISTED:,} older ones" if len(ids) > LISTED else ""
        raise ConfigError(f"{len(ids)} runs fit {wanted!r}: {newest}{older}. Give more of the id")
    known = [*names, *(path.name for path in directories)]
    message = f"no run {wanted!r} in {shelf}; `tracelet ls` lists them.{suggestion(wanted, known)}"
    raise ConfigError(message)


def namesakes(shelf: Path, name: str) -> list[Path]:
    """List all runs of one name, the newest last; none if it is the id of one."""
    directories = runs(shelf)
    return [] if shelf / name in directories else [path for path in directories if _name(path) == name]


def _name(directory: Path) -> str:
    try:
        return status.read_run(directory).name
    except JournalCorrupt:
        return ""


def undelivered(directories: Iterable[Path]) -> list[Path]:
    """Choose the runs that have ended and that some backend does not have whole."""
    found: list[Path] = []
    for directory in directories:
        try:
            run = status.read_run(directory)
        except JournalCorrupt:
            continue
        if not status.is_delivered(directory, run) and status.has_ended(directory, run):
            found.append(directory)
    return found


def network_file_system(path: Path) -> str:
    """Name the network file system that `path` lies on; empty for a local one, or if not known."""
    kind = file_system(path)
    return kind if kind in _NETWORK else ""


def file_system(path: Path) -> str:
    """Name the kind of file system that `path` lies on; empty if that is not known."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = os.path.realpath(path), "", ""
    for line in lines:
        mount, found = line.split(" ")[1:3]
        mount = mount.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind
