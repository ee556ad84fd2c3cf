"""The setting `routes`: what goes to which backend, and under which names.

    {"wandb": {"include": ["train/*", "param:*"], "exclude": ["*/debug"], "rename": {"metric:train/*": "*"},
               "kinds": ["metric", "param"], "rate": 1}}

What each key means stands in docs/routing.md; `tracelet.relay.routing` does it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from tracelet.errors import suggestion
from tracelet.settings.kinds import Kind

Routes: TypeAlias = dict[str, dict[str, Any]]
"""By backend, as JSON and toml hold it."""

KINDS: Final = (
    "metric",
    "param",
    "tag",
    "note",
    "text",
    "image",
    "figure",
    "histogram",
    "audio",
    "video",
    "html",
    "table",
    "artifact",
    "bundle",
)
"""The words for what is logged."""
FIXED: Final = ("note", "artifact", "bundle")
"""Of these, none is renamed: a note has no name, and the others keep their paths."""
ANY: Final = "*"  # in a pattern: any text, also none
_CLOSE: Final = 0.8  # of 1: what is this like a kind is a slip; "test:" is not, and "params:" is


def parse(value: object) -> Routes:
    """Understand what goes to which backend.

    Raises:
        TypeError: It does not fit; the message says what would.
    """
    if isinstance(value, str):
        import json  # most starts have no routes

        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError as error:
            raise TypeError(f"JSON, and this is none: {error}") from None
    tables = _table(value, "by the name of each backend, a table of include, exclude, rename, kinds, rate")
    return {name: _route(name, given) for name, given in tables.items()}


def divided(pattern: str) -> tuple[str, str]:
    """Divide a pattern into the kind that it speaks of, empty for any, and the rest."""
    kind, _, rest = pattern.partition(":")
    return (kind, rest) if kind in KINDS and rest else ("", pattern)


def write(value: Routes) -> str:
    """Write routes as a variable would hold them."""
    import json

    return json.dumps(value, ensure_ascii=False) if value else ""


ROUTES: Final = Kind("routes", parse, write)


def _table(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):  # pyright: ignore[reportUnknownVariableType]
        raise TypeError(what)
    return dict(cast("Mapping[str, object]", value))


def _route(backend: str, given: object) -> dict[str, Any]:
    listed = ", ".join(_KEYS)
    table = _table(given, f"for {backend!r} a table of {listed}")
    for key in table:
        if key not in _KEYS:
            hint = suggestion(key, _KEYS)
            raise TypeError(f"for {backend!r} a table of {listed}, and not {key!r}.{hint}")
    found = {key: _KEYS[key](f"{key} of {backend!r}", value) for key, value in table.items()}
    _check_meetings(backend, found)
    return found


def _patterns(what: str, given: object) -> list[str]:
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, (list, tuple)) or not patterns:
        raise TypeError(f'for {what} names, in which * stands for any text, such as ["train/*"]')
    for pattern in cast("list[object]", patterns):
        if not isinstance(pattern, str) or not pattern:
            raise TypeError(f"for {what} texts that are not empty, and not {pattern!r}")
        _check_kind(what, pattern)
    return cast("list[str]", [*patterns])


def _excluded(what: str, given: object) -> list[str]:
    patterns = _patterns(what, given)
    for pattern in patterns:
        if divided(pattern)[0] == "note":
            raise TypeError(
                f"for {what} names, and not {pattern!r}: a note has none, only kinds leave it out"
            )
    return patterns


def _check_kind(what: str, pattern: str) -> None:
    """Make sure that the word in front of a colon is no kind that was misspelt."""
    word, colon, rest = pattern.partition(":")
    if not colon or divided(pattern)[0]:
        return
    import difflib  # most patterns have no colon

    close = difflib.get_close_matches(word.casefold(), KINDS, n=1, cutoff=_CLOSE)
    if close:
        raise TypeError(
            f"for {what} names, and {pattern!r} begins with no kind. Did you mean "
            f"'{close[0]}:{rest or ANY}'? A name that is so has its kind in front, as in 'metric:{pattern}'"
        )


def _kinds(what: str, given: object) -> list[str]:
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, (list, tuple)) or not words:
        raise TypeError(f"for {what} some of {', '.join(KINDS)}")
    found = [word.strip() if isinstance(word, str) else word for word in cast("list[object]", words)]
    for word in found:
        if word not in KINDS:
            raise TypeError(f"for {what} some of {', '.join(KINDS)}, and not {word!r}.{_meant(word)}")
    return cast("list[str]", found)


def _meant(word: object) -> str:
    return suggestion(word, KINDS) if isinstance(word, str) else ""


def _rename(what: str, given: object) -> dict[str, str]:
    pairs = _table(given, f'for {what} new names by old ones, such as {{"train/loss": "loss"}}')
    for old, new in pairs.items():
        if not isinstance(new, str) or not new:
            raise TypeError(f"for {what} a name that is not empty, and not {old!r} → {new!r}")
        if old.count(ANY) != new.count(ANY) or old.count(ANY) > 1:
            raise TypeError(f"for {what} one * in both names, or in none, and not {old!r} → {new!r}")
        _check_kind(what, old)
        if divided(old)[0] in FIXED:
            renamed = ", ".join(kind for kind in KINDS if kind not in FIXED)
            raise TypeError(f"for {what} names of {renamed}, and not {old!r}")
        if divided(new)[0]:
            raise TypeError(f"for {what} a new name without a kind in front, and not {old!r} → {new!r}")
    return cast("dict[str, str]", pairs)


def _rate(what: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < math.inf:
        raise TypeError(f"for {what} points per second, such as 1 or 0.1, and not {given!r}")
    return float(given)


_KEYS: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "include": _patterns,
    "exclude": _excluded,
    "rename": _rename,
    "kinds": _kinds,
    "rate": _rate,
}


def _check_meetings(backend: str, route: Mapping[str, Any]) -> None:
    """Make sure that of no kind two names are known to become one."""
    for kind in KINDS:
        if kind in FIXED:
            continue
        rename = of_kind(kind, route.get("rename", {}))
        include: Iterable[str] = route.get("include", ())
        kept = {name for of, name in map(divided, include) if of in {"", kind} and ANY not in name}
        seen: dict[str, str] = {}
        for old, new in (*rename.items(), *((name, name) for name in kept - rename.keys())):
            if seen.setdefault(new, old) != old:
                raise TypeError(
                    f"for rename of {backend!r} different names; {seen[new]!r} and {old!r} become {new!r}"
                )


def of_kind(kind: str, rename: Mapping[str, str]) -> dict[str, str]:
    """Give new names by old ones for one kind; what is said of it alone comes first, and is stronger.

    Args:
        kind: One of `KINDS`; empty for what is said of every kind.
        rename: As it was said, kinds in front.
    """
    pairs = [(*divided(old), new) for old, new in rename.items()]
    own = {old: new for of, old, new in pairs if of == kind}
    return own | {old: new for of, old, new in pairs if not of and old not in own}
