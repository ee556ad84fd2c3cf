"""A tracker in one file: keeps every event that it was given, in order, also across processes.

It takes repetitions as a tracker does that has an identity for points: `stored` gives each event
once, `received` as often as it came. Artifacts' bytes go to the directory `artifacts_of(path)`, those
of images and of all else that has some to `payloads_of(path)`. Use it as
`backend="tracelet.testing.memory:BACKEND"` with the environment variable `MEMORY_BACKEND_FILE`.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Generator, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, cast

import msgspec

from tracelet.backend import (
    UNFIT,
    Backend,
    BlobPath,
    Configuration,
    Limits,
    Options,
    Placed,
    Remote,
    Rows,
    RunSummary,
    Writer,
    bytes_of,
    file_of,
)
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import (
    SERIES,
    Artifact,
    Event,
    Lost,
    Metric,
    Packed,
    Params,
    RunFinished,
    RunStarted,
    Tags,
    payload_of,
)
from tracelet.names import NAME_TAG, NameMap, originals

POISON: Final = "poison"
"""A metric, param or tag of this name is rejected, with all of its batch."""
LIMITS: Final = Limits(batch=100, patience=5.0)


class Row(msgspec.Struct, frozen=True):
    """One event of a run, as the file holds it; a metric apart from the rest, since it has no tag."""

    metric: Metric | None = None
    other: Packed | None = None
    run: str = ""

    @property
    def event(self) -> Event:
        """The event, whichever it is."""
        found = self.metric or self.other
        if found is None:
            message = "an empty row"
            raise ValueError(message)
        return found


class MemoryWriter:
    """See `tracelet.backend.Writer`."""

    def __init__(self, path: Path, blob: BlobPath) -> None:
        self._path = path
        self._blob = blob
        self._fd = -1
        self._run = ""

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        self._run = run.run_id
        with _mapped(str(self._path)):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._fd, b"\n")  # ends a line that a kill has torn
        self.write([run])
        return Remote(id=run.run_id, view=f"cat {self._path}", anew=not self._has_more())

    def _has_more(self) -> bool:
        """Tell whether the file has more of the run than that it was opened."""
        with _mapped(str(self._path)):
            found = (row.event for row in _rows(self._path) if row.run == self._run)
            return any(not isinstance(event, RunStarted) for event in found)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        batch = [*_in_rows(batch)]
        if any(_is_poison(event) for event in batch):
            message = "the tracker does not take poison"
            raise Rejected(message)
        for event in batch:
            if isinstance(event, Artifact):
                place = artifacts_of(self._path) / event.path
                _keep(file_of(event, self._blob), place)
            elif digest := payload_of(event)[0]:
                source = bytes_of(f"payload {digest}", digest, self._blob)
                _keep(source, payloads_of(self._path) / digest)
        rows = [
            Row(metric=event, run=self._run) if isinstance(event, Metric) else Row(other=event, run=self._run)
            for event in batch
        ]
        with _mapped(str(self._path)):
            os.write(self._fd, b"".join(_ENCODER.encode(row).hex().encode() + b"\n" for row in rows))

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _keep(source: Path, place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    except OSError as error:
        meaning = Rejected if error.errno in UNFIT else Unavailable
        message = f"{source} cannot be copied: {error}"
        raise meaning(message) from error


@contextlib.contextmanager
def _mapped(what: str) -> Generator[None, None, None]:
    """Let only `BackendError` out."""
    try:
        yield
    except OSError as error:
        message = f"{what}: {error}"
        raise Unavailable(message) from error


_ENCODER: Final = msgspec.msgpack.Encoder()


def _in_rows(batch: Sequence[Event]) -> Iterator[Event]:
    """Give what is in a row the time of the row, which is that of its first event."""
    times: dict[int, float] = {}
    for one in cast("Sequence[Event | Placed]", batch):
        if isinstance(one, Placed):
            time = times.setdefault(one.row, one.event.time)
            yield msgspec.structs.replace(one.event, time=time)
        else:
            yield one


def _is_poison(event: Event) -> bool:
    names = getattr(event, "params", None) or getattr(event, "tags", None) or ()
    return getattr(event, "name", None) == POISON or POISON in names


class MemoryReader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._path = Path(options["path"])

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest comes first."""
        found: dict[str, RunSummary] = {}
        for row in _rows(self._path):
            event = row.event
            if isinstance(event, RunStarted):
                found.setdefault(row.run, _summary(event))
            elif isinstance(event, RunFinished):
                found[row.run] = msgspec.structs.replace(found[row.run], status=event.status)
        yield from (summary for summary in found.values() if project in {None, summary.project})

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        stored = _once(row.event for row in _rows(self._path) if row.run == run)
        if not stored:
            message = f"{self._path} has no run {run!r}"
            raise Refused(message)
        names = _Names(stored)
        ends = [event for event in stored if isinstance(event, RunFinished)]
        points = sorted(
            (event for event in stored if isinstance(event, Metric)), key=lambda point: point.time
        )
        others = [event for event in stored if not isinstance(event, (Metric, RunFinished))]
        for event in (*others, *points, *ends[-1:]):
            yield from names.read(event)

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`."""
        places = (artifacts_of(self._path) / path, payloads_of(self._path) / path)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            message = f"run {run} has no artifact {path!r}"
            raise Refused(message)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, to)

    def close(self) -> None:
        """See `Reader.close`; there is nothing to let go of."""


class _Names:
    """Gives events the names back that they had before the relay mapped them."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._map = NameMap(LIMITS)
        self._tags: dict[str, str] = {}
        for event in events:
            self._tags |= event.tags if isinstance(event, (RunStarted, Tags)) else {}

    def read(self, event: Event) -> Iterator[Event]:
        """Give the event, but for a tag that only tells of a name."""
        if isinstance(event, Params):
            yield Params(event.time, {self._name(name): value for name, value in event.params.items()})
        elif isinstance(event, Tags):
            if tags := self._without_names(event.tags):
                yield Tags(event.time, tags)
        elif isinstance(event, RunStarted):
            yield msgspec.structs.replace(event, tags=self._without_names(event.tags))
        elif isinstance(event, Artifact):
            yield Artifact(time=event.time, path=event.path, size=event.size)
        elif isinstance(event, (Metric, *SERIES)):
            yield msgspec.structs.replace(event, name=self._name(event.name))
        else:
            yield event

    def _name(self, mapped: str) -> str:
        return self._map.from_tracker(mapped, originals([mapped], self._tags))

    def _without_names(self, tags: dict[str, str]) -> dict[str, str]:
        return {self._name(name): text for name, text in tags.items() if not name.startswith(NAME_TAG)}


def _summary(run: RunStarted) -> RunSummary:
    return RunSummary(id=run.run_id, name=run.name, project=run.project, status="RUNNING", started=run.time)


def received(path: Path) -> list[Event]:
    """Read everything that the tracker was given, as often as it came."""
    return [row.event for row in _rows(path)]


def _rows(path: Path) -> Iterator[Row]:
    """Read the lines of the file; one that is empty, or torn by a kill, was not confirmed."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):  # also what msgspec raises
                row = msgspec.msgpack.decode(bytes.fromhex(line.decode()), type=Row)
                if row.metric or row.other:
                    yield row


def artifacts_of(path: Path) -> Path:
    """Tell where the tracker in the file `path` keeps artifacts' bytes."""
    return path.with_name(f"{path.name}.artifacts")


def payloads_of(path: Path) -> Path:
    """Tell where the tracker in the file `path` keeps payloads' bytes: files called by their digests."""
    return path.with_name(f"{path.name}.payloads")


def stored(path: Path) -> list[Event]:
    """Read what the tracker holds: each event once, in the order of its first arrival."""
    return _once(received(path))


def _once(events: Iterable[Event]) -> list[Event]:
    found: dict[bytes, Event] = {}
    for event in events:
        # Encoded, because NaN does not equal itself.
        found.setdefault(msgspec.msgpack.encode(event), event)
    return list(found.values())


def configure(configuration: Configuration) -> dict[str, str]:
    """Choose the file."""
    return {"path": configuration.environ.get("MEMORY_BACKEND_FILE", str(configuration.directory / "memory"))}


def make_writer(options: Options, blob: BlobPath) -> Writer:
    """Make a Writer."""
    return MemoryWriter(Path(options["path"]), blob)


def identity(event: Event) -> Hashable:
    """Tell points apart by all they have."""
    return msgspec.msgpack.encode(event)


def held(event: Event) -> Event | None:
    """See `Backend.held`: all but what the relay keeps to itself, and where an artifact came from."""
    if isinstance(event, Artifact):
        return Artifact(time=event.time, path=event.path, size=event.size)
    return None if isinstance(event, Lost) else event


BACKEND: Final = Backend(
    name="memory",
    client="",
    install="",
    limits=LIMITS,
    variables="MEMORY_BACKEND_",
    configure=configure,
    writer=make_writer,
    reader=MemoryReader,
    identity=identity,
    held=held,
)

ROWS: Final = dataclasses.replace(BACKEND, name="memory_rows", rows=Rows())
"""The same, as a tracker that knows a point by its place."""
