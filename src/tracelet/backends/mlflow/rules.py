"""What is known of a metric before it is logged, and which points stand for all of its points in the end.

A `Definition` is a tag of the run, `tracelet.metric.<digest>`, as JSON. When the run ends, the rules
of its `summary` are worked out from all that MLflow holds of each metric that it speaks of, and become
metrics `<name>.min`, `<name>.max`, `<name>.mean`, `<name>.last` and `<name>.best`, of one point each:
so MLflow's table of runs can be sorted by them. Each has step and time of the point that it repeats,
a mean those of the last point, so that the same is written when the run ends twice.

A metric of the user's that is called so is left alone. Tags `tracelet.summaries.<number>` list what was
worked out, `[name, step, milliseconds]`, or the name alone where there is no such point: by them the
Reader leaves these points out, and a call that was cut short is taken up. NaN is passed over, but for
"last". Of a metric with so many points that they cannot be read in a minute there is no summary.
"""

import hashlib
import itertools
import json
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from tracelet.backends.mlflow import LIMITS
from tracelet.backends.mlflow.tags import METRIC, SUMMARIES
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Definition
from tracelet.names import NameMap

_LOG: Final = logging.getLogger(__name__)
_BUDGET: Final = 60.0  # seconds of reading in one call; below `LIMITS.patience`
_LOOK: Final = 1000  # points between two looks at the clock
_ROOM: Final = 6000  # characters of a tag, before the last metric is added; it takes 8,000
_SYSTEM: Final = "system/"
_NAMES: Final = NameMap(LIMITS)


class Point(NamedTuple):
    """One point; `time` in milliseconds."""

    value: float
    step: int
    time: int


Ours: TypeAlias = Mapping[str, frozenset[tuple[int, int]]]
"""The steps and times of the points that are ours, by the name of the metric."""


def tag_of(definition: Definition) -> tuple[str, str]:
    """Return the tag that holds a definition.

    Raises:
        Rejected: It is too long for a tag.
    """
    text = msgspec.json.encode(definition).decode()
    if len(text) > LIMITS.tag_value:
        raise Rejected(f"the definition of a metric has {len(text):,} characters, and a tag takes 8,000")
    return METRIC + hashlib.sha256(definition.name.encode()).hexdigest()[:16], text


def definitions(tags: Mapping[str, str]) -> list[Definition]:
    """Read the definitions among a run's tags, the oldest first."""
    found: list[Definition] = []
    for name, text in tags.items():
        if name.startswith(METRIC):
            try:
                found.append(msgspec.json.decode(text, type=Definition))
            except ValueError:  # also what msgspec raises
                _LOG.warning("the tag %s is no definition of ours, and is passed over", name)
    return sorted(found, key=lambda one: (one.time, one.name))


def ours_among(tags: Mapping[str, str]) -> Ours:
    """Read which points are ours."""
    points: dict[str, set[tuple[int, int]]] = {}
    for tag, text in tags.items():
        if not tag.startswith(SUMMARIES):
            continue
        try:
            for name, *point in json.loads(text):
                there = points.setdefault(str(name), set())
                if point:
                    step, when = point
                    there.add((int(step), int(when)))
        except (ValueError, TypeError):
            _LOG.warning("the tag %s is no list of ours, and is passed over", tag)
    return {name: frozenset(of) for name, of in points.items()}


def definition_of(name: str, known: Iterable[Definition]) -> Definition | None:
    """Choose the definition of a metric: the one of its very name, else the longest that fits it."""
    fitting = [one for one in known if one.summary and _fits(name, one.name)]
    return max(fitting, key=lambda one: (one.name == name, len(one.name)), default=None)


def _fits(name: str, pattern: str) -> bool:
    if name.startswith(_SYSTEM) and not pattern.startswith(_SYSTEM):
        return False  # "*" means what the user has logged
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


class Summaries:
    """Works out the summaries of one run.

    Args:
        client: MLflow's.
        run: Its id of the run.
        metrics: The names of the run's metrics, as MLflow has them.
        tags: The run's.
        history: Gives every point of a metric, oldest first.
    """

    def __init__(
        self,
        client: Any,
        run: str,
        metrics: Collection[str],
        tags: Mapping[str, str],
        history: Callable[[str], Iterator[Point]],
    ) -> None:
        self._client = client
        self._run = run
        self._metrics = metrics
        self._history = history
        self._known = definitions(tags)
        self._ours = ours_among(tags)
        self._numbers = itertools.count(sum(tag.startswith(SUMMARIES) for tag in tags) + 1)
        self._listed: list[list[str | int]] = []
        self._points: list[tuple[str, Point]] = []

    def write(self, read: Callable[[str], str]) -> None:
        """Write what is not written yet.

        Args:
            read: Returns what a metric's name was before it was mapped.

        Raises:
            Unavailable: There is so much to read that it takes another call.
        """
        until = time.monotonic() + _BUDGET
        is_first = True
        for metric in self._metrics:
            wanted = [] if self._ours.get(metric) else self._missing(read(metric))
            if not wanted:
                continue
            if not is_first and time.monotonic() > until:
                self._flush()
                raise Unavailable("not all summaries of metrics are worked out yet", retry_after=0.1)
            is_first = False
            self._work_out(metric, wanted, until)
            if len(json.dumps(self._listed)) > _ROOM:
                self._flush()
        self._flush()

    def _missing(self, name: str) -> list[tuple[str, str]]:
        """Return what is to be worked out of a metric, and the metrics that it becomes."""
        definition = definition_of(name, self._known)
        if definition is None:
            return []
        best = {"minimize": "min", "maximize": "max"}.get(definition.goal, "")
        wanted = [
            (best if rule == "best" else rule, _NAMES.to_tracker(f"{name}.{rule}"))
            for rule in definition.summary
        ]
        return [
            (figure, metric)
            for figure, metric in wanted
            # One that is listed and not there was not written any more; one that is not listed is the user's.
            if metric not in self._metrics and self._ours.get(metric, True)
        ]

    def _work_out(self, metric: str, wanted: Sequence[tuple[str, str]], until: float) -> None:
        figures = _figures(self._history(metric), until)
        if figures is None:
            _LOG.warning("metric %s has too many points to be summed up here", metric)
        for figure, name in wanted:
            point = (figures or {}).get(figure)
            self._listed.append([name] if point is None else [name, point.step, point.time])
            if point is not None:
                self._points.append((name, point))

    def _flush(self) -> None:
        """Write what is worked out; first that it is ours, or it would be taken for the user's."""
        from mlflow.entities import Metric

        if self._listed:
            tag = f"{SUMMARIES}{next(self._numbers)}"
            self._client.set_tag(self._run, tag, json.dumps(self._listed, ensure_ascii=False))
        if self._points:
            points = [Metric(name, point.value, point.time, point.step) for name, point in self._points]
            self._client.log_batch(self._run, metrics=points, synchronous=True)
        self._listed, self._points = [], []


def _figures(points: Iterator[Point], until: float) -> dict[str, Point] | None:
    """Look at all points once; None if that takes too long."""
    found: dict[str, Point] = {}
    count, terms = 0, [0.0]
    for number, point in enumerate(points):
        if number % _LOOK == _LOOK - 1 and time.monotonic() > until:
            return None
        found["last"] = point
        if math.isnan(point.value):
            continue
        if "min" not in found or point.value < found["min"].value:
            found["min"] = point
        if "max" not in found or point.value > found["max"].value:
            found["max"] = point
        count += 1
        terms.append(point.value)
        if len(terms) > _LOOK:
            terms = [_sum(terms)]
    mean = _sum(terms) / max(count, 1)
    if count and math.isfinite(mean):
        found["mean"] = Point(mean, found["last"].step, found["last"].time)
    return found


def _sum(terms: Iterable[float]) -> float:
    try:
        return math.fsum(terms)
    except OverflowError:
        return math.inf
    except ValueError:  # of infinities of both signs
        return math.nan
