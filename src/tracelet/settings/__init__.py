"""Settings: where they come from, which one wins, and what their text means.

    kinds      what a setting can be: text, duration, size, names, …
    routes     what goes to which backend
    table      the settings, each with its kind, default and meaning
    files      `.env`, `tracelet.toml`, `pyproject.toml`
    resolving  which source wins
    told       where a value came from, for an error that shows it
    model      `TraceletSettings`, with pydantic

A name that is no setting is an error with a suggestion in code and in toml, a warning in the
environment, and a hyperparameter in `config`: `vars(args)` may hold anything.
"""

from typing import TYPE_CHECKING

from tracelet.settings.files import read_dotenv
from tracelet.settings.resolving import lend_environment, resolve
from tracelet.settings.table import CONFIG_KEYS, Resolved
from tracelet.settings.told import places_told

if TYPE_CHECKING:
    from tracelet.settings.model import TraceletSettings

__all__ = [
    "CONFIG_KEYS",
    "Resolved",
    "TraceletSettings",
    "lend_environment",
    "places_told",
    "read_dotenv",
    "resolve",
]


def __getattr__(name: str) -> object:
    """Load pydantic only for those who ask for `TraceletSettings`."""
    if name != "TraceletSettings":
        message = f"module 'tracelet.settings' has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    # By name: keeper and relay import this package too, and must be seen to do without pydantic.
    return importlib.import_module("tracelet.settings.model").TraceletSettings
