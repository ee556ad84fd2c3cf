"""Count the points that become one with an equal one in the tracker."""

from typing import TYPE_CHECKING, Final

from tracelet.backend import Backend
from tracelet.events import Event

if TYPE_CHECKING:
    from collections.abc import Hashable

REMEMBERED: Final = 20_000  # identities; equal points come close together, since their time is equal


class Merges:
    """Remembers the identities of the newest points. A restarted relay begins with none."""

    def __init__(self, backend: Backend) -> None:
        self._identity = backend.identity
        self._seen: dict[int, None] = {}

    def merges(self, event: Event) -> bool:
        """Tell whether the tracker already has a point that is one and the same there."""
        try:
            identity: Hashable = self._identity(event) if self._identity is not None else None
            key = hash(identity)
        except Exception:  # noqa: BLE001  a third party's function, and it only counts
            return False
        if identity is None:
            return False
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return False

    def clear(self) -> None:
        """Forget: what comes next may be a repetition."""
        self._seen.clear()
