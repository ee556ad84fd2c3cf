"""The trackers, one file each; and how one is found by its name.

A name is, in this order: a file beside this one (`"mlflow"`), an attribute of any module
(`"package.module:ATTRIBUTE"`), or an entry point of the group `tracelet.backends`, by which other
packages join. No member is imported before it is asked for, and its client not even then.
"""

import contextlib
import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from tracelet.backend import Backend, Reader
from tracelet.errors import ConfigError, MissingDependency, suggestion

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "tracelet.backends"
_ANSWER: Final = 30.0  # seconds that another interpreter has to say what is installed there
# A directory of that name in the working directory is no package.
_ASKING: Final = """
import importlib.util, sys
sys.path[:] = [place for place in sys.path if place]
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        print(name)
"""


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


def source(text: str) -> tuple[Backend, dict[str, str]]:
    """Find the backend that `text` names, and the options to read from there.

    Args:
        text: Such as `mlflow:http://host:5000`, `mlflow:./mlruns` or `journal:.tracelet`: what a
            backend calls its sources, a colon, and the place. Without a place: where the backend
            itself would look.

    Raises:
        ConfigError: It names no backend, one that cannot be read, or no place of the backend's.
    """
    backend = of_source(text)
    if backend.source is None or backend.reader is None:
        raise ConfigError(f"backend {backend.name!r} cannot be read, so {text!r} is no source")
    check_client(backend)
    return backend, backend.source(text.partition(":")[2])


def of_source(text: str) -> Backend:
    """Find the backend that `text` names, whatever the place behind the colon; see `source`.

    Raises:
        ConfigError: It names none.
    """
    scheme = text.partition(":")[0]
    listed = names()
    if scheme in listed and (found := load(scheme)).scheme in {"", scheme}:
        return found
    known: list[str] = []
    for name in listed:
        with contextlib.suppress(ConfigError, ImportError, AttributeError):  # another package is broken
            found = load(name)
            known += [found.scheme or name] if found.reader is not None else []
            if scheme and found.scheme == scheme:
                return found
    hint = suggestion(scheme, known) if ":" in text else ""
    written = ", ".join(f"{name}:PLACE" for name in known) or "none"
    raise ConfigError(f"{text!r} is no source; there are {written}.{hint}")


def reader(text: str) -> Reader:
    """Open the source that `text` names; see `source`."""
    backend, options = source(text)
    if backend.reader is None:  # which `source` has refused
        raise ConfigError(f"backend {backend.name!r} cannot be read")
    return backend.reader(options)


def check_client(backend: Backend) -> None:
    """Make sure that a backend's client is installed, without importing it.

    Raises:
        MissingDependency: It is not; the message says what to type.
    """
    if not has_client(backend):
        raise MissingDependency(
            f"backend {backend.name!r} needs {backend.client!r}, which is not installed: {backend.install}"
        )


def interpreter(backend: Backend, settings: Mapping[str, str]) -> str:
    """Return the interpreter that a backend's setting `python` names; empty if there is none.

    Args:
        backend: The backend.
        settings: Those that speak to it, by their names without its own.

    Raises:
        ConfigError: It is no program that can be run.
        MissingDependency: It lacks tracelet, or the backend's client.
    """
    wanted = settings.get("python", "")
    if not wanted:
        return ""
    import shutil
    import subprocess  # most starts need neither

    setting = f"{backend.name}_python={wanted!r}"
    found = shutil.which(os.path.expanduser(wanted))  # noqa: PTH111  pathlib's raises without a home
    if found is None:
        raise ConfigError(f"{setting} is no program that can be run; give the path of an interpreter")
    needed = ["tracelet", *filter(None, [backend.client])]
    asked = [os.path.abspath(found), "-c", _ASKING, *needed]  # noqa: PTH100  not what a link leads to
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_ANSWER, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{setting} is no interpreter that works: {error}") from None
    missing = [name for name in needed if name not in answer.split()]
    if missing:
        lacks = " and ".join(map(repr, missing))
        raise MissingDependency(
            f"backend {backend.name!r} is delivered by {setting}, which lacks {lacks}: install tracelet "
            "there, with the extra of the backend"
        )
    return asked[0]


def has_client(backend: Backend) -> bool:
    """Tell whether a backend's client is installed, or none is needed; nothing is imported."""
    return not backend.client or _installed(backend.client)


def _installed(client: str) -> bool:
    try:
        spec = importlib.util.find_spec(client)
    except (ImportError, ValueError):  # a parent package is missing, or a module without a spec
        return False
    # A directory of that name, such as the `wandb/` that W&B leaves behind, is no client.
    return spec is not None and spec.origin is not None


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
