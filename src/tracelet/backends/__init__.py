"""The trackers, one file each; and how one is found by its name.

A name is, in this order: a file beside this one (`"mlflow"`), an attribute of any module
(`"package.module:ATTRIBUTE"`), or an entry point of the group `tracelet.backends`, by which other
packages join. No member is imported before it is asked for, and its client not even then.
"""

import importlib
import importlib.util
import pkgutil
from typing import TYPE_CHECKING, Final

from tracelet.backend import Backend
from tracelet.errors import ConfigError, MissingDependency, suggestion

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "tracelet.backends"


def load(name: str) -> Backend:
    """Return the backend called `name`.

    Raises:
        ConfigError: There is none of that name, or what is there is not a backend.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        return _backend(name, module, attribute)
    if name in _own():
        return _backend(name, f"{__name__}.{name}", "BACKEND")
    joined = _joined()
    if name not in joined:
        known = names()
        listed = ", ".join(known) or "none"
        raise ConfigError(f"no backend called {name!r}; there are {listed}.{suggestion(name, known)}")
    return _checked(name, joined[name].load())


def names() -> list[str]:
    """List the backends that `load` knows by a plain name."""
    return sorted({*_own(), *_joined()})


def check_client(backend: Backend) -> None:
    """Make sure that a backend's client is installed, without importing it.

    Raises:
        MissingDependency: It is not; the message says what to type.
    """
    if backend.client and not _installed(backend.client):
        raise MissingDependency(
            f"backend {backend.name!r} needs {backend.client!r}, which is not installed: {backend.install}"
        )


def _installed(client: str) -> bool:
    try:
        return importlib.util.find_spec(client) is not None
    except (ImportError, ValueError):  # a parent package is missing, or a module without a spec
        return False


def _own() -> set[str]:
    return {found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")}


def _joined() -> "dict[str, EntryPoint]":
    """Find other packages' backends; a file of ours wins over one of the same name."""
    from importlib.metadata import entry_points  # it reads a file of every installed package

    return {point.name: point for point in entry_points(group=GROUP)}


def _backend(name: str, module: str, attribute: str) -> Backend:
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"backend {name!r} cannot be loaded: {error}") from error
    return _checked(name, found)


def _checked(name: str, found: object) -> Backend:
    if not isinstance(found, Backend):
        raise ConfigError(f"backend {name!r} is a {type(found).__name__}, not a tracelet.backend.Backend")
    return found
