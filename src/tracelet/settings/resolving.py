"""Which source wins.

The order, strongest first: arguments of `start_logging`, the known keys of `config`, `settings=`,
`TRACELET_*` variables, `TRACELET_*` in `.env`, `tracelet.toml` or `pyproject.toml`, what the script
told the tracker, the tracker's own variables, defaults. The last three but the defaults are the
backends' affair. The strongest source gives a setting whole: two sources' tags do not add up.
"""

import difflib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracelet import guard, scrub
from tracelet.errors import ConfigError
from tracelet.settings.files import TomlFile, find_toml, read_dotenv
from tracelet.settings.kinds import URI
from tracelet.settings.table import CONFIG_KEYS, PREFIX, SETTINGS, Resolved, unknown

if TYPE_CHECKING:
    from tracelet.settings.model import TraceletSettings

_LOG: Final = logging.getLogger("tracelet")
_DIRECTORY: Final = "TRACELET_DIR"  # no setting: the journal's own, for every program alike


@dataclass(slots=True)
class Survey:
    """What the sources said, the weakest asked first.

    Attributes:
        values: By name, as they are understood; the strongest source's.
        sources: Where each came from.
        errors: What is certainly a mistake.
        warnings: What is probably one.
        files: The files that were read.
        hyperparameters: What `config` held besides settings.
        dotenv: See `Resolved.dotenv`.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[ConfigError] = field(default_factory=list[ConfigError])
    warnings: list[str] = field(default_factory=list[str])
    files: list[Path] = field(default_factory=list[Path])
    hyperparameters: dict[str, Any] = field(default_factory=dict[str, Any])
    dotenv: dict[str, str] = field(default_factory=dict[str, str])

    def resolved(self) -> Resolved:
        """Give what holds now."""
        return Resolved(
            **self.values, sources=self.sources, hyperparameters=self.hyperparameters, dotenv=self.dotenv
        )

    def take(self, name: str, value: object, place: str, source: str) -> None:
        """Understand what a source says.

        Args:
            name: The setting's name, as it was given.
            value: As it was given.
            place: Where, for a message.
            source: Where, for people who ask.
        """
        try:
            self.values[name] = SETTINGS[name].parse(value, place)
            self.sources[name] = source
        except ConfigError as error:
            self.errors.append(error)


def resolve(
    arguments: Mapping[str, object],
    config: Mapping[str, object],
    settings: "TraceletSettings | None",
    directory: Path,
    environ: Mapping[str, str],
) -> Resolved:
    """Ask every source, the strongest last.

    Args:
        arguments: Of `start_logging`; None means not given.
        config: The user's `config`, whole.
        settings: The user's `settings=`.
        directory: Where `.env` is looked for, and the toml file from there upwards.
        environ: The environment.

    Raises:
        ConfigError: A value does not fit its setting, or a name is none; the message names its source.
    """
    found = survey(directory, environ)
    if settings is not None:
        _take_explicit(found, settings.items(), "settings=", lambda _: "settings=")
    _take_config(found, config)
    given = ((name, value) for name, value in arguments.items() if value is not None)
    _take_explicit(found, given, "start_logging", lambda name: f"start_logging({name}=…)")
    for warning in found.warnings:
        guard.say(logging.WARNING, "%s", warning)
    if found.errors:
        raise found.errors[0]
    return found.resolved()


def survey(directory: Path, environ: Mapping[str, str]) -> Survey:
    """Ask the sources outside the script: files and environment. No mistake in them is raised."""
    found = Survey()
    file = _take_toml(found, directory, environ)
    dotenv = read_dotenv(directory)
    if dotenv:
        found.files.append(directory / ".env")
    _take_variables(found, dotenv, ".env", lambda variable: f"{variable} in .env")
    if dotenv.get(_DIRECTORY):
        found.warnings.append(f"{_DIRECTORY} in .env has no effect; set it in the environment")
    found.dotenv = _credentials(file) | dotenv
    _take_variables(found, environ, "the environment", lambda variable: variable)
    return found


def _take_toml(found: Survey, directory: Path, environ: Mapping[str, str]) -> TomlFile | None:
    try:
        file = find_toml(directory, environ)
    except ConfigError as error:
        found.errors.append(error)
        return None
    if file is None:
        return None
    found.files.append(file.path)
    if file.passed_over:
        found.warnings.append(
            f"{file.path} holds; [tool.tracelet] in {file.passed_over.name} beside it does not"
        )
    for name, value in file.values.items():
        place = file.place(name)
        if name in SETTINGS:
            found.take(name, value, place, place)
        else:
            found.errors.append(unknown(name, place))
    return file


def _take_variables(
    found: Survey, variables: Mapping[str, str], place: str, source: Callable[[str], str]
) -> None:
    for variable, text in variables.items():
        if not variable.startswith(PREFIX) or variable == _DIRECTORY or not text:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in SETTINGS:
            found.take(name, text, f"{variable} in {place}", source(variable))
        else:
            close = difflib.get_close_matches(name, SETTINGS, n=1)
            meant = f" Did you mean {SETTINGS[close[0]].variable!r}?" if close else ""
            found.warnings.append(f"{variable} in {place} is no setting of tracelet.{meant}")


def _take_explicit(
    found: Survey, given: Iterable[tuple[str, Any]], place: str, source: Callable[[str], str]
) -> None:
    for name, value in given:
        if name in SETTINGS:
            found.take(name, value, place, source(name))
        else:
            found.errors.append(unknown(name))


def _take_config(found: Survey, config: Mapping[str, object]) -> None:
    """Tell settings from hyperparameters in a user's `config`: `vars(args)` may hold anything."""
    for name, value in config.items():
        if name in CONFIG_KEYS and value is not None:  # else an argument that was not given
            try:
                found.values[name] = SETTINGS[name].parse(value, "config")
                found.sources[name] = f"config[{name!r}]"
                continue
            except ConfigError as error:
                found.warnings.append(f"{error}; it is logged as a hyperparameter")
        elif name not in CONFIG_KEYS and (
            close := difflib.get_close_matches(str(name), CONFIG_KEYS, n=1, cutoff=0.8)
        ):
            found.warnings.append(
                f"config[{name!r}] is logged as a hyperparameter. Did you mean the setting {close[0]!r}?"
            )
        found.hyperparameters[str(name)] = value


def lend_environment(directory: Path, prefixes: Iterable[str]) -> None:
    """Put a tracker's variables of `.env` into this process's environment, below what is there.

    With our own prefix among them, also the URIs with credentials that stand in a toml file: a run
    is stored without them. Only a process of our own calls this: the tracker's client there looks
    nowhere else.
    """
    wanted = tuple(prefix for prefix in prefixes if prefix)
    file = None
    if PREFIX in wanted:
        try:
            file = find_toml(directory, os.environ)
        except ConfigError as error:  # the run's settings are long decided
            _LOG.warning("%s", error)
    for name, text in (_credentials(file) | read_dotenv(directory)).items():
        if name.startswith(wanted):
            os.environ.setdefault(name, text)


def _credentials(file: TomlFile | None) -> dict[str, str]:
    """Choose the URIs with credentials of a toml file, as variables."""
    return {
        setting.variable: value
        for name, value in (file.values.items() if file else ())
        if (setting := SETTINGS.get(name)) and setting.kind is URI
        if isinstance(value, str) and scrub.without_userinfo(value) != value
    }
