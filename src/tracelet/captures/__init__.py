"""The libraries that tracelet can listen to: one file each, found by name.

A file `captures/<name>.py` has a module-level `CAPTURE` (see `tracelet.capture`). Captures of other
packages join through the entry-point group `tracelet.captures`: the entry point's name is the
capture's name, and it leads to the `Capture`, or to a module with a `CAPTURE`.
"""

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from tracelet.capture import Capture
from tracelet.errors import ConfigError, suggestion

GROUP: Final = "tracelet.captures"


def names() -> list[str]:
    """List every capture that there is, without loading one."""
    return sorted({*_built_in(), *(point.name for point in entry_points(group=GROUP))})


def load(name: str) -> Capture:
    """Load the capture called `name`; one of ours goes before another package's.

    Raises:
        ConfigError: There is none of that name, or it is none.
    """
    if name in _built_in():
        return _checked(name, importlib.import_module(f"{__name__}.{name}"))
    point = _entry_point(name)
    if point is None:
        known = names()
        raise ConfigError(
            f"no capture called {name!r}; there are {', '.join(known)}.{suggestion(name, known)}"
        )
    try:
        found: object = point.load()
    except Exception as error:  # a third party's module may raise anything
        raise ConfigError(f"the capture {name!r} at {point.value} cannot be loaded: {error}") from error
    return _checked(name, found)


def _built_in() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _entry_point(name: str) -> EntryPoint | None:
    return next(iter(entry_points(group=GROUP, name=name)), None)


def _checked(name: str, found: object) -> Capture:
    capture: object = getattr(found, "CAPTURE", found)
    if not isinstance(capture, Capture):
        raise ConfigError(
            f"the capture {name!r} is a {type(capture).__name__}, not a tracelet.capture.Capture"
        )
    return capture
