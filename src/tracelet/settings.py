"""Settings: where they come from, which one wins, and what their text means.

The order, strongest first: arguments of `start_logging`, the known keys of `config`, `settings=`,
`TRACELET_*` variables, `TRACELET_*` in `.env`, the tracker's own variables, defaults.

A name that is no setting is an error with a suggestion in `TraceletSettings`, a warning in the
environment, and a hyperparameter in `config`: `vars(args)` may hold anything.
"""

import difflib
import functools
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from tracelet.errors import ConfigError, suggestion

PREFIX: Final = "TRACELET_"
_LOG: Final = logging.getLogger("tracelet")
CONFIG_KEYS: Final = frozenset(
    {
        "automagic",
        "backend_url",
        "experiment_name",
        "group",
        "job_type",
        "max_image_size",
        "metrics_interval",
        "notes",
        "run_name",
        "tags",
        "track_env",
        "track_git",
        "track_lightning",
        "track_system",
        "track_tensorboard",
    }
)
"""The keys of `config` that are settings; every other is a hyperparameter."""

_NOT_SETTINGS: Final = frozenset({"TRACELET_DIR"})  # variables that are read elsewhere
_SIZES: Final = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = "a text"
        raise TypeError(message)
    return value


def _path(value: object) -> str:
    return str(value) if isinstance(value, Path) else _text(value)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _YES | _NO:
        return value.strip().lower() in _YES
    message = "true or false"
    raise TypeError(message)


def _measure(value: object, units: Mapping[str, float], what: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if match is not None:
        for unit, factor in units.items():
            if match[2].lower() == unit.lower() and math.isfinite(float(match[1]) * factor):
                return float(match[1]) * factor
    raise TypeError(what)


def _duration(value: object) -> float:
    return _measure(value, _SECONDS, 'seconds, or a duration such as "30s", "10m" or "1h"')


def _size(value: object) -> int:
    return int(_measure(value, _SIZES, 'bytes, or a size such as "512KB" or "2MB"'))


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(_text(name) for name in cast("list[object]", value))
    message = 'a name, a list of names, or "name,name"'
    raise TypeError(message)


def _tags(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(name): str(text) for name, text in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return dict.fromkeys(_names(value), "true")


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if isinstance(value, str) and value.lower() in words:
            return value.lower()
        raise TypeError(" or ".join(words))

    return parse


_PARSERS: Final[dict[str, Callable[[object], Any]]] = {
    "exp_name": _text,
    "project": _text,
    "backend": _names,
    "mode": _one_of("online", "offline", "disabled"),
    "run_name": _text,
    "experiment_name": _text,
    "backend_url": _text,
    "tags": _tags,
    "notes": _text,
    "group": _text,
    "job_type": _text,
    "track_system": _flag,
    "track_git": _flag,
    "track_env": _flag,
    "track_tensorboard": _flag,
    "track_lightning": _flag,
    "automagic": _flag,
    "metrics_interval": _duration,
    "max_image_size": _size,
    "mlflow_tracking_uri": _text,
    "wandb_entity": _text,
    "wandb_project": _text,
    "durability": _one_of("process", "second", "record"),
    "relay": _one_of("process", "thread"),
    "python": _path,
    "stop_timeout": _duration,
    "linger": _duration,
    "retention": _duration,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The settings of one run, after every source was asked.

    `sources` tells where each value that is not a default came from; `hyperparameters` is what
    `config` held besides settings; `dotenv` what stands in `.env`. Durations are seconds, sizes
    bytes.
    """

    exp_name: str = ""
    project: str = ""
    backend: tuple[str, ...] = ()
    mode: str = "online"
    run_name: str = ""
    experiment_name: str = ""
    backend_url: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    notes: str = ""
    group: str = ""
    job_type: str = ""
    track_system: bool = False
    track_git: bool = False
    track_env: bool = False
    track_tensorboard: bool = True
    track_lightning: bool = True
    automagic: bool = False
    metrics_interval: float = 10.0
    max_image_size: int = 0
    mlflow_tracking_uri: str = ""
    wandb_entity: str = ""
    wandb_project: str = ""
    durability: str = "process"
    relay: str = "process"
    python: str = ""
    stop_timeout: float = 60.0
    linger: float = 600.0
    retention: float = 30 * 86400.0
    sources: dict[str, str] = field(default_factory=dict[str, str])
    hyperparameters: dict[str, Any] = field(default_factory=dict[str, Any])
    dotenv: dict[str, str] = field(default_factory=dict[str, str], repr=False)  # it may hold secrets

    def of(self, backend: str) -> dict[str, str]:
        """Choose the settings that speak to one backend, without its name in front."""
        found = {
            name.removeprefix(f"{backend}_"): str(getattr(self, name))
            for name in _PARSERS
            if name.startswith(f"{backend}_") and getattr(self, name)
        }
        return found | ({"backend_url": self.backend_url} if self.backend_url else {})


class TraceletSettings:
    """Settings in code: `start_logging(settings=TraceletSettings(project=…, backend=…))`.

    Raises:
        ConfigError: A name is no setting, or a value does not fit; the message says what would.
    """

    def __init__(self, **values: Any) -> None:
        _check_names(values)
        self._values = {name: _parsed(name, value, "settings=") for name, value in values.items()}

    def items(self) -> Iterable[tuple[str, Any]]:
        """Give the settings that were set, with their values as they are understood."""
        return self._values.items()

    def __getattr__(self, name: str) -> Any:
        """Return a setting: what was set, else its default."""
        if name in _PARSERS:
            return self._values.get(name, getattr(Resolved(), name))
        raise AttributeError(name)

    def __repr__(self) -> str:
        """Show what was set."""
        return f"TraceletSettings({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name not in _PARSERS:
            message = f"no setting called {name!r}; there are {', '.join(_PARSERS)}."
            raise ConfigError(message + suggestion(name, _PARSERS))


def _parsed(name: str, value: object, source: str) -> Any:
    try:
        return _PARSERS[name](value)
    except TypeError as error:
        message = f"{name}={value!r} (from {source}) does not fit; it takes {error}"
        raise ConfigError(message) from error


def resolve(
    arguments: Mapping[str, object],
    config: Mapping[str, object],
    settings: TraceletSettings | None,
    directory: Path,
    environ: Mapping[str, str],
) -> Resolved:
    """Ask every source, the strongest last.

    Args:
        arguments: Of `start_logging`; None means not given.
        config: The user's `config`, whole.
        settings: The user's `settings=`.
        directory: Where `.env` is looked for.
        environ: The environment.

    Raises:
        ConfigError: A value does not fit its setting; the message names its source.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(found: Iterable[tuple[str, Any]], source: Callable[[str], str]) -> None:
        for name, value in found:
            values[name], sources[name] = value, source(name)

    dotenv = read_dotenv(directory)
    take(_from_variables(dotenv, ".env"), lambda name: f"{PREFIX}{name.upper()} in .env")
    take(_from_variables(environ, "the environment"), lambda name: f"{PREFIX}{name.upper()}")
    if settings is not None:
        take(settings.items(), lambda _: "settings=")
    known, hyperparameters = _divided(config)
    take(known.items(), lambda name: f"config[{name!r}]")
    given = {name: value for name, value in arguments.items() if value is not None}
    _check_names(given)
    take(
        ((name, _parsed(name, value, "start_logging")) for name, value in given.items()),
        lambda name: f"start_logging({name}=…)",
    )
    return Resolved(**values, sources=sources, hyperparameters=hyperparameters, dotenv=dotenv)


def _from_variables(variables: Mapping[str, str], place: str) -> Iterable[tuple[str, Any]]:
    for variable, text in variables.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS or not text:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _PARSERS:
            yield name, _parsed(name, text, f"{variable} in {place}")
        else:
            close = difflib.get_close_matches(name, _PARSERS, n=1)
            meant = f" Did you mean {PREFIX + close[0].upper()!r}?" if close else ""
            _LOG.warning("%s in %s is no setting of tracelet.%s", variable, place, meant)


def _divided(config: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell settings from hyperparameters in a user's `config`."""
    known: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    for name, value in config.items():
        if name in CONFIG_KEYS:
            try:
                known[name] = _parsed(name, value, "config")
                continue
            except ConfigError as error:
                _LOG.warning("%s; it is logged as a hyperparameter", error)
        elif close := difflib.get_close_matches(str(name), CONFIG_KEYS, n=1, cutoff=0.8):
            _LOG.warning(
                "config[%r] is logged as a hyperparameter. Did you mean the setting %r?", name, close[0]
            )
        hyperparameters[str(name)] = value
    return known, hyperparameters


@functools.lru_cache(maxsize=1)
def _dotenv(path: str, _changed: int) -> dict[str, str]:
    from dotenv import dotenv_values

    return {name: text for name, text in dotenv_values(path).items() if text is not None}


def read_dotenv(directory: Path) -> dict[str, str]:
    """Read `.env` in `directory`; empty if there is none. Nothing is put into `os.environ`."""
    path = directory / ".env"
    try:
        return dict(_dotenv(str(path), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:  # it may be another program's, in another encoding
        _LOG.warning("%s cannot be read: %s", path, error)
        return {}


def lend_environment(directory: Path, prefixes: Iterable[str]) -> None:
    """Put a tracker's variables of `.env` into this process's environment, below what is there.

    Only a process of our own calls this: the tracker's client there looks nowhere else.
    """
    wanted = tuple(prefix for prefix in prefixes if prefix)
    for name, text in read_dotenv(directory).items():
        if name.startswith(wanted):
            os.environ.setdefault(name, text)
