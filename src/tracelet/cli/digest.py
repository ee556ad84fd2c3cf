"""A run in brief: what `tracelet show` and `tracelet compare` tell of it.

`Gathering` takes events one by one, from a journal or from a tracker, in any order. It keeps
aggregates only: a run may have more points than there is memory.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tracelet.cli.curves import Bucket, Curve
from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Image,
    Lost,
    Metric,
    Note,
    Packed,
    Params,
    RunFinished,
    RunStarted,
    Tags,
    Text,
    payload_of,
)
from tracelet.journal.reader import Damage


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


class TextDigest(msgspec.Struct, kw_only=True):
    """The texts of one name.

    Attributes:
        count: How many there are.
        last_step: The largest step; None if no text has one.
        last: The text there; of several, the latest.
        time: When that one was logged.
    """

    count: int = 0
    last_step: int | None = None
    last: str = ""
    time: float = 0.0


class SeriesDigest(msgspec.Struct, kw_only=True):
    """The images, or the histograms, of one name.

    Attributes:
        count: How many there are.
        last_step: The largest step; None if none has one.
        size: Bytes of what was logged, as it was logged; 0 for histograms that were counted before.
    """

    count: int = 0
    last_step: int | None = None
    size: int = 0


class ArtifactDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as it was logged last under its path; `reference` if its bytes were left where they are."""

    path: str
    size: int
    time: float
    digest: str = ""
    reference: str = ""
    mtime: float = 0.0


class Digest(msgspec.Struct, kw_only=True):
    """What a run recorded.

    Attributes:
        started: When the run began, in seconds since the epoch; None if nothing says so.
        ended: When it ended; None if nobody has said that yet.
        latest: When the latest event happened.
        status: How it ended; empty if nobody has said that yet.
        reason: What was said about its end.
        group: As the user called it.
        job_type: As the user called it.
        parent: The run that this one is nested in.
        params: Each param's last value.
        tags: Each tag's last value.
        note: The last one.
        artifacts: By path.
        metrics: By name.
        texts: By name.
        images: By name.
        histograms: By name.
        records: How many there are.
        lost: Records that the training process could not write.
        damaged: Places in the journal that cannot be read.
    """

    started: float | None = None
    ended: float | None = None
    latest: float | None = None
    status: str = ""
    reason: str = ""
    group: str = ""
    job_type: str = ""
    parent: str = ""
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    note: str = ""
    artifacts: list[ArtifactDigest] = []
    metrics: dict[str, MetricDigest] = {}
    texts: dict[str, TextDigest] = {}
    images: dict[str, SeriesDigest] = {}
    histograms: dict[str, SeriesDigest] = {}
    records: int = 0
    lost: int = 0
    damaged: int = 0


class Course(msgspec.Struct, frozen=True):
    """How a metric went, from its first step to its last; by its points' numbers if none has a step."""

    buckets: list[Bucket]
    first: int
    last: int
    stepless: bool = False


class Gathering:
    """Make a digest of events.

    Args:
        detail: In how many buckets to keep the course of a metric, by its name; 0 for none.
    """

    def __init__(self, detail: Callable[[str], int] = lambda _: 0) -> None:
        self._detail = detail
        self._digest = Digest()
        self._metrics: dict[str, _Points] = {}
        # Several processes may have logged: what was said last is told by its time.
        self._said: dict[tuple[str, str], float] = {}
        self._artifacts: dict[str, ArtifactDigest] = {}

    def damaged(self, _: Damage) -> None:
        """Count what cannot be read."""
        self._digest.damaged += 1

    def take(self, events: Iterable[Event]) -> "Gathering":
        """Take events in."""
        metrics, digest = self._metrics, self._digest
        for event in events:
            digest.records += 1
            if isinstance(event, Metric):
                points = metrics.get(event.name)
                if points is None:
                    points = metrics[event.name] = _Points(self._detail(event.name))
                points.add(event.value, event.step, event.time)
            else:
                digest.latest = max(event.time, digest.latest or event.time)
                self._other(event)
        return self

    @property
    def digest(self) -> Digest:
        """What was gathered so far."""
        digest = self._digest
        digest.metrics = {name: self._metrics[name].digest for name in sorted(self._metrics)}
        digest.params, digest.tags = dict(sorted(digest.params.items())), dict(sorted(digest.tags.items()))
        digest.texts = dict(sorted(digest.texts.items()))
        digest.images = dict(sorted(digest.images.items()))
        digest.histograms = dict(sorted(digest.histograms.items()))
        digest.artifacts = [self._artifacts[path] for path in sorted(self._artifacts)]
        times = [points.latest for points in self._metrics.values()]
        digest.latest = max((*times, *([] if digest.latest is None else [digest.latest])), default=None)
        return digest

    def course(self, name: str) -> Course:
        """Tell how a metric went."""
        points = self._metrics[name]
        first, last = points.digest.first_step, points.digest.last_step
        if first is None or last is None:
            buckets = points.numbered.buckets() if points.numbered else []
            return Course(buckets, 0, points.digest.points - 1, stepless=True)
        return Course(points.stepped.buckets() if points.stepped else [], first, last)

    def _other(self, event: Packed) -> None:
        """Let an event stand for what was said before it."""
        digest = self._digest
        match event:
            case RunStarted():
                digest.started = event.time
                digest.group, digest.job_type, digest.parent = event.group, event.job_type, event.parent
                self._say("tag", event.tags, digest.tags, event.time)
                if event.note:
                    self._note(event.note, event.time)
            case Params():
                self._say("param", event.params, digest.params, event.time)
            case Tags():
                self._say("tag", event.tags, digest.tags, event.time)
            case Note():
                self._note(event.text, event.time)
            case Text() | Image() | Histogram():
                self._in_series(event)
            case Artifact():
                self._artifact(event)
            case Lost():
                digest.lost += event.count
            case RunFinished():
                digest.ended, digest.status, digest.reason = event.time, event.status, event.reason

    def _is_news(self, kind: str, name: str, time: float) -> bool:
        """Tell whether nothing later was said of a thing before."""
        news = time >= self._said.get((kind, name), -math.inf)
        if news:
            self._said[kind, name] = time
        return news

    def _say(self, kind: str, pairs: dict[str, Any], into: dict[str, Any], time: float) -> None:
        into |= {name: value for name, value in pairs.items() if self._is_news(kind, name, time)}

    def _note(self, text: str, time: float) -> None:
        if self._is_news("note", "", time):
            self._digest.note = text

    def _in_series(self, event: Text | Image | Histogram) -> None:
        if isinstance(event, Text):
            self._text(event)
        else:
            _add(self._digest.images if isinstance(event, Image) else self._digest.histograms, event)

    def _text(self, event: Text) -> None:
        text = self._digest.texts.setdefault(event.name, TextDigest())
        text.count += 1
        if event.step is not None:
            if text.last_step is not None and event.step < text.last_step:
                return
            if event.step != text.last_step:
                text.last_step, text.time = event.step, -math.inf
        elif text.last_step is not None:
            return
        if text.count == 1 or event.time >= text.time:
            text.last, text.time = event.text, event.time

    def _artifact(self, event: Artifact) -> None:
        if self._is_news("artifact", event.path, event.time):
            self._artifacts[event.path] = ArtifactDigest(
                path=event.path,
                size=event.size,
                time=event.time,
                digest=event.digest,
                reference=event.reference,
                mtime=event.mtime,
            )


def _add(series: dict[str, SeriesDigest], event: Image | Histogram) -> None:
    found = series.setdefault(event.name, SeriesDigest())
    found.count += 1
    found.size += payload_of(event)[1]
    if event.step is not None:
        found.last_step = max(event.step, event.step if found.last_step is None else found.last_step)


class _Points:
    """One metric's points, as they come."""

    __slots__ = ("_buckets", "_place", "digest", "latest", "numbered", "stepped")

    def __init__(self, buckets: int) -> None:
        self.digest = MetricDigest()
        self.latest = -math.inf
        self.stepped: Curve | None = None
        self.numbered: Curve | None = Curve(buckets) if buckets else None
        self._buckets = buckets
        self._place = (-math.inf, -math.inf)

    def add(self, value: float, step: int | None, time: float) -> None:
        digest = self.digest
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
            self._extremes(value, step)
        else:
            digest.nan += 1
        if self._buckets:
            self._draw(value, step)

    def _extremes(self, value: float, step: int | None) -> None:
        digest = self.digest
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
            if self.stepped is None:
                self.stepped, self.numbered = Curve(self._buckets), None
            self.stepped.add(step, value)
        elif self.numbered is not None:
            self.numbered.add(self.digest.stepless - 1, value)


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)
