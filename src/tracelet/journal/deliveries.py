"""A run's deliveries, as its training process sees them: where they are, and waiting for them."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeAlias

from tracelet.guard import contained, say, warn_once
from tracelet.journal import progress, status
from tracelet.journal.status import RunFile

Display: TypeAlias = Callable[[Path, Sequence[str], float], AbstractContextManager[Callable[[], None]]]
"""Shows a wait: given the run's directory, whom it is for, and seconds at most; called at each look."""


def unseen(
    directory: Path,  # noqa: ARG001  see Display
    backends: Sequence[str],  # noqa: ARG001
    timeout: float,  # noqa: ARG001
) -> AbstractContextManager[Callable[[], None]]:
    """Show nothing of a wait: a `Display`."""
    return nullcontext(lambda: None)


class Deliveries:
    """The deliveries of one run.

    Args:
        directory: The run's directory; None if nothing is recorded.
        run: Its `run.json`.
        timeout: Seconds to wait at most, unless told otherwise.
        revive: Called while somebody waits: brings a keeper back that died. None if there is none.
        display: Shows how far a wait is.
    """

    def __init__(
        self,
        directory: Path | None,
        run: RunFile,
        timeout: float,
        revive: Callable[[Path], None] | None,
        display: Display = unseen,
    ) -> None:
        self._directory = directory
        self._run = run
        self._timeout = timeout
        self._revive = revive
        self._display = display

    @property
    def background(self) -> bool:
        """Whether delivery goes on when this process is gone: whether there is a keeper."""
        return self._revive is not None

    def url(self, backend: str | None) -> str | None:
        """Return the run's page at a backend, by default the first with a relay; None while there is none."""
        name = self._name(backend)
        if self._directory is None or not name:
            return None
        return status.read_delivery(self._directory, name).url or None

    def _name(self, backend: str | None) -> str:
        """Find a backend's name in the run, by default the first with a relay; else empty."""
        if backend is None:
            return next(iter(self._run.relayed), "")
        name = self._run.called(str(backend))
        if not name and self._directory is not None:
            there = ", ".join(self._run.targets) or "none"
            warn_once("the run has no backend %r; it has %s", backend, there, key=str(backend))
        return name

    def remote_id(self, backend: str | None, timeout: float, enough: Callable[[], bool]) -> str | None:
        """Wait until a backend's relay has published the tracker's id of the run; None if it does not come.

        Args:
            backend: Its name; None for the first with a relay.
            timeout: Seconds, at most.
            enough: Asked at each look; True ends the waiting.
        """
        name = self._name(backend)
        if self._directory is None or not name:
            return None
        directory = self._directory

        def look() -> None:
            if self._revive is not None:
                contained(self._revive)(directory)

        return progress.published(directory, name, timeout, look, enough) or None

    def flush(self, timeout: float | None) -> bool:
        """Wait until the backends have what is in the journal now; tell whether all of them do."""
        if self._directory is None or not self._run.relayed:
            return True
        if self._run.mode == "offline":
            return False
        reached = progress.until_now(self._directory)
        limit = self._timeout if timeout is None else timeout
        return not self._wait_for(self._directory, reached, limit)

    def wait(self) -> None:
        """Wait until the backends have all of the run; Ctrl-C ends the waiting, not the delivery."""
        if self._directory is None or self._run.mode == "offline" or not self._run.relayed:
            return
        reached = progress.everything(self._directory)
        try:
            self._wait_for(self._directory, reached, self._timeout)
        except KeyboardInterrupt:
            say(logging.WARNING, "not waiting any longer for the delivery of run %s", self._run.run_id)

    def _wait_for(self, directory: Path, reached: Callable[[str], bool], timeout: float) -> list[str]:
        with self._display(directory, self._run.relayed, timeout) as show:

            def look() -> None:
                if self._revive is not None:
                    contained(self._revive)(directory)
                contained(show)()

            return progress.wait_for(directory, self._run.relayed, reached, timeout, look)
