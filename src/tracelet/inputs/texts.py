"""Texts as the journal takes them: without credentials, without what is no Unicode, and not too long."""

import reprlib
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from tracelet import guard, values
from tracelet.scrub import without_userinfo_in

TEXT_MAX: Final = 1_000_000  # characters of a text, a note, a tag or a param's text in the journal
NAME_MAX: Final = 10_000  # characters of a param's, tag's or text's name
_USERINFO_MAX: Final = 10_000  # characters; a cut less far behind a "://" may have parted it from its "@"
_ENDS: Final = " \t\r\n'\"<>"  # what no URI holds

R = TypeVar("R")


class Raised(NamedTuple):
    """What the user's own code raised, in the place of its result."""

    error: Exception


def attempt(call: Callable[..., R], *args: object) -> R | Raised:
    """Call something that reaches the user's own code: what that raises must not reach training."""
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001  it may be anything, and costs one value only
        return Raised(error)
    except BaseException as error:  # a panic; what ends a program goes on
        if not guard.is_panic(error):
            raise
        return Raised(RuntimeError(str(error)))


def kept(name: str, text: str) -> str:
    """Make of a text what is written down of it; warn if that is not all.

    Args:
        name: Whose text it is, for the warning.
        text: The text.
    """
    cut = values.unicode(text[:TEXT_MAX])[:TEXT_MAX]
    if len(text) > TEXT_MAX:
        message = "%r has %d characters; the first %d are kept"
        guard.warn_once(message, name[:100], len(text), TEXT_MAX, key=name[:100])
        cut = _without_torn_uri(cut)
    return without_userinfo_in(cut) if "://" in cut else cut


def _without_torn_uri(text: str) -> str:
    """Take off a URI that the cut may have gone through: its credentials would not be recognised."""
    begin = text.rfind("://")
    if begin < len(text) - _USERINFO_MAX or any(text.find(mark, begin) >= 0 for mark in _ENDS):
        return text
    return text[:begin]


def is_name(name: str, what: str) -> bool:
    """Tell whether a text can be a name; warn if it cannot.

    Args:
        name: The text.
        what: Whose name it would be: "param".
    """
    if 0 < len(name) <= NAME_MAX:
        return True
    message = "a %s needs a name of 1 to %d characters; %r is not logged"
    guard.warn_once(message, what, NAME_MAX, name[:100])
    return False


def shown(value: object) -> str:
    """Show a value in a warning: short, without credentials, whatever its own text does."""
    whole = without_userinfo_in(value[:TEXT_MAX]) if isinstance(value, str) else value
    found = attempt(reprlib.repr, whole)
    return f"a {values.class_of(value)}" if isinstance(found, Raised) else found
