"""The series of one run in Aim: where each point and each entry belongs.

A series is known by name and context, and has one type of object, and one object at each step. So what
comes to a name that another type has already is put into a context with `tracelet_kind`; and an entry
whose step has another one, into one with `tracelet_again`. What the store holds decides, so that a
repetition finds the place of the first try.
"""

import itertools
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from tracelet.backends.aim.contexts import AGAIN, KIND, parted
from tracelet.backends.aim.objects import OURS, mark_of
from tracelet.events import Bundle, Metric, Series

REMEMBERED: Final = 10_000  # places of entries, the newest
_NUMBERS: Final = frozenset({"int", "float", "float64", "number"})
_LOG: Final = logging.getLogger("tracelet.backends.aim")


class Sequences:
    """The series of a run that is open for writing."""

    def __init__(self, run: Any) -> None:
        from aim.storage.context import Context

        self._context: Any = Context
        self._run = run
        self._types: dict[tuple[int, str], str] = {}
        for index, series in dict(run.meta_run_tree.get("traces", {})).items():
            for name, about in series.items():
                self._types[index, name] = str(about.get("dtype", "float"))
        self._metrics: dict[str, tuple[str, Mapping[str, Any]]] = {}  # by our names
        self._marks: OrderedDict[tuple[int, str, int], str] = OrderedDict()
        self._track = getattr(run._tracker, "_track", None)  # noqa: SLF001  the only way to give a time
        if not callable(self._track):
            _LOG.warning("this version of Aim takes no times: points bear that of their delivery")

    def point(self, metric: Metric) -> None:
        """Put a point."""
        place = self._metrics.get(metric.name)
        if place is None:
            name, context = parted(metric.name)
            place = self._metrics[metric.name] = (name, self._free(name, context, "float"))
        step = metric.ordinal if metric.step is None else metric.step
        self._put(float(metric.value), metric.time, place[0], step, place[1])

    def entry(self, event: Series | Bundle, made: Any) -> None:
        """Put an entry of a series, unless it is there already."""
        name, context = parted(event.name)
        step = event.step
        step = getattr(event, "ordinal", 0) if step is None else step
        kind, mark = str(made.get_typename()), mark_of(event)
        chosen = self._free(name, context, kind)
        for number in itertools.count(1):
            if self._mark(name, chosen, step) in {"", mark}:
                break
            chosen = self._free(name, {**context, AGAIN: number}, kind)
        self._put(made, event.time, name, step, chosen)
        self._marks[self._index(chosen), name, step] = mark
        if len(self._marks) > REMEMBERED:
            self._marks.popitem(last=False)

    def _free(self, name: str, context: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
        """Choose the context in which a name has, or can have, things of a type."""
        for chosen in (context, {**context, KIND: kind.removeprefix("aim.")}):
            key = self._index(chosen), name
            there = self._types.setdefault(key, kind)
            if there == kind or (kind in _NUMBERS and there in _NUMBERS):
                return chosen
        raise ValueError(f"{name!r} holds things of another type than {kind} in Aim")

    def _mark(self, name: str, context: Mapping[str, Any], step: int) -> str:
        """Return the mark of what is at a place; empty if there is nothing, "?" if it is none of ours."""
        place = self._index(context), name, step
        known = self._marks.get(place)
        if known is not None:
            return known
        if place[:2] not in self._types:
            return ""
        entry: Any = self._run.series_run_trees[1].subtree((place[0], name, "val", step))
        said: Any = entry.get(OURS, None)
        if said is not None:
            return str(said.get("mark", "?"))
        try:
            entry.first_key()
        except (KeyError, StopIteration, ValueError, IndexError):
            return ""
        return "?"

    def _index(self, context: Mapping[str, Any]) -> int:
        return int(self._context(dict(context)).idx)

    def _put(self, value: Any, time: float, name: str, step: int, context: Mapping[str, Any]) -> None:
        if callable(self._track):
            self._track(value, time, name, step, None, context=dict(context))
        else:
            self._run.track(value, name=name, step=step, context=dict(context))
