"""`tracelet export --artifacts`: a run's files, and its images and histograms as files."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from tracelet import media
from tracelet.cli.sources import Origin
from tracelet.errors import BackendError, MissingDependency
from tracelet.events import Histogram, Image
from tracelet.journal import blobs

Kept: TypeAlias = Image | Histogram
"""What is no file, but may be made one."""

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
        series: Its images and histograms; those without bytes of their own are passed over.
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
        data = event.data
        if data is None:
            continue
        if data.path:
            yield data.path, lambda to, path=data.path: origin.fetch(path, to)
        else:
            yield _path(event), lambda to, event=event: _make(origin, event, to)


def _path(event: Kept) -> str:
    kind = "images" if isinstance(event, Image) else "histograms"
    step = "no-step" if event.step is None else f"step-{event.step:08d}"
    if event.data is None:
        return f"{kind}/{event.name}/{step}"
    ending = event.data.format or ("png" if isinstance(event, Image) else "npy")
    return f"{kind}/{event.name}/{step}-{event.data.digest[:_IN_ONE_STEP]}.{ending}"


def _make(origin: Origin, event: Kept, to: Path) -> None:
    """Write an array as a file that others read: a picture, or numpy's own format."""
    if event.data is None:
        return
    raw = to.with_name(f"{to.name}.raw")
    try:
        origin.fetch(event.data.digest, raw)
        if event.data.format:
            raw.replace(to)
        elif isinstance(event, Image):
            to.write_bytes(media.encoded(media.picture(event, raw), "PNG"))
        else:
            media.save(event.data, raw, to)
    except ImportError as error:
        raise MissingDependency(f"{error}: pip install numpy pillow") from error
    finally:
        raw.unlink(missing_ok=True)
