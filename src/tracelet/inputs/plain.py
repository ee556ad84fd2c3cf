"""Any value to a plain one: structures are opened, foreign values converted, endless things ended.

What a user's object raises costs only that value, and is warned of once for its class.
"""

import enum
import itertools
from collections.abc import Iterator
from typing import Any, Final, cast

from tracelet import guard, values
from tracelet.events import Plain
from tracelet.inputs import opening, texts
from tracelet.inputs.opening import Entries, Parts
from tracelet.inputs.texts import Raised, attempt

VALUES_MAX: Final = 50_000  # values that one call may log; a thousand characters count as one, too
LIST_MAX: Final = values.SMALL  # entries of one list that are kept
OBJECT_MAX: Final = 200  # values in an object that is opened without having declared fields
DEPTH_MAX: Final = 20  # levels of nesting
_LEFT_OUT: Final = "…"
_SIMPLE: Final = (bool, int, float, str, type(None))


class _Opaque(BaseException):  # it passes by who catches errors
    """An object holds something that is no value, such as a lock: it is no configuration."""


class Walk:
    """One way through what one call was given.

    Args:
        what: What is being logged, for warnings: "param".
        name: Its name, if it has one already.
    """

    def __init__(self, what: str, name: str = "") -> None:
        self._what = what
        self._left = VALUES_MAX
        self._path: list[str | int] = [name] if name else []
        self._above: set[int] = set()  # what we are inside of, by `id`
        self._objects = 0  # how many of these are objects of classes that declare no fields

    def tree(self, parts: Parts) -> dict[str, Plain]:
        """Make plain values of all parts of a structure."""
        return {name: self.value(value) for name, value in self.pairs(parts)}

    def pairs(self, parts: Parts) -> Iterator[tuple[str, object]]:
        """Give a structure's names, made texts that differ, and what they hold."""
        taken: set[str] = set()
        # A list at once: another thread may be changing the user's dict.
        for key in list(itertools.islice(parts.names, max(self._left, 0) + 1)):
            if self._exhausted():
                message = "more than %d values were given; %s and what follows is not logged"
                guard.warn_once(message, VALUES_MAX, texts.shown(key), key="values")
                return
            self._path.append("?")
            found = attempt(self._part, key, parts, taken)
            if isinstance(found, Raised):
                self._left -= 1
                self._warn(found.error, "it is not logged")
            else:
                yield found
            self._path.pop()

    def _part(self, key: object, parts: Parts, taken: set[str]) -> tuple[str, object]:
        self._path[-1] = name = free(as_name(key), taken)
        return name, parts.get(key)

    def value(self, value: object) -> Plain:
        """Make a plain value of anything."""
        self._left -= 1
        depth = len(self._path)
        found = attempt(self._plain, value)
        if not isinstance(found, Raised):
            return found
        del self._path[depth:]
        text = f"{values.class_of(value)} object"
        self._warn(found.error, f"it is logged as {text!r}")
        return text

    def _plain(self, value: object) -> Plain:
        if isinstance(value, enum.Enum):
            inner: Any = value.value
            return self._plain(inner if isinstance(inner, (*_SIMPLE, tuple, list)) else value.name)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, _SIMPLE):
            return self._simple(value)
        if values.is_array(value):
            found = values.elements(value)
            return self._opaque(found) if isinstance(found, str) else self.value(found)
        if id(value) in self._above:  # it contains itself
            return self._opaque(_LEFT_OUT)
        if len(self._above) >= DEPTH_MAX:
            message = "%s %r is nested too deep; what is below is not logged"
            guard.warn_once(message, self._what, self._name(), key="deep")
            return self._opaque(_LEFT_OUT)
        self._above.add(id(value))
        try:
            return self._opened(value)
        finally:
            self._above.discard(id(value))

    def _opened(self, value: object) -> Plain:
        if (parts := opening.parts(value)) is not None:
            return self.tree(parts)
        if (entries := opening.entries(value)) is not None:
            return self._list(entries)
        if isinstance(value, (set, frozenset)):
            return self._set(cast("set[object]", value))
        if values.is_nameless(value) and (parts := opening.attributes(value)) is not None:
            return self._object(value, parts)
        text = values.text(value)
        # As Python has it: "<…>" is the text of what cannot be written down.
        return self._opaque(text) if text.startswith("<") or values.is_nameless(value) else self._simple(text)

    def _simple(self, value: object) -> Plain:
        found = values.simple(value)
        if not isinstance(found, str):
            return found
        self._left -= len(found) // 1000
        return texts.kept(self._name() if len(found) > texts.TEXT_MAX else "", found)

    def _list(self, entries: Entries) -> list[Plain]:
        found: list[Plain] = []
        for index, entry in enumerate(itertools.islice(entries.all, LIST_MAX)):
            if self._exhausted():
                break
            self._path.append(index)
            found.append(self.value(entry))
            self._path.pop()
        if len(found) < entries.length:
            message = "%s %r has %d entries; the first %d are kept"
            guard.warn_once(
                message,
                self._what,
                self._name(),
                entries.length,
                len(found),
                key=("cut", *self._place(), len(self._path)),
            )
            found.append(f"{_LEFT_OUT} and {entries.length - len(found):,} more")
        return found

    def _set(self, value: set[object]) -> Plain:
        """Sort a set, so that it is logged the same each time; a large one is not worth it."""
        if len(value) > LIST_MAX:
            return self._opaque(f"{values.class_of(value)} of {len(value):,} entries")
        found = self._list(Entries(len(value), value))
        try:
            return sorted(cast("Any", found))
        except TypeError:
            return sorted(found, key=lambda entry: (type(entry).__name__, repr(entry)))

    def _object(self, value: object, parts: Parts) -> Plain:
        """Open an object that has no text of its own, if it holds values and nothing else, and not many."""
        left, depth = self._left, len(self._path)
        self._left = budget = min(left, OBJECT_MAX)
        self._objects += 1
        try:
            return self.tree(parts)
        except _Opaque:
            del self._path[depth:]
        finally:
            self._objects -= 1
            self._left += left - budget
        return self._opaque(values.text(value))

    def _opaque(self, text: str) -> Plain:
        """Keep the text of what cannot be opened."""
        if self._objects:
            raise _Opaque
        return self._simple(text)

    def _exhausted(self) -> bool:
        if self._left <= 0 and self._objects:
            raise _Opaque
        return self._left <= 0

    def _name(self) -> str:
        """Say where we are."""
        return ".".join(str(name)[:100] for name in self._path)

    def _place(self) -> tuple[str, ...]:
        """Say where we are, the same for all entries of a list: a warning for each would be too many."""
        return tuple(name for name in self._path if isinstance(name, str))

    def _warn(self, error: Exception, so: str) -> None:
        message = "%s %r: its value raised %s; %s"
        guard.warn_once(message, self._what, self._name(), type(error).__name__, so, key=self._place())


def as_name(key: object) -> str:
    """Make a name of a mapping's key."""
    if isinstance(key, enum.Enum):
        key = key.value if isinstance(key.value, (str, int)) else key.name
    name = str(values.simple(key)) if isinstance(key, _SIMPLE) else values.text(key)
    return texts.kept("a name", name[: texts.NAME_MAX + 1])  # what is longer is no name


def free(wanted: str, taken: set[str]) -> str:
    """Take a name; one that is taken already gets a number, and a warning."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted} ({count})"
    taken.add(name)
    if count > 1:
        guard.warn_once(
            "%d values have the name %r; this one is logged as %r", count, wanted, name, key=wanted
        )
    return name


def flattened(tree: dict[str, Plain], prefix: str = "") -> Iterator[tuple[str, Plain]]:
    """Join nested names by dots; a list that holds structures gives each entry its index as a name."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        nested = _nested(value)
        if nested:
            yield from flattened(nested, f"{name}.")
        else:
            yield name, value


def _nested(value: Plain) -> dict[str, Plain]:
    """Return what has names of its own in a value; an empty dict if nothing has."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and any(map(_nested, value)):
        return {str(index): entry for index, entry in enumerate(value)}
    return {}
