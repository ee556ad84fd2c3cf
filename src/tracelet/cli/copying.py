"""`tracelet export --artifacts`: a run's files, and all else that has bytes as files that others open."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from tracelet import media
from tracelet.cli.sources import Origin
from tracelet.errors import BackendError, MissingDependency
from tracelet.events import SERIES, Bundle, Histogram, Series, Text, payload_of
from tracelet.journal import blobs
from tracelet.journal.census import PLURALS

Kept: TypeAlias = Series | Bundle
"""What is no file, but may be made one."""
SHOWN: Final = tuple(kind for kind in SERIES if kind not in {Text, Histogram})
"""The classes of what is whole once its bytes are a file; a histogram may have counts instead."""
KEPT: Final = (*SHOWN, Histogram, Bundle)
"""The classes of what may have bytes."""

_IN_ONE_STEP: Final = 8  # digits of a digest, which tell apart what has one name and step


class Copied:
    """What became of one run's files.

    Attributes:
        count: How many there are now.
        failed: Those that could not be copied, by path, and why.
    """

    def __init__(self) -> None:
        self.count = 0
        self.failed: dict[str, str] = {}


def copy(origin: Origin, artifacts: Iterable[str], series: Iterable[Kept], below: Path, new: Path) -> Copied:
    """Copy a run's files; what cannot be copied does not keep the others.

    Args:
        origin: The run.
        artifacts: The paths of its artifacts.
        series: What else may have bytes; what has none of its own is passed over.
        below: The directory that they go to.
        new: A place for a file that is not whole yet.
    """
    copied = Copied()
    for path, make in _files(origin, artifacts, series):
        place = blobs.clean(path)  # another's tracker could say "../../.bashrc"
        try:
            if not place:
                raise OSError("it has no name")
            below.mkdir(parents=True, exist_ok=True)
            make(new)
            (below / place).parent.mkdir(parents=True, exist_ok=True)
            new.replace(below / place)
            copied.count += 1
        except (OSError, ValueError, BackendError, MissingDependency) as error:
            copied.failed[path] = str(error)
        finally:
            new.unlink(missing_ok=True)
    return copied


def _files(
    origin: Origin, artifacts: Iterable[str], series: Iterable[Kept]
) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Give the path of each file, and what writes it."""
    for path in artifacts:
        yield path, lambda to, path=path: origin.fetch(path, to)
    for event in series:
        data = None if isinstance(event, Text) else event.data
        if data is None:
            continue
        if data.path:
            yield data.path, lambda to, path=data.path: origin.fetch(path, to)
        else:
            yield _path(event), lambda to, event=event: _make(origin, event, to)


def _path(event: Kept) -> str:
    kind = "bundles" if isinstance(event, Bundle) else PLURALS[type(event)]
    step = "no-step" if event.step is None else f"step-{event.step:08d}"
    digest, _ = payload_of(event)
    return f"{kind}/{event.name}/{step}-{digest[:_IN_ONE_STEP]}.{media.ending(event)}"


def _make(origin: Origin, event: Kept, to: Path) -> None:
    """Write bytes as a file that others read."""
    raw = to.with_name(f"{to.name}.raw")
    try:
        origin.fetch(payload_of(event)[0], raw)
        media.write(event, raw, to)
    except ImportError as error:
        raise MissingDependency(f"{error}: pip install numpy pillow") from error
    finally:
        raw.unlink(missing_ok=True)
