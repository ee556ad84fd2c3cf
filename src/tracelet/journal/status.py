"""What the processes of a run tell each other and the user: small files in the run's directory.

`run.json` is written by the training process, and again by `tracelet sync` for another backend;
`status.<backend>` and `rejects.<backend>` by that backend's relay. They are read by the keeper, by
`stop_logging` and by the command line. Each is replaced as a whole, or grows by whole lines.
"""

import contextlib
import time
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from tracelet.errors import JournalCorrupt
from tracelet.events import RunFinished
from tracelet.journal import codec, cursors
from tracelet.journal.locks import Holder, this_host
from tracelet.journal.reader import Reader, segments

Mode: TypeAlias = Literal["online", "offline"]
Durability: TypeAlias = Literal["process", "second", "record"]
State: TypeAlias = Literal["starting", "delivering", "idle", "unavailable", "refused", "finished", "stopped"]

BEAT: Final = "keeper.beat"
"""Touched by a run's keeper while it waits for the trainer, for whoever looks from another host."""
ELSEWHERE: Final = 300.0  # seconds without a sign after which a run of another host has ended
UNSAID: Final = "the training process ended without a word"
"""The reason in the `RunFinished` of a trainer that did not write one."""
COUNTED: Final = 4 * 1024 * 1024  # bytes; reading more, only to count, would take too long
_TAIL: Final = 64 * 1024  # bytes; a RunFinished is far smaller


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a run goes to one backend, as `tracelet.settings.routes` understood it; without one, all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    kinds: tuple[str, ...] = ()
    rate: float = 0.0


class Target(msgspec.Struct, frozen=True):
    """A backend that a run goes to.

    Attributes:
        load: What loads it.
        options: What it chose at the start.
        relayed: Whether a relay delivers to it; else the journal itself is its store.
        python: The interpreter of its relay; empty if it is the run's.
        route: What of the run goes to it.
    """

    load: str
    options: dict[str, str] = {}
    relayed: bool = True
    python: str = ""
    route: Route = Route()


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be delivered.

    Attributes:
        trainer: The process that trains.
        directory: Its working directory at the start, where relative paths begin.
        python: The interpreter that runs keeper and relays.
        nice: How much keeper and relays leave the processor to others.
        linger: Seconds without progress after which the keeper leaves the rest to `tracelet sync`.
        retention: Seconds that a delivered run stays on disk.
        routes: What would go to backends that it does not have, should `tracelet sync` add them.
    """

    run_id: str
    name: str
    project: str
    time: float
    trainer: Holder
    host: str
    directory: str
    python: str
    targets: dict[str, Target]
    mode: Mode = "online"
    durability: Durability = "process"
    linger: float = 600.0
    nice: int = 10
    retention: float = 30 * 86400.0
    routes: dict[str, Route] = {}
    version: int = 1

    @property
    def relayed(self) -> tuple[str, ...]:
        """The backends that a relay delivers to; the others have everything at once."""
        return tuple(name for name, target in self.targets.items() if target.relayed)

    def called(self, given: str) -> str:
        """Return a backend's name in the run, given that or what loads it; empty if the run lacks it."""
        if given in self.targets:
            return given
        return next((name for name, target in self.targets.items() if target.load == given), "")

    @property
    def kept(self) -> bool:
        """Whether the journal is itself one of the stores: then nothing of it is deleted."""
        return len(self.relayed) < len(self.targets)


def no_run(name: str, project: str) -> RunFile:
    """Stand for a run of which nothing is recorded."""
    return RunFile(
        run_id="",
        name=name,
        project=project,
        time=0.0,
        trainer=Holder(0),
        host="",
        directory="",
        python="",
        targets={},
    )


class DeliveryStatus(msgspec.Struct, kw_only=True):
    """What one relay is doing. Times are seconds since the epoch.

    Attributes:
        since: When `state` began. For `unavailable`: when the first call began that failed.
        beat: When the relay last showed that it lives.
        deadline: When it counts as hanging if it has not beaten again.
        progressed: When the tracker last acknowledged something.
        error: The last error's text; empty once something succeeded after it.
    """

    state: State = "starting"
    since: float = 0.0
    beat: float = 0.0
    deadline: float = 0.0
    progressed: float = 0.0
    error: str = ""
    id: str = ""
    url: str = ""
    view: str = ""
    pid: int = 0


class Reject(msgspec.Struct, frozen=True):
    """A record that a tracker would not take; the journal still has it, at `segment`, `start`."""

    segment: str
    start: int
    key: str
    event: str
    reason: str
    time: float


def write_run(directory: Path, run: RunFile) -> None:
    """Write `run.json`.

    Raises:
        OSError: It cannot be written.
    """
    cursors.replace(directory / "run.json", msgspec.json.format(_encoded(run), indent=2))


def _encoded(value: msgspec.Struct) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a directory's name, or an error's text that has one
        return msgspec.json.encode(codec.escaped(msgspec.to_builtins(value)))


def read_run(directory: Path) -> RunFile:
    """Read `run.json`.

    Raises:
        JournalCorrupt: There is none, or none that this version can read.
    """
    try:
        return msgspec.json.decode((directory / "run.json").read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{directory} is not a run that this version of tracelet can read: {error}"
        raise JournalCorrupt(message) from error


def stores(directory: Path) -> frozenset[str]:
    """Name the backends of a run whose store is the journal itself."""
    try:
        run = read_run(directory)
    except JournalCorrupt:
        return frozenset()
    return frozenset(run.targets) - frozenset(run.relayed)


def delivery_path(directory: Path, backend: str) -> Path:
    """Tell where a backend's status lies in a run's directory."""
    return directory / f"status.{backend}"


def write_delivery(directory: Path, backend: str, status: DeliveryStatus) -> None:
    """Replace a backend's status.

    Raises:
        OSError: It cannot be written.
    """
    cursors.replace(delivery_path(directory, backend), _encoded(status))


def read_delivery(directory: Path, backend: str) -> DeliveryStatus:
    """Read a backend's status; a fresh one if its relay never ran."""
    try:
        return msgspec.json.decode(delivery_path(directory, backend).read_bytes(), type=DeliveryStatus)
    except (OSError, msgspec.MsgspecError):
        return DeliveryStatus()


def forget_delivery(directory: Path, backend: str) -> None:
    """Let a backend's delivery begin anew: nothing of it is known any more, but for the plan of its rows.

    Only whoever holds the keeper's lock may.

    Raises:
        OSError: Its files cannot be deleted.
    """
    for kind in ("cursor", "status", "rejects"):
        (directory / f"{kind}.{backend}").unlink(missing_ok=True)


def append_reject(directory: Path, backend: str, reject: Reject) -> None:
    """Keep a reject.

    Raises:
        OSError: It cannot be written.
    """
    line = _encoded(reject) + b"\n"
    with (directory / f"rejects.{backend}").open("a+b", buffering=0) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        if size and file.read(1) != b"\n":
            line = b"\n" + line  # a kill cut the last one short; this one must not become its end
        file.write(line)


def rejects(directory: Path, backend: str) -> list[Reject]:
    """Read what a backend would not take, each record once however often it was tried."""
    try:
        lines = (directory / f"rejects.{backend}").read_bytes().splitlines()
    except OSError:
        return []
    found: dict[tuple[str, int, str], Reject] = {}
    for line in lines:
        try:
            reject = msgspec.json.decode(line, type=Reject)
        except msgspec.MsgspecError:
            continue  # a line that a kill cut short; the relay wrote it again
        found[reject.segment, reject.start, reject.key] = reject
    return list(found.values())


def ending(directory: Path) -> RunFinished | None:
    """Find how a run ended; None while it goes on, or if its trainer died and nobody noticed yet."""
    for segment in reversed(segments(directory)):
        if segment.startswith(("trainer-", "keeper-")):
            event = _last_event(directory, segment)
            if event is not None:
                return event
    return None


def _last_event(directory: Path, segment: str) -> RunFinished | None:
    """Read a segment's last record, if it is a `RunFinished`: nothing may follow one."""
    try:
        with (directory / segment).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            tail = file.read()
    except OSError:
        return None
    view, salt = memoryview(tail), codec.salt_of(segment)
    at = tail.rfind(codec.MARKER)
    while at >= 0:
        whole = codec.whole_frame(view, at, salt)
        if whole is not None:
            if whole.type != codec.EVENT:
                return None
            try:
                event = codec.decode_event(whole.payload)
            except msgspec.MsgspecError:
                return None
            return event if isinstance(event, RunFinished) else None
        at = tail.rfind(codec.MARKER, 0, at)
    return None


def lag(directory: Path, backend: str) -> int:
    """Count the records that a backend has not acknowledged yet; beyond some 100,000 an estimate."""
    waiting = backlog(directory, backend)
    if waiting == 0 or waiting > COUNTED:
        return waiting // codec.FRAME.size
    reader = Reader(directory, cursors.load(directory, backend).offsets)
    behind = 0
    while records := reader.read(10_000):
        behind += len(records)
    return behind


def backlog(directory: Path, backend: str) -> int:
    """Measure what a backend has not acknowledged yet, in bytes; cheaper than `lag`."""
    if backend in stores(directory):
        return 0
    offsets = cursors.load(directory, backend).offsets
    return sum(max(0, size - offsets.get(name, 0)) for name, size in sizes(directory).items())


def last_records(directory: Path, ends: dict[str, int], offsets: dict[str, int]) -> bool:
    """Tell whether no record between `offsets` and `ends`, offsets per segment, is left."""
    behind = {name: end for name, end in ends.items() if offsets.get(name, 0) < end}
    if sum(end - offsets.get(name, 0) for name, end in behind.items()) > _TAIL:
        return False
    reader = Reader(directory, {**ends, **{name: offsets.get(name, 0) for name in behind}})
    while records := reader.read(10_000):
        if any(record.start < behind.get(record.segment, 0) for record in records):
            return False
    return True


def sizes(directory: Path) -> dict[str, int]:
    """Measure a run's segments, in bytes."""
    found: dict[str, int] = {}
    for name in segments(directory):
        with contextlib.suppress(OSError):
            found[name] = (directory / name).stat().st_size
    return found


def has_grown(directory: Path, cursor: cursors.Cursor) -> bool:
    """Tell whether anything was recorded after a cursor was finished; False if it does not know."""
    known = cursor.sizes
    return bool(known) and any(size > known.get(name, 0) for name, size in sizes(directory).items())


def is_complete(directory: Path, backend: str) -> bool:
    """Tell whether a backend has all of a run, its end and what came after it included."""
    return backend in stores(directory) or _is_acknowledged(directory, backend)


def is_delivered(directory: Path, run: RunFile) -> bool:
    """Tell whether every backend of a run has all of it, its end included."""
    return all(_is_acknowledged(directory, name) for name in run.relayed)


def _is_acknowledged(directory: Path, backend: str) -> bool:
    cursor = cursors.load(directory, backend)
    return cursor.finished and not has_grown(directory, cursor)


def trainer_lives(directory: Path, run: RunFile) -> bool:
    """Tell whether a run's training process still runs.

    A process of another host cannot be seen, only that it writes: the run counts as alive for as
    long as its journal grows or its keeper shows that it lives.
    """
    if run.host == this_host():
        return run.trainer.alive
    signs = [*(directory / name for name in segments(directory)), directory / BEAT]
    newest = max((path.stat().st_mtime for path in signs if path.exists()), default=0.0)
    return time.time() - newest < ELSEWHERE


def has_ended(directory: Path, run: RunFile) -> bool:
    """Tell whether nothing more will be recorded in a run, but perhaps its end."""
    return not trainer_lives(directory, run) or ending(directory) is not None


def run_status(directory: Path, run: RunFile) -> str:
    """Tell how a run stands: RUNNING, FINISHED, FAILED or KILLED."""
    end = ending(directory)
    if end is not None:
        return end.status
    return "RUNNING" if trainer_lives(directory, run) else "KILLED"
