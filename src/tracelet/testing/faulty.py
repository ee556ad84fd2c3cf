"""The tracker of `tracelet.testing.memory` on a bad day: it fails as trackers do, at random.

    variable FAULTY_BACKEND_…   what happens
    FILE                        where the tracker keeps its events; read it with `memory.received`
    SEED                        which calls fail; by default 0
    UNAVAILABLE                 a call raises `Unavailable`, and has had no effect
    UNANSWERED                  a call raises `Unavailable`, and has had its effect
    STRANGE                     a call raises what a backend must not raise, and has had no effect
    REFUSED                     a call raises `Refused`
    HANGING                     a call never returns
    KILLED                      the process is killed before a call has had its effect
    KILLED_LATE                 the process is killed after a call has had its effect
    REJECTED                    an event is never taken, nor any batch that it is in

Each but the first two is a probability from 0 to 1, of each call of `open` and `write`; REJECTED is
the share of events. Which calls fail depends on the seed and on how many calls came before, in all
processes; which events are rejected, on the seed and the event. So a bad day can be repeated.

`BACKEND` confirms when `write` returns. `COUNTING` confirms late, by `acknowledged`, and `CLOSING`
only when it is closed; both lose what they have not confirmed when their process is killed. Use it
as `backend="tracelet.testing.faulty:BACKEND"`.
"""

import os
import random
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from tracelet.backend import BlobPath, Configuration, Options, Remote
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Event, RunFinished, RunStarted
from tracelet.testing import memory

PREFIX: Final = "FAULTY_BACKEND_"
BEFORE: Final = ("unavailable", "strange", "refused", "hanging", "killed")
AFTER: Final = ("unanswered", "killed_late")
_SHARES: Final = (*BEFORE, *AFTER, "rejected")
_MOST: Final = 2**32  # of a crc32


class StrangeError(Exception):
    """What a backend must not raise."""


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose the file, and write down how bad the day is."""
    environ = configuration.environ
    chosen = {name: environ.get(f"{PREFIX}{name.upper()}", "0") for name in ("seed", *_SHARES)}
    return {**chosen, "path": environ.get(f"{PREFIX}FILE", str(configuration.directory / "faulty"))}


def takes(options: Options, event: Event) -> bool:
    """Tell whether the tracker takes an event at all; it takes every run's start and end."""
    if isinstance(event, (RunStarted, RunFinished)):
        return True
    chance = crc32(msgspec.msgpack.encode(event), crc32(options.get("seed", "0").encode())) / _MOST
    return chance >= float(options.get("rejected", "0"))


class _Day:
    """Decides what happens at each call; counts them in a file, so that it goes on after a kill."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._file = Path(f"{options['path']}.calls")
        self._chances: Mapping[str, float] = {}

    def before(self) -> None:
        """Begin a call; fail as one that has had no effect."""
        with self._file.open("ab", buffering=0) as file:
            call = file.tell()
            file.write(b".")
        dice = random.Random(f"{self._options.get('seed', '0')}/{call}")
        self._chances = {name: dice.random() for name in (*BEFORE, *AFTER)}
        if self._happens("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._happens("hanging"):
            threading.Event().wait()
        if self._happens("refused"):
            message = "the tracker refuses, as a bad day has it"
            raise Refused(message)
        if self._happens("strange"):
            message = "nobody knows what this means"
            raise StrangeError(message)
        if self._happens("unavailable"):
            message = "the tracker is away"
            raise Unavailable(message)

    def after(self) -> None:
        """End a call; fail as one that has had its effect."""
        if self._happens("killed_late"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._happens("unanswered"):
            message = "the tracker took it, and its answer was lost"
            raise Unavailable(message)

    def _happens(self, fault: str) -> bool:
        return self._chances[fault] < float(self._options.get(fault, "0"))


class FaultyWriter:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._options = options
        self._day = _Day(options)
        self._tracker = memory.MemoryWriter(Path(options["path"]), blob)

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        self._day.before()
        remote = self._tracker.open(run)
        self._day.after()
        return remote

    def check(self, batch: Sequence[Event]) -> None:
        """Raise `Rejected` for a batch with an event that the tracker never takes."""
        if not all(takes(self._options, event) for event in batch):
            message = "the tracker never takes one of these"
            raise Rejected(message)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        self._day.before()
        self.check(batch)
        self._tracker.write(batch)
        self._day.after()

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        self._tracker.close()


class LateWriter:
    """See `tracelet.backend.Writer`; holds back what it is given, as a client with a queue does."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._tracker = FaultyWriter(options, blob)
        self._queue: list[Event] = []
        self._confirmed = 0

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        return self._tracker.open(run)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        self._tracker.check(batch)
        self._queue.extend(batch)

    def acknowledged(self) -> int | None:
        """Send the older half of what is held back."""
        self._send((len(self._queue) + 1) // 2)
        return self._confirmed

    def close(self) -> None:
        """Send all that is held back."""
        try:
            self._send(len(self._queue))
        finally:
            self._tracker.close()

    def _send(self, count: int) -> None:
        if count:
            self._tracker.write(self._queue[:count])
            del self._queue[:count]
            self._confirmed += count


BACKEND: Final = replace(
    memory.BACKEND, name="faulty", variables=PREFIX, configure=configure, writer=FaultyWriter
)
COUNTING: Final = replace(BACKEND, name="faulty-counting", writer=LateWriter, confirms="count")
CLOSING: Final = replace(BACKEND, name="faulty-closing", writer=LateWriter, confirms="close")
