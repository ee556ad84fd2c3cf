"""A durable layer between training scripts and experiment trackers: a run is a log.

The public names, loaded when they are first used: `import tracelet` loads nothing but this file.
"""

import os as _os

TYPE_CHECKING = False  # `typing` would take longer to load than everything else here
if TYPE_CHECKING:
    from tracelet import errors, settings
    from tracelet.experiment import Experiment, Summary
    from tracelet.session import get_active_experiment, start_experiment, start_logging, stop_logging

__version__ = "0.1.0"

__all__ = [
    "Experiment",
    "Summary",
    "__version__",
    "errors",
    "get_active_experiment",
    "settings",
    "start_experiment",
    "start_logging",
    "stop_logging",
]

_MODULES = ("errors", "settings")
_HOMES = {
    "Experiment": "tracelet.experiment",
    "Summary": "tracelet.experiment",
    "get_active_experiment": "tracelet.session",
    "start_experiment": "tracelet.session",
    "start_logging": "tracelet.session",
    "stop_logging": "tracelet.session",
}

_started_in: str | None
"""The working directory at the interpreter's start, as nearly as we can know; None if it was gone."""
try:
    # Runs are kept beside it. Taken now, because Hydra and others change the directory later.
    _started_in = _os.getcwd()  # noqa: PTH109  pathlib would load as much as the rest of an import
except OSError:
    _started_in = None


def __getattr__(name: str) -> object:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"tracelet.{name}")
    if name not in _HOMES:
        message = f"module 'tracelet' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
