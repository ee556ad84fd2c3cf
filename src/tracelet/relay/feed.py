"""What a delivery sends next: records, and the calls of `write` that they make.

A portion is the least that a cursor can move by. `Feed` takes records as they come; a tracker that
knows a point by its place has a feed of its own, in `tracelet.relay.plan`.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from tracelet.backend import Backend
from tracelet.journal.reader import Reader, Record
from tracelet.relay.shaping import Item, Shaper, chunks, portions


class Portion(NamedTuple):
    """Records, in the order of their segments, and what to send of them, call by call."""

    records: list[Record]
    calls: Iterable[list[Item]]


class Source(Protocol):
    """What a delivery reads from."""

    @property
    def holds(self) -> bool:
        """Whether records were read that wait for others, and are not given yet."""
        ...

    @property
    def planned(self) -> int | None:
        """How many rows are planned; None of a tracker without rows."""
        ...

    def read(self, *, final: bool = False) -> list[Portion]:
        """Give what was not given before, up to one batch; an empty list if there is nothing now.

        Args:
            final: The run has ended: nothing is waited for.

        Raises:
            Unavailable: What must be written down first cannot be written.
            JournalCorrupt: A newer version wrote the journal.
        """
        ...


class Feed:
    """A journal's records, as they come."""

    holds = False
    planned: int | None = None

    def __init__(self, reader: Reader, backend: Backend, shaper: Shaper) -> None:
        self._reader = reader
        self._backend = backend
        self._shaper = shaper

    def read(self, *, final: bool = False) -> list[Portion]:  # noqa: ARG002  it waits for nothing
        """See `Source.read`."""
        records = self._reader.read(self._backend.limits.batch)
        return [
            Portion(part, chunks([*self._shaper.items(part)], self._backend)) for part in portions(records)
        ]
