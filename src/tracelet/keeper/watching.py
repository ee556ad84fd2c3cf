"""Watch a process until it ends, without being its parent and without holding anything of it."""

import os
import select
import threading

from tracelet.journal.locks import Holder


class Watch:
    """The training process, as the keeper sees it."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._pidfd = _open(holder)

    def alive(self) -> bool:
        """Tell whether it still runs."""
        if self._pidfd >= 0:
            return not self._ends_within(0.0)
        return self._holder.alive

    def _ends_within(self, seconds: float) -> bool:
        poll = select.poll()  # `select` takes no descriptor beyond 1023
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait until it ends, `stop` is set, or `seconds` have passed."""
        if self._pidfd >= 0 and self.alive():
            self._ends_within(seconds)
        else:
            stop.wait(seconds)

    def close(self) -> None:
        """Let go."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _open(holder: Holder) -> int:
    """Open a process by its number; -1 where the kernel cannot, or if it is another one by now."""
    if not hasattr(os, "pidfd_open") or not holder.alive:
        return -1
    try:
        fd = os.pidfd_open(holder.pid)
    except OSError:
        return -1
    if holder.alive:  # still the same one: the descriptor is its
        return fd
    os.close(fd)
    return -1
