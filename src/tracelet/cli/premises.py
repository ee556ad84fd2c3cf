"""What `tracelet doctor` says of the shelf: where it is, on which file system, and the runs on it."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tracelet.cli import output
from tracelet.cli.findings import Finding, ok, problem, warning
from tracelet.errors import JournalCorrupt, JournalLocked
from tracelet.journal import removal, shelf, status
from tracelet.journal.locks import held, holder, take, this_host
from tracelet.journal.status import RunFile
from tracelet.scrub import without_userinfo_in

SCARCE: Final = 1 << 30  # bytes
TOO_LITTLE: Final = 64 << 20  # bytes; one segment
LOOKING: Final = 5.0  # seconds; a shelf of ten thousand runs takes longer
YOUNG: Final = 15.0  # seconds in which a run's keeper may still be starting
NAMED: Final = 3  # runs that are named where there are more
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
_LATER: Final = "`tracelet sync` delivers what is left"
_MENDED: Final = "mend what it was refused for, then `tracelet sync`; `tracelet status` says more"
_OTHER: Final = "set TRACELET_DIR to a directory that can be written"


def of_shelf(place: Path, *, named: bool) -> Iterator[Finding]:
    """Look at the shelf: why this one, and whether a journal can be kept there."""
    there = place.is_dir()
    if named:
        why = "named by --dir"
    elif os.environ.get("TRACELET_DIR"):
        why = "named by TRACELET_DIR"
    elif there:
        why = "the nearest .tracelet upwards from the working directory"
    else:
        why = "there is no .tracelet upwards from the working directory"
    yield ok(f"{place}: {why}{'' if there else '; the first run makes it'}")
    base = next(path for path in (place, *place.parents) if path.exists())
    if not base.is_dir():
        yield problem(f"{base} is no directory", _OTHER)
        return
    yield from _file_system(base)
    yield from _room(base)
    yield from _tried(base)


def _file_system(base: Path) -> Iterator[Finding]:
    if network := shelf.network_file_system(base):
        do = "set TRACELET_DIR to a local disk; what is delivered from there arrives all the same"
        yield warning(f"it lies on a network file system, {network}: each record is a write there", do)
        return
    kind = shelf.file_system(base)
    if kind in _VOLATILE:
        yield warning(f"it lies in memory ({kind}), gone after a restart", "set TRACELET_DIR to a disk")
    elif kind:
        yield ok(f"it lies on {kind}")


def _room(base: Path) -> Iterator[Finding]:
    total, _, free = shutil.disk_usage(base)
    if not total:  # what is no disk has no room either, and may be written to all the same
        return
    said = f"{output.size(free)} are free"
    if free < TOO_LITTLE:
        yield problem(said, "make room, or set TRACELET_DIR to another disk; `tracelet gc` may free some")
    elif free < SCARCE:
        yield warning(said, "`tracelet gc` deletes what nobody needs any more")
    else:
        yield ok(said)
    if hasattr(os, "statvfs"):
        found = os.statvfs(base)
        if found.f_files and not found.f_favail:
            yield problem("no more files can be made on this file system", "delete some, or use another disk")


def _tried(base: Path) -> Iterator[Finding]:
    """Do what a journal does, in a directory that is deleted again."""
    try:
        tried = Path(tempfile.mkdtemp(prefix=removal.PROBE, dir=base))
    except OSError as error:
        yield problem(f"nothing can be written in {base}: {error.strerror or error}", _OTHER)
        return
    try:
        yield from _journal_in(tried)
    finally:
        shutil.rmtree(tried, ignore_errors=True)


def _journal_in(tried: Path) -> Iterator[Finding]:
    file = tried / "segment"
    began = time.monotonic()
    for name, action, harm in (
        ("appending", lambda: _append(file), ""),
        ("fsync", lambda: _sync(file), "durability='second' and 'record' do nothing here"),
        ("renaming", lambda: file.rename(tried / "renamed"), ""),
        ("a hard link", lambda: os.link(tried / "renamed", tried / "linked"), "copies take its place"),
        ("a lock", lambda: _lock(tried), "two keepers of one run may then be at work at once"),
    ):
        failed = _failure(action)
        if failed and harm:
            yield warning(f"{name} does not work: {failed}", harm)
        elif failed:
            yield problem(f"{name} does not work: {failed}", _OTHER)
            return
    took = (time.monotonic() - began) * 1000
    yield ok(f"writing, renaming, locking and syncing were tried, in {took:.0f} ms")


def _failure(action: Callable[[], object]) -> str:
    try:
        action()
    except (OSError, JournalLocked) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _append(file: Path) -> None:
    with file.open("ab", buffering=0) as opened:
        opened.write(b"a record")
        opened.write(b"another")
    if file.read_bytes() != b"a recordanother":
        message = "what was appended cannot be read back"
        raise OSError(message)


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(tried: Path) -> None:
    lock = take(tried / "keeper.lock")
    try:
        with contextlib.suppress(ImportError):
            import fcntl  # Windows has none

            fd = os.open(tried / "keeper.lock", os.O_RDWR)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                os.close(fd)
            message = "it was given twice"
            raise OSError(message)
    finally:
        lock.close()


class _Runs:
    """Runs that somebody should look at, by what is the matter."""

    def __init__(self) -> None:
        self.all = self.running = 0
        self.unreadable: list[str] = []
        self.undelivered: list[str] = []
        self.offline: list[str] = []
        self.keeperless: list[str] = []
        self.rejected: list[str] = []
        self.refused: dict[str, list[str]] = {}  # by backend
        self.reasons: dict[str, str] = {}  # by backend, of the newest run that it refused

    def take(self, directory: Path) -> None:
        """Count a run."""
        self.all += 1
        try:
            run = status.read_run(directory)
            ended, delivered = status.has_ended(directory, run), status.is_delivered(directory, run)
        except JournalCorrupt:
            self.unreadable.append(directory.name)
            return
        kept = held(directory / "keeper.lock")
        self.running += not ended
        if not ended and not kept and _has_lost_its_keeper(directory, run):
            self.keeperless.append(directory.name)
        left = [name for name in run.relayed if not delivered and not status.is_complete(directory, name)]
        refused = [name for name in left if self._is_refused(directory, name)]
        if ended and not kept and len(refused) < len(left):
            (self.offline if run.mode == "offline" else self.undelivered).append(directory.name)
        if any(_size(path) for path in directory.glob("rejects.*")):
            self.rejected.append(directory.name)

    def _is_refused(self, directory: Path, backend: str) -> bool:
        """Tell whether a delivery has ended with a refusal, and count it."""
        said = status.read_delivery(directory, backend)
        if said.state != "refused":
            return False
        self.refused.setdefault(backend, []).append(directory.name)
        self.reasons.setdefault(backend, without_userinfo_in(said.error))
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _has_lost_its_keeper(directory: Path, run: RunFile) -> bool:
    if run.host != this_host() or time.time() - run.time < YOUNG:
        return False
    threads = any(holder(lock) == run.trainer for lock in directory.glob("relay.*.lock"))
    return (directory / "keeper.log").exists() and not threads


def of_runs(place: Path) -> Iterator[Finding]:
    """Look at the runs, the newest first, for a few seconds at most."""
    found, until = _Runs(), time.monotonic() + LOOKING
    directories = shelf.runs(place)
    for directory in reversed(directories):
        if time.monotonic() > until:
            break
        found.take(directory)
    newest = f"the newest {found.all:,} of {len(directories):,}" if found.all < len(directories) else ""
    yield ok(f"{newest or output.count(found.all, 'run')}, {found.running:,} of them running")
    for names, what, do in (
        (found.undelivered, "ended undelivered", _LATER + "; `tracelet status` says why"),
        (found.offline, "recorded offline and undelivered", _LATER),
        (found.keeperless, "running without a keeper", "the run's next flush or its end brings it back"),
        (found.rejected, "with rejects", "`tracelet show RUN --rejects` says what a tracker would not take"),
        (found.unreadable, "that this version cannot read", "was a newer version of tracelet at work?"),
    ):
        if names:
            yield warning(f"{output.count(len(names), 'run')} {what}: {_named(names)}", do)
    for backend, names in found.refused.items():
        count = f"{output.count(len(names), 'run')} {'is' if len(names) == 1 else 'are'}"
        why = f"refused: {found.reasons[backend]}"
        yield warning(f"{count} not delivered to {backend}: {_named(names)} ({why})", _MENDED)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
