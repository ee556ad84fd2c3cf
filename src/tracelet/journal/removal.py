"""Delete runs, and what nobody needs any more, so that a kill on the way leaves no half run.

A run's directory is first renamed into `.trash`, where it is no run any more, and then deleted;
what a kill leaves there, the next `Sweep` deletes. A run is deleted, or anything in it, only while
this process holds the keeper's lock and nobody works on the run.

What a `Sweep` finds, by kind:

    runs        delivered everywhere, without rejects, longer ago than their retention
    blobs       the bytes of artifacts, images and all else that has some, of runs that are delivered
                everywhere, without rejects
    orphans     blobs that no record names: a process was killed between the two
    leftovers   files under a temporary name, and starts that were killed before there was a run
    trash       runs whose deletion was cut short

Nothing undelivered is among them, nor a run whose store the journal itself is, nor anything of a
run that somebody works on.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tracelet.errors import JournalCorrupt, JournalError, JournalLocked
from tracelet.events import RunStarted, payload_of
from tracelet.journal import blobs, cursors, reader, shelf, status
from tracelet.journal.locks import Holder, held, holder, take, this_host
from tracelet.journal.reader import Damage, Reader, segments
from tracelet.journal.status import RunFile

TRASH: Final = ".trash"
PROBE: Final = ".doctor-"  # what `tracelet doctor` calls the files it tries things with
KINDS: Final = ("runs", "blobs", "orphans", "leftovers", "trash")
SETTLED: Final = 3600.0  # seconds after which what has no run yet gets none any more
FOREIGN: Final = 86400.0  # seconds; of another host only files are seen, and not its processes
_BATCH: Final = 10_000  # records read at once
_START: Final = 256 * 1024  # bytes; a journal with more is not that of a start that was killed


class Waste(NamedTuple):
    """Something that nobody needs any more; `run` is empty if it belongs to none."""

    kind: str
    path: Path
    size: int  # bytes
    run: str = ""


def size_of(path: Path) -> int:
    """Measure a file, or all files below a directory, in bytes; links are not followed."""
    found = 0
    for root, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(Path(root, name)).st_size
    if not path.is_dir():
        with contextlib.suppress(OSError):
            found += path.lstat().st_size
    return found


def worker(directory: Path) -> str:
    """Say who works on a run, as in "its training process 123 lives"; empty if nobody does."""
    with contextlib.suppress(JournalCorrupt):
        run = status.read_run(directory)
        if not status.has_ended(directory, run):
            return f"it is running, as process {run.trainer.pid} on {run.host}"
        if run.host != this_host():
            beat = _age(directory / status.BEAT)
            return f"a keeper on {run.host} works on it" if beat < status.ELSEWHERE else ""
        for writer in _writers(directory):
            if writer != run.trainer and writer.pid != os.getpid() and writer.alive:
                return f"process {writer.pid} logs to it"
    for lock in sorted(directory.glob("*.lock")):
        if held(lock) and holder(lock).pid != os.getpid():
            pid = holder(lock).pid
            if lock.stem == "keeper":
                return f"its keeper, process {pid}, still tries to deliver it; `kill {pid}` ends that"
            return f"process {pid} works on it ({lock.stem})"
    return ""


def _writers(directory: Path) -> set[Holder]:
    found: set[Holder] = set()
    for name in segments(directory):
        with contextlib.suppress(JournalCorrupt, OSError):
            header = reader.header(directory, name)
            if header is not None:
                found.add(Holder(header.pid, header.started))
    return found


def _age(path: Path) -> float:
    """Tell how many seconds ago a file was changed; very many if it is not there."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


@contextlib.contextmanager
def alone(directory: Path, *, locked: bool = False) -> Generator[None, None, None]:
    """Keep every keeper from a run, having made sure that nobody works on it.

    Args:
        directory: The run's directory.
        locked: Whether this process holds the keeper's lock already.

    Raises:
        JournalLocked: Somebody does; the message says who.
        OSError: The directory cannot be written, or is gone.
    """
    if busy := worker(directory):
        raise JournalLocked(busy)
    if locked:
        yield
        return
    lock = take(directory / "keeper.lock")
    try:
        if busy := worker(directory):
            raise JournalLocked(busy)
        yield
    finally:
        lock.close()


def remove(directory: Path, refusal: Callable[[Path], str] = lambda _: "") -> int:
    """Delete a run; return how many bytes that freed.

    Args:
        directory: The run's directory.
        refusal: Says why it must not be deleted, once nobody else can change it; empty if it may.

    Raises:
        JournalLocked: Somebody works on it; the message says who.
        JournalError: The directory is a link to another place, or `refusal` says why not.
        OSError: It cannot be deleted. It is a whole run still, or none any more.
    """
    if directory.is_symlink():
        message = f"it is a link to {os.path.realpath(directory)}; delete that, and then the link"
        raise JournalError(message)
    with alone(directory):
        if reason := refusal(directory):
            raise JournalError(reason)
        return _away(directory)


def _away(directory: Path) -> int:
    trash = directory.parent / TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    place = trash / f"{directory.name}-{secrets.token_hex(3)}"
    size = size_of(directory)
    directory.rename(place)
    with contextlib.suppress(FileNotFoundError):  # a `Sweep` is deleting it, too
        shutil.rmtree(place)
    return size


def expire(place: Path, now: float, own: Path | None = None) -> list[Path]:
    """Delete the runs that were delivered everywhere longer than their retention ago; tell which.

    One stays for as long as its trainer lives, which may be waiting for its delivery, or ask about it.

    Args:
        place: The directory of the runs.
        now: Seconds since the epoch.
        own: The run whose keeper's lock this process holds.
    """
    gone: list[Path] = []
    for directory in shelf.runs(place):
        # Somebody works on it, or was faster, or it cannot be read or deleted: the next keeper looks again.
        with contextlib.suppress(JournalError, OSError):
            if _has_expired(directory, now):
                with alone(directory, locked=directory == own):
                    if _has_expired(directory, now):  # a `sync` may have given it another backend
                        _away(directory)
                        gone.append(directory)
    return gone


def _has_expired(directory: Path, now: float) -> bool:
    run = status.read_run(directory)
    if directory.is_symlink() or not _is_elsewhere(directory, run):
        return False
    if now - delivered_at(directory, run) <= run.retention:
        return False
    return not _has_rejects(directory, run) and not status.trainer_lives(directory, run)


class Sweep:
    """One look over a shelf for what nobody needs any more.

    Args:
        shelf: The directory of the runs.
        older_than: Seconds since its delivery after which a run goes; None for its own retention.
        dry: Delete nothing, only tell what would be.

    Attributes:
        failed: What could not be deleted, and why, a sentence each.
        spared: Runs that would go but for their rejects: the journal is the only copy of these.
        unreadable: Runs that this version cannot read, and so leaves alone.
    """

    def __init__(self, shelf: Path, older_than: float | None = None, *, dry: bool) -> None:
        self._shelf = shelf
        self._older_than = older_than
        self._dry = dry
        self.failed: list[str] = []
        self.spared: dict[str, None] = {}
        self.unreadable: list[str] = []

    def run(self, runs: Iterable[Path]) -> Iterator[Waste]:
        """Delete what nobody needs of these runs and of the shelf; yield each thing as it goes."""
        for directory in runs:
            try:
                yield from self._in_run(directory)
            except JournalLocked:  # noqa: PERF203  one run does not keep the others
                continue
            except JournalCorrupt:
                if directory.exists():  # else somebody has deleted it
                    self.unreadable.append(directory.name)
            except (JournalError, OSError) as error:
                if directory.exists():  # else its keeper was faster
                    self.failed.append(f"{directory.name}: {error}")
        yield from self._discard(self._of_shelf())

    def _in_run(self, directory: Path) -> Iterator[Waste]:
        if directory.is_symlink() or worker(directory):
            return
        found = list(self._of_run(directory))
        if self._dry or not found:
            yield from found
            return
        with alone(directory):  # what was found before may be needed again
            yield from self._discard(list(self._of_run(directory)))

    def _discard(self, found: Iterable[Waste]) -> Iterator[Waste]:
        for waste in found:
            if not self._dry:
                try:
                    _delete(waste)
                except FileNotFoundError:
                    continue  # somebody else was faster
                except OSError as error:
                    self.failed.append(str(error))
                    continue
            yield waste

    def _of_run(self, directory: Path) -> Iterator[Waste]:
        run = status.read_run(directory)
        name = directory.name
        delivered, rejected = _is_elsewhere(directory, run), _has_rejects(directory, run)
        if delivered and self._is_old(directory, run):
            if not rejected:
                yield Waste("runs", directory, size_of(directory), name)
                return
            self.spared[name] = None
        if run.host != this_host() and _age(directory / status.BEAT) < FOREIGN:
            return
        for path in _temporary(directory):
            yield Waste("leftovers", path, size_of(path), name)
        if delivered and not rejected and all(map(run.called, blobs.awaited(directory))):
            if size := size_of(directory / "blobs"):
                yield Waste("blobs", directory / "blobs", size, name)
        elif (directory / "blobs").is_dir():
            for path in _orphans(directory):
                yield Waste("orphans", path, size_of(path), name)

    def _is_old(self, directory: Path, run: RunFile) -> bool:
        limit = run.retention if self._older_than is None else self._older_than
        return time.time() - delivered_at(directory, run) > limit

    def _of_shelf(self) -> Iterator[Waste]:
        for path in _listed(self._shelf / TRASH):
            yield Waste("trash", path, size_of(path))
        for path in _listed(self._shelf):
            if (path.name.startswith(PROBE) and _age(path) > SETTLED) or _is_torn_start(path):
                yield Waste("leftovers", path, size_of(path))


def _is_elsewhere(directory: Path, run: RunFile) -> bool:
    """Tell whether other stores than the journal have all of a run."""
    return bool(run.targets) and not run.kept and status.is_delivered(directory, run)


def _has_rejects(directory: Path, run: RunFile) -> bool:
    return any(status.rejects(directory, backend) for backend in run.targets)


def delivered_at(directory: Path, run: RunFile) -> float:
    """Tell when the last of a run's backends had all of it; by its cursor, if its status was lost."""
    when = 0.0
    for backend in run.targets:
        progressed = status.read_delivery(directory, backend).progressed
        when = max(when, progressed or cursors.path_of(directory, backend).stat().st_mtime)
    return when


def _delete(waste: Waste) -> None:
    if waste.kind == "runs":
        _away(waste.path)
    elif waste.kind == "blobs":
        blobs.delete(waste.path.parent)
    elif waste.path.is_dir() and not waste.path.is_symlink():
        shutil.rmtree(waste.path)
    else:
        waste.path.unlink()


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _temporary(directory: Path) -> Iterator[Path]:
    """Find files under a temporary name; with the keeper's lock, nobody is writing one."""
    yield from sorted(directory.glob("*.new"))
    yield from sorted(directory.glob("blobs/*.new"))


def _orphans(directory: Path) -> list[Path]:
    """Find blobs that no record names; none where a record may name them that cannot be read."""
    named: set[str] = set()
    ends: dict[str, int] = {}
    journal = Reader(directory)
    while records := journal.read(_BATCH):
        for record in records:
            ends[record.segment] = record.end
            if isinstance(record.event, Damage):
                return []
            named.add(payload_of(record.event)[0])  # also "", which is no blob's name
    if ends != status.sizes(directory):  # a torn end: nobody knows what it was to become
        return []
    return [path for path in sorted(directory.glob("blobs/??/*")) if path.name not in named]


def _is_torn_start(path: Path) -> bool:
    """Tell whether a directory is what a start left that was killed before there was a run."""
    if path.is_symlink() or not path.is_dir() or (path / "run.json").exists() or path.name.startswith("."):
        return False
    names = segments(path)
    others = {entry.name for entry in _listed(path)} - set(names)
    if any(not name.startswith("run.json.") for name in others) or _age(path) < SETTLED:
        return False
    if sum(status.sizes(path).values()) > _START or any(writer.alive for writer in _writers(path)):
        return False
    with contextlib.suppress(JournalCorrupt):
        return all(isinstance(record.event, RunStarted) for record in Reader(path).read(_BATCH))
    return False
