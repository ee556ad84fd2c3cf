"""Params as Aim nests them, and back.

A name with dots is a path: `model.lr` is `run["model"]["lr"]`. Aim would lose all params of a run where
one path leads on through another one's value, so then the later of two is kept beside:

    "a.b" where "a" has a value      under the one key "a.b"
    "a" where "a.b" is there         as "a", "_0x_"
    a name with an empty part        under one key, as it is
    a name below our own root        below "_0x_"

"_0x_" stands in no name of ours (see `tracelet.names`), so it is left out when params are read.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from tracelet.backends.aim.held import flat
from tracelet.names import EMPTY

ROOT: Final = "__tracelet"
"""Where our own account of a run is kept, beside its params."""
Path: TypeAlias = tuple[str, ...]


class Places:
    """Where the params of one run are.

    Args:
        attributes: All that the run has, as Aim gives it.
    """

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._known: dict[str, Path] = {}
        self._values: set[Path] = set()
        self._inner: set[Path] = set()
        for path in _leaves(attributes):
            self._known[_name(path)] = path
            self._take(path)

    def of(self, name: str) -> Path:
        """Return where a param belongs; the same each time, in any process."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._chosen(name)
            self._take(known)
        return known

    def _chosen(self, name: str) -> Path:
        parts = tuple(name.split("."))
        path = parts if all(parts) else (name,)
        if path[0] == ROOT:
            path = (EMPTY, *path)
        if any(path[:length] in self._values for length in range(1, len(path))):
            path = (name,)
        return (*path, EMPTY) if path in self._inner else path

    def _take(self, path: Path) -> None:
        self._values.add(path)
        self._inner.update(path[:length] for length in range(1, len(path)))


def read(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params of a run by our names; what is ours is left out."""
    own = {str(name): value for name, value in attributes.items() if name != ROOT}
    return {_name(tuple(name.split("."))): _plain(value) for name, value in flat(own)}


def _name(path: Path) -> str:
    return ".".join(part for part in path if part != EMPTY)


def _leaves(attributes: Mapping[str, Any], before: Path = ()) -> list[Path]:
    found: list[Path] = []
    for name, value in attributes.items():
        path = (*before, str(name))
        inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        found += _leaves(inner, path) if inner else [path]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in cast("list[Any]", value)]
    return str(value)  # an object of Aim's
