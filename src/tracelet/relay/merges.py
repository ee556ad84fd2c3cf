"""Count the points that become one with an equal one in the tracker, within bounded memory.

Where a point's time is a part of what makes it itself, equal points come close together, and the newest
identities are enough. Where only its name and its step are (Aim, ClearML), an equal one may come any
time later, as when training goes on from a checkpoint: then the steps of each name are remembered, as
ranges, one for each stretch in which they grow evenly. That is exact, however many they are, but for
steps that were passed over when they first grew beyond them, of which the newest are remembered too.
What is forgotten is counted as a point of its own: there are at least so many equal ones.
"""

import bisect
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet.backend import Backend
from tracelet.events import Event, Metric

if TYPE_CHECKING:
    from collections.abc import Hashable

REMEMBERED: Final = 20_000  # identities
RANGES: Final = 50_000  # of steps, of all names: some 10 MB
_POINTS: Final = tuple(Metric("loss", 0.5, 1, time) for time in (1000.0, 2000.0))


class Merges:
    """Remembers which points there are. A restarted relay begins with none."""

    def __init__(self, backend: Backend) -> None:
        self._identity = backend.identity
        self._is_timeless = self._identity_of(_POINTS[0]) == self._identity_of(_POINTS[1])
        self._seen: dict[int, None] = {}
        self._steps: dict[Hashable, list[range]] = {}
        self._ranges = 0

    def merges(self, event: Event) -> bool:
        """Tell whether the tracker already has a point that is one and the same there."""
        identity = self._identity_of(event)
        if identity is None:
            return False
        key = hash(identity)
        parts = cast("tuple[Any, ...]", identity) if isinstance(identity, tuple) else ()
        if self._is_timeless and len(parts) > 1 and isinstance(parts[1], int):
            known = self._has_step((parts[0], *parts[2:]), parts[1])
            if known is not None:
                return known
        return self._has(key)

    def clear(self) -> None:
        """Forget: what comes next may be a repetition."""
        self._seen.clear()
        self._steps.clear()
        self._ranges = 0

    def _identity_of(self, event: Event) -> "Hashable | None":
        try:
            identity: Hashable = self._identity(event) if self._identity is not None else None
            hash(identity)
        except Exception:  # noqa: BLE001  a third party's function, and it only counts
            return None
        return identity

    def _has(self, key: int) -> bool:
        """Tell whether an identity is among the newest; from now on it is."""
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return False

    def _has_step(self, series: "Hashable", step: int) -> bool | None:
        """Tell whether a series has a step; None if it was passed over: the ranges do not know."""
        ranges = self._steps.setdefault(series, [])
        if not ranges or step > ranges[-1][-1]:
            self._grow(ranges, step)
            return False
        at = bisect.bisect_right(ranges, step, key=lambda one: one.start) - 1
        return True if at >= 0 and step in ranges[at] else None

    def _grow(self, ranges: list[range], step: int) -> None:
        """Add a step that is beyond all others."""
        if ranges:
            last = ranges[-1]
            if step - last[-1] == last.step or last[0] == last[-1]:
                ranges[-1] = range(last.start, step + 1, step - last[-1])
                return
        ranges.append(range(step, step + 1))
        self._ranges += 1
        if self._ranges > RANGES:
            self._forget()

    def _forget(self) -> None:
        """Forget the older half of the longest series; or all, if none is long."""
        longest = max(self._steps.values(), key=len)
        half = len(longest) // 2
        if half:
            del longest[:half]
            self._ranges -= half
        else:
            self._steps.clear()
            self._ranges = 0
