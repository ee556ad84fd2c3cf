"""One process at a time: lock files that tell who holds them, and whether a process still lives.

A lock is `flock` on a file that names its holder; the kernel lets go when the holder dies. Where
the file system has no locks, the holder named in the file counts for as long as it lives.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import Final, Protocol

import msgspec

from tracelet.errors import JournalLocked

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows: the holder's name in the file decides
    fcntl = None

_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}
_HOLDER_SIZE: Final = 80  # bytes; more than any holder takes
_START_FIELD: Final = 19  # of what follows the command's name in /proc/PID/stat


class Holder(msgspec.Struct, frozen=True):
    """A process: its number, and when it began, in clock ticks since boot (0: not known)."""

    pid: int
    started: int = 0

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return self.pid > 0 and process_lives(self.pid, self.started)


class Lock(Protocol):
    """A lock that is held until it is closed, or until its process ends."""

    def close(self) -> None:
        """Let go."""
        ...


def process_started(pid: int) -> int:
    """Read when a process began, in clock ticks since boot; 0 if it is gone or cannot be known."""
    return _stat(pid)[1]


def process_lives(pid: int, started: int) -> bool:
    """Tell whether process `pid` runs and is the one that began at `started` (0: any)."""
    if not Path("/proc/self/stat").exists():
        return _answers(pid)
    state, began = _stat(pid)
    return state not in {"", "Z", "X"} and started in {0, began}


def this_process() -> Holder:
    """Name the calling process."""
    return Holder(os.getpid(), process_started(os.getpid()))


def this_host() -> str:
    """Name the machine; process numbers mean nothing on another."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    return os.environ.get("COMPUTERNAME", "")


def _stat(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "", 0
    # The command's name may itself contain spaces and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[_START_FIELD])


def _answers(pid: int) -> bool:
    if os.name == "nt":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def take(path: Path) -> Lock:
    """Take the lock at `path` for this process.

    Raises:
        JournalLocked: Another process holds it; the message names it.
        OSError: The file cannot be created.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if not _flock(fd):
            other = holder(path)
            if other.alive and other.pid != os.getpid():
                _raise_locked(path, other)
        # One write over what was there, with spaces behind it: whoever looks never sees it empty.
        os.write(fd, msgspec.json.encode(this_process()).ljust(_HOLDER_SIZE))
    except BlockingIOError:
        os.close(fd)
        _raise_locked(path, holder(path))
    except BaseException:  # whatever it was, the descriptor must not leak
        os.close(fd)
        raise
    return _Held(fd)


def _raise_locked(path: Path, other: Holder) -> None:
    message = f"{path} is held by process {other.pid}; wait for it, or end it"
    raise JournalLocked(message)


def _flock(fd: int) -> bool:
    """Lock an open file; False where the file system cannot."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def holder(path: Path) -> Holder:
    """Tell who took the lock at `path` last; `Holder(0)` if nobody did. It may be dead by now."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return Holder(0)


def held(path: Path) -> bool:
    """Tell whether a living process holds the lock at `path`.

    It asks the file, not the lock: trying to lock would turn away who really wants it.
    """
    return holder(path).alive


class _Held:
    """A lock file that is open and locked."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        """See `Lock.close`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                os.close(fd)
