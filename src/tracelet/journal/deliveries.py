"""A run's deliveries, as its training process sees them: where they are, and waiting for them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tracelet.guard import contained
from tracelet.journal import progress, status
from tracelet.journal.status import RunFile

_LOG: Final = logging.getLogger("tracelet")


class Deliveries:
    """The deliveries of one run.

    Args:
        directory: The run's directory; None if nothing is recorded.
        run: Its `run.json`.
        timeout: Seconds to wait at most, unless told otherwise.
        revive: Called while somebody waits: brings a keeper back that died. None if there is none.
    """

    def __init__(
        self, directory: Path | None, run: RunFile, timeout: float, revive: Callable[[Path], None] | None
    ) -> None:
        self._directory = directory
        self._run = run
        self._timeout = timeout
        self._revive = revive

    def url(self, backend: str | None) -> str | None:
        """Return the run's page at a backend, by default the first; None while there is none."""
        name = backend or next(iter(self._run.targets), "")
        if self._directory is None or name not in self._run.targets:
            return None
        return status.read_delivery(self._directory, name).url or None

    def flush(self, timeout: float | None) -> bool:
        """Wait until the backends have what is in the journal now; tell whether all of them do."""
        if self._directory is None or self._run.mode == "offline":
            return self._directory is None
        reached = progress.until_now(self._directory)
        limit = self._timeout if timeout is None else timeout
        return not progress.wait_for(self._directory, self._run.targets, reached, limit, self._look)

    def wait(self) -> None:
        """Wait until the backends have all of the run; Ctrl-C ends the waiting, not the delivery."""
        if self._directory is None or self._run.mode == "offline":
            return
        reached = progress.everything(self._directory)
        try:
            progress.wait_for(self._directory, self._run.targets, reached, self._timeout, self._look)
        except KeyboardInterrupt:
            _LOG.warning("not waiting any longer; %s is delivered in the background", self._run.run_id)

    def _look(self) -> None:
        if self._revive is not None and self._directory is not None:
            contained(self._revive)(self._directory)
