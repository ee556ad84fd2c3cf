"""Append records to this process's own segments: all that the training thread ever waits for.

*Guarantees.* When `scalar`, `stepless` or `event` returns True, the record is in the kernel's hands
and survives `kill -9`. None of them raises for what the file system does; they return False, and
what was lost is counted and told by a `Lost` record as soon as there is room again. Any thread may
call them; a signal handler or `__del__` that does while its own thread is inside is dropped and
counted. A forked child goes on in segments of its own.
"""

import contextlib
import os
import secrets
import threading
import time as clock
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from tracelet.events import Lost, Packed
from tracelet.journal import codec
from tracelet.journal.locks import process_started

SEGMENT: Final = 64 * 1024 * 1024  # bytes
_POINT_FRAME_SIZE: Final = codec.FRAME.size
_pack_point: Final = codec.POINT.pack
_pack_frame: Final = codec.FRAME.pack
_MARKER: Final = codec.MARKER
_POINT_SIZE: Final = codec.POINT.size
_SCALAR: Final = codec.SCALAR
_SHORT: Final = "only a part of the record could be written"
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_writers: "weakref.WeakSet[Writer]" = weakref.WeakSet()


class Writer:
    """One process's end of a journal.

    Args:
        directory: The run's directory.
        role: What the segments' names begin with.
        sync: Whether each append waits for the disk (durability "record").
        segment: Bytes after which a new segment begins.
    """

    __slots__ = (
        "__weakref__",
        "_acquire",
        "_block_end",
        "_busy",
        "_closed",
        "_directory",
        "_fd",
        "_index",
        "_known",
        "_mark",
        "_name",
        "_numbers",
        "_ordinals",
        "_prefix",
        "_release",
        "_role",
        "_salt",
        "_segment_bytes",
        "_size",
        "_sync",
        "_token",
        "dropped",
        "lost",
        "pid",
        "reason",
        "unreported",
    )

    def __init__(
        self, directory: Path, role: str = "trainer", *, sync: bool = False, segment: int = SEGMENT
    ) -> None:
        self._directory = directory
        self._role = role
        self._sync = sync
        self._segment_bytes = segment
        self._closed = False
        self.lost = 0
        self.dropped = 0
        self._fresh()
        _writers.add(self)

    def _fresh(self) -> None:
        """Begin as a process that has no segment yet."""
        lock = threading.RLock()
        self._acquire: Callable[[], bool] = lock.acquire
        self._release: Callable[[], None] = lock.release
        self._busy = False
        self._token = secrets.token_hex(4)
        self._index = -1
        self._fd = -1
        self._name = ""
        self._known: dict[codec.Called, int] = {}
        self._numbers: dict[codec.Called, int] = {}
        self._ordinals: dict[str, int] = {}
        self._size = self._mark = self._block_end = 0
        self._salt = self._prefix = 0
        self.unreported = 0
        self.reason = ""
        self.pid = os.getpid()

    def __del__(self) -> None:
        """Give the file back that nobody can write to any more."""
        with contextlib.suppress(AttributeError, OSError):
            if self._fd >= 0:
                os.close(self._fd)

    def forked(self) -> None:
        """Go on as the writer of a child: the parent's segment, lock and counts are not ours."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)  # only this process's copy
        self.lost = self.dropped = 0
        self._fresh()

    @property
    def segment(self) -> str:
        """The file name of the segment that is being written; empty before the first append."""
        return self._name

    def scalar(self, name: codec.Called, value: float, step: int, time: float) -> bool:
        """Append one point; `step` must fit into an int64.

        Raises:
            struct.error: A value is not of the type that its annotation says.
            ValueError: The name is empty, or no text.
        """
        try:
            # Inside `try`, because an exception from a signal handler may come right after it.
            self._acquire()
            if self._busy:
                self.dropped += 1
                return False
            self._busy = True
            try:
                try:
                    payload = _pack_point(self._numbers[name], step, value, time)
                    # One write of one whole record; the checksum goes on from that of the fixed head.
                    record = _pack_frame(_MARKER, _POINT_SIZE, _SCALAR, crc32(payload, self._prefix), payload)
                    if os.write(self._fd, record) == _POINT_FRAME_SIZE:
                        self._size += _POINT_FRAME_SIZE
                        if self._size >= self._mark:
                            self._turn()
                        return True
                    return self._failed(OSError(_SHORT))
                except KeyError:
                    return self._named(codec.SCALAR, name, step, value, time)
                except OSError as error:
                    return self._failed(error)
            except BaseException:  # a signal handler's may come anywhere; it goes on to the user
                self._interrupted()
                raise
            finally:
                self._busy = False
        finally:
            # No call of a Python function: a signal handler could raise before it releases.
            try:  # noqa: SIM105
                self._release()
            except RuntimeError:
                pass  # a signal handler raised while `acquire` waited: there is nothing to release

    def stepless(self, name: codec.Called, value: float, time: float) -> bool:
        """Append one point without a step; it gets this process's next ordinal of that name."""
        plain = codec.name_of(name)

        def append() -> bool:
            ordinal = self._ordinals.get(plain, 0)
            self._ordinals[plain] = ordinal + 1  # first: an interrupted append may have written it
            written = self._named(codec.STEPLESS, name, ordinal, value, time)
            if not written:
                self._ordinals[plain] = ordinal
            return written

        return self._inside(append)

    def event(self, event: Packed, only: tuple[str, ...] = ()) -> bool:
        """Append any other event, for these backends only, or for all.

        Raises:
            ValueError: It is larger than a record may be.
        """
        return self._inside(lambda: self._append(lambda salt: codec.event_frame(event, salt, only)))

    def finish(self, event: Packed) -> bool:
        """Append the last event and close: nothing of this process can follow it."""

        def append() -> bool:
            written = self._append(lambda salt: codec.event_frame(event, salt))
            if written:
                self._close()
            return written

        return self._inside(append)

    def close(self) -> None:
        """Close; later appends return False."""
        self._inside(self._close)

    def _close(self) -> bool:
        self._closed = True
        self._abandon()
        return True

    def _inside(self, append: Callable[[], bool]) -> bool:
        """Call `append` under the lock; False inside an append of the same thread, or once closed."""
        try:
            self._acquire()
            if self._busy:
                self.dropped += 1
                return False
            self._busy = True
            try:
                return not self._closed and append()
            except BaseException:  # a signal handler's may come anywhere; it goes on to the user
                self._interrupted()
                raise
            finally:
                self._busy = False
        finally:
            try:  # noqa: SIM105  as in `scalar`
                self._release()
            except RuntimeError:
                pass

    def _interrupted(self) -> None:
        """Settle what an exception in the middle of an append left open, above all a signal handler's.

        The record may have been written, or a part of it, or nothing; a reader may have it already.
        So nothing is taken back: a segment whose end is not where it should be is left.
        """
        self._numbers.clear()  # a name may have been noted that was not written
        with contextlib.suppress(OSError):
            if self._fd >= 0 and os.fstat(self._fd).st_size == self._size:
                return
        self._abandon()

    def _named(self, record_type: int, name: codec.Called, step: int, value: float, time: float) -> bool:
        """Append a point, with the record that introduces its name if this block has none yet."""
        if self._closed:
            return False
        plain = codec.name_of(name)
        if not isinstance(plain, str) or not plain:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"a metric's name is a text that is not empty, not {plain!r}")

        def frames(salt: int) -> bytes:
            number = self._known.setdefault(name, len(self._known))
            point = codec.point_frame(record_type, number, step, value, time, salt)
            if name in self._numbers:
                return point
            introduced = codec.name_frame(number, name, salt) + point
            self._numbers[name] = number  # forgotten again if the write fails, or ends the block
            return introduced

        return self._append(frames)

    def _append(self, frames: Callable[[int], bytes]) -> bool:
        """Write what `frames` makes for the current segment's salt, after what is still to be told."""
        try:
            if self._fd < 0:
                self._open_next()
            told, lost, record = self.unreported, b"", frames(self._salt)
            if told:
                lost = codec.event_frame(Lost(clock.time(), told, self.reason), self._salt)
                record = lost + record
            written = os.write(self._fd, record)
        except OSError as error:
            return self._failed(error)
        # A reader may be behind what is whole already, so that stays, even if the rest is missing.
        whole = codec.whole_bytes(record, written)
        self._size += whole
        if whole >= len(lost):
            self.unreported -= told
        if whole < len(record):
            return self._failed(OSError(_SHORT))
        if self._size >= self._mark:
            self._turn()
        return True

    def _turn(self) -> None:
        """Do what is due once the segment's size has passed the mark."""
        if self._sync:
            self._mark = 0  # come here after every append
            _to_disk(self._fd)
        if self._size >= self._segment_bytes:
            self._abandon()
        elif self._size >= self._block_end:
            self._numbers.clear()
            self._next_block()

    def _next_block(self) -> None:
        self._block_end = (self._size // codec.BLOCK + 1) * codec.BLOCK
        if not self._sync:
            self._mark = min(self._block_end, self._segment_bytes)

    def _failed(self, error: OSError) -> bool:
        """Count a record that could not be written, and leave only whole ones behind."""
        self._note_loss(str(error))
        if self._fd >= 0:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                self._abandon()
        return False

    def lose(self, reason: str) -> None:
        """Count something that could not even be made a record of; the journal is told of it too."""

        def note() -> bool:
            self._note_loss(reason)
            return True

        self._inside(note)

    def _note_loss(self, reason: str) -> None:
        # Only noted: a log handler may itself wait for a thread that waits for our lock.
        self.lost += 1
        self.unreported += 1
        self.reason = reason
        self._numbers.clear()  # so that the next point comes by the way that tells of the loss

    def _abandon(self) -> None:
        """Leave this segment; the next append opens the next."""
        fd, self._fd = self._fd, -1
        self._numbers.clear()
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _open_next(self) -> None:
        """Open the next segment and give it its header.

        Raises:
            OSError: There is no room, no permission, or the directory is gone.
        """
        # Noted first: if a signal handler raises, the name may be taken already.
        self._index = index = self._index + 1
        name = f"{self._role}-{self._token}-{index:04d}.seg"
        path = self._directory / name
        fd = _aside(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _CLOEXEC, 0o600))
        salt = codec.salt_of(name)
        header = codec.header_frame(
            codec.SegmentHeader(
                codec.VERSION,
                f"{self._role}-{self._token}",
                index,
                self.pid,
                process_started(self.pid),
                clock.time(),
            ),
            salt,
        )
        try:
            if os.write(fd, header) != len(header):
                raise OSError(_SHORT)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
                self._index -= 1  # the name is free again
            raise
        self._name, self._salt = name, salt
        self._prefix = codec.prefix_crc(codec.SCALAR, _POINT_SIZE, salt)
        self._known.clear()
        self._numbers.clear()
        self._size = len(header)
        self._mark = 0
        self._next_block()
        self._fd = fd  # last: until then, there is no segment


def _aside(fd: int) -> int:
    """Move a file off stderr's number, where that is closed: what any library complains of would go there."""
    if fd > 2:  # noqa: PLR2004  stderr's
        return fd
    try:
        return _aside(os.dup(fd))
    finally:
        os.close(fd)


def _to_disk(fd: int) -> None:
    with contextlib.suppress(OSError):  # the next append meets the same error and counts it
        getattr(os, "fdatasync", os.fsync)(fd)


def _after_fork_in_child() -> None:
    """Give each writer of the parent segments and a lock of this process's own."""
    for writer in list(_writers):
        writer.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
