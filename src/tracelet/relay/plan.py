"""The plan: which records make which row, of a tracker that knows a point by its place.

*Why.* Weights & Biases knows a row by its number alone. Several processes write a run's segments, and
after a crash they would be read in another order: the same number would be another row. So the plan is
written before anything is sent, and what was planned is sent again from it, never planned anew.

*Rows.* A row holds neighbouring events of one process and one step, with different names. Another step,
a repeated name, more than `Rows.seconds` between its first event and the next, or as long since that
was read close it; so do the run's end and a full batch. Until then its records are held, and with them what
the same process recorded after them: a cursor cannot pass what is not delivered. A row's number is
given when it is closed.

*Memory.* One open row for each process that writes, and one entry of the file.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from tracelet.backend import Backend, Rows
from tracelet.errors import Refused, Unavailable
from tracelet.events import RunFinished
from tracelet.journal.reader import Reader, Record
from tracelet.relay.feed import Portion
from tracelet.relay.planfile import PlanFile
from tracelet.relay.shaping import ALONE, FILES, Item, Shaper, chunks

_NONE: Final[list[Item]] = []
AHEAD: Final = 256  # records of one process that are read at once when planned rows are looked up


class _Group:
    """Records that go together: a row's, and those of its process that wait behind them.

    `step`, `names` and `time` are those of the row; `size` counts the records.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.members: list[Record] = []
        self.placed: list[Item] = []
        self.others: list[Item] = []
        self.names: set[str] = set()
        self.step: int | None = None
        self.time = 0.0
        self.begun = 0.0
        self.row = -1

    def add(self, record: Record, placed: Item | None, others: list[Item]) -> None:
        """Add a record, with the item of it that belongs into the row."""
        self.records.append(record)
        if others:
            self.others += others
        if placed is None:
            return
        event = placed.event
        if not self.members:
            self.step, self.time = _step(event), event.time
            self.begun = time.monotonic()
        self.members.append(record)
        self.placed.append(placed)
        self.names.add(_name(event))

    def takes(self, item: Item, rows: Rows) -> bool:
        """Tell whether an item belongs into this row."""
        event = item.event
        return (
            _step(event) == self.step
            and _name(event) not in self.names
            and abs(event.time - self.time) <= rows.seconds
        )

    def calls(self, backend: Backend) -> Iterator[list[Item]]:
        """Give the calls that deliver it; a row's events are in one."""
        yield from chunks(self.others, backend)
        if self.placed:
            yield [item._replace(row=self.row) for item in self.placed]

    @property
    def files(self) -> int:
        """How many of its records are files at the tracker."""
        return sum(isinstance(record.event, ALONE) for record in self.records)


class Planner:
    """A journal's records, in rows. See `tracelet.relay.feed.Source`.

    Args:
        file: The plan.
        reader: Reads from the cursor on.
        backend: Whose rows they are.
        shaper: Shapes for this backend.
        confirmed: How many rows are behind the cursor.
    """

    def __init__(
        self, file: PlanFile, reader: Reader, backend: Backend, shaper: Shaper, confirmed: int
    ) -> None:
        if backend.rows is None:
            message = f"backend {backend.name!r} has no rows"
            raise ValueError(message)
        if confirmed > file.rows:
            raise Refused(
                f"{confirmed} rows are delivered, and the plan has {file.rows}: {file} is not as it was. Put "
                "it back, or delete the run at the tracker and the cursor beside it, then `tracelet sync`"
            )
        self._file, self._reader, self._shaper = file, reader, shaper
        self._backend, self._rows = backend, backend.rows
        self._open: dict[str, _Group] = {}
        self._ended = False
        self._next = confirmed
        self._planned: Iterator[list[tuple[str, int]]] | None = file.since(confirmed)
        self._ahead: dict[str, deque[Record]] = {}  # read while planned rows were looked up

    @property
    def planned(self) -> int:
        """See `Source.planned`."""
        return self._file.rows

    @property
    def holds(self) -> bool:
        """See `Source.holds`."""
        return bool(self._open) or any(self._ahead.values())

    def read(self, *, final: bool = False) -> list[Portion]:
        """See `Source.read`."""
        limit = self._backend.limits.batch
        if self._planned is not None:
            groups = self._replayed(limit)
            if groups:
                return self._portions(groups)
            self._planned = None
        records = [record for queue in self._ahead.values() for record in queue]
        self._ahead.clear()
        records = records or self._reader.read(limit)
        groups = [*self._grouped(records, limit)]
        groups += self._closed_by_time(everything=not records and (final or self._ended))
        self._number(groups)
        return self._portions(groups)

    def _replayed(self, limit: int) -> list[_Group]:
        """Give groups of rows that are planned, with what lies between them in their segments."""
        groups: list[_Group] = []
        size = 0
        while size < limit and self._planned is not None:
            places = next(self._planned, None)
            if places is None:
                break
            group = _Group()
            group.row, self._next = self._next, self._next + 1
            wanted = set(places)
            for segment in dict.fromkeys(segment for segment, _ in places):
                last = max(start for one, start in places if one == segment)
                for record in self._until(segment, last):
                    self._ended = self._ended or isinstance(record.event, RunFinished)
                    self._replay(group, record, planned=(record.segment, record.start) in wanted)
            groups.append(group)
            size += len(group.records)
        return groups

    def _replay(self, group: _Group, record: Record, *, planned: bool) -> None:
        placed, others = self._items(record)
        # What belongs to a row, and was not planned, was left out on purpose then; so it is now.
        group.add(record, placed if planned else None, others)

    def _until(self, segment: str, start: int) -> Iterator[Record]:
        """Give a process's records up to the one that starts at `start` in `segment`."""
        queue = self._ahead.setdefault(_writer(segment), deque())
        while True:
            if not queue:
                queue.extend(self._reader.read_of(segment, AHEAD))
            if not queue:
                return  # the journal ends before it: whoever planned it has seen more of it than is there
            passed = (queue[0].segment == segment and queue[0].start > start) or (
                queue[0].segment != segment and _later(queue[0].segment, segment)
            )
            if passed:
                return
            record = queue.popleft()
            yield record
            if (record.segment, record.start) == (segment, start):
                return

    def _grouped(self, records: Iterable[Record], limit: int) -> Iterator[_Group]:
        """Put records into open rows; give those that are closed by it."""
        for record in records:
            writer = _writer(record.segment)
            group = self._open.get(writer)
            placed, others = self._items(record)
            ends = isinstance(record.event, RunFinished)
            closes = group is not None and (
                ends
                or len(group.records) >= limit
                or (placed is not None and not group.takes(placed, self._rows))
            )
            if group is not None and closes:
                yield self._open.pop(writer)
                group = None
            if group is None:
                group = _Group()
            group.add(record, placed, others)
            if group.members:
                self._open[writer] = group
            else:  # nothing that it must wait for
                self._ended = self._ended or ends
                yield group

    def _closed_by_time(self, *, everything: bool) -> list[_Group]:
        """Close rows that are open for a while, whatever else comes meanwhile."""
        now = time.monotonic()
        over = [
            writer
            for writer, group in self._open.items()
            if everything or now - group.begun > self._rows.seconds
        ]
        return [self._open.pop(writer) for writer in over]

    def _items(self, record: Record) -> tuple[Item | None, list[Item]]:
        """Shape a record: the item that belongs into a row, and the others."""
        items = self._shaper.items_of(record)
        if len(items) == 1 and isinstance(items[0].event, self._rows.kinds):
            return items[0], _NONE
        placed: Item | None = None
        others: list[Item] = []
        for item in items:
            if placed is None and isinstance(item.event, self._rows.kinds):
                placed = item
            else:
                others.append(item)
        return placed, others

    def _number(self, groups: list[_Group]) -> None:
        """Number rows, and write down of which records they are made."""
        rows = [group for group in groups if group.members]
        if not rows:
            return
        try:
            self._file.append([group.members for group in rows])
        except OSError as error:
            raise Unavailable(f"the plan cannot be written: {error}") from error
        for group in rows:
            group.row, self._next = self._next, self._next + 1

    def _portions(self, groups: list[_Group]) -> list[Portion]:
        """Join groups until there are some files among them."""
        found: list[Portion] = []
        some: list[_Group] = []
        files = 0
        for group in groups:
            some.append(group)
            files += group.files
            if files >= FILES:
                found.append(self._portion(some))
                some, files = [], 0
        if some:
            found.append(self._portion(some))
        return found

    def _portion(self, groups: list[_Group]) -> Portion:
        records = [record for group in groups for record in group.records]
        return Portion(records, [*self._calls(groups)])

    def _calls(self, groups: list[_Group]) -> Iterator[list[Item]]:
        """Join rows without files into calls as large as the backend takes."""
        call: list[Item] = []
        for group in groups:
            alone = group.files > 0
            for items in group.calls(self._backend):
                rows = items[0].row >= 0 and not alone
                if call and (not rows or len(call) + len(items) > self._backend.limits.batch):
                    yield call
                    call = []
                if rows:
                    call += items
                else:
                    yield items
        if call:
            yield call


def _writer(segment: str) -> str:
    return segment.rpartition("-")[0]


def _later(one: str, other: str) -> bool:
    """Tell whether a segment comes after another of the same process."""
    return (len(one), one) > (len(other), other)


def _step(event: object) -> int | None:
    return getattr(event, "step", None)


def _name(event: object) -> str:
    return getattr(event, "name", "")
