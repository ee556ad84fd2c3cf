"""Files of a run beside its event files.

    artifacts/<path>                     artifacts
    files/<kind>/<digest>.<ending>       payloads that no event file can hold

A path is escaped as names are, where a file system does not take it; so is one that is an event file's,
which TensorBoard would take for a run's.
"""

import os
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from tracelet.backend import BlobPath, Limits, bytes_of, file_of
from tracelet.backends.tensorboard.places import EVENTS
from tracelet.errors import Rejected
from tracelet.events import Artifact
from tracelet.names import NameMap

ARTIFACTS: Final = "artifacts"
FILES: Final = "files"
_PATHS: Final = NameMap(
    Limits(name_length=100_000, name_characters=r"\x01-\x5b\x5d-\U0010ffff", name_is_path=True)
)
_LONGEST: Final = 240  # bytes of one part; file systems take 255
_MARK: Final = "tf_0x65_vents"


def place_of(path: str) -> str:
    """Return where the artifact of a path lies."""
    mapped = _PATHS.to_tracker(path).replace(EVENTS, _MARK)
    if any(len(part.encode()) > _LONGEST for part in mapped.split("/")):
        raise Rejected(f"artifact {path!r}: a part of its path is too long for a file system")
    return f"{ARTIFACTS}/{mapped}"


def path_of(place: str) -> str:
    """Return the path that `place_of` made this place of."""
    return _PATHS.from_tracker(place.removeprefix(f"{ARTIFACTS}/"))


class Filing:
    """Puts a run's files.

    Args:
        directory: The run's.
        blob: Finds their bytes.
    """

    def __init__(self, directory: Path, blob: BlobPath) -> None:
        self._directory = directory
        self._blob = blob

    def artifact(self, event: Artifact) -> None:
        """Put an artifact; it replaces the one of the same path."""
        source = file_of(event, self._blob)

        def copy(made: Path) -> None:
            shutil.copyfile(source, made)
            logged = round(Fraction(event.time) * 10**9)  # in whole nanoseconds, of which a float has not all
            os.utime(made, ns=(logged, logged))

        self._put(self._directory / place_of(event.path), copy)

    def keep(self, event: Any, name: str, write: Callable[[Path], object]) -> str:
        """Have a payload's file written, unless it is there; return its place in the run's directory."""
        place = f"{FILES}/{type(event).__name__.lower()}/{re.sub(r'[^A-Za-z0-9._-]', '_', name)[-100:]}"
        if not (self._directory / place).is_file():
            self._put(self._directory / place, write)
        return place

    def find(self, path: str) -> Path:
        """Tell where an artifact lies."""
        return self._directory / place_of(path)

    def source(self, event: Any) -> Path:
        """Find the bytes of a payload."""
        return bytes_of(f"{type(event).__name__.lower()} {event.name!r}", event.data.digest, self._blob)

    def _put(self, file: Path, write: Callable[[Path], object]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        made = self._directory / f".made.{os.getpid()}"
        try:
            write(made)
            made.replace(file)
        finally:
            made.unlink(missing_ok=True)
