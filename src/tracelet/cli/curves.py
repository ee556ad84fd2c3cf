"""A metric's course in bounded memory, whatever the number and the order of its points.

Points fall into buckets of 2**n steps that begin at multiples of their width. There are at most
`limit` of them: when one more would be needed, the width doubles and neighbours become one. So a
curve depends on its points alone, and one with few points keeps each of them.
"""

import math

import msgspec


class Bucket(msgspec.Struct, gc=False):
    """Points beside each other.

    Attributes:
        x: The largest x among them.
        last: The value there, the latest of several; None if none of the bucket's is finite.
        low: The smallest finite value; infinite if there is none.
        high: The largest.
        odd: How many values are NaN or infinite.
    """

    x: int
    last: float | None = None
    low: float = math.inf
    high: float = -math.inf
    odd: int = 0


class Curve:
    """A metric's points in at most `limit` buckets."""

    __slots__ = ("_buckets", "_limit", "_shift")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._shift = 0
        self._buckets: dict[int, Bucket] = {}

    def add(self, x: int, value: float) -> None:
        """Take one point in."""
        key = x >> self._shift
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(x)
            if len(self._buckets) > self._limit:
                self._coarsen()
                bucket = self._buckets[x >> self._shift]
        if not -math.inf < value < math.inf:
            bucket.odd += 1
            return
        bucket.low, bucket.high = min(bucket.low, value), max(bucket.high, value)
        if x >= bucket.x or bucket.last is None:
            bucket.x, bucket.last = x, value

    def buckets(self) -> list[Bucket]:
        """Give the buckets, by x."""
        return [self._buckets[key] for key in sorted(self._buckets)]

    def _coarsen(self) -> None:
        """Make buckets wider until there are few enough."""
        while len(self._buckets) > self._limit:
            self._shift += 1
            wider: dict[int, Bucket] = {}
            for bucket in self.buckets():
                into = wider.setdefault(bucket.x >> self._shift, bucket)
                if into is not bucket:
                    _join(into, bucket)
            self._buckets = wider


def _join(into: Bucket, right: Bucket) -> None:
    """Let one bucket take in the one at its right."""
    into.low, into.high = min(into.low, right.low), max(into.high, right.high)
    into.odd += right.odd
    if right.last is not None:
        into.x, into.last = right.x, right.last
