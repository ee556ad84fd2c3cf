"""A run's life in the process that began it: how it stands, what listens to it, and its end."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tracelet import guard
from tracelet.events import RunFinished, Status
from tracelet.journal.census import Tally, census
from tracelet.journal.deliveries import Deliveries
from tracelet.journal.overview import RunOverview, overview
from tracelet.journal.recorder import Recorder
from tracelet.journal.status import RunFile
from tracelet.scrub import without_userinfo_in
from tracelet.telling import messages
from tracelet.telling.summary import Summary

_now: Final = time.time
_REASON_MAX: Final = 1000  # characters


class Life:
    """The life of one run.

    Args:
        directory: The run's directory; None if nothing is recorded.
        run: Its `run.json`.
        recorder: Where its end is recorded.
        deliveries: What its end waits for.
        owner: The process that may end it.
        quiet: Whether only warnings are shown to a user who has not configured logging.
    """

    def __init__(
        self,
        directory: Path | None,
        run: RunFile,
        recorder: Recorder,
        deliveries: Deliveries,
        owner: int,
        *,
        quiet: bool = False,
    ) -> None:
        self._directory = directory
        self._run = run
        self._recorder = recorder
        self._deliveries = deliveries
        self._owner = owner
        self._quiet = quiet
        self._summary: Summary | None = None
        self._ending = threading.RLock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self._summary is not None

    def overview(self) -> RunOverview | None:
        """Tell how the run and its deliveries stand; None if nothing is recorded."""
        return None if self._directory is None else overview(self._directory)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have something done once, before the run's end is recorded."""
        self._callbacks.append(callback)

    def stop(self, status: Status, reason: str, *, wait: bool) -> Summary:
        """See `Experiment.stop`."""
        if self._owner != os.getpid():  # it may hold a copy of a held lock, too
            self._let_go()
            return Summary(run_id=self._run.run_id, name=self._run.name, status=status)
        with self._ending:  # re-entrant: a signal handler may stop what is being stopped
            if self._summary is None:
                began = time.monotonic()
                self._summary = Summary(run_id=self._run.run_id, name=self._run.name, status=status)
                finished = self._finish(status, reason)
                if finished and wait:
                    self._deliveries.wait()
                self._summary = self._summed(status, time.monotonic() - began)
                outlook = messages.Outlook(waited=wait, background=self._deliveries.background)
                messages.ended(self._summary, outlook, quiet=self._quiet)
                if not finished:  # a full disk, or a signal handler inside a record: the next try may do it
                    summary, self._summary = self._summary, None
                    return summary
                if self._directory is not None:
                    messages.end()
            return self._summary

    def _finish(self, how: Status, reason: str) -> bool:
        """Record the run's end, after all that listens to it has been taken back."""
        self._let_go()
        if self._directory is None:
            return True
        end = RunFinished(_now(), how, without_userinfo_in(reason)[:_REASON_MAX])
        if self._recorder.finish(end):
            return True
        message = "the end of run %s could not be written to %s"
        guard.say(logging.ERROR, message, self._run.run_id, self._directory)
        return False

    def _let_go(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            guard.contained(callback)()

    def _summed(self, how: Status, seconds: float) -> Summary:
        seen = guard.contained(self.overview)()
        counted = None if self._directory is None else guard.contained(census)(self._directory)
        return Summary(
            run_id=self._run.run_id,
            name=self._run.name,
            status=how,
            project=self._run.project,
            mode=self._run.mode,
            directory=str(self._directory or ""),
            backends=seen.backends if seen is not None else (),
            logged=counted or Tally(),
            lost=self._recorder.lost,
            dropped=self._recorder.dropped,
            duration=_now() - self._run.time - seconds,
            seconds=seconds,
        )
