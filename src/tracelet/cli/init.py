"""`tracelet init`: a `tracelet.toml` with every setting in it, as a comment."""

import contextlib
import json
import os
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tracelet import backends
from tracelet.cli import completing, output
from tracelet.cli.runs import Json
from tracelet.errors import ConfigError, MissingDependency, TraceletError
from tracelet.settings.files import find_toml
from tracelet.settings.kinds import FLAG, NAMES, TAGS
from tracelet.settings.routes import ROUTES
from tracelet.settings.table import SETTINGS, Setting

NAME: Final = "tracelet.toml"
_WIDTH: Final = 100  # characters of a comment's line
_HEAD: Final = f"""\
# Settings of tracelet, for what is started in this directory or below it.
#
# A line such as "#quiet = false" is a setting with its default. Remove the "#" to make it yours.
# Stronger than this file, in this order: arguments of start_logging, config, settings=,
# TRACELET_* variables, .env. `tracelet config` shows what holds and where it came from.
# Keep no passwords here; a relative path begins in the working directory, not beside {NAME}.
"""


def init(
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            "-b",
            metavar="NAME",
            help="Set the backend; more than once for several.",
            autocompletion=completing.backends,
        ),
    ] = None,
    project: Annotated[str, typer.Option("--project", "-p", metavar="NAME", help="Set the project.")] = "",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented tracelet.toml into this directory.

    Every setting stands in it, with its meaning and its default.
    """
    given: dict[str, Any] = {}
    if backend:
        given["backend"] = SETTINGS["backend"].parse(",".join(backend), "--backend")
    if project:
        given["project"] = project
    for name in given.get("backend", ()):
        _look_at(name)
    try:
        here = Path.cwd()
        before = _in_force(here)
        _write(here / NAME, template(given), force=force)
    except OSError as error:
        raise TraceletError(f"{NAME} cannot be written: {error.strerror or error}") from error
    if before and before != here / NAME:
        output.remark(f"the settings of {before} no longer hold in this directory")
    if as_json:
        output.document({"path": str(here / NAME)})
        return
    output.say(f"wrote {here / NAME}; `tracelet config` shows what holds")


def _look_at(name: str) -> None:
    """Refuse a backend that does not exist; one whose client is missing may be meant for elsewhere."""
    try:
        backends.check_client(backends.load(name))
    except MissingDependency as error:
        output.remark(str(error))


def _in_force(here: Path) -> Path | None:
    with contextlib.suppress(ConfigError):  # what is broken may be what is overwritten
        if file := find_toml(here, os.environ):
            return file.path
    return None


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError("the project's name is no UTF-8") from error
    if not force:
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError as error:
            raise TraceletError(f"{path} is there already; --force overwrites it") from error
        return
    fresh = path.with_name(f"{NAME}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def template(given: dict[str, Any]) -> str:
    """Make the text of a `tracelet.toml` that sets `given`, and shows every other setting's default."""
    # A table ends where the next begins, so it must come last.
    ordered = sorted(SETTINGS.values(), key=lambda setting: setting.kind in {TAGS, ROUTES})
    return "\n".join([_HEAD, *("\n".join(_lines(setting, given)) + "\n" for setting in ordered)])


def _lines(setting: Setting, given: dict[str, Any]) -> Iterable[str]:
    about = setting.about + (f" If empty: {setting.otherwise}." if setting.otherwise else "")
    yield from textwrap.wrap(about, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    if setting.kind is TAGS:
        yield '# Each line below it is one, such as: team = "vision"'
        yield f"#[{setting.name}]"
        return
    if setting.kind is ROUTES:
        yield '# Each line below it is one, such as: wandb.include = ["train/*", "param:*"]'
        yield f"#[{setting.name}]"
        return
    mark = "" if setting.name in given else "#"
    yield f"{mark}{setting.name} = {_toml(setting, given.get(setting.name, setting.default))}"


def _toml(setting: Setting, value: Any) -> str:
    if setting.kind is FLAG:
        return setting.kind.write(value)
    if setting.kind is NAMES:
        return f"[{', '.join(map(_quoted, value))}]"
    return _quoted(setting.kind.write(value))  # durations and sizes with their unit, as people write them


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
