"""The relay's loop on a thread: for tests, and where processes cannot be started."""

import logging
import threading
from pathlib import Path

from tracelet import backends
from tracelet.errors import TraceletError
from tracelet.journal import status
from tracelet.journal.locks import take
from tracelet.relay.delivery import Delivery

_LOG = logging.getLogger(__name__)


class RelayThread:
    """One backend's delivery, on a daemon thread of this process."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tracelet-relay-{name}", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """End after the call that is under way; tell whether it has ended within `timeout` seconds."""
        self._stop.set()
        return self.join(timeout)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until everything is delivered, at most `timeout` seconds; tell whether it is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            deliver(self._directory, self._name, self._stop)
        except (TraceletError, OSError):
            _LOG.exception("the relay to %s has ended", self._name)


def deliver(directory: Path, name: str, stop: threading.Event) -> status.State:
    """Deliver a run to one of its backends, in this thread, under its lock.

    Raises:
        JournalLocked: Another relay does.
        JournalCorrupt: The run cannot be read.
        ConfigError: The backend cannot be loaded.
    """
    target = status.read_run(directory).targets[name]
    lock = take(directory / f"relay.{name}.lock")
    try:
        backend = backends.load(target.load)
        return Delivery(directory, name, backend, target.options).run(stop)
    finally:
        lock.close()
