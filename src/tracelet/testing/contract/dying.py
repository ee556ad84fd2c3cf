"""Any backend, in a relay that is killed at a chosen call: `tracelet.testing.contract.dying:NAME`.

    variable CONTRACT_…   what it says
    KILL                  at which call of `write` the process is killed, counted from 1; 0 for never
    KILL_LATE             "1": after the call has had its effect, instead of before
    BATCH                 events in one call, so that few events make many calls

NAME is what `tracelet.backends.load` takes. All else of the backend stays as it is.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tracelet import backends
from tracelet.backend import Backend, BlobPath, Options, Remote, Writer
from tracelet.errors import ConfigError
from tracelet.events import Event, RunStarted

PREFIX: Final = "CONTRACT_"


class DyingWriter:
    """See `tracelet.backend.Writer`; the process ends in the middle."""

    def __init__(self, writer: Writer, call: int, *, late: bool) -> None:
        self._writer = writer
        self._left = call
        self._late = late

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        return self._writer.open(run)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        self._left -= 1
        if self._left == 0 and not self._late:
            os.kill(os.getpid(), signal.SIGKILL)
        self._writer.write(batch)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return self._writer.acknowledged()

    def close(self) -> None:
        """See `Writer.close`."""
        self._writer.close()


def __getattr__(name: str) -> Backend:
    if name.startswith("__"):
        raise AttributeError(name)
    backend = backends.load(name)
    make = backend.writer
    if make is None:
        raise ConfigError(f"backend {name!r} has no Writer that could be killed")

    def writer(options: Options, blob: BlobPath) -> Writer:
        call = int(os.environ.get(f"{PREFIX}KILL", "0"))
        late = os.environ.get(f"{PREFIX}KILL_LATE", "") == "1"
        return DyingWriter(make(options, blob), call, late=late)

    batch = int(os.environ.get(f"{PREFIX}BATCH", "0")) or backend.limits.batch
    limits = replace(backend.limits, batch=min(batch, backend.limits.batch))
    return replace(backend, writer=writer, limits=limits)
