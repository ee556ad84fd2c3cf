"""The files that settings stand in: `.env`, `tracelet.toml`, and `[tool.tracelet]` of `pyproject.toml`.

`.env` is read from the working directory. The toml file is the nearest one upwards from there, no
further than the git root, the home directory, or a directory that everybody may write to, such as
/tmp: what a stranger left there must not redirect a run. In one directory `tracelet.toml` wins, and
a `pyproject.toml` without `[tool.tracelet]` does not count. Only one toml file is read.
"""

import functools
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from tracelet.errors import ConfigError

_LOG: Final = logging.getLogger("tracelet")
_OURS: Final = "tracelet.toml"
_SHARED: Final = "pyproject.toml"
_SECTION: Final = "tool.tracelet"
_HEADER: Final = re.compile(r"^\s*\[\s*tool\s*\.\s*[\"']?tracelet\b", re.MULTILINE)
_PERHAPS: Final = re.compile(
    r"^\s*(?:\[?\s*tool\s*\.\s*)?[\"']?tracelet[\"']?\s*(?:[.\]]|=(?!=))", re.MULTILINE
)
"""Whether a `pyproject.toml` is worth reading as TOML: most are none of our business."""


@dataclass(frozen=True, slots=True)
class TomlFile:
    """The settings of a toml file, as they stand there.

    Attributes:
        path: The file.
        shown: How messages call it: by its name, if it lies in the working directory.
        values: What stands in it, by name.
        lines: In which line each name stands, as far as that can be told.
        passed_over: The `pyproject.toml` beside it that has settings too, and does not count.
    """

    path: Path
    shown: str
    values: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict[str, int])
    passed_over: Path | None = None

    def place(self, name: str) -> str:
        """Say where a name stands."""
        return f"{self.shown}:{self.lines[name]}" if name in self.lines else self.shown


def find_toml(directory: Path, environ: Mapping[str, str]) -> TomlFile | None:
    """Read the toml file that holds in `directory`; None if there is none.

    Raises:
        ConfigError: It cannot be read; the message says why, with file and line.
    """
    for place in _upwards(directory, environ):
        ours, shared = place / _OURS, place / _SHARED
        if stat.S_ISREG(_mode(ours)):
            text = _read(ours)
            values = _table(ours, text)
            return TomlFile(
                ours, _shown(ours, directory), values, _lines(text, "", values), _passed_over(shared)
            )
        if _mentions_us(shared) and (values := _section(shared)) is not None:
            lines = _lines(_read(shared), _SECTION, values)
            return TomlFile(shared, _shown(shared, directory), values, lines)
    return None


def _section(path: Path) -> dict[str, Any] | None:
    """Read `[tool.tracelet]`; None if a `pyproject.toml` has none, or is broken and not meant for us."""
    text = _read(path)
    try:
        tool = _table(path, text).get("tool")
    except ConfigError:
        if _HEADER.search(text):
            raise
        return None
    values: Any = cast("dict[str, Any]", tool).get("tracelet") if isinstance(tool, dict) else None
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"tool.tracelet={values!r} in {path} does not fit; it takes a table of settings")
    return cast("dict[str, Any] | None", values)


def _passed_over(shared: Path) -> Path | None:
    try:
        return shared if _mentions_us(shared) and _section(shared) is not None else None
    except ConfigError:
        return None


def _upwards(directory: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    # Not `Path.home`: it raises where a container's user has neither a HOME nor an entry.
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    for place in (directory, *directory.parents):
        if place != directory and _belongs_to_everybody(place):
            return
        yield place
        if place == home or _mode(place / ".git"):
            return


def _belongs_to_everybody(directory: Path) -> bool:
    mode = _mode(directory)
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)


def _mode(path: Path) -> int:
    """Return a file's mode; 0 if it is not there, or in a place that we may not look into."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _shown(path: Path, directory: Path) -> str:
    return path.name if path.parent == directory else str(path)


def _mentions_us(path: Path) -> bool:
    try:
        return bool(_PERHAPS.search(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError):  # most have none, and a broken one is another program's
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is no TOML: it is not UTF-8 (at line {line})") from None


def _table(path: Path, text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):  # loaded only where there is a file to read
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None


def _lines(text: str, section: str, names: Mapping[str, object]) -> dict[str, int]:
    """Find the lines in which names are set. It is for messages: what it does not find has no line."""
    found: dict[str, int] = {}
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w\s.\"'-]+?)\s*\]\s*(?:#|$)", line):
            here = re.sub(r"[\s\"']", "", header[1])
            if section and not here.startswith(f"{section}."):
                continue
            name = (here.removeprefix(f"{section}.") if section else here).partition(".")[0]
        elif (key := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*[.=]", line)) and here == section:
            name = key[1]
        else:
            continue
        if name in names:
            found.setdefault(name, number)
    return found


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
