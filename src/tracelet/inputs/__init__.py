"""What users hand in, made recordable: points, texts, params, tags, notes; what cannot be is warned of once.

Credentials in URIs do not get any further than this.
"""

import itertools
import math
import time as clock
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, cast

from tracelet import guard, values
from tracelet.events import Plain, Text
from tracelet.inputs import opening, texts
from tracelet.inputs.opening import Parts
from tracelet.inputs.plain import Walk, flattened, free
from tracelet.inputs.texts import NAME_MAX, TEXT_MAX
from tracelet.scrub import without_userinfo_in

NAMES_MAX: Final = 100  # that are given together, such as aliases
_now: Final = clock.time


class Point(NamedTuple):
    """A metric's point, ready to be recorded."""

    name: str
    value: float
    step: int | None
    time: float


def point(name: object, value: object, step: object, when: float | None) -> Point | None:
    """Make a metric's point of what was given for one; None, and a warning, if it is none."""
    if not isinstance(name, str) or not name:
        guard.warn_once("a metric needs a name, a text that is not empty; got %r. It is not logged", name)
        return None
    try:
        number = values.number(value)
    except TypeError as error:
        guard.warn_once("metric %r: %s. It is not logged; give a number", name, error, key=("value", name))
        return None
    whole = None if step is None else _step("metric", name, step)
    return Point(name, number, whole, _now() if when is None else _time("metric", name, when))


class Place(NamedTuple):
    """What an entry of a series is called, and where in it it stands."""

    name: str
    step: int | None
    time: float


def place(what: str, name: object, step: object, when: float | None) -> Place | None:
    """Make the place of a text, an image or a histogram; None, and a warning, if it has no name."""
    if not isinstance(name, str) or not name:
        message = "a %s needs a name, a text that is not empty; got %r. It is not logged"
        guard.warn_once(message, what, name, key=("name", what))
        return None
    called = texts.kept("a name", name[: NAME_MAX + 1])
    if not texts.is_name(called, what):
        return None
    whole = _step(what, called, step)
    return Place(called, whole, _now() if when is None else _time(what, called, when))


def passage(name: object, given: object, step: object, when: float | None) -> Text | None:
    """Make a text's event of what was given for one; None, and a warning, if it is none."""
    at = place("text", name, step, when)
    if at is None:
        return None
    return Text(time=at.time, name=at.name, text=text(at.name, given), step=at.step)


def _step(what: str, name: str, step: object) -> int | None:
    try:
        return values.step(step)
    except (TypeError, OverflowError) as error:
        guard.warn_once("%s %r: the step %s; logged without a step", what, name, error, key=("step", name))
        return None


def _time(what: str, name: str, when: float) -> float:
    time = values.number(when)
    if math.isfinite(time):
        return time
    message = "%s %r: %r is no time; logged with the time now"
    guard.warn_once(message, what, name, when, key=("time", name))
    return _now()


def params(given: object) -> list[tuple[str, Plain]]:
    """Make names and plain values of params; nested names are joined by dots."""
    found: dict[str, Plain] = {}
    taken: set[str] = set()
    for wanted, value in flattened(Walk("param").tree(_opened(given, "log_params"))):
        if texts.is_name(wanted, "param"):
            name = free(wanted, taken)
            found[name] = _bounded(name, value)
    return list(found.items())


def _bounded(name: str, value: Plain) -> Plain:
    """Make a text of a list that is too long for a record, as far as it fits."""
    if isinstance(value, (list, dict)) and len(whole := str(value)) > TEXT_MAX:
        return texts.kept(name, whole)
    return value


def tags(given: object) -> list[tuple[str, str]]:
    """Make names and texts of tags."""
    tree = Walk("tag").tree(_opened(given, "set_tags"))
    return [(name, text(name, value)) for name, value in tree.items() if texts.is_name(name, "tag")]


def text(name: str, value: object) -> str:
    """Make text of anything, no longer than the journal takes."""
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("utf-8", "backslashreplace")
    return texts.kept(name, value if isinstance(value, str) else str(Walk("text", name).value(value)))


def page(given: object) -> bytes | None:
    """Make a file of a page of HTML; None if it is no text."""
    if isinstance(given, (bytes, bytearray)):
        given = given.decode("utf-8", "backslashreplace")
    if not isinstance(given, str):
        return None
    whole = values.unicode(given)
    return (without_userinfo_in(whole) if "://" in whole else whole).encode()


def names(what: str, given: object) -> tuple[str, ...]:
    """Take one name, or several, such as a model's aliases; warn of what is none.

    Args:
        what: What is named: "alias".
        given: A text, or an iterable of texts; None for none.
    """
    if given is None:
        return ()
    found: list[str] = []
    for one in _listed(given):
        if isinstance(one, str) and one:
            found.append(texts.kept("a name", one[: NAME_MAX + 1]))
        else:
            message = "%s %s is left out: it has to be a text that is not empty"
            guard.warn_once(message, what, texts.shown(one), key=what)
    return tuple(dict.fromkeys(name for name in found if texts.is_name(name, what)))


def _listed(given: object) -> list[object]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        return [given]
    first = itertools.islice(cast("Iterable[object]", given), NAMES_MAX)
    found = texts.attempt(lambda: list(first))
    return [given] if isinstance(found, texts.Raised) else found


def metadata(given: object) -> dict[str, Plain]:
    """Make plain values of what is known of a thing besides its name."""
    return {} if given is None else Walk("metadata").tree(_opened(given, "metadata"))


def fields(given: object) -> dict[str, Any] | None:
    """Take apart, one level deep, whatever has names and values; None for all else."""
    parts = _parts(given)
    if parts is None:
        return None
    return {name: opening.as_list(value) for name, value in Walk("param").pairs(parts)}


def mapping(given: object, where: str) -> Mapping[Any, Any]:
    """Take a mapping, or make one of anything else that has names and values; warn of all else."""
    if isinstance(given, Mapping):
        return cast("Mapping[Any, Any]", given)
    return dict(Walk("metric").pairs(_opened(given, where)))


def _opened(given: object, where: str) -> Parts:
    parts = _parts(given)
    if parts is None:
        message = "%s takes names and values, such as a dict or a dataclass; got %s. Nothing is logged"
        guard.warn_once(message, where, texts.shown(given), key=where)
        return Parts((), str)
    return parts


def _parts(given: object) -> Parts | None:
    if isinstance(given, Enum) or values.is_array(given):
        return None
    return opening.parts(given) or opening.numbered(given) or opening.attributes(given)
