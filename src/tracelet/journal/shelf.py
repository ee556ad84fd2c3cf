"""The shelf: the directory `.tracelet` that holds a project's runs, one directory each."""

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tracelet.errors import ConfigError, JournalCorrupt, suggestion
from tracelet.journal import cursors, status

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
    """
    if named := environ.get("TRACELET_DIR"):
        return Path(started_in, Path(named).expanduser())
    home = Path(environ.get("HOME") or Path.home())
    for directory in (started_in, *started_in.parents):
        if (directory / ".tracelet").is_dir():
            return directory / ".tracelet"
        if (directory / ".git").exists() or directory == home:
            break
    return started_in / ".tracelet"


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
        raise ConfigError(message) from error
    return directory


def runs(shelf: Path) -> list[Path]:
    """List the directories of all runs, oldest first."""
    try:
        return sorted(path for path in shelf.iterdir() if (path / "run.json").is_file())
    except OSError:
        return []


def find(shelf: Path, wanted: str) -> Path:
    """Find a run by its id, its name (the newest of that name), or the beginning or end of its id.

    Raises:
        ConfigError: There is none, or several ids fit.
    """
    directories = runs(shelf)
    names = {name: path for path in directories if (name := _name(path))}
    if wanted in names and shelf / wanted not in directories:
        return names[wanted]
    ids = [path for path in directories if path.name.startswith(wanted) or path.name.endswith(wanted)]
    exact = [path for path in ids if path.name == wanted]
    if len(exact or ids) == 1:
        return (exact or ids)[0]
    if ids:
        message = (
            f"{len(ids)} runs fit {wanted!r}: {', '.join(path.name for path in ids)}. Give more of the id"
        )
        raise ConfigError(message)
    known = [*names, *(path.name for path in directories)]
    message = f"no run {wanted!r} in {shelf}; `tracelet ls` lists them.{suggestion(wanted, known)}"
    raise ConfigError(message)


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


def expire(shelf: Path, now: float) -> list[Path]:
    """Delete the runs that were delivered everywhere longer than their retention ago.

    A run that has a backend whose store the journal itself is stays.
    """
    gone: list[Path] = []
    for directory in runs(shelf):
        try:
            run = status.read_run(directory)
        except JournalCorrupt:
            continue
        if run.targets and not run.kept and status.is_delivered(directory, run):
            delivered = max(_delivered_at(directory, name) for name in run.targets)
            rejected = any(status.rejects(directory, name) for name in run.targets)  # the only copy
            if now - delivered > run.retention and not rejected:
                shutil.rmtree(directory, ignore_errors=True)
                gone.append(directory)
    return gone


def _delivered_at(directory: Path, backend: str) -> float:
    """Tell when a backend had all of a run; by its cursor, if its status was lost."""
    progressed = status.read_delivery(directory, backend).progressed
    return progressed or cursors.path_of(directory, backend).stat().st_mtime


def network_file_system(path: Path) -> str:
    """Name the network file system that `path` lies on; empty for a local one, or if not known."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    place, best, kind = os.path.realpath(path), "", ""
    for line in lines:
        _, mount, file_system, *_ = line.split(" ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, file_system
    return kind if kind in _NETWORK else ""
