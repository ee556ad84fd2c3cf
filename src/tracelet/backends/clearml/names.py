"""The names of a run at ClearML, as they were before they were mapped."""

import itertools
from collections.abc import Iterator

from tracelet.backends.clearml import LIMITS, titles
from tracelet.backends.clearml.about import About
from tracelet.names import NameMap, originals


class Names:
    """A run's names, as they were before they were mapped; of nobody else's run is a name mapped.

    Args:
        about: What we know of the run.
    """

    def __init__(self, about: About) -> None:
        self._ours = bool(about.run_id)
        self._tags = about.tags
        self._map = NameMap(LIMITS)
        self._known: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def of(self, title: str, series: str) -> str:
        """Return the name of a series; two of somebody else's never have the same."""
        known = self._known.get((title, series))
        if known is None:
            known = self._named(title, series)
            self._known[title, series] = known
        return known

    def _named(self, title: str, series: str) -> str:
        if self._ours:
            mapped = titles.named(title, series)
            # What the user's own calls of ClearML have logged was never mapped.
            if (title, series) in {titles.titled(mapped), titles.not_finite(mapped)}:
                return self.read(mapped)
        name = titles.foreign(title, series)
        name = next(one for one in _numbered(name) if one not in self._taken)
        self._taken.add(name)
        return name

    def read(self, mapped: str) -> str:
        """Return what a name was."""
        if not self._ours:
            return mapped
        original = self._map.from_tracker(mapped, originals([mapped], self._tags))
        return original if self._map.to_tracker(original) == mapped else mapped

    def param(self, section: str, name: str) -> str:
        """Return the name of a param."""
        if self._ours:
            mapped = titles.param_of(section, name)
            if titles.sectioned(mapped) == (section, name):
                return self.read(mapped)
        return titles.foreign_param(section, name)


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name} ({number})"
