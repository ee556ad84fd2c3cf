"""What users hand in as points, params, tags and notes, made recordable; what cannot be is warned of once.

Credentials in URIs do not get any further than this.
"""

import math
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from tracelet import guard, values
from tracelet.events import Plain
from tracelet.scrub import without_userinfo_in

_now: Final = time.time
TEXT_MAX: Final = 1_000_000  # characters of a note, a tag or a param's text in the journal
NAME_MAX: Final = 10_000  # characters of a param's or tag's name


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
    try:
        whole = values.step(step)
    except (TypeError, OverflowError) as error:
        guard.warn_once("metric %r: the step %s; logged without a step", name, error, key=("step", name))
        whole = None
    now = _now() if when is None else values.number(when)
    if not math.isfinite(now):
        guard.warn_once("metric %r: %r is no time; logged with the time now", name, when, key=("time", name))
        now = _now()
    return Point(name, number, whole, now)


def params(given: object) -> list[tuple[str, Plain]]:
    """Make names and plain values of params; nested names are joined by dots."""
    found: dict[str, Plain] = {}
    for name, value in values.flattened(mapping(given, "log_params")):
        if _is_name(name, "param"):
            found[name] = _shortened(name, value)
    return list(found.items())


def tags(given: object) -> list[tuple[str, str]]:
    """Make names and texts of tags."""
    pairs = {str(name): value for name, value in mapping(given, "set_tags").items()}
    return [(name, text(name, value)) for name, value in pairs.items() if _is_name(name, "tag")]


def text(name: str, value: object) -> str:
    """Make text of anything, no longer than the journal takes."""
    return str(_shortened(name, str(value)))


def mapping(given: object, where: str) -> Mapping[Any, Any]:
    """Take a mapping, or what `vars` makes one of; warn of anything else."""
    if isinstance(given, Mapping):
        return cast("Mapping[Any, Any]", given)
    if hasattr(given, "__dict__") and not isinstance(given, type):
        return vars(given)
    guard.warn_once("%s takes names and values, such as a dict; got %r. Nothing is logged", where, given)
    return {}


def _is_name(name: str, what: str) -> bool:
    if 0 < len(name) <= NAME_MAX:
        return True
    message = "a %s needs a name of 1 to %d characters; %r is not logged"
    guard.warn_once(message, what, NAME_MAX, name[:100])
    return False


def _shortened(name: str, value: Plain) -> Plain:
    if isinstance(value, str) and "://" in value:
        value = without_userinfo_in(value)
    whole = value if isinstance(value, str) else str(value)
    if len(whole) <= TEXT_MAX:
        return value
    guard.warn_once("%r has %d characters; the first %d are kept", name, len(whole), TEXT_MAX, key=name)
    return whole[:TEXT_MAX]
