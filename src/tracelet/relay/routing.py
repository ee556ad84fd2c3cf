"""Which of a run's records go to one backend, and under which names.

A record that was logged for other backends alone does not go, nor does what the backend's route leaves
out (`tracelet.settings.routes`); a run's start and end always go. What is decided depends on the journal
and the route alone, so that what is sent again is the same again.

*The rate.* Of a metric's points, the first of each interval of `1 / rate` seconds goes, by the points'
own times. Each segment of the journal is a beginning of its own: so a relay that is started anew needs
to look at one segment only to know what came before.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from tracelet.errors import JournalCorrupt
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Definition,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Layout,
    Metric,
    Note,
    Params,
    RunStarted,
    Table,
    Tags,
    Text,
    Video,
)
from tracelet.journal import status
from tracelet.journal.reader import Damage, Record, stream
from tracelet.journal.status import Route
from tracelet.settings.routes import ANY, KINDS, divided, of_kind

NAMES: Final = 100_000  # whose way is remembered; of a run with more, it is found out each time
FIRSTS: Final = 10_000  # points of a segment that are remembered as the first of their interval
_READ: Final = 10_000  # records at once, where a segment is looked at again
WORDS: Final[dict[type, str]] = {
    Metric: "metric",
    Definition: "metric",
    Layout: "metric",
    Params: "param",
    Tags: "tag",
    Note: "note",
    Text: "text",
    Image: "image",
    Figure: "figure",
    Histogram: "histogram",
    Audio: "audio",
    Video: "video",
    Html: "html",
    Table: "table",
    Artifact: "artifact",
    Bundle: "bundle",
}
"""What the setting calls an event; one that is not here always goes."""


class Router:
    """Tells what of a run goes to one backend.

    It is asked in the order of the journal: of each segment's records, none before one that was asked
    for later, but for the newest.

    Args:
        name: The backend's name in the run.
        route: What goes to it.
        directory: The run's directory; needed only where the route has a rate.
        load: What loads the backend: records may be for it by that, from before the run had it.
    """

    def __init__(
        self, name: str, route: Route | None = None, directory: Path | None = None, load: str = ""
    ) -> None:
        route = route or Route()
        self._called = {name, load}
        self._route = route
        self._directory = directory
        self._takes_all = route == Route(rename=route.rename)
        self._include = _compiled(route.include)
        self._exclude = _compiled(route.exclude)
        self._names = {kind: _Names(of_kind(kind, route.rename)) for kind in ("", *KINDS)}
        self._paces: dict[str, _Pace] = {}
        self._passes = functools.lru_cache(NAMES)(self._decided)
        self._renamed = functools.lru_cache(NAMES)(self._new_name)

    @classmethod
    def of(cls, directory: Path, name: str) -> "Router":
        """Make the one of a run's backend.

        Raises:
            JournalCorrupt: The run cannot be read.
        """
        try:
            target = status.read_run(directory).targets.get(name)
        except JournalCorrupt:
            if directory.exists():
                raise
            return cls(name)  # with it, all is gone that could be delivered
        return cls(name) if target is None else cls(name, target.route, directory, target.load)

    def wants(self, record: Record) -> bool:
        """Tell whether a record, or a part of it, goes to this backend."""
        if self._takes_all and not record.only:  # nearly always
            return True
        event = record.event
        kind = WORDS.get(type(event))
        if kind is None:
            return True
        if record.only and self._called.isdisjoint(record.only):
            return False
        return self._takes_all or self._takes(kind, event, record)

    def left_out(self, record: Record) -> int:
        """Count what of a record does not go: of params and tags each for itself, else all or nothing."""
        if self._takes_all and not record.only:
            return 0
        event = record.event
        if isinstance(event, RunStarted):
            tags = sum(not self.passes("tag", name) for name in event.tags)
            return tags + bool(event.note and not self.passes("note"))
        if isinstance(event, (Params, Tags)):
            names = event.params if isinstance(event, Params) else event.tags
            if not self.wants(record):
                return len(names)
            return sum(not self.passes(WORDS[type(event)], name) for name in names)
        return int(not self.wants(record))

    def passes(self, kind: str, *names: str) -> bool:
        """Tell whether what is of this kind and called so goes.

        Args:
            kind: One of `KINDS`.
            names: What it is called; where that is several things, one of them must be wanted, and none
                left out. Without any, the kind decides.
        """
        return self._takes_all or self._passes(kind, names)

    def renamed(self, name: str, kind: str = "") -> str:
        """Return the name that something has at this backend; the very same object, where it stays.

        Args:
            name: As it was logged.
            kind: One of `KINDS`; without it, only what the route says of every kind holds.
        """
        return self._renamed(name, kind) if self._route.rename else name

    def adapted(self, event: Definition | Layout) -> Definition | Layout:
        """Give what speaks of metrics the names that these have at this backend."""
        if not self._route.rename:
            return event
        if isinstance(event, Layout):
            charts = (
                msgspec.structs.replace(chart, tags=tuple(self.renamed(tag, "metric") for tag in chart.tags))
                for chart in event.charts
            )
            return Layout(event.time, tuple(charts))
        name = self.renamed(event.name, "metric")
        name = event.name if name == ANY else name  # else it would speak of every metric
        step_metric = event.step_metric and self.renamed(event.step_metric, "metric")
        return msgspec.structs.replace(event, name=name, step_metric=step_metric)

    def _takes(self, kind: str, event: "Event | Damage", record: Record) -> bool:
        if isinstance(event, Metric):
            return self._passes(kind, (event.name,)) and (
                not self._route.rate or self._is_first(event, record)
            )
        if isinstance(event, (Params, Tags)):
            names = event.params if isinstance(event, Params) else event.tags
            return any(self._passes(kind, (name,)) for name in names)
        if isinstance(event, Bundle) and event.files:  # it goes where its files go
            places = (event.path, f"{event.path}/")
            return self._passes("artifact", ()) and self._passes(kind, (event.name, *places))
        if isinstance(event, (Note, Layout)):
            return self._passes(kind, ())
        name = event.path if isinstance(event, Artifact) else getattr(event, "name", "")
        return self._passes(kind, (name,))

    def _decided(self, kind: str, names: tuple[str, ...]) -> bool:
        if self._route.kinds and kind not in self._route.kinds:
            return False
        if not names:
            return True
        if self._include and not any(_fits(self._include, kind, name) for name in names):
            return False
        return not any(_fits(self._exclude, kind, name) for name in names)

    def _new_name(self, name: str, kind: str) -> str:
        return self._names[kind].new(name)

    def _is_first(self, point: Metric, record: Record) -> bool:
        pace = self._paces.get(record.segment)
        if pace is None or record.start < pace.since:
            pace = self._paces[record.segment] = _Pace(self._route.rate)
            for earlier in self._before(record):
                if isinstance(earlier.event, Metric) and self._is_wanted_at_all(earlier.event, earlier):
                    pace.is_first(earlier.event, earlier.start)
        return pace.is_first(point, record.start)

    def _before(self, record: Record) -> Iterable[Record]:
        """Give what stands before a record in its segment."""
        if self._directory is None or not record.start:
            return ()
        return stream(self._directory, [(record.segment, record.start)], _READ)

    def _is_wanted_at_all(self, point: Metric, record: Record) -> bool:
        elsewhere = record.only and self._called.isdisjoint(record.only)
        return not elsewhere and self.passes("metric", point.name)


class _Names:
    """New names by old ones, for one kind."""

    def __init__(self, rename: dict[str, str]) -> None:
        self._exact = rename
        self._patterns = [(*old.split(ANY), *new.split(ANY)) for old, new in rename.items() if ANY in old]

    def new(self, name: str) -> str:
        """Return a new name, or the old one."""
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        for before, after, new_before, new_after in self._patterns:
            fits = name.startswith(before) and name.endswith(after)
            if fits and len(name) >= len(before) + len(after):
                kept = name[len(before) : len(name) - len(after)]
                return f"{new_before}{kept}{new_after}" or name
        return name


class _Pace:
    """Which points of one segment are the first of their interval.

    Attributes:
        since: From where on what was decided is remembered.
    """

    def __init__(self, rate: float) -> None:
        self.since = 0
        self._rate = rate
        self._end = 0  # whatever begins before it is decided
        self._last: dict[str, int] = {}
        self._firsts: dict[int, None] = {}

    def is_first(self, point: Metric, start: int) -> bool:
        """Tell whether a point that stands at `start` is; the same however often it is asked."""
        if start < self._end:
            return start in self._firsts
        self._end = start + 1
        interval = math.floor(point.time * self._rate) if math.isfinite(point.time * self._rate) else 0
        if self._last.get(point.name) == interval:
            return False
        self._last[point.name] = interval
        self._firsts[start] = None
        if len(self._firsts) > FIRSTS:
            for old in [*self._firsts][: FIRSTS // 2]:
                del self._firsts[old]
            self.since = next(iter(self._firsts))
        return True


def _compiled(patterns: Iterable[str]) -> list[tuple[str, Callable[[str], object]]]:
    """Make of patterns what they are of, empty for any kind, and what tells whether a name fits."""
    found: list[tuple[str, Callable[[str], object]]] = []
    for pattern in patterns:
        kind, rest = divided(pattern)
        text = re.escape(rest).replace(r"\*", ".*").replace(r"\?", ".")
        found.append((kind, re.compile(text, re.DOTALL).fullmatch))
    return found


def _fits(patterns: Iterable[tuple[str, Callable[[str], object]]], kind: str, name: str) -> bool:
    return any(of in {"", kind} and fits(name) for of, fits in patterns)
