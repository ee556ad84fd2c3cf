"""One relay, as the keeper sees it: started, watched, killed when it hangs, started again."""

import contextlib
import logging
import math
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from tracelet.journal import status
from tracelet.journal.locks import held, holder
from tracelet.journal.status import RunFile
from tracelet.keeper import processes
from tracelet.relay import BROKEN, LOCKED, REFUSED

FIRST_WAIT: Final = 1.0  # seconds before the first restart
LONGEST_WAIT: Final = 300.0  # seconds
DOUBT: Final = 3.0  # seconds for which it must seem to hang: a clock may have been set, or a machine slept
STARTING: Final = 120.0  # seconds in which a new process must have beaten once
_LOG: Final = logging.getLogger("tracelet.keeper")


class Relay:
    """The delivery to one backend: a process, or its next start."""

    def __init__(self, directory: Path, run: RunFile, name: str) -> None:
        self.name = name
        self._directory = directory
        self._run = run
        self._lock = directory / f"relay.{name}.lock"
        self._process: subprocess.Popen[bytes] | None = None
        self._wait = FIRST_WAIT
        self._start_at = 0.0
        self._started_at = 0.0
        self._doubted_at = math.inf
        self.given_up = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do here: delivered, or refused."""
        return self._process is None and (self.given_up or self.finished)

    @property
    def finished(self) -> bool:
        """Whether the backend has all of the run, its end included."""
        return status.is_complete(self._directory, self.name)

    def tend(self) -> None:
        """Look after it once: reap, kill, start, as is due."""
        self._reap()
        self._kill_hanging()
        due = self._process is None and not self.done and time.monotonic() >= self._start_at
        if due and not held(self._lock):
            self._start()

    def stop(self, timeout: float) -> None:
        """End it: ask first, and kill it after `timeout` seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        target = self._run.targets.get(self.name)
        python = (target and target.python) or self._run.python
        line = processes.command(python, "tracelet.relay", str(self._directory), self.name)
        log = self._directory / f"relay.{self.name}.log"
        try:
            self._process = processes.start(
                line, log, Path(self._run.directory), dict(os.environ), session=False
            )
        except OSError:
            _LOG.exception("the relay to %s cannot be started", self.name)
            self._later()
            return
        self._started_at = time.time()

    def _reap(self) -> None:
        code = None if self._process is None else self._process.poll()
        if code is None:
            return
        self._process = None
        if code in {REFUSED, BROKEN}:
            self.given_up = True
        elif code != 0 or not self.finished:
            if code == LOCKED:  # nothing has failed: another delivers
                self._start_at = time.monotonic() + FIRST_WAIT
                return
            _LOG.warning("the relay to %s has ended with %d", self.name, code)
            self._later()

    def _later(self) -> None:
        """Space the restarts; a relay that had worked for a while starts from the beginning."""
        if time.time() - self._started_at > 60.0:  # noqa: PLR2004  seconds; it was not the start that failed
            self._wait = FIRST_WAIT
        self._start_at = time.monotonic() + self._wait
        self._wait = min(self._wait * 2, LONGEST_WAIT)

    def _touched(self) -> float:
        try:
            return status.delivery_path(self._directory, self.name).stat().st_mtime
        except OSError:
            return 0.0

    def _kill_hanging(self) -> None:
        """Kill a relay whose heartbeat is past its deadline, also one of a keeper before this one."""
        worker = holder(self._lock)
        said = status.read_delivery(self._directory, self.name)
        now = time.time()
        if worker.alive and said.pid == worker.pid:
            # On a full disk it can only touch the file.
            touched = self._touched() + (said.deadline - said.beat)
            hangs = now > max(said.deadline, touched)
        else:  # it has not said anything yet
            hangs = self._process is not None and now - self._started_at > STARTING
        if not hangs or worker == self._run.trainer:  # a relay thread; never kill the trainer
            self._doubted_at = math.inf
            return
        self._doubted_at = min(self._doubted_at, time.monotonic())
        if time.monotonic() - self._doubted_at < DOUBT:
            return
        self._doubted_at = math.inf
        _LOG.warning("the relay to %s hangs (%s); it is killed", self.name, said.state)
        if worker.alive:
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGKILL)
        elif self._process is not None:
            self._process.kill()
