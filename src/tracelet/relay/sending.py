"""Calls of `write`: what is rejected is found and kept, and only a `BackendError` gets out."""

import contextlib
import logging
import time
from collections.abc import Callable, Generator
from typing import Final, cast

from tracelet.backend import Placed, Writer
from tracelet.errors import BackendError, Rejected, Unavailable
from tracelet.events import Event, payload_of
from tracelet.journal.status import State
from tracelet.relay.pulse import Pulse
from tracelet.relay.rejects import Rejects
from tracelet.relay.shaping import Item

TRIES: Final = 3  # of a batch that meets an exception no backend may raise
TRIES_ALONE: Final = 20  # where no other record got through since: it may be the tracker
_LOG: Final = logging.getLogger(__name__)


class _Stranger(Rejected):
    """An exception that no backend may raise: the record's fault, or the tracker's."""


class Sender:
    """Sends items to one backend's Writer.

    Args:
        name: The backend's name in the run.
        pulse: Told of each call before it begins.
        rejects: Where rejects are kept.
        succeeded: Told of each call that returned.

    Attributes:
        written: Events that were written since `open`.
        wrote_at: When the last call returned, by the monotonic clock.
    """

    def __init__(self, name: str, pulse: Pulse, rejects: Rejects, succeeded: Callable[[State], None]) -> None:
        self.written = 0
        self.wrote_at = 0.0
        self._name = name
        self._pulse = pulse
        self._rejects = rejects
        self._succeeded = succeeded
        self._strangers = 0  # tries of the batch at the cursor that met a stranger
        self._suspects: list[tuple[Item, str]] = []

    def opened(self) -> None:
        """Begin to count anew."""
        self.written, self.wrote_at = 0, time.monotonic()

    def send(self, writer: Writer, items: list[Item]) -> list[Item]:
        """Write items in one call, or in more if some are rejected; return those that were not before.

        Raises:
            Unavailable: Not now.
            Refused: Never.
        """
        items = [item for item in items if not self.was_rejected(item)]
        if items:
            self._write(writer, items)
        return items

    @contextlib.contextmanager
    def judging(self) -> Generator[None, None, None]:
        """Decide, behind all calls of a portion, on what met a stranger's exception.

        Raises:
            Unavailable: It may be the tracker's: nothing else passed.
        """
        written = self.written
        self._suspects.clear()
        yield
        if self._suspects and self.written == written and self._strangers < TRIES_ALONE:
            self._strangers += 1
            raise Unavailable(self._suspects[0][1])
        for item, reason in self._suspects:
            self._rejects.keep(item.record, item.key, reason)
        self._strangers = 0

    @contextlib.contextmanager
    def mapped(self, *, isolate: bool = False) -> Generator[None, None, None]:
        """Let only `BackendError` out: somebody's backend may have forgotten to map an exception.

        With `isolate`, one that does not pass counts as `Rejected`, so that halving finds its cause.
        """
        self._pulse.calls()
        try:
            yield
        except BackendError:
            raise
        except Exception as error:  # a third party's backend
            _LOG.exception("%s raised what a backend must not raise", self._name)
            message = f"{type(error).__name__}: {error}"
            # It may pass, as a network's error would; one that never does must not hold up the rest.
            if isolate and self._strangers >= TRIES:
                raise _Stranger(message) from error
            self._strangers += isolate
            raise Unavailable(message) from error

    def was_rejected(self, item: Item) -> bool:
        """Tell whether an item was rejected when its batch was tried before."""
        if not self._rejects:
            return False
        return (item.record.segment, item.record.start, item.key) in self._rejects

    def _write(self, writer: Writer, items: list[Item]) -> None:
        """Write items; leave out what is rejected by its place, else halve until it is alone."""
        while items:
            self._pulse.beat(sum(payload_of(item.event)[1] for item in items))
            try:
                with self.mapped(isolate=True):
                    writer.write([*map(_given, items)])
            except Rejected as error:
                if error.at is None or not 0 <= error.at < len(items):
                    self._halve(writer, items, error)
                    return
                self._reject(items[error.at], error)
                items = [*items[: error.at], *items[error.at + 1 :]]
                continue
            self.written += len(items)
            self.wrote_at = time.monotonic()
            self._succeeded("delivering")
            return

    def _halve(self, writer: Writer, items: list[Item], error: Rejected) -> None:
        """Write each half of a call by itself; what is alone is rejected, and so is a row."""
        middle = _middle(items)
        if not middle:
            for item in items:
                self._reject(item, error)
            return
        self._write(writer, items[:middle])
        self._write(writer, items[middle:])

    def _reject(self, item: Item, error: Rejected) -> None:
        if isinstance(error, _Stranger):
            self._suspects.append((item, str(error)))
        else:
            self._rejects.keep(item.record, item.key, str(error))


def _middle(items: list[Item]) -> int:
    """Find where a call can be divided, not within a row; 0 if it cannot."""
    half = len(items) // 2
    places = [at for at in range(1, len(items)) if not items[at - 1].row == items[at].row >= 0]
    return min(places, key=lambda at: abs(at - half), default=0)


def _given(item: Item) -> Event:
    """Return an event as `write` takes it."""
    if item.row < 0:
        return item.event
    return cast("Event", Placed(item.row, item.event))  # to a backend that says it has rows
