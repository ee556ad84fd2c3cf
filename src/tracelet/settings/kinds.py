"""What a setting can be: how its value is understood, and how it is written down.

`parse` takes what code, a variable or a toml file holds, and raises TypeError with what would fit.
`write` gives a value as a `TRACELET_*` variable would hold it, and `parse` understands that.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar, cast

from tracelet import scrub

T = TypeVar("T")

_SIZES: Final = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXACT: Final = 2.0**53  # beyond, a float is no exact number of seconds
NICEST: Final = 19  # as `nice` counts
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a setting can be.

    Attributes:
        name: For people: "duration".
        parse: Makes a value of what a user wrote.
        write: Gives a value as a variable would hold it.
        shown: The same without credentials.
        words: All that it can be, if there are few.
    """

    name: str
    parse: Callable[[object], T]
    write: Callable[[T], str] = str
    shown: Callable[[str], str] = scrub.without_userinfo_in
    words: tuple[str, ...] = ()


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = "a text"
        raise TypeError(message)
    return value


def _path(value: object) -> str:
    return str(value) if isinstance(value, Path) else _text(value)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _YES | _NO:
        return value.strip().lower() in _YES
    message = "true or false"
    raise TypeError(message)


def _write_flag(value: bool) -> str:
    return "true" if value else "false"


def _measure(value: object, units: Mapping[str, float], what: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max:
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if match is not None:
        for unit, factor in units.items():
            if match[2].lower() == unit.lower() and math.isfinite(float(match[1]) * factor):
                return float(match[1]) * factor
    raise TypeError(what)


def _duration(value: object) -> float:
    return _measure(value, _SECONDS, 'seconds, or a duration such as "30s", "10m" or "1h"')


def _write_duration(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if 0 < seconds < _EXACT and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    from decimal import Decimal  # a start writes no durations

    # Never with an exponent: no unit would be found behind it.
    return f"{Decimal(repr(seconds)).normalize():f}s"


def _size(value: object) -> int:
    return int(_measure(value, _SIZES, 'bytes, or a size such as "512KB" or "2MB"'))


def _write_size(size: int) -> str:
    for unit in ("GB", "MB", "KB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return str(size)


def _niceness(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= NICEST:
        return number
    message = f"a whole number from 0 to {NICEST}"
    raise TypeError(message)


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(_text(name) for name in cast("list[object]", value))
    message = 'a name, a list of names, or "name,name"'
    raise TypeError(message)


def _tags(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(name): str(text) for name, text in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, str):
        pairs = (part.partition("=") for part in _names(value))
        return {name.strip(): text.strip() if equals else "true" for name, equals, text in pairs}
    try:
        return dict.fromkeys(_names(value), "true")
    except TypeError as error:
        message = 'a mapping, a list of names, or "name=text,name"'
        raise TypeError(message) from error


def _write_tags(value: Mapping[str, str]) -> str:
    return ",".join(f"{name}={text}" for name, text in value.items())


def _word(*words: str) -> Kind[str]:
    def parse(value: object) -> str:
        if isinstance(value, str) and value.lower() in words:
            return value.lower()
        raise TypeError(" or ".join(words))

    return Kind("word", parse, words=words)


TEXT: Final = Kind("text", _text)
URI: Final = Kind("URI", _text, shown=scrub.without_userinfo)
PATH: Final = Kind("path", _path)
FLAG: Final = Kind("flag", _flag, _write_flag)
DURATION: Final = Kind("duration", _duration, _write_duration)
SIZE: Final = Kind("size", _size, _write_size)
NICENESS: Final = Kind("niceness", _niceness)
NAMES: Final = Kind("names", _names, ",".join)
TAGS: Final = Kind("tags", _tags, _write_tags)
MODE: Final = _word("online", "offline", "disabled")
DURABILITY: Final = _word("process", "second", "record")
RELAY: Final = _word("process", "thread")
CHECKPOINTS: Final = _word("none", "best", "all")
