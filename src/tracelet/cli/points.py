"""One metric's points in brief: what is shown of them, what stands for them, and how they went."""

import math
from typing import Final

import msgspec

from tracelet.cli.curves import Bucket, Curve

_EXTREME: Final = {"minimize": "min", "maximize": "max"}
"""Which value is the best, by the goal."""


class Standing(msgspec.Struct, frozen=True):
    """A value that stands for a metric, and the step where it is; None where there is none."""

    value: float | None = None
    step: int | None = None


class MetricDigest(msgspec.Struct, kw_only=True):
    """One metric's points.

    Attributes:
        points: How many there are.
        stepless: How many of them have no step.
        nan: How many of them are NaN.
        first_step: The smallest step; None if no point has one.
        last_step: The largest.
        last: The value at the largest step; of several there, the latest. May be NaN.
        min: The smallest value that is not NaN; None if all are.
        min_step: The smallest step where it is; None if it is at a point without one.
        max: The largest value.
        max_step: The smallest step where it is.
        mean: The mean of the values that are not NaN.
        summary: What stands for it by its definition: by "min", "max", "mean", "last" or "best".
    """

    points: int = 0
    stepless: int = 0
    nan: int = 0
    first_step: int | None = None
    last_step: int | None = None
    last: float = math.nan
    min: float | None = None
    min_step: int | None = None
    max: float | None = None
    max_step: int | None = None
    mean: float | None = None
    summary: dict[str, Standing] = {}

    def by(self, rule: str, goal: str = "") -> Standing:
        """Tell what stands for the metric by a rule of a `Definition`; nothing if the rule is not known."""
        match _EXTREME.get(goal, rule) if rule == "best" else rule:
            case "min":
                return Standing(self.min, self.min_step)
            case "max":
                return Standing(self.max, self.max_step)
            case "mean":
                return Standing(self.mean)
            case "last":
                return Standing(self.last, self.last_step)
            case _:
                return Standing()


class Course(msgspec.Struct, frozen=True):
    """How a metric went, from its first step to its last; by its points' numbers if none has a step."""

    buckets: list[Bucket]
    first: int
    last: int
    stepless: bool = False


class Points:
    """One metric's points, as they come.

    Args:
        buckets: In how many buckets to keep their course; 0 for none.
    """

    __slots__ = ("_buckets", "_digest", "_numbered", "_place", "_stepped", "_sum", "latest")

    def __init__(self, buckets: int) -> None:
        self.latest = -math.inf
        self._digest = MetricDigest()
        self._stepped: Curve | None = None
        self._numbered: Curve | None = Curve(buckets) if buckets else None
        self._buckets = buckets
        self._place = (-math.inf, -math.inf)
        self._sum = 0.0

    @property
    def digest(self) -> MetricDigest:
        """The points in brief, as far as they have come."""
        digest = self._digest
        numbers = digest.points - digest.nan
        digest.mean = self._sum / numbers if numbers else None
        return digest

    @property
    def course(self) -> Course:
        """How they went."""
        first, last = self._digest.first_step, self._digest.last_step
        if first is None or last is None:
            buckets = self._numbered.buckets() if self._numbered else []
            return Course(buckets, 0, self._digest.points - 1, stepless=True)
        return Course(self._stepped.buckets() if self._stepped else [], first, last)

    def add(self, value: float, step: int | None, time: float) -> None:
        """Take one point in."""
        digest = self._digest
        digest.points += 1
        self.latest = max(self.latest, time)
        if step is None:
            digest.stepless += 1
        elif digest.first_step is None or digest.last_step is None:
            digest.first_step = digest.last_step = step
        elif step > digest.last_step:
            digest.last_step = step
        elif step < digest.first_step:
            digest.first_step = step
        place = (-math.inf if step is None else step, time)
        if place >= self._place:
            self._place, digest.last = place, value
        if value == value:  # noqa: PLR0124  all but NaN
            self._sum += value
            self._extremes(value, step)
        else:
            digest.nan += 1
        if self._buckets:
            self._draw(value, step)

    def _extremes(self, value: float, step: int | None) -> None:
        digest = self._digest
        if digest.min is None or value < digest.min:
            digest.min, digest.min_step = value, step
        elif value == digest.min:
            digest.min_step = _earlier(digest.min_step, step)
        if digest.max is None or value > digest.max:
            digest.max, digest.max_step = value, step
        elif value == digest.max:
            digest.max_step = _earlier(digest.max_step, step)

    def _draw(self, value: float, step: int | None) -> None:
        """Keep the point's place in the curve; points without a step count only where none has one."""
        if step is not None:
            if self._stepped is None:
                self._stepped, self._numbered = Curve(self._buckets), None
            self._stepped.add(step, value)
        elif self._numbered is not None:
            self._numbered.add(self._digest.stepless - 1, value)


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)
