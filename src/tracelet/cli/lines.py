"""Events as JSON lines: the open format of a run.

One event is one JSON object in one line, in UTF-8. Its fields are those of the event's class in
`tracelet.events`; `type` is the class's name; `run`, which comes first, is what the run is called
where it was read. Fields that have their default may be left out. The bytes of an image or a
histogram are not in it, but their digest, or the path that a tracker has for them.

JSON has no NaN and no infinity: they are written as "NaN", "Infinity" and "-Infinity". A field that
is a number, such as a metric's `value`, or holds numbers, such as a histogram's `counts`, is one
however it is written. A param may be the *text* "NaN" as well; so the line of a `Params` that has such
numbers names them by JSON pointers into `params`, in the list `not_finite`; that of a `Bundle`, into
`metadata`. Every other float64 is written with the digits that give it back exactly.
"""

import functools
import json
import math
from collections.abc import Iterator
from typing import Any, Final, cast, get_args

import msgspec

from tracelet.events import Event, Metric, Packed

_NUMBERS: Final = ("float", "Moments")  # in the types of fields
_FLOATS: Final = {
    kind.__name__: [
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if any(number in str(field.type) for number in _NUMBERS)
    ]
    for kind in get_args(Event)
}
"""The fields that are numbers, or hold numbers and nothing else."""
_FREE: Final = {"Params": "params", "Bundle": "metadata"}
"""The fields that hold whatever the user said: numbers, and texts that may look like them."""
_NAMES: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(run: str, event: Event) -> str:
    """Write an event as a line, without its end."""
    if isinstance(event, Metric):
        return _metric(run, event)
    content: dict[str, Any] = msgspec.to_builtins(event)
    line = {"run": run, "type": type(event).__name__, **plain(content)}
    if odd := [pointer for pointer, _ in _odd(content.get(_FREE.get(line["type"], "")))]:
        line["not_finite"] = odd
    return _text(line)


def decode(line: str | bytes) -> tuple[str, Event]:
    """Read a line; return what the run is called, and the event.

    Raises:
        ValueError: It is no such line.
    """
    try:
        content: dict[str, Any] = json.loads(line)
        run: str = content.pop("run")
        floats = _FLOATS.get(content["type"], ())
        content |= {name: _number(content[name]) for name in floats if name in content}
        if content["type"] == "Metric":
            return run, msgspec.convert(content, Metric)
        for pointer in content.pop("not_finite", ()):
            _restore(content[_FREE[content["type"]]], pointer)
        event: Packed = msgspec.convert(content, Packed)
    except (KeyError, TypeError, IndexError, msgspec.MsgspecError) as error:
        raise ValueError(f"this is no event: {error!r} in {str(line)[:200]}") from error
    return run, event


def plain(value: Any) -> Any:
    """Put names where JSON has no numbers, however deep."""
    if isinstance(value, float) and not math.isfinite(value):
        return _name(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast("list[Any]", value)]
    return value


def _metric(run: str, event: Metric) -> str:
    """Write what nearly every line is, without the detour over a dictionary."""
    step = "null" if event.step is None else event.step
    named = _often(run), _often(event.name)
    ordinal = f', "ordinal": {event.ordinal}' if event.ordinal else ""
    value, time = _float(event.value), _float(event.time)
    return (
        f'{{"run": {named[0]}, "type": "Metric", "name": {named[1]}, "value": {value}'
        f', "step": {step}, "time": {time}{ordinal}}}'
    )


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # A name may hold halves of a character, which are no UTF-8.
    return text if text.isascii() or _is_whole(text) else json.dumps(value, allow_nan=False)


@functools.lru_cache(4096)
def _often(value: str) -> str:
    return _text(value)


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _float(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else f'"{_name(value)}"'


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number(value: Any) -> Any:
    """Put numbers where their names stand, however deep."""
    if isinstance(value, list):
        return [_number(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _number(item) for key, item in cast("dict[str, Any]", value).items()}
    return _NAMES.get(value, value) if isinstance(value, str) else value


def _odd(value: Any, pointer: str = "") -> Iterator[tuple[str, float]]:
    """Find the numbers that JSON does not have; give a pointer to each."""
    if isinstance(value, float) and not math.isfinite(value):
        yield pointer, value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _odd(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _odd(item, f"{pointer}/{index}")


def _restore(params: dict[str, Any], pointer: str) -> None:
    """Put a number where its name stands."""
    *way, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    place: Any = params
    for part in way:
        place = place[_key(place, part)]
    key = _key(place, last)
    place[key] = _NAMES[place[key]]


def _key(place: object, part: str) -> Any:
    return int(part) if isinstance(place, list) else part
