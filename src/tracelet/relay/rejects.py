"""What a tracker would not take: kept, so that it is counted, shown, and not tried again and again."""

import logging
import time
from pathlib import Path
from typing import Final

from tracelet.errors import Unavailable
from tracelet.journal import status
from tracelet.journal.reader import Record

REASON_MAX: Final = 2000  # characters
_LOG: Final = logging.getLogger(__name__)


class Rejects:
    """One backend's rejects. The records themselves stay in the journal.

    Args:
        directory: The run's directory.
        name: The backend's name in the run.

    Attributes:
        records: Segment and offset of the records that were rejected, or a key of them.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._kept: set[tuple[str, int, str]] = set()
        self.records: set[tuple[str, int]] = set()
        for reject in status.rejects(directory, name):
            self._add(reject.segment, reject.start, reject.key)

    def __contains__(self, place: tuple[str, int, str]) -> bool:
        """Tell whether a segment's record, and in it a key, was rejected before."""
        return place in self._kept

    def __bool__(self) -> bool:
        """Tell whether anything was rejected."""
        return bool(self._kept)

    def keep(self, record: Record, key: str, reason: str) -> None:
        """Keep a record, or one key of it, with the reason.

        Raises:
            Unavailable: It cannot be written down, so it must not be passed over either.
        """
        place = (record.segment, record.start, key)
        if place in self._kept:
            return
        title = _title(record)
        _LOG.warning("%s rejects %s: %s", self._name, title, reason[:REASON_MAX])
        reject = status.Reject(*place, title, reason[:REASON_MAX], time.time())
        try:
            status.append_reject(self._directory, self._name, reject)
        except OSError as error:
            message = f"a reject cannot be kept in {self._directory}: {error}"
            raise Unavailable(message) from error
        self._add(*place)

    def _add(self, segment: str, start: int, key: str) -> None:
        self._kept.add((segment, start, key))
        self.records.add((segment, start))


def _title(record: Record) -> str:
    """Name an event in a few words."""
    event = record.event
    name = getattr(event, "name", None) or getattr(event, "path", None)
    return f"{type(event).__name__} {name}" if name else type(event).__name__
