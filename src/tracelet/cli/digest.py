"""A run's journal in brief: what `tracelet show` tells of it."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet.events import Artifact, Lost, Metric, Note, Packed, Params, RunFinished, RunStarted, Tags, Text
from tracelet.journal.reader import Damage, Reader, Record

BATCH: Final = 10_000  # records read at once


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
        max: The largest.
    """

    points: int = 0
    stepless: int = 0
    nan: int = 0
    first_step: int | None = None
    last_step: int | None = None
    last: float = math.nan
    min: float | None = None
    max: float | None = None


class ArtifactDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as it was logged last under its path; `reference` if its bytes were left where they are."""

    path: str
    size: int
    time: float
    digest: str = ""
    reference: str = ""


class Digest(msgspec.Struct, kw_only=True):
    """What stands in a journal.

    Attributes:
        started: When the run began, in seconds since the epoch; None if the journal does not say.
        ended: When it ended; None if nobody has written that yet.
        reason: What was said about its end.
        group: As the user called it.
        job_type: As the user called it.
        params: Each param's last value.
        tags: Each tag's last value.
        note: The last one.
        artifacts: By path.
        metrics: By name.
        texts: How many there are of each name.
        records: How many the journal has.
        lost: Records that the training process could not write.
        damaged: Places that cannot be read.
    """

    started: float | None = None
    ended: float | None = None
    reason: str = ""
    group: str = ""
    job_type: str = ""
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    note: str = ""
    artifacts: list[ArtifactDigest] = []
    metrics: dict[str, MetricDigest] = {}
    texts: dict[str, int] = {}
    records: int = 0
    lost: int = 0
    damaged: int = 0


def read(directory: Path, *, final: bool) -> Digest:
    """Read a whole journal; with `final`, nobody writes to it any more.

    Raises:
        JournalCorrupt: A newer version wrote it.
    """
    digest, others = Digest(), list[Packed]()
    latest: dict[str, tuple[float, float]] = {}
    reader = Reader(directory)
    while True:
        records = reader.read(BATCH, final=final)
        _take(digest, records, latest, others)
        if len(records) < BATCH:  # a run that goes on could keep us here for ever
            break
    # Several processes may have logged: what was said last is told by its time.
    for event in sorted(others, key=lambda event: event.time):
        _apply(digest, event)
    digest.metrics = dict(sorted(digest.metrics.items()))
    digest.artifacts = list({artifact.path: artifact for artifact in digest.artifacts}.values())
    return digest


def _take(
    digest: Digest, records: Iterable[Record], latest: dict[str, tuple[float, float]], others: list[Packed]
) -> None:
    for record in records:
        digest.records += 1
        event = record.event
        if isinstance(event, Metric):
            _add(digest.metrics.setdefault(event.name, MetricDigest()), event, latest)
        elif isinstance(event, Damage):
            digest.damaged += 1
        else:
            others.append(event)


def _add(metric: MetricDigest, point: Metric, latest: dict[str, tuple[float, float]]) -> None:
    """Count one point in."""
    metric.points += 1
    if point.step is None:
        metric.stepless += 1
    else:
        metric.first_step = min(point.step, point.step if metric.first_step is None else metric.first_step)
        metric.last_step = max(point.step, point.step if metric.last_step is None else metric.last_step)
    place = (-math.inf if point.step is None else point.step, point.time)
    if point.name not in latest or place >= latest[point.name]:
        latest[point.name] = place
        metric.last = point.value
    if math.isnan(point.value):
        metric.nan += 1
        return
    metric.min = min(point.value, point.value if metric.min is None else metric.min)
    metric.max = max(point.value, point.value if metric.max is None else metric.max)


def _apply(digest: Digest, event: Packed) -> None:
    """Let an event stand for what was said before it."""
    match event:
        case RunStarted():
            digest.started = event.time
            digest.group, digest.job_type = event.group, event.job_type
            digest.tags |= event.tags
            digest.note = event.note or digest.note
        case Params():
            digest.params |= event.params
        case Tags():
            digest.tags |= event.tags
        case Note():
            digest.note = event.text
        case Text():
            digest.texts[event.name] = digest.texts.get(event.name, 0) + 1
        case Artifact():
            digest.artifacts.append(
                ArtifactDigest(
                    path=event.path,
                    size=event.size,
                    time=event.time,
                    digest=event.digest,
                    reference=event.reference,
                )
            )
        case Lost():
            digest.lost += event.count
        case RunFinished():
            digest.ended, digest.reason = event.time, event.reason
