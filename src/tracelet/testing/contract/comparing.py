"""What a run holds in the end, so that what was logged can be compared with what came back.

The rules are those of `Backend.held`: points of one `identity` are one; of each param, tag, note
and artifact the last value counts, and not its time; tags that the tracker sets by itself may be
there besides; what is counted or encoded on the way is compared by what `held` says of it. What is in
a row of a backend with `rows` may have the time of the row.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from tracelet.backend import Backend, Limits, Rows
from tracelet.events import (
    SERIES,
    Artifact,
    Bundle,
    Definition,
    Event,
    Histogram,
    Layout,
    Lost,
    Metric,
    Note,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Tags,
    Text,
)

SHOWN: Final = 8  # differences of one kind in a message
Point: TypeAlias = tuple[str, str, "int | None", float]
"""A point's name, value as exact text, step and time."""
_COUNTED: Final = {"counts", "limits", "moments"}  # of a histogram's values, on the way


def shaped(event: Event, limits: Limits) -> Event:
    """Return an event as `Limits` leave it, under its own name: steps are given, long values cut."""
    if isinstance(event, Metric) and event.step is None and limits.needs_step:
        return Metric(event.name, event.value, event.ordinal, event.time)
    if isinstance(event, Params):
        event = Params(event.time, {name: _value(value, limits) for name, value in event.params.items()})
    elif isinstance(event, Tags):
        event = Tags(event.time, _tags(event.tags, limits))
    elif isinstance(event, Note):
        event = Note(event.time, _cut(event.text, limits.note))
    elif isinstance(event, RunStarted):
        note = _cut(event.note, limits.note)
        event = msgspec.structs.replace(event, tags=_tags(event.tags, limits), note=note)
    elif isinstance(event, SERIES) and not isinstance(event, Text) and limits.needs_step:
        event = msgspec.structs.replace(event, step=event.ordinal if event.step is None else event.step)
    return event


def held(event: Event, backend: Backend) -> Event | None:
    """Return what comes back of an event that was logged; None if the backend declares that nothing does.

    Where a relay delivers, it keeps `Lost` to itself.
    """
    if isinstance(event, Lost) and backend.writer is not None:
        return None
    event = shaped(event, backend.limits)
    return event if backend.held is None else backend.held(event)


def key(point: Metric) -> Point:
    """Return a point so that equal ones are equal: NaN too, and 0.0 is not -0.0."""
    value = "nan" if math.isnan(point.value) else point.value.hex()
    return point.name, value, point.step, point.time


def missing_and_extra(sent: Iterable[Metric], back: Iterable[Metric], backend: Backend) -> list[str]:
    """Tell which points did not come back, came back more than once, or were never logged.

    Points of one identity are one: any of them may stand for all.
    """
    groups: dict[Hashable, set[Point]] = {}
    alone: Counter[Point] = Counter()
    for point in sent:
        kept = held(point, backend)
        identity = backend.identity(point) if backend.identity is not None else None
        if not isinstance(kept, Metric):
            continue
        if identity is None:
            alone[key(kept)] += 1
        else:
            groups.setdefault(identity, set()).add(key(kept))
    there = Counter(map(key, back))
    problems: list[str] = []
    for choices in groups.values():
        found = next((one for one in choices if there[one] > 0), None)
        if found is None:
            problems.append(f"missing: {_listed(choices)}")
        else:
            there[found] -= 1
    problems += [f"missing: {point} ({count}×)" for point, count in (alone - there).items()]
    there -= alone
    problems += [f"doubled, or never logged: {point} ({count}×)" for point, count in (+there).items()]
    return _few(problems)


def differences(sent: Sequence[Event], back: Sequence[Event], backend: Backend) -> list[str]:
    """Tell in which way a run that came back is not what was logged; empty if it is the same."""
    wanted = [kept for event in sent if (kept := held(event, backend)) is not None]
    if backend.rows is not None:
        back = _timed(wanted, back, backend.rows)
    logged = [event for event in sent if isinstance(event, Metric)]
    problems = missing_and_extra(logged, (event for event in back if isinstance(event, Metric)), backend)
    last, came = at_rest(wanted), at_rest(back)
    for what, value in last.items():
        problems += _compared(what, value, came.get(what))
    problems += [f"{what} came back and was never logged" for what in came if what not in last]
    problems += _unmatched([*entries(wanted)], [*entries(back)])
    return problems


def _timed(wanted: Sequence[Event], back: Sequence[Event], rows: Rows) -> list[Event]:
    """Give what came back in a row the time of what was logged, where that is near enough."""
    times: dict[Hashable, list[float]] = {}
    for event in wanted:
        if isinstance(event, rows.kinds):
            times.setdefault(_timeless(event), []).append(event.time)
    found: list[Event] = []
    for event in back:
        left = times.get(_timeless(event), []) if isinstance(event, rows.kinds) else []
        near = min(left, key=lambda time: abs(time - event.time), default=math.inf)
        if abs(near - event.time) <= rows.seconds:
            left.remove(near)
            event = msgspec.structs.replace(event, time=near)  # noqa: PLW2901
        found.append(event)
    return found


def _timeless(event: Any) -> Hashable:
    """Tell entries apart by all but their time."""
    value = repr(event.value) if isinstance(event, Metric) else ""
    return type(event).__name__, event.name, event.step, value


def at_rest(events: Iterable[Event]) -> dict[str, Any]:
    """Tell what a run holds in the end of all that replaces itself."""
    found: dict[str, Any] = {"tags": {}, "params": {}, "artifacts": {}, "definitions": {}, "note": ""}
    for event in events:
        if isinstance(event, RunStarted):
            found["run"] = msgspec.structs.replace(event, tags={}, note="")
            found["note"] = event.note or found["note"]
        if isinstance(event, (RunStarted, Tags)):
            found["tags"] |= event.tags
        elif isinstance(event, Params):
            found["params"] |= event.params
        elif isinstance(event, Note):
            found["note"] = event.text
        elif isinstance(event, Artifact):
            found["artifacts"][event.path] = event.size
        elif isinstance(event, Definition):
            found["definitions"][event.name] = msgspec.structs.replace(event, time=0.0)
        elif isinstance(event, Layout):
            found["layout"] = event.charts
        elif isinstance(event, RunFinished):
            found["end"] = event
    return found


def entries(events: Iterable[Event]) -> Iterator[Event]:
    """Give the entries of series, and the bundles: what adds up, and is not only a number."""
    return (event for event in events if isinstance(event, (*SERIES, Bundle, Lost)))


def same(wanted: Event, back: Event) -> bool:
    """Tell whether an event that came back is what it should be, bytes apart."""
    if type(wanted) is not type(back):
        return False
    counted = isinstance(wanted, Histogram) and not wanted.counts
    for field in type(wanted).__struct_fields__:
        mine, its = getattr(wanted, field), getattr(back, field)
        if field == "data":
            if not counted and not _same_payload(mine, its):
                return False
        elif (
            field == "ordinal"
            or (field == "time" and isinstance(wanted, Artifact))
            or (counted and field in _COUNTED)
            or (field == "moments" and mine is None)
        ):
            continue
        elif mine != its:
            return False
    return True


def _same_payload(wanted: Payload | None, back: Payload | None) -> bool:
    if wanted is None or back is None:
        return wanted is back
    told = [(wanted.size, back.size), (wanted.digest, back.digest)]
    exact = (wanted.dtype, wanted.shape, wanted.format) == (back.dtype, back.shape, back.format)
    return exact and all(mine == its for mine, its in told if mine)


def _unmatched(wanted: list[Event], back: list[Event]) -> list[str]:
    problems: list[str] = []
    for event in wanted:
        at = next((at for at, other in enumerate(back) if same(event, other)), None)
        if at is None:
            problems.append(f"missing: {event}")
        else:
            del back[at]
    return _few(problems) + _few([f"doubled, changed, or never logged: {event}" for event in back])


def _compared(what: str, wanted: Any, back: Any) -> list[str]:
    if not isinstance(wanted, dict):
        return [] if wanted == back else [f"{what} is {back!r}, and should be {wanted!r}"]
    mine, its = cast("dict[Any, Any]", wanted), cast("dict[Any, Any]", back or {})
    problems = [f"{what}: {name!r} is missing" for name in mine if name not in its]
    problems += [
        f"{what}: {name!r} is {_short(its[name])}, and should be {_short(value)}"
        for name, value in mine.items()
        if name in its and _told(its[name]) != _told(value)
    ]
    if what != "tags":  # a tracker may set some by itself
        problems += [f"{what}: {name!r} was never logged" for name in its if name not in mine]
    return _few(problems)


def _told(value: object) -> object:
    """Tell apart what Python holds for equal: 1, 1.0 and True; NaN is itself."""
    return type(value), repr(value) if isinstance(value, float) else value


def _value(value: Any, limits: Limits) -> Any:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = str(value)
    return value if len(text) <= limits.param_value else _cut(text, limits.param_value)


def _tags(tags: dict[str, str], limits: Limits) -> dict[str, str]:
    return {name: _cut(value, limits.tag_value) for name, value in tags.items()}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - SHOWN
    return problems if more <= 0 else [*problems[:SHOWN], f"… and {more} more"]


def _listed(points: Iterable[Point]) -> str:
    return " or ".join(str(point) for point in sorted(points, key=repr)[:SHOWN])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:90]}…{text[-90:]} ({len(text)} characters)"
