"""How long to wait before trying again."""

import random
from typing import Final

FIRST: Final = 0.5  # seconds
LONGEST: Final = 30.0  # seconds; short enough that a server that is back is noticed


class Backoff:
    """Waiting times that double, with jitter, so that many relays do not come back at once."""

    __slots__ = ("_first", "_longest", "_next")

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def failed(self, retry_after: float | None = None) -> float:
        """Tell how many seconds to wait now; never less than the tracker asked for."""
        wait = self._next * random.uniform(0.5, 1.0)
        self._next = min(self._next * 2, self._longest)
        return max(wait, retry_after or 0.0)

    def succeeded(self) -> None:
        """Begin with the shortest wait again."""
        self._next = self._first
