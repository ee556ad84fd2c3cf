"""One backend's way through one journal."""

import contextlib
import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tracelet import media
from tracelet.backend import Backend, Options, Remote, Writer
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Lost, Metric, RunFinished, RunStarted, payload_of
from tracelet.journal import blobs, cursors, history, status
from tracelet.journal.reader import Damage, Reader, Record
from tracelet.relay.feed import Feed, Portion, Source
from tracelet.relay.merges import Merges
from tracelet.relay.plan import Planner
from tracelet.relay.planfile import PlanFile
from tracelet.relay.pulse import Pulse
from tracelet.relay.rejects import Rejects
from tracelet.relay.retry import Backoff
from tracelet.relay.routing import Router
from tracelet.relay.sending import Sender
from tracelet.relay.shaping import Item, Shaper

BUSY: Final = 0.05  # seconds between looks at a journal that grows
FILL: Final = 0.25  # seconds that a small batch gives the next to fill: fewer calls cost less CPU
IDLE: Final = 1.0  # seconds between looks at one that does not
REOPEN_AFTER: Final = 10_000  # records; a client that confirms only when closed is closed then
REOPEN_EVERY: Final = 60.0  # seconds; or then
AHEAD: Final = 50_000  # events that are handed over and not confirmed, at most
STALLS: Final = 5.0  # times a backend's patience without a confirmation, after which it is opened anew
REST: Final = 5.0  # seconds without a record; or then
_LOG: Final = logging.getLogger(__name__)


class _Sent(NamedTuple):
    """What `write` has returned for: the cursor to move to once `through` events are confirmed.

    `size` is how many bytes they name.
    """

    through: int
    cursor: cursors.Cursor
    size: int = 0


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
        self._backoff = Backoff()
        self._writer: Writer | None = None
        self._merges = Merges(backend)
        self._opened_at = self._confirmed_at = 0.0
        self._is_anew = False  # whether the tracker has made the run anew, and the cursor does not say so
        self._filling = False  # whether the last batch was small, and the next may be larger
        self._sent: deque[_Sent] = deque()
        self._begin(cursors.load(directory, name))
        self._pulse = Pulse(directory, name, backend.limits)
        self._rejects = Rejects(directory, name)
        self._sender = Sender(name, self._pulse, self._rejects, self._succeeded)
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
        source = self._source
        full = self._is_far_ahead()
        portions = [] if full else source.read()
        count = sum(len(portion.records) for portion in portions)
        waits = bool(portions) or source.holds or full
        self._filling = waits and count < self._backend.limits.batch // 2 and (full or self._end is None)
        if portions and self._pulse.state != "unavailable":  # else it is so until something has been taken
            self._pulse.becomes("delivering")
        for portion in portions:
            writer = self._open()  # confirming may have closed it
            if self._source is not source:
                return True  # the tracker has less than the cursor says, and this begins there
            self._deliver(writer, portion)
            self._confirm(writer, at_rest=False)
        if not portions:
            self._confirm(self._open(), at_rest=not waits)
        if self._is_complete():
            return True
        if not waits and not self._sent:
            if self._end is not None:
                return self._finish(self._open())  # confirming may have closed the writer
            if self._cursor.finished:
                self._settle()
            self._succeeded("idle")
        return waits

    def _is_far_ahead(self) -> bool:
        """Tell whether so much waits for its confirmation that no more is handed over: it needs memory."""
        return bool(self._sent) and self._sent[-1].through - self._sent[0].through > AHEAD

    def _is_complete(self) -> bool:
        """Tell whether all is delivered; a child may go on logging after the run's end was."""
        return self._cursor.finished and not status.has_grown(self._directory, self._cursor)

    def _settle(self) -> None:
        """Note that what came after the run's end is delivered too."""
        sizes = status.sizes(self._directory)  # first: what comes now is seen the next time
        if not self._source.read() and not self._source.holds:
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
        with self._sender.mapped():
            writer = self._backend.writer(
                self._options, lambda digest: blobs.path_of(self._directory, digest)
            )
            try:
                remote = writer.open(self._shaper.started(started))
            except BaseException:  # whatever it was, connections must not leak
                with contextlib.suppress(Exception):
                    writer.close()
                raise
        self._writer = writer
        self._opened_at = time.monotonic()
        self._sender.opened()
        self._believe(remote)
        self._pulse.opened(remote)  # once that is written down: it would not be found out again
        return writer

    def _believe(self, remote: Remote) -> None:
        """Begin at the journal's beginning, if the tracker has less than the cursor says."""
        planned = self._source.planned
        if remote.rows is not None and planned is not None and remote.rows > planned:
            raise Refused(
                f"{self._name} has {remote.rows} rows of the run, and {self._directory} tells of {planned}: "
                "nobody knows which points are there. Delete the run there, then `tracelet sync`"
            )
        self._is_anew = self._is_anew or remote.anew or self._pulse.id not in {"", remote.id}
        lacks = self._is_anew or (remote.rows is not None and remote.rows < self._cursor.rows)
        if lacks and self._cursor.offsets:
            _LOG.info("%s has less of the run than was delivered: it is delivered again", self._name)
            self._sent.clear()
            self._advance(cursors.Cursor())  # at once: the next time, the run is not new any more
            self._begin(self._cursor)
        self._is_anew = False

    def _deliver(self, writer: Writer, portion: Portion) -> None:
        """Write what a portion holds and note where the cursor will be when it is confirmed."""
        after = _copied(self._ahead)
        sent: list[Item] = []
        with self._sender.judging():
            for call in portion.calls:
                sent += self._sender.send(writer, call)
        self._count(sent, after)
        rejected = self._rejects.records
        for record in portion.records:
            event = record.event
            if isinstance(event, RunFinished):
                self._end = record  # delivered last, so the cursor stays before it
                continue
            after.offsets[record.segment] = max(record.end, after.offsets.get(record.segment, 0))
            if isinstance(event, RunStarted):
                after.degraded += self._shaper.cuts(event)
            if isinstance(event, Damage):
                self._rejects.keep(record, "", event.reason)
            elif isinstance(event, Lost):
                after.lost += event.count
            elif (record.segment, record.start) not in rejected:
                after.delivered += self._shaper.wants(record)
                after.unrouted += self._shaper.left_out(record)
        self._ahead = after
        if not self._sent:
            self._confirmed_at = time.monotonic()
        size = sum(payload_of(item.event)[1] for item in sent)
        self._sent.append(_Sent(self._sender.written, after, size))

    def _count(self, sent: list[Item], after: cursors.Cursor) -> None:
        """Count what became of items that were sent; one that was rejected is not there."""
        for item in sent:
            if self._sender.was_rejected(item):
                continue
            after.degraded += item.degraded
            if isinstance(item.event, Metric):
                after.merged += self._merges.merges(item.event)
            after.rows = max(after.rows, item.row + 1)

    def _confirm(self, writer: Writer, *, at_rest: bool) -> None:
        """Move the cursor behind everything that the tracker has acknowledged."""
        if not self._sent:
            return
        confirmed: int | None = None
        if self._backend.confirms == "count":
            self._pulse.beat()  # it may take long, and bounds that itself
            with self._sender.mapped():
                confirmed = writer.acknowledged()
        elif self._backend.confirms == "close":
            now = time.monotonic()
            rests = at_rest and (self._end is not None or now - self._sender.wrote_at > REST)
            if not rests and self._sender.written < REOPEN_AFTER and now - self._opened_at < REOPEN_EVERY:
                return
            self._pulse.beat()
            self._writer = None
            with self._sender.mapped():
                writer.close()
        last: _Sent | None = None
        while self._sent and (confirmed is None or self._sent[0].through <= confirmed):
            last = self._sent.popleft()
        if last is not None:
            self._confirmed_at = time.monotonic()
            self._advance(last.cursor)
        elif confirmed is not None:
            self._check_it_moves()

    def _check_it_moves(self) -> None:
        """Begin anew at the cursor, if a client that counts has confirmed nothing for very long."""
        limits = self._backend.limits
        room = STALLS * limits.patience + sum(sent.size for sent in self._sent) / limits.upload_rate
        if time.monotonic() - self._confirmed_at > room:
            raise Unavailable(f"{self._name} has confirmed nothing for {room:.0f} s")

    def _advance(self, cursor: cursors.Cursor) -> None:
        self._cursor = cursor
        try:
            cursors.save(self._directory, self._name, cursor)
        except OSError as error:
            # Delivered, but not noted: on a full disk the same records are written again later.
            message = f"the cursor in {self._directory} cannot be written: {error}"
            raise Unavailable(message) from error
        self._backoff.succeeded()  # not before: what fails may come after what passes each time
        self._pulse.progressed()

    def _finish(self, writer: Writer) -> bool:
        """Deliver the run's end: every record before it has been acknowledged."""
        if self._end is None or not isinstance(self._end.event, RunFinished):
            return False
        sizes = status.sizes(self._directory)  # first: what comes after it is seen later
        torn = self._source.read(final=True)
        if torn:
            for portion in torn:
                self._deliver(writer, portion)
            self._confirm(writer, at_rest=True)
            return True
        end = _copied(self._ahead)
        end.offsets[self._end.segment] = self._end.end
        end.finished, end.sizes = True, sizes
        item = Item(self._end.event, self._end)
        self._sender.send(writer, [item])
        end.delivered += not self._sender.was_rejected(item)
        self._sent.append(_Sent(self._sender.written, end))
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
        self._begin(cursors.load(self._directory, self._name))

    def _begin(self, cursor: cursors.Cursor) -> None:
        """Read on from a cursor."""
        self._cursor = cursor
        self._ahead = _copied(cursor)  # where the cursor will be once all is confirmed
        self._end: Record | None = None
        self._merges.clear()
        # A new one: what it has told of long names may not have arrived.
        router = Router.of(self._directory, self._name)
        self._shaper = Shaper(self._backend, media.most(self._options), router=router)
        reader = Reader(self._directory, cursor.offsets)
        self._source: Source = Feed(reader, self._backend, self._shaper)
        if self._backend.rows is not None:
            durable = status.read_run(self._directory).durability != "process"
            file = PlanFile(self._directory / f"plan.{self._name}", durable=durable)
            self._source = Planner(file, reader, self._backend, self._shaper, cursor.rows)

    def _forget_writer(self) -> None:
        self._sent.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(Exception):  # it is given up; what it had is read again
                writer.close()

    def _succeeded(self, state: status.State) -> None:
        self._pulse.succeeded()
        self._pulse.becomes(state)


def _copied(cursor: cursors.Cursor) -> cursors.Cursor:
    copied = copy.copy(cursor)
    copied.offsets = dict(cursor.offsets)
    return copied
