"""How long to wait before trying again."""

import random
from typing import Final

FIRST: Final = 0.5  # seconds
SOON: Final = 5.0  # seconds, at most, at first: most servers that go away are being started again
PATIENT: Final = 60.0  # seconds of waiting after which a tracker is expected to be away for long
LONGEST: Final = 30.0  # seconds; short enough that a server that is back is noticed


class Backoff:
    """Waiting times that double, with jitter, so that many relays do not come back at once."""

    __slots__ = ("_first", "_longest", "_next", "_waited")

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self.succeeded()

    def failed(self, retry_after: float | None = None) -> float:
        """Tell how many seconds to wait now; never less than the tracker asked for."""
        longest = self._longest if self._waited >= PATIENT else min(SOON, self._longest)
        wait = max(min(self._next, longest) * random.uniform(0.5, 1.0), retry_after or 0.0)
        self._next = min(self._next * 2, longest)
        self._waited += wait
        return wait

    def succeeded(self) -> None:
        """Begin with the shortest wait again."""
        self._next = self._first
        self._waited = 0.0
