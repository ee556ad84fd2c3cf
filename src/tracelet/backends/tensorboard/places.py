"""Which directory is a run's: `<project>/<name>`, below the one that event files go to.

A directory belongs to the run whose id stands in its `tracelet.json`, and the file is linked there
whole, so that of two processes one is first. A name that is taken, by another run or by somebody
else's event files, gets the end of our run_id behind it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tracelet.backend import Configuration, Limits
from tracelet.errors import ConfigError, Refused
from tracelet.names import NameMap

SAID: Final = "tracelet.json"
"""The file in a run's directory that says what event files cannot."""
EVENTS: Final = "tfevents"
"""What the name of every event file has in it."""
USUAL: Final = "runs"  # as torch's writer has it
_PARTS: Final = NameMap(
    Limits(name_length=120, name_characters=r"\x20-\x2e\x30-\x5b\x5d-\x7e\xa0-\U0010ffff", name_is_path=True)
)
_BYTES: Final = 200  # of a directory's name; file systems take 255


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose the directory."""
    chosen = configuration.settings.get("dir", "") or USUAL
    return {"dir": str(configuration.directory.absolute() / _expanded(chosen))}


def source(text: str) -> dict[str, str]:
    """Make options of a directory; empty for the usual one.

    Raises:
        ConfigError: There is no event file in it.
    """
    place = Path.cwd() / _expanded(text.strip() or USUAL)
    if not place.is_dir() or next(with_events(place), None) is None:
        raise ConfigError(
            f"there are no event files below {place}; tensorboard: takes what `tensorboard --logdir` does"
        )
    return {"dir": str(place)}


def with_events(place: Path) -> Iterator[Path]:
    """Find the directories below a place, and the place itself, that have event files."""
    for root, directories, files in os.walk(place):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        if any(EVENTS in name for name in files):
            yield Path(root)


def claim(place: Path, project: str, name: str, said: dict[str, Any]) -> Path:
    """Find a run's directory, or make it: with `said`, which has its `run_id`, in its `tracelet.json`."""
    run_id = str(said["run_id"])
    names = (name, f"{name}-{run_id[-6:]}", f"{name}-{run_id}", run_id)
    for chosen in names:
        directory = place / _part(project, "project") / _part(chosen, run_id)
        directory.mkdir(parents=True, exist_ok=True)
        if owner(directory) is None and not _is_somebodys(directory):
            _link(directory / SAID, json.dumps(said, ensure_ascii=False, indent=1))
        if owner(directory) == run_id:
            return directory
    raise Refused(f"every directory for the run below {place} is another run's: {', '.join(names)}")


def owner(directory: Path) -> str | None:
    """Return the run_id of the run that a directory belongs to; None if it is none of ours."""
    try:
        return str(json.loads((directory / SAID).read_bytes())["run_id"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def replace(file: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    made = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        made.write_bytes(content)
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)


def _is_somebodys(directory: Path) -> bool:
    return any(EVENTS in name or name == SAID for name in os.listdir(directory))  # noqa: PTH208  names will do


def _link(file: Path, content: str) -> None:
    made = file.with_name(f".{file.name}.{os.getpid()}")
    made.write_text(content, "utf-8")
    try:
        os.link(made, file)
    except FileExistsError:
        pass  # another process was faster
    finally:
        made.unlink(missing_ok=True)


def _part(name: str, otherwise: str) -> str:
    """Make a directory's name."""
    mapped = _PARTS.to_tracker(name or otherwise)
    if mapped.startswith("."):
        mapped = f"_{mapped}"  # else nobody would look into it
    return mapped.encode()[:_BYTES].decode("utf-8", "ignore")


def _expanded(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises without a home
