"""A tracker in one file: keeps every event that it was given, in order, also across processes.

It takes repetitions as a tracker does that has an identity for points: `stored` gives each event
once, `received` as often as it came. Artifacts' bytes go to the directory `artifacts_of(path)`, those
of images and of all else that has some to `payloads_of(path)`. Use it as
`backend="tracelet.testing.memory:BACKEND"` with the environment variable `MEMORY_BACKEND_FILE`.
"""

import os
import shutil
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tracelet.backend import Backend, BlobPath, Configuration, Limits, Options, Remote, Writer
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Artifact, Event, Metric, Packed, RunStarted, payload_of

POISON: Final = "poison"
"""A metric, param or tag of this name is rejected, with all of its batch."""


class Row(msgspec.Struct, frozen=True):
    """One event as the file holds it; a metric apart from the rest, since it has no tag."""

    metric: Metric | None = None
    other: Packed | None = None

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

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._fd, b"\n")  # ends a line that a kill has torn
        self.write([run])
        return Remote(id=run.run_id, view=f"cat {self._path}")

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        if any(_is_poison(event) for event in batch):
            message = "the tracker does not take poison"
            raise Rejected(message)
        for event in batch:
            if isinstance(event, Artifact):
                place = artifacts_of(self._path) / event.path
                self._keep(self._bytes_of(event), place, f"artifact {event.path}")
            elif digest := payload_of(event)[0]:
                self._keep(self._blob(digest), payloads_of(self._path) / digest, f"payload {digest}")
        rows = [Row(metric=e) if isinstance(e, Metric) else Row(other=e) for e in batch]
        os.write(self._fd, b"".join(_ENCODER.encode(row).hex().encode() + b"\n" for row in rows))

    def _bytes_of(self, artifact: Artifact) -> Path:
        return self._blob(artifact.digest) if artifact.digest else Path(artifact.reference)

    def _keep(self, source: Path, place: Path, what: str) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        except FileNotFoundError as error:
            message = f"{what}: {error}"
            raise Rejected(message) from error
        except OSError as error:
            message = f"{what}: {error}"
            raise Unavailable(message) from error

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_ENCODER: Final = msgspec.msgpack.Encoder()


def _is_poison(event: Event) -> bool:
    names = getattr(event, "params", None) or getattr(event, "tags", None) or ()
    return getattr(event, "name", None) == POISON or POISON in names


def received(path: Path) -> list[Event]:
    """Read everything that the tracker was given, as often as it came."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    """Read one line; None for one that is empty, or torn by a kill: its batch was not confirmed."""
    try:
        return msgspec.msgpack.decode(bytes.fromhex(line.decode()), type=Row).event
    except ValueError:  # also what msgspec raises
        return None


def artifacts_of(path: Path) -> Path:
    """Tell where the tracker in the file `path` keeps artifacts' bytes."""
    return path.with_name(f"{path.name}.artifacts")


def payloads_of(path: Path) -> Path:
    """Tell where the tracker in the file `path` keeps payloads' bytes: files called by their digests."""
    return path.with_name(f"{path.name}.payloads")


def stored(path: Path) -> list[Event]:
    """Read what the tracker holds: each event once, in the order of its first arrival."""
    found: dict[bytes, Event] = {}
    for event in received(path):
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


BACKEND: Final = Backend(
    name="memory",
    client="",
    install="",
    limits=Limits(batch=100, patience=5.0),
    variables="MEMORY_BACKEND_",
    configure=configure,
    writer=make_writer,
    identity=identity,
)
