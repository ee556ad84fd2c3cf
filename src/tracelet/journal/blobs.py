"""Bytes too many for a record, kept once under their sha256 and never changed.

They are artifacts' bytes, and those of images, histograms and all that is too large for a record.
A blob is written under a temporary name and renamed when it is whole, before the record that names
it is appended: a record never names bytes that are not there.
"""

import contextlib
import errno
import hashlib
import os
import posixpath
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from tracelet.events import Artifact

if TYPE_CHECKING:
    from typing_extensions import Buffer

AT_ONCE: Final = 32 * 1024 * 1024  # bytes in memory that are hashed, and then written, in one call
AWAITED: Final = "awaited"  # the file with the names of backends that a run does not have yet
CHUNK: Final = 1024 * 1024  # bytes; hashing, reading and writing such a piece releases the GIL
_CLOCK: Final = 1_000_000_000  # nanoseconds, far more than the times of files are coarse
_PREFIX: Final = 2  # characters of a digest, which name the directory it lies in


def path_of(directory: Path, digest: str) -> Path:
    """Tell where a blob lies in a run's directory."""
    return directory / "blobs" / digest[:_PREFIX] / digest


def keep(directory: Path, source: Path, *, sync: bool = False) -> tuple[str, int]:
    """Take a snapshot of a file; return its digest and its size in bytes. `sync` is `keep_written`'s.

    Raises:
        OSError: `source` cannot be read, or there is no room; nothing is left behind.
    """
    with source.open("rb") as reading:
        return keep_bytes(directory, pieces_of(reading), sync=sync)


def pieces_of(reading: BinaryIO) -> Iterator[bytes]:
    """Read a file as far as it reaches now: one that grows faster than it is copied has no end."""
    left = os.fstat(reading.fileno()).st_size or sys.maxsize  # those of /proc do not tell theirs
    while left > 0 and (piece := reading.read(min(CHUNK, left))):
        left -= len(piece)
        yield piece


def keep_bytes(directory: Path, pieces: "Iterable[Buffer]", *, sync: bool = False) -> tuple[str, int]:
    """Keep bytes, given in pieces; return their digest and how many they are. `sync` is `keep_written`'s.

    Pieces are not copied. Each is hashed and written in as few calls as will do: after each the
    interpreter's lock is taken back, for which a busy thread lets one wait 5 ms.

    Raises:
        OSError: There is no room; nothing is left behind.
    """

    def write(blob: "Blob") -> None:
        for piece in pieces:
            blob.write(piece)

    return keep_written(directory, write, sync=sync)


def keep_written(
    directory: Path, write: "Callable[[Blob], object]", *, sync: bool = False
) -> tuple[str, int]:
    """Keep what a function writes; return its digest and its size in bytes.

    Args:
        directory: The run's directory.
        write: Gets the blob to write to.
        sync: Whether to wait for the disk (durability "record").

    Raises:
        OSError: There is no room; nothing is left behind. Nor is it when `write` raises.
    """
    root = directory / "blobs"
    root.mkdir(mode=0o700, exist_ok=True)
    new = root / f"{os.getpid()}-{secrets.token_hex(4)}.new"
    try:
        # Unbuffered: a buffer would only be one copy more.
        with new.open("xb", buffering=0) as writing:
            blob = Blob(writing)
            write(blob)
            if sync:
                os.fsync(writing.fileno())
        place = path_of(directory, blob.digest.hexdigest())
        if not place.exists():
            place.parent.mkdir(mode=0o700, exist_ok=True)
            new.replace(place)
            if sync:
                _to_disk(place.parent)
                _to_disk(root)
        return blob.digest.hexdigest(), blob.size
    finally:
        new.unlink(missing_ok=True)


def to_disk(directory: Path, seen: dict[Path, int]) -> None:
    """Ask the disk for the blobs that came since the last call (durability "second").

    Args:
        directory: The run's directory.
        seen: Kept by the caller from one call to the next: until when each directory's blobs are on disk.
    """
    with contextlib.suppress(OSError):  # none yet; or the run is removed meanwhile
        for below in [path for path in (directory / "blobs").iterdir() if len(path.name) == _PREFIX]:
            now, changed, before = time.time_ns(), below.stat().st_mtime_ns, seen.get(below, 0)
            if changed < before:
                continue
            for blob in below.iterdir():
                if blob.stat().st_ctime_ns >= before:
                    _to_disk(blob)
            _to_disk(below)
            _to_disk(below.parent)
            seen[below] = now - _CLOCK  # what came in the same tick of its clock is looked at again


def _to_disk(path: Path) -> None:
    with contextlib.suppress(OSError):  # a file system that cannot sync a directory
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class Blob:
    """A blob while it is written, as much of a file as `torch.save` needs."""

    def __init__(self, file: FileIO) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._file = file

    def write(self, piece: "Buffer") -> int:
        """Write bytes, and hash them."""
        view = memoryview(piece)
        self.size += view.nbytes
        for begin in range(0, view.nbytes, AT_ONCE):
            part = view[begin : begin + AT_ONCE]
            self.digest.update(part)
            _write(self._file, part)
        return view.nbytes

    def flush(self) -> None:
        """Do nothing: what was written is with the operating system."""


def _write(file: FileIO, part: memoryview) -> None:
    while part:
        part = part[file.write(part) :]


def artifacts(
    directory: Path, source: Path, artifact_path: str | None, *, copy: bool = True, sync: bool = False
) -> Iterator[Artifact]:
    """Take a snapshot of a file, or of all files below a directory; yield what to record.

    Args:
        directory: The run's directory.
        source: The user's file or directory.
        artifact_path: The directory among the run's artifacts; None: none for a file, the
            directory's own name for a directory.
        copy: False: keep no bytes, only where they are, their size and their time.
        sync: Whether to wait for the disk (durability "record").

    Raises:
        OSError: A file is not there, is no regular file, cannot be read, or there is no room. The
            other files of a directory come first.
    """
    source = source.absolute()
    below = place_of(source, artifact_path)
    if not source.is_dir():
        yield _artifact(directory, source, below, copy=copy, sync=sync)
        return
    failed: list[OSError] = []
    for path in _files(source, directory.parent, failed):
        place = posixpath.join(below, path.relative_to(source).as_posix())
        try:
            artifact = _artifact(directory, path, place, copy=copy, sync=sync)
        except OSError as error:
            failed.append(error)
        else:
            yield artifact
    if failed:
        raise failed[0]


def place_of(source: Path, artifact_path: str | None) -> str:
    """Tell where a file goes among the run's artifacts, or what a directory holds. See `artifacts`."""
    below = "" if artifact_path is None else clean(artifact_path)
    if not source.is_dir():
        return posixpath.join(below, source.name)
    return clean(source.resolve().name) if artifact_path is None else below


def clean(artifact_path: str) -> str:
    """Make a relative path with `/` between its parts that stays below the run's artifacts."""
    parts = artifact_path.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def _files(source: Path, shelf: Path, failed: list[OSError]) -> Iterator[Path]:
    """Walk a directory's files, through links, in a fixed order, and never in circles."""
    seen = {os.path.realpath(shelf)}  # our own journal would grow into itself
    for root, directories, names in os.walk(source, onerror=failed.append, followlinks=True):
        real = os.path.realpath(root)
        if real in seen or Path(root).name == ".tracelet":
            directories.clear()
            continue
        seen.add(real)
        directories.sort()
        yield from (Path(root, name) for name in sorted(names))


def _artifact(directory: Path, path: Path, place: str, *, copy: bool, sync: bool) -> Artifact:
    now = time.time()
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device may have no end
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if copy:
        digest, size = keep(directory, path, sync=sync)
        return Artifact(time=now, path=place, size=size, digest=digest)
    return Artifact(time=now, path=place, size=found.st_size, reference=str(path), mtime=found.st_mtime)


def await_by(directory: Path, backend: str) -> None:
    """Note that something was logged for a backend that the run does not have: its bytes must stay.

    Raises:
        OSError: It cannot be written.
    """
    if backend not in awaited(directory):
        with (directory / AWAITED).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{backend}\n")


def awaited(directory: Path) -> frozenset[str]:
    """Name the backends that something was logged for when the run did not have them."""
    try:
        return frozenset((directory / AWAITED).read_text("utf-8", errors="replace").splitlines())
    except OSError:
        return frozenset()


def delete(directory: Path) -> None:
    """Delete all blobs of a run: every backend has them."""
    root = directory / "blobs"
    for path in sorted(root.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    if root.exists():
        root.rmdir()
