"""One backend's way through one journal."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tracelet.backend import Backend, Options, Writer
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.events import Artifact, Lost, Metric, RunFinished, RunStarted
from tracelet.journal import blobs, cursors, status
from tracelet.journal.reader import Damage, Reader, Record
from tracelet.relay.retry import Backoff
from tracelet.relay.shaping import Item, Shaper, chunks

BUSY: Final = 0.05  # seconds between looks at a journal that grows
IDLE: Final = 1.0  # seconds between looks at one that does not
GRACE: Final = 30.0  # seconds, beyond the backend's patience, before a relay counts as hanging
REOPEN_AFTER: Final = 10_000  # records; a client that confirms only when closed is closed then
REOPEN_EVERY: Final = 60.0  # seconds; or then
SAME: Final = 20_000  # identities that are remembered, to tell merged points
PATIENCE_WITH_STRANGERS: Final = 3  # tries before an unknown exception counts as `Rejected`
_LOG: Final = logging.getLogger(__name__)


class _Sent(NamedTuple):
    """What `write` has returned for: the cursor to move to once `through` events are confirmed."""

    through: int
    cursor: cursors.Cursor


class Delivery:
    """Reads a journal, writes to a backend, and moves the cursor behind what was acknowledged.

    Args:
        directory: The run's directory.
        name: The backend's name in the run; cursor, status and rejects bear it.
        backend: What to deliver to.
        options: What the backend chose when the run began.
    """

    def __init__(self, directory: Path, name: str, backend: Backend, options: Options) -> None:
        self._directory = directory
        self._name = name
        self._backend = backend
        self._options = options
        self._shaper = Shaper(backend)
        self._backoff = Backoff()
        self._writer: Writer | None = None
        self._opened_at = 0.0
        self._written = 0  # events since `open`
        self._sent: deque[_Sent] = deque()
        self._cursor = cursors.load(directory, name)
        self._reader = Reader(directory, self._cursor.offsets)
        self._ahead = _copied(self._cursor)  # where the cursor will be once all is confirmed
        self._end: Record | None = None
        self._same: dict[int, None] = {}
        self._strangers: dict[tuple[type[BaseException], int], int] = {}
        self._call_began = 0.0
        self._saved_at = 0.0
        self.status = status.read_delivery(directory, name)
        self.status.pid = os.getpid()

    def run(self, stop: threading.Event, orphaned: Callable[[], bool] = lambda: False) -> status.State:
        """Deliver until the run's end is delivered, the tracker refuses, or `stop` is set.

        Args:
            stop: Ends the delivery after the call to the tracker that is under way.
            orphaned: Asked when there is nothing to do; True ends the delivery.

        Raises:
            JournalCorrupt: A newer version wrote this journal.
        """
        self._state("starting")
        wait = BUSY
        while not stop.is_set() and self._directory.exists():
            try:
                busy = self.step()
            except Unavailable as error:
                self._give_up_for_now(error)
                if orphaned():
                    break
                self._rest(stop, self._backoff.failed(error.retry_after))
                continue
            except (Refused, Rejected) as error:  # Rejected: what it rejects is the run itself
                self._forget_writer()
                self._state("refused", str(error))
                return "refused"
            if self._cursor.finished:
                self._forget_writer()
                self._state("finished")
                return "finished"
            if not busy and orphaned():
                break
            wait = BUSY if busy else min(wait * 1.5, IDLE)
            if not busy:
                stop.wait(wait)
        self._forget_writer()
        if self._directory.exists() and self.status.state != "unavailable":
            self._state("stopped")
        return "stopped"

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Wait, and show now and then that this is waiting and not hanging."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, 5.0)):
            self._state("unavailable")

    def step(self) -> bool:
        """Deliver what is there, up to one batch; tell whether there was anything.

        Raises:
            Unavailable: Not now; nothing is lost, and `step` may be called again.
            Refused: Never.
        """
        if self._cursor.finished:
            return False
        writer = self._open()
        records = self._reader.read(self._backend.limits.batch)
        if records:
            self._state("delivering")
            self._deliver(writer, records)
        self._confirm(writer, at_rest=not records)
        if self._cursor.finished:
            return True
        if not records and not self._sent:
            if self._end is not None:
                return self._finish(self._open())  # confirming may have closed the writer
            self._state("idle")
        return bool(records)

    def _open(self) -> Writer:
        """Open the run at the tracker, if it is not open."""
        if self._writer is not None:
            return self._writer
        started = self._started()
        self._beat()
        with self._mapped():
            writer = self._backend.writer(
                self._options, lambda digest: blobs.path_of(self._directory, digest)
            )
            try:
                remote = writer.open(self._shaper.started(started))
            except BaseException:  # whatever it was, connections must not leak
                with contextlib.suppress(Exception):
                    writer.close()
                raise
        self._writer, self._written, self._opened_at = writer, 0, time.monotonic()
        self.status.id, self.status.url, self.status.view = remote.id, remote.url, remote.view
        self._succeeded()
        self._state("delivering")
        return writer

    def _started(self) -> RunStarted:
        """Find the run's first event; the trainer appended it before it started anything."""
        reader = Reader(self._directory)
        while records := reader.read(1000):
            for record in records:
                if isinstance(record.event, RunStarted):
                    return record.event
        message = f"{self._directory} has no RunStarted record yet"
        raise Unavailable(message)

    def _deliver(self, writer: Writer, records: list[Record]) -> None:
        """Write a batch of records and note where the cursor will be when it is confirmed."""
        after = _copied(self._ahead)
        rejected: set[tuple[str, int]] = set()
        degraded = merged = 0
        for chunk in chunks(self._shaper.items(records), self._backend):
            for item in self._write(writer, chunk):
                rejected.add((item.record.segment, item.record.start))
            for item in chunk:
                degraded += item.degraded
                merged += self._merges(item)
        for record in records:
            event = record.event
            if isinstance(event, RunFinished):
                self._end = record  # delivered last, so the cursor stays before it
                continue
            after.offsets[record.segment] = record.end
            if isinstance(event, Damage):
                self._keep_reject(record, "", event.reason)
            elif isinstance(event, Lost):
                after.lost += event.count
            elif (record.segment, record.start) not in rejected:
                after.delivered += 1
        after.degraded += degraded
        after.merged += merged
        self._ahead = after
        self._sent.append(_Sent(self._written, after))

    def _write(self, writer: Writer, items: list[Item]) -> list[Item]:
        """Write items; halve the batch until what is rejected is alone. Return the rejects."""
        self._beat(items)
        try:
            with self._mapped(isolate=True):
                writer.write([item.event for item in items])
        except Rejected as error:
            if len(items) == 1:
                self._keep_reject(items[0].record, items[0].key, str(error))
                return items
            middle = len(items) // 2
            return self._write(writer, items[:middle]) + self._write(writer, items[middle:])
        self._written += len(items)
        self._succeeded()
        return []

    def _confirm(self, writer: Writer, *, at_rest: bool) -> None:
        """Move the cursor behind everything that the tracker has acknowledged."""
        if not self._sent:
            return
        confirmed: int | None = None
        if self._backend.confirms == "count":
            with self._mapped():
                confirmed = writer.acknowledged()
        elif self._backend.confirms == "close":
            if not at_rest and self._written < REOPEN_AFTER and self._age() < REOPEN_EVERY:
                return
            self._beat()
            self._writer = None
            with self._mapped():
                writer.close()
        last: _Sent | None = None
        while self._sent and (confirmed is None or self._sent[0].through <= confirmed):
            last = self._sent.popleft()
        if last is not None:
            self._advance(last.cursor)

    def _age(self) -> float:
        return time.monotonic() - self._opened_at

    def _advance(self, cursor: cursors.Cursor) -> None:
        self._cursor = cursor
        try:
            cursors.save(self._directory, self._name, cursor)
        except OSError as error:
            # Delivered, but not noted: on a full disk the same records are written again later.
            message = f"the cursor in {self._directory} cannot be written: {error}"
            raise Unavailable(message) from error
        self.status.progressed = time.time()
        self._beat()  # a client that confirms bit by bit works, though there is nothing to write

    def _finish(self, writer: Writer) -> bool:
        """Deliver the run's end: every record before it has been acknowledged."""
        if self._end is None or not isinstance(self._end.event, RunFinished):
            return False
        torn = self._reader.read(self._backend.limits.batch, final=True)
        if torn:
            self._deliver(writer, torn)
            self._confirm(writer, at_rest=True)
            return True
        end = _copied(self._ahead)
        end.offsets[self._end.segment] = self._end.end
        end.delivered += 1
        end.finished = True
        self._write(writer, [Item(self._end.event, self._end)])
        self._sent.append(_Sent(self._written, end))
        self._ahead = end
        self._confirm(writer, at_rest=True)
        return True

    def _merges(self, item: Item) -> bool:
        """Tell whether the tracker has an equal point already, which the two become one with."""
        identity = self._backend.identity
        if identity is None or not isinstance(item.event, Metric):
            return False
        key = hash(identity(item.event))
        if key in self._same:
            return True
        self._same[key] = None
        if len(self._same) > SAME:
            del self._same[next(iter(self._same))]
        return False

    def _keep_reject(self, record: Record, key: str, reason: str) -> None:
        reject = status.Reject(record.segment, record.start, key, _title(record), reason[:2000], time.time())
        _LOG.warning("%s rejects %s: %s", self._name, reject.event, reject.reason)
        try:
            status.append_reject(self._directory, self._name, reject)
        except OSError as error:
            message = f"a reject cannot be kept in {self._directory}: {error}"
            raise Unavailable(message) from error

    def _give_up_for_now(self, error: Unavailable) -> None:
        """Go back to the cursor; the next `step` opens anew."""
        self._forget_writer()
        self._cursor = cursors.load(self._directory, self._name)
        self._ahead = _copied(self._cursor)
        self._reader = Reader(self._directory, self._cursor.offsets)
        self._shaper = Shaper(self._backend)  # what it has told of long names may not have arrived
        self._end = None
        self._same.clear()
        if self.status.state != "unavailable":
            _LOG.warning("%s is unavailable: %s", self._name, error)
        self._state("unavailable", str(error))

    def _forget_writer(self) -> None:
        self._sent.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(Exception):  # it is given up; what it had is read again
                writer.close()

    @contextlib.contextmanager
    def _mapped(self, *, isolate: bool = False):  # noqa: ANN202  a generator's type says less than its name
        """Let only `BackendError` out: somebody's backend may have forgotten to map an exception.

        With `isolate`, one that does not pass counts as `Rejected`, so that halving finds its cause.
        """
        self._call_began = time.time()
        try:
            yield
        except BackendError:
            raise
        except Exception as error:  # a third party's backend
            _LOG.exception("%s raised what a backend must not raise", self._name)
            key = (type(error), sum(self._cursor.offsets.values()))
            self._strangers[key] = self._strangers.get(key, 0) + 1
            message = f"{type(error).__name__}: {error}"
            # It may pass, as a network's error would; one that never does must not hold up the rest.
            lasting = isolate and self._strangers[key] > PATIENCE_WITH_STRANGERS
            kind = Rejected if lasting else Unavailable
            raise kind(message) from error

    def _succeeded(self) -> None:
        self._backoff.succeeded()
        self.status.error = ""

    def _beat(self, items: list[Item] | None = None) -> None:
        """Say how long the call that comes may take."""
        limits = self._backend.limits
        size = sum(item.event.size for item in items or [] if isinstance(item.event, Artifact))
        now = time.time()
        deadline = now + limits.patience + size / limits.upload_rate + GRACE
        if size or now - self._saved_at > 1.0:
            self.status.beat, self.status.deadline = now, deadline
            self._save_status()

    def _state(self, state: status.State, error: str | None = None) -> None:
        """Note what this delivery is doing; write it down when that is news, or once in a while."""
        now = time.time()
        news = state != self.status.state or error is not None
        if state != self.status.state:
            self.status.since = self._call_began if state == "unavailable" else now
        self.status.state = state
        if error is not None:
            self.status.error = error
        if news or now - self._saved_at > 5.0:  # noqa: PLR2004  seconds; well below GRACE
            self.status.beat = now
            self.status.deadline = now + self._backend.limits.patience + GRACE
            self._save_status()

    def _save_status(self) -> None:
        self._saved_at = time.time()
        with contextlib.suppress(OSError):  # a full disk must not stop delivery
            status.write_delivery(self._directory, self._name, self.status)


def _copied(cursor: cursors.Cursor) -> cursors.Cursor:
    return cursors.Cursor(
        dict(cursor.offsets), cursor.delivered, cursor.merged, cursor.degraded, cursor.lost, cursor.finished
    )


def _title(record: Record) -> str:
    """Name an event in a few words."""
    event = record.event
    name = getattr(event, "name", None) or getattr(event, "path", None)
    return f"{type(event).__name__} {name}" if name else type(event).__name__
