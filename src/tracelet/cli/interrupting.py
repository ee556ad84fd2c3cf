"""Ctrl-C and SIGTERM, heard by what waits."""

import contextlib
import select
import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Interrupt:
    """Ctrl-C and SIGTERM, as a wish to stop that is heard at the next look.

    A handler runs in the middle of anything, and so may set no `threading.Event`: whoever waits for
    that one holds the lock that setting it takes, for some moments, and both would wait forever.

    Attributes:
        signal: The number of the one that came; 0 while none has.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    @contextlib.contextmanager
    def listening(self) -> "Generator[Interrupt]":
        """Take the signals, and give them back afterwards; once only."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._heard) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._reader.close()
            self._writer.close()

    def wait(self, seconds: float) -> bool:
        """Wait, but not longer than until one comes; tell whether one has."""
        if not self.signal:
            select.select([self._reader], [], [], seconds)
        return bool(self.signal)

    def _heard(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        with contextlib.suppress(BlockingIOError):  # it is full of what wakes up already
            self._writer.send(b"!")
