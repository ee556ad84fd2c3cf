"""One backend's way through one journal."""

import contextlib
import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final, NamedTuple

from tracelet import media
from tracelet.backend import Backend, Options, Writer
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.events import Lost, Metric, RunFinished, payload_of
from tracelet.journal import blobs, cursors, history, status
from tracelet.journal.reader import Damage, Reader, Record
from tracelet.relay.merges import Merges
from tracelet.relay.pulse import Pulse
from tracelet.relay.rejects import Rejects
from tracelet.relay.retry import Backoff
from tracelet.relay.shaping import Item, Shaper, chunks, portions

BUSY: Final = 0.05  # seconds between looks at a journal that grows
FILL: Final = 0.25  # seconds that a small batch gives the next to fill: fewer calls cost less CPU
IDLE: Final = 1.0  # seconds between looks at one that does not
REOPEN_AFTER: Final = 10_000  # records; a client that confirms only when closed is closed then
REOPEN_EVERY: Final = 60.0  # seconds; or then
REST: Final = 5.0  # seconds without a record; or then
TRIES: Final = 3  # of a batch that meets an exception no backend may raise
TRIES_ALONE: Final = 20  # where no other record got through since: it may be the tracker
_LOG: Final = logging.getLogger(__name__)


class _Stranger(Rejected):
    """An exception that no backend may raise: the record's fault, or the tracker's."""


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
        self._shaper = Shaper(backend, media.most(options))
        self._backoff = Backoff()
        self._writer: Writer | None = None
        self._opened_at = self._wrote_at = 0.0
        self._filling = False  # whether the last batch was small, and the next may be larger
        self._written = 0  # events since `open`
        self._sent: deque[_Sent] = deque()
        self._cursor = cursors.load(directory, name)
        self._reader = Reader(directory, self._cursor.offsets)
        self._ahead = _copied(self._cursor)  # where the cursor will be once all is confirmed
        self._end: Record | None = None
        self._pulse = Pulse(directory, name, backend.limits)
        self._rejects = Rejects(directory, name)
        self._merges = Merges(backend)
        self._strangers = 0  # tries of the batch at the cursor that met a stranger
        self._suspects: list[tuple[Item, str]] = []
        for left in directory.glob(f"*.{name}.*.new"):
            left.unlink(missing_ok=True)  # of a relay that was killed while it replaced a file

    def run(self, stop: threading.Event, orphaned: Callable[[], bool] = lambda: False) -> status.State:
        """Deliver until the run's end is delivered, the tracker refuses, or `stop` is set.

        Args:
            stop: Ends the delivery after the call to the tracker that is under way.
            orphaned: Asked when there is nothing to do; True ends the delivery.

        Raises:
            JournalCorrupt: A newer version wrote this journal.
        """
        self._pulse.becomes("starting")
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
                self._pulse.becomes("refused", str(error))
                return "refused"
            if self._is_complete():
                self._forget_writer()
                self._pulse.becomes("finished")
                return "finished"
            if not busy and orphaned():
                break
            wait = BUSY if busy else min(wait * 1.5, IDLE)
            if not busy:
                stop.wait(wait)
            elif self._filling:
                stop.wait(FILL)
        self._forget_writer()
        if self._directory.exists() and self._pulse.state != "unavailable":
            self._pulse.becomes("stopped")
        return "stopped"

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Wait, and show now and then that this is waiting and not hanging."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, 5.0)):
            self._pulse.becomes("unavailable")

    def step(self) -> bool:
        """Deliver what is there, up to one batch; tell whether there was anything.

        Raises:
            Unavailable: Not now; nothing is lost, and `step` may be called again.
            Refused: Never.
        """
        if self._is_complete():
            return False
        self._open()
        records = self._reader.read(self._backend.limits.batch)
        self._filling = 0 < len(records) < self._backend.limits.batch // 2 and self._end is None
        if records and self._pulse.state != "unavailable":  # else it is so until something has been taken
            self._pulse.becomes("delivering")
        for portion in portions(records):
            writer = self._open()  # confirming may have closed it
            self._deliver(writer, portion)
            self._confirm(writer, at_rest=False)
        if not records:
            self._confirm(self._open(), at_rest=True)
        if self._is_complete():
            return True
        if not records and not self._sent:
            if self._end is not None:
                return self._finish(self._open())  # confirming may have closed the writer
            if self._cursor.finished:
                self._settle()
            self._succeeded("idle")
        return bool(records)

    def _is_complete(self) -> bool:
        """Tell whether all is delivered; a child may go on logging after the run's end was."""
        return self._cursor.finished and not status.has_grown(self._directory, self._cursor)

    def _settle(self) -> None:
        """Note that what came after the run's end is delivered too."""
        sizes = status.sizes(self._directory)  # first: what comes now is seen the next time
        if not self._reader.read(1):
            self._ahead = _copied(self._ahead)
            self._ahead.sizes = sizes
            self._advance(self._ahead)
        else:
            self._back_to_the_cursor()

    def _open(self) -> Writer:
        """Open the run at the tracker, if it is not open."""
        if self._writer is not None:
            return self._writer
        started = history.started(self._directory, status.read_run(self._directory))
        self._pulse.beat()
        if self._backend.writer is None:
            raise Refused(f"{self._name} takes nothing from a relay: the journal is its store")
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
        self._writer, self._written = writer, 0
        self._opened_at = self._wrote_at = time.monotonic()
        self._pulse.opened(remote)
        return writer

    def _deliver(self, writer: Writer, records: list[Record]) -> None:
        """Write a batch of records and note where the cursor will be when it is confirmed."""
        after = _copied(self._ahead)
        written = self._written
        self._suspects.clear()
        items = [item for item in self._shaper.items(records) if not self._was_rejected(item)]
        for chunk in chunks(items, self._backend):
            self._write(writer, chunk)
            for item in chunk:
                after.degraded += item.degraded
                if isinstance(item.event, Metric):
                    after.merged += self._merges.merges(item.event)
        self._judge(others_passed=self._written > written)
        rejected = self._rejects.records
        for record in records:
            event = record.event
            if isinstance(event, RunFinished):
                self._end = record  # delivered last, so the cursor stays before it
                continue
            after.offsets[record.segment] = record.end
            if isinstance(event, Damage):
                self._rejects.keep(record, "", event.reason)
            elif isinstance(event, Lost):
                after.lost += event.count
            elif (record.segment, record.start) not in rejected:
                after.delivered += 1
        self._ahead = after
        self._sent.append(_Sent(self._written, after))

    def _was_rejected(self, item: Item) -> bool:
        """Tell whether an item was rejected when its batch was tried before."""
        if not self._rejects:
            return False
        return (item.record.segment, item.record.start, item.key) in self._rejects

    def _write(self, writer: Writer, items: list[Item]) -> None:
        """Write items; halve the batch until what is rejected is alone, and keep that."""
        self._pulse.beat(sum(payload_of(item.event)[1] for item in items))
        try:
            with self._mapped(isolate=True):
                writer.write([item.event for item in items])
        except Rejected as error:
            if len(items) > 1:
                middle = len(items) // 2
                self._write(writer, items[:middle])
                self._write(writer, items[middle:])
            elif isinstance(error, _Stranger):
                self._suspects.append((items[0], str(error)))
            else:
                self._rejects.keep(items[0].record, items[0].key, str(error))
            return
        self._written += len(items)
        self._wrote_at = time.monotonic()
        self._succeeded("delivering")

    def _judge(self, *, others_passed: bool) -> None:
        """Decide on what met a stranger's exception: theirs if others passed, else the tracker's."""
        if self._suspects and not others_passed and self._strangers < TRIES_ALONE:
            self._strangers += 1
            raise Unavailable(self._suspects[0][1])
        for item, reason in self._suspects:
            self._rejects.keep(item.record, item.key, reason)
        self._strangers = 0

    def _confirm(self, writer: Writer, *, at_rest: bool) -> None:
        """Move the cursor behind everything that the tracker has acknowledged."""
        if not self._sent:
            return
        confirmed: int | None = None
        if self._backend.confirms == "count":
            with self._mapped():
                confirmed = writer.acknowledged()
        elif self._backend.confirms == "close":
            now = time.monotonic()
            rests = at_rest and (self._end is not None or now - self._wrote_at > REST)
            if not rests and self._written < REOPEN_AFTER and now - self._opened_at < REOPEN_EVERY:
                return
            self._pulse.beat()
            self._writer = None
            with self._mapped():
                writer.close()
        last: _Sent | None = None
        while self._sent and (confirmed is None or self._sent[0].through <= confirmed):
            last = self._sent.popleft()
        if last is not None:
            self._advance(last.cursor)

    def _advance(self, cursor: cursors.Cursor) -> None:
        self._cursor = cursor
        try:
            cursors.save(self._directory, self._name, cursor)
        except OSError as error:
            # Delivered, but not noted: on a full disk the same records are written again later.
            message = f"the cursor in {self._directory} cannot be written: {error}"
            raise Unavailable(message) from error
        self._pulse.progressed()

    def _finish(self, writer: Writer) -> bool:
        """Deliver the run's end: every record before it has been acknowledged."""
        if self._end is None or not isinstance(self._end.event, RunFinished):
            return False
        sizes = status.sizes(self._directory)  # first: what comes after it is seen later
        torn = self._reader.read(self._backend.limits.batch, final=True)
        if torn:
            self._deliver(writer, torn)
            self._confirm(writer, at_rest=True)
            return True
        end = _copied(self._ahead)
        end.offsets[self._end.segment] = self._end.end
        end.delivered += 1
        end.finished, end.sizes = True, sizes
        self._write(writer, [Item(self._end.event, self._end)])
        self._sent.append(_Sent(self._written, end))
        self._ahead = end
        self._confirm(writer, at_rest=True)
        return True

    def _give_up_for_now(self, error: Unavailable) -> None:
        """Go back to the cursor; the next `step` opens anew."""
        self._back_to_the_cursor()
        if self._pulse.state != "unavailable":
            _LOG.warning("%s is unavailable: %s", self._name, error)
        self._pulse.becomes("unavailable", str(error))

    def _back_to_the_cursor(self) -> None:
        self._forget_writer()
        self._cursor = cursors.load(self._directory, self._name)
        self._ahead = _copied(self._cursor)
        self._reader = Reader(self._directory, self._cursor.offsets)
        self._shaper = Shaper(
            self._backend, media.most(self._options)
        )  # what it has told of long names may not have arrived
        self._end = None
        self._merges.clear()

    def _forget_writer(self) -> None:
        self._sent.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(Exception):  # it is given up; what it had is read again
                writer.close()

    @contextlib.contextmanager
    def _mapped(self, *, isolate: bool = False) -> Generator[None, None, None]:
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

    def _succeeded(self, state: status.State) -> None:
        self._backoff.succeeded()
        self._pulse.succeeded()
        self._pulse.becomes(state)


def _copied(cursor: cursors.Cursor) -> cursors.Cursor:
    copied = copy.copy(cursor)
    copied.offsets = dict(cursor.offsets)
    return copied
