"""A run in brief: what `tracelet show` and `tracelet compare` tell of it.

`Gathering` takes events one by one, from a journal or from a tracker, in any order. It keeps
aggregates only: a run may have more points than there is memory.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from tracelet.cli.points import Course, MetricDigest, Points
from tracelet.events import (
    Artifact,
    Bundle,
    Chart,
    Definition,
    Event,
    Layout,
    Lost,
    Metric,
    Note,
    Packed,
    Params,
    RunFinished,
    RunStarted,
    Series,
    Tags,
    Text,
    payload_of,
)
from tracelet.journal.census import PLURALS
from tracelet.journal.reader import Damage

KINDS: Final = tuple(plural for kind, plural in PLURALS.items() if kind is not Text)
"""What is logged in a series and has bytes; texts are told of by what they say."""
UNSAID: Final = "none"
"""The rule by which nothing stands for a metric."""
_SAID: Final = ("layout", "rate", "fps", "chart", "caption")  # fields of an event
_SYSTEM: Final = "system/"
_SHAPED: Final = ("dtype", "shape", "format")  # and of its payload


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
    """What was logged of one kind under one name.

    Attributes:
        count: How many there are.
        last_step: The largest step; None if none has one.
        size: Bytes of what was logged, as it was logged; 0 for histograms that were counted before.
        last: What is known of the one there, of several the latest, besides its bytes: `shape`,
            `dtype` or `format`, `layout`, `caption`, `rate`, `fps`, `chart`, `bins`.
        time: When that one was logged.
    """

    count: int = 0
    last_step: int | None = None
    size: int = 0
    last: dict[str, Any] = {}
    time: float = 0.0


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
        bundles: Models, datasets, checkpoints and the like, in the order of their names.
        metrics: By name.
        definitions: What was said of metrics before, by name, in the order in which it was said.
        charts: How metrics are to be shown together.
        texts: By name.
        series: All that has bytes, by kind, one of `KINDS`, and then by name.
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
    bundles: list[Bundle] = []
    metrics: dict[str, MetricDigest] = {}
    definitions: dict[str, Definition] = {}
    charts: tuple[Chart, ...] = ()
    texts: dict[str, TextDigest] = {}
    series: dict[str, dict[str, SeriesDigest]] = msgspec.field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    records: int = 0
    lost: int = 0
    damaged: int = 0

    def definition(self, metric: str) -> Definition | None:
        """Find what was said of a metric: under its own name, else under the longest with `*` that fits.

        One that says what stands for the metric comes before one that does not.
        """
        fitting = (one for name, one in self.definitions.items() if _fits(metric, name))
        return max(
            fitting, key=lambda one: (bool(one.summary), one.name == metric, len(one.name)), default=None
        )


def plain(found: Digest) -> dict[str, Any]:
    """Make what programs are given: every kind of series has a key of its own."""
    content: dict[str, Any] = msgspec.to_builtins(found)
    series: dict[str, Any] = content.pop("series")
    content["definitions"] = {
        name: {"summary": one.summary, "goal": one.goal, "step_metric": one.step_metric}
        for name, one in found.definitions.items()
    }
    content["bundles"] = [_bundle(one) for one in found.bundles]
    return content | series


def _bundle(bundle: Bundle) -> dict[str, Any]:
    names = ("name", "kind", "path", "files", "reference", "aliases", "step", "metadata", "time")
    digest, _ = payload_of(bundle)
    return {name: getattr(bundle, name) for name in names} | {"digest": digest}


class Gathering:
    """Make a digest of events.

    Args:
        detail: In how many buckets to keep the course of a metric, by its name; 0 for none.
    """

    def __init__(self, detail: Callable[[str], int] = lambda _: 0) -> None:
        self._detail = detail
        self._digest = Digest()
        self._metrics: dict[str, Points] = {}
        # Several processes may have logged: what was said last is told by its time.
        self._said: dict[tuple[str, str], float] = {}
        self._artifacts: dict[str, ArtifactDigest] = {}
        self._bundles: dict[tuple[str, str], Bundle] = {}

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
                    points = metrics[event.name] = Points(self._detail(event.name))
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
        for name, metric in digest.metrics.items():
            if said := digest.definition(name):
                rules = (rule for rule in said.summary if rule != UNSAID)
                metric.summary = {rule: metric.by(rule, said.goal) for rule in rules}
        digest.params, digest.tags = dict(sorted(digest.params.items())), dict(sorted(digest.tags.items()))
        digest.texts = dict(sorted(digest.texts.items()))
        digest.series = {kind: dict(sorted(names.items())) for kind, names in digest.series.items()}
        digest.artifacts = [self._artifacts[path] for path in sorted(self._artifacts)]
        digest.bundles = [self._bundles[key] for key in sorted(self._bundles)]
        times = [points.latest for points in self._metrics.values()]
        digest.latest = max((*times, *([] if digest.latest is None else [digest.latest])), default=None)
        return digest

    def course(self, name: str) -> Course:
        """Tell how a metric went."""
        return self._metrics[name].course

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
            case Lost():
                digest.lost += event.count
            case RunFinished():
                digest.ended, digest.status, digest.reason = event.time, event.status, event.reason
            case Artifact() | Bundle():
                self._file(event)
            case Layout() | Definition():
                self._plan(event)
            case _:
                self._in_series(event)

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

    def _plan(self, event: Layout | Definition) -> None:
        """Take in how metrics are to be shown."""
        if isinstance(event, Layout):
            if self._is_news("layout", "", event.time):
                self._digest.charts = event.charts
        elif self._is_news("definition", event.name, event.time):
            self._digest.definitions[event.name] = event

    def _in_series(self, event: Series) -> None:
        if isinstance(event, Text):
            text = self._digest.texts.setdefault(event.name, TextDigest())
            if _is_last(text, event):
                text.last = event.text
            return
        found = self._digest.series[PLURALS[type(event)]].setdefault(event.name, SeriesDigest())
        found.size += payload_of(event)[1]
        if _is_last(found, event):
            found.last = _known(event)

    def _file(self, event: Artifact | Bundle) -> None:
        if isinstance(event, Bundle):
            key = (event.name, event.path or event.reference)
            if self._is_news("bundle", "\0".join(key), event.time):
                self._bundles[key] = event
        elif self._is_news("artifact", event.path, event.time):
            self._artifacts[event.path] = ArtifactDigest(
                path=event.path,
                size=event.size,
                time=event.time,
                digest=event.digest,
                reference=event.reference,
                mtime=event.mtime,
            )


def _is_last(found: TextDigest | SeriesDigest, event: Series) -> bool:
    """Count one of a series; tell whether it is the last so far: at the largest step, the latest there."""
    before = (-math.inf if found.last_step is None else found.last_step, found.time)
    found.count += 1
    if found.count > 1 and (-math.inf if event.step is None else event.step, event.time) < before:
        return False
    found.last_step, found.time = event.step, event.time
    return True


def _known(event: Series) -> dict[str, Any]:
    """Tell what one of a series is, without its bytes; what is not known is left out."""
    said = {name: getattr(event, name, None) for name in _SAID}
    if data := getattr(event, "data", None):
        said |= {name: getattr(data, name) for name in _SHAPED}
    said["bins"] = len(getattr(event, "counts", ()))
    return {name: value for name, value in said.items() if value}


def _fits(name: str, pattern: str) -> bool:
    if name.startswith(_SYSTEM) and not pattern.startswith(_SYSTEM):
        return False  # "*" means what the user has logged
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
