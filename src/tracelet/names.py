"""A tracker's names for ours, and back: reversible, and without collisions.

A name that the tracker allows stays as it is. In any other, a character that may not stand where
it does becomes `_0x<hex>_`, its code point: "loss (%)" is "loss _0x28__0x25__0x29_". An underscore
before "0x" is escaped too ("_0x5f_"), so every "_0x" is the beginning of an escape, and reading
them from left to right gives back exactly what was written. The empty name is "_0x_".

A name that is still too long is cut, and ends in `_0xh<16 hex digits>_`, of the sha256 of the
original. Such a name alone does not tell the original: `NameMap.long_names` remembers it, the
relay stores it as the tag `tracelet.name.<digest>`, and a reader finds it there.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tracelet.backend import Limits

NAME_TAG: Final = "tracelet.name."  # and a digest: the tag that tells a name too long for the tracker
EMPTY: Final = "_0x_"
_DIGEST: Final = 16  # hex digits: 64 bits, enough that no two names of one run ever meet
_LAST_CODE: Final = 0x10FFFF
_CACHE: Final = 100_000  # names; those of a run with more are mapped anew each time
_ESCAPE: Final = re.compile(rf"_0x(?:(?P<code>[0-9a-f]+)|h(?P<digest>[0-9a-f]{{{_DIGEST}}}))_")

_PIECE: Final = re.compile(r"_0x[0-9a-f]+_|.", re.DOTALL)  # of a mapped name: an escape stays whole

_LOOKALIKE: Final = "_(?=0x)"
# The characters that keep a name from being a clean relative path: slashes that separate nothing;
# the first dot of a part that is "." or ".."; and, because MLflow refuses it, of a leading "..".
_UNCLEAN: Final = r"\A/|/\Z|(?<=/)/|(?:(?<=/)|\A)\.(?=\.?(?:/|\Z))|\A\.(?=\.)"


class NameMap:
    """Maps names to one tracker's, and back.

    Attributes:
        long_names: Mapped names that had to be cut, and what they were.
    """

    def __init__(self, limits: Limits) -> None:
        self.long_names: dict[str, str] = {}
        self._length = limits.name_length
        unclean = f"|{_UNCLEAN}" if limits.name_is_path else ""
        self._refused = re.compile(f"{_LOOKALIKE}|[^{limits.name_characters}]{unclean}")
        self._cache: dict[str, str] = {}

    def to_tracker(self, name: str) -> str:
        """Return the tracker's name for `name`: itself, when it is allowed."""
        known = self._cache.get(name)
        if known is None:
            known = self._map(name)
            if len(self._cache) < _CACHE:
                self._cache[name] = known
        return known

    def from_tracker(self, mapped: str, long_names: Mapping[str, str] | None = None) -> str:
        """Return the name that `to_tracker` gave `mapped` for.

        Args:
            mapped: A name, as the tracker has it.
            long_names: Originals of names that were cut, by mapped name; used beside those that
                this map has made itself. A cut name whose original is unknown stays as it is.
        """
        if digest_of(mapped):
            known = self.long_names.get(mapped)
            return known if known is not None else (long_names or {}).get(mapped, mapped)
        return "" if mapped == EMPTY else _ESCAPE.sub(_unescaped, mapped)

    def _map(self, name: str) -> str:
        if not name:
            return EMPTY
        mapped = self._refused.sub(_escaped, name)
        if len(mapped) <= self._length:
            return mapped
        ending = f"_0xh{_digest(name)}_"
        mapped = "".join(_fitting(self._pieces(name), self._length - len(ending))) + ending
        self.long_names[mapped] = name
        return mapped

    def _pieces(self, name: str) -> Iterator[str]:
        """Give what must stay together when a name is cut: characters, and whole escapes."""
        done = 0
        for found in self._refused.finditer(name):
            yield from name[done : found.start()]
            yield _escaped(found)
            done = found.end()
        yield from name[done:]


def originals(mapped: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the originals of cut names, as a run's tags tell them, for `from_tracker`."""
    told = {name: tags.get(NAME_TAG + digest) for name in mapped if (digest := digest_of(name))}
    return {
        name: original
        for name, original in told.items()
        if original is not None and _digest(original) == digest_of(name)  # else it was cut itself
    }


def digest_of(mapped: str) -> str:
    """Return the digest that a cut name ends in, or an empty string for any other name."""
    escapes = list(_ESCAPE.finditer(mapped))  # from the left: an escape's end may look like another's start
    return escapes[-1]["digest"] or "" if escapes and escapes[-1].end() == len(mapped) else ""


def shorter(mapped: str, length: int) -> str:
    """Cut a name further that was cut before; it keeps its digest, by which its original is told."""
    at = mapped.rindex("_0xh")
    whole = (piece[0] for piece in _PIECE.finditer(mapped[:at]))
    return "".join(_fitting(whole, length - len(mapped[at:]))) + mapped[at:]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def _fitting(pieces: Iterator[str], room: int) -> Iterator[str]:
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            return
        yield piece


def _escaped(found: re.Match[str]) -> str:
    return f"_0x{ord(found[0]):x}_"


def _unescaped(found: re.Match[str]) -> str:
    code = int(found["code"] or "ffffff", 16)
    return chr(code) if code <= _LAST_CODE else found[0]
