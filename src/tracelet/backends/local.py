"""The journal itself as the store: nothing is delivered, and nothing of the run is ever deleted.

    ours                 here
    everything           the journal, as it was recorded (see `tracelet.journal`)
    run                  a directory below `.tracelet`; its id is the directory's name

So there is no Writer, no relay and nothing that could not survive. `journal:DIRECTORY` reads any
journal back, whatever backends the run had.
"""

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracelet.backend import Backend, Limits, Options, RunSummary
from tracelet.errors import ConfigError, JournalCorrupt, Refused, Unavailable
from tracelet.events import Artifact, Event
from tracelet.journal import blobs, history, shelf, status

if TYPE_CHECKING:
    from tracelet.journal.reader import Damage

_LOG: Final = logging.getLogger("tracelet.backends.local")
_ANY: Final = sys.maxsize
_DIGEST: Final = re.compile("[0-9a-f]{64}")
LIMITS: Final = Limits(
    batch=_ANY, params=_ANY, tags=_ANY, name_length=_ANY, param_value=_ANY, tag_value=_ANY, note=_ANY
)


def source(text: str) -> dict[str, str]:
    """Make options of a place: a `.tracelet` directory, one that has it inside, or one run's directory.

    Raises:
        ConfigError: There are no runs there.
    """
    if not text:
        return {"shelf": str(shelf.locate(Path.cwd(), os.environ).absolute())}
    place = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  Path's raises where no home is known
    if (place / "run.json").is_file():
        return {"shelf": str(place.parent), "run": place.name}
    if (place / ".tracelet").is_dir():
        place /= ".tracelet"
    if place.name == ".tracelet" and place.is_dir():
        return {"shelf": str(place)}
    if not shelf.runs(place):
        message = (
            f"there are no runs in {place}; journal: takes a .tracelet directory, "
            "one that has it inside, or one run's directory"
        )
        raise ConfigError(message)
    return {"shelf": str(place)}


class Reader:
    """Gives the runs of a `.tracelet` directory back; see `tracelet.backend.Reader`.

    An `Artifact` and a payload keep digest and reference, so that what comes back equals what was
    recorded.
    """

    def __init__(self, options: Options) -> None:
        self._shelf = Path(options["shelf"])
        self._only = options.get("run", "")
        self._artifacts: dict[str, Artifact] = {}
        self._artifacts_of: object = None  # the run's directory, and how large its segments were

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest comes first. One that cannot be read is skipped with a warning."""
        with _mapped(self._shelf):
            os.scandir(self._shelf).close()  # else a directory that cannot be read would look empty
            directories = [self._shelf / self._only] if self._only else shelf.runs(self._shelf)
        for directory in directories:
            try:
                run = status.read_run(directory)
                how = status.run_status(directory, run)
            except (JournalCorrupt, OSError) as error:
                _LOG.warning("%s is skipped: %s", directory.name, error)
                continue
            if project in {None, run.project}:
                yield RunSummary(
                    id=directory.name, name=run.name, project=run.project, status=how, started=run.time
                )

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`; several processes' records are merged by time.

        What is damaged is left out, and a warning says how much that was.
        """
        damages: list[Damage] = []
        with _mapped(run):
            yield from history.whole(self._find(run), damages.append)
        if damages:
            size = sum(damage.size for damage in damages)
            _LOG.warning(
                "%d places of the journal of %s, %d bytes, cannot be read: %s",
                len(damages),
                run,
                size,
                ", ".join(sorted({damage.reason for damage in damages})),
            )

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`; of a path that was logged several times, the last."""
        with _mapped(run):
            directory = self._find(run)
            artifact = self._artifacts_in(directory).get(path)
        if artifact is not None:
            found = _bytes_of(directory, artifact)
        elif _DIGEST.fullmatch(path) and (found := blobs.path_of(directory, path)).is_file():
            pass  # what a payload holds
        else:
            raise Refused(_absent(run, path))
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, to)
        except OSError as error:
            raise Refused(f"artifact {path!r} cannot be copied from {found} to {to}: {error}") from error

    def close(self) -> None:
        """See `Reader.close`; there is nothing to let go of."""

    def _find(self, run: str) -> Path:
        directory = shelf.find(self._shelf, run)
        if self._only not in {"", directory.name}:
            raise Refused(f"{self._shelf / self._only} is one run, and not {run!r}")
        return directory

    def _artifacts_in(self, directory: Path) -> dict[str, Artifact]:
        """Find a run's artifacts, each as it was logged last; the journal is read once for all of them."""
        now = (directory, status.sizes(directory))
        if now != self._artifacts_of:
            events = history.merged(directory, lambda _: None)
            self._artifacts = {event.path: event for event in events if isinstance(event, Artifact)}
            self._artifacts_of = now
        return self._artifacts


def _absent(run: str, path: str) -> str:
    if _DIGEST.fullmatch(path):
        return f"run {run} does not have the bytes {path[:8]}… any more: every backend of the run had them"
    return f"run {run} has no artifact {path!r}"


def _bytes_of(directory: Path, artifact: Artifact) -> Path:
    """Find an artifact's bytes, where they are still what was logged.

    Raises:
        Refused: They are gone, or they are not.
    """
    blob = Path(artifact.reference) if not artifact.digest else blobs.path_of(directory, artifact.digest)
    try:
        now = blob.stat()
    except OSError as error:
        reason = "its bytes are gone: every backend of the run had them" if artifact.digest else str(error)
        raise Refused(f"artifact {artifact.path!r}: {reason}") from None
    if now.st_size != artifact.size or (not artifact.digest and now.st_mtime != artifact.mtime):
        raise Refused(f"artifact {artifact.path!r}: {blob} has changed since it was logged")
    return blob


@contextlib.contextmanager
def _mapped(what: object) -> Generator[None]:
    """Let only `BackendError` out."""
    try:
        yield
    except (ConfigError, JournalCorrupt) as error:
        raise Refused(str(error)) from error
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Refused(f"{what} cannot be read: {error}") from error
    except OSError as error:
        raise Unavailable(f"{what} cannot be read now: {error}") from error


BACKEND: Final = Backend(
    name="local",
    client="",
    install="",
    limits=LIMITS,
    configure=lambda _: {},
    writer=None,
    source=source,
    scheme="journal",
    examples=("DIRECTORY",),
    reader=Reader,
)
