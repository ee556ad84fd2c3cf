"""`tracelet config`: each setting as it holds in the working directory, and where it came from."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tracelet import backends
from tracelet.cli import output
from tracelet.cli.output import Column
from tracelet.cli.runs import Json
from tracelet.errors import ConfigError
from tracelet.journal import shelf
from tracelet.scrub import without_userinfo, without_userinfo_in
from tracelet.settings.resolving import Survey, survey
from tracelet.settings.table import SETTINGS, Setting, unknown

_DEFAULT: Final = "default"
_SETTINGS: Final = (Column("setting"), Column("value", cut=True), Column("from"))
_VARIABLES: Final = (Column("variable"), Column("value", cut=True), Column("from"))
_SECRET: Final = re.compile(r"AUTH|CERT|CREDENTIAL|HEADER|KEY|PASS|PWD|SECRET|TOKEN|USER")
_HIDDEN: Final = "(set, and not shown)"


def _offered(incomplete: str) -> list[str]:
    return [name for name in SETTINGS if name.startswith(incomplete)]


def config(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A setting: print its value and nothing else.", autocompletion=_offered
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the settings that hold here, and where each came from."""
    if name is not None and name not in SETTINGS:
        raise unknown(name)
    try:
        here = Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory is gone ({error}); change to another") from error
    found = survey(here, os.environ)
    if name is not None:
        _one(SETTINGS[name], found, as_json=as_json)
    else:
        _every(here, found, as_json=as_json)
    for problem in (*found.errors, *found.warnings):
        output.remark(str(problem))
    if found.errors:
        raise typer.Exit(2)
    if found.warnings and name is None:
        raise typer.Exit(1)


def _one(setting: Setting, found: Survey, *, as_json: bool) -> None:
    value, source = _held(setting, found)
    if as_json:
        output.document({"name": setting.name, "value": setting.safe(value), "source": source})
    else:
        print(output.clean(setting.write(value)))


def _every(here: Path, found: Survey, *, as_json: bool) -> None:
    runs = shelf.locate(here, os.environ)
    variables = _variables(found)
    if as_json:
        output.document(_document(here, runs, found, variables))
        return
    output.table(_SETTINGS, (_row(setting, found) for setting in SETTINGS.values()))
    for backend, own in variables.items():
        if own:
            output.say("")
            output.say(f"{backend} has variables of its own, weaker than the settings", "bold")
            rows = ((name, _HIDDEN if text is None else text, place) for name, text, place in own)
            output.table(_VARIABLES, rows, indent=2)
    output.say("")
    output.say("files read   " + (", ".join(map(str, found.files)) or "none"))
    output.say(f"runs are in  {runs}")


def _held(setting: Setting, found: Survey) -> tuple[Any, str]:
    """Give a setting's value, and where it came from."""
    if setting.name in found.sources:
        return found.values[setting.name], found.sources[setting.name]
    return setting.default, _DEFAULT


def _row(setting: Setting, found: Survey) -> tuple[str, str, str]:
    value, source = _held(setting, found)
    written = setting.write(value)
    return setting.name, written or (f"({setting.otherwise})" if setting.otherwise else ""), source


def _variables(found: Survey) -> dict[str, list[tuple[str, str | None, str]]]:
    """List the trackers' own variables, by backend: name, value and place; no value if it is secret.

    What is wrong with a backend is added to the errors.
    """
    from tracelet import launch  # it loads what makes runs, and other commands make none

    for name in found.values.get("routes", ()):
        try:
            if ":" not in name:
                launch.check_route(name, found.sources["routes"])
        except ConfigError as error:  # noqa: PERF203  one that is misspelt does not hide the others
            found.errors.append(error)
    try:
        wanted = found.values.get("backend") or launch.default_backends()
    except ConfigError as error:
        found.errors.append(error)
        return {}
    listed: dict[str, list[tuple[str, str | None, str]]] = {}
    for load in wanted:
        try:
            backend = backends.load(load)
            listed[backend.name] = list(_own(backend.variables, found)) if backend.variables else []
            if not found.values.get(f"{backend.name}_python"):  # what another one has, the start asks it
                backends.check_client(backend)
        except ConfigError as error:  # noqa: PERF203  one that is misspelt does not hide the others
            found.errors.append(error)
    return listed


def _own(prefix: str, found: Survey) -> Iterable[tuple[str, str | None, str]]:
    for name, text in sorted({**found.dotenv, **os.environ}.items()):
        if name.startswith(prefix) and text:
            shown = without_userinfo(without_userinfo_in(text))
            yield (
                name,
                None if _SECRET.search(name) else shown,
                "environment" if name in os.environ else ".env",
            )


def _document(
    here: Path, runs: Path, found: Survey, variables: dict[str, list[tuple[str, str | None, str]]]
) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for setting in SETTINGS.values():
        value, source = _held(setting, found)
        settings[setting.name] = {"value": setting.safe(value), "source": source}
    return {
        "directory": str(here),
        "runs": str(runs),
        "files": [str(file) for file in found.files],
        "settings": settings,
        "variables": {
            backend: {name: {"value": text, "source": place} for name, text, place in own}
            for backend, own in variables.items()
        },
        "errors": [str(error) for error in found.errors],
        "warnings": found.warnings,
    }
