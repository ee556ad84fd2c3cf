"""What a relay says of itself while it works: its state, and until when it counts as alive."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from tracelet.backend import Limits, Remote
from tracelet.journal import status
from tracelet.journal.status import State

GRACE: Final = 30.0  # seconds, beyond the backend's patience, before a relay counts as hanging
OFTEN: Final = 1.0  # seconds between two beats, at least; each is a small file
SELDOM: Final = 5.0  # seconds between two beats when there is nothing new; well below GRACE


class Pulse:
    """One relay's status file.

    Args:
        directory: The run's directory.
        name: The backend's name in the run.
        limits: How long one call to the tracker may take.
    """

    def __init__(self, directory: Path, name: str, limits: Limits) -> None:
        self._directory = directory
        self._name = name
        self._limits = limits
        self._call_began = 0.0
        self._saved_at = 0.0
        self._status = status.read_delivery(directory, name)
        self._status.pid = os.getpid()

    @property
    def state(self) -> State:
        """What the relay does."""
        return self._status.state

    def calls(self) -> None:
        """Note that a call to the tracker begins: if it fails, it is since now that it is away."""
        self._call_began = time.time()

    def beat(self, size: int = 0) -> None:
        """Say how long the call that comes may take; it sends `size` bytes of artifacts."""
        now = time.time()
        if size or now - self._saved_at > OFTEN:
            self._save(now, size / self._limits.upload_rate)

    def becomes(self, state: State, error: str | None = None) -> None:
        """Note what the relay does now; write it down when that is news, or once in a while."""
        now = time.time()
        news = state != self._status.state or error is not None
        if state != self._status.state:
            self._status.since = self._call_began if state == "unavailable" else now
        self._status.state = state
        if error is not None:
            self._status.error = error
        if news or now - self._saved_at > SELDOM:
            self._save(now)

    @property
    def id(self) -> str:
        """The run's id at the tracker, as it was last noted; empty if none is known."""
        return self._status.id

    def opened(self, remote: Remote) -> None:
        """Note where the run is at the tracker, at once: somebody may be waiting for its id."""
        self._status.id, self._status.url, self._status.view = remote.id, remote.url, remote.view
        self._save(time.time())

    def succeeded(self) -> None:
        """Note that the last error is over."""
        self._status.error = ""

    def progressed(self) -> None:
        """Note that the tracker has acknowledged something."""
        self._status.progressed = time.time()
        self.beat()  # a client that confirms bit by bit works, though there is nothing to write

    def _save(self, now: float, more: float = 0.0) -> None:
        self._saved_at = now
        self._status.beat = now
        self._status.deadline = now + self._limits.patience + more + GRACE
        try:
            status.write_delivery(self._directory, self._name, self._status)
        except OSError:
            # A full disk must not stop delivery, nor make it look dead: a file's time needs no room.
            with contextlib.suppress(OSError):
                os.utime(status.delivery_path(self._directory, self._name))
