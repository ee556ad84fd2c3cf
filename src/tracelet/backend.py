"""The shape of a backend: what a tracker must be able to do to be one of `backends/`.

A file `backends/<name>.py` holds a module-level `BACKEND: Backend`, its `Writer`, its `Reader`, and
the table that maps our words to the tracker's. It imports the tracker's client inside functions
only: the training process loads this file, and must not load the client.
"""

import errno
import stat
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from tracelet.errors import Rejected
from tracelet.events import SERIES, Artifact, Event, Metric, RunStarted

Options: TypeAlias = Mapping[str, str]
"""What a backend must know to deliver: URIs, names. Never a secret: it is stored with the run."""

BlobPath: TypeAlias = Callable[[str], Path]
"""Find a blob's bytes, by its digest. The file must not be changed."""


UPLOAD_RATE: Final = 200_000.0  # bytes per second that an artifact's upload is given time for

UNFIT: Final = frozenset(
    {
        errno.EEXIST,
        errno.EILSEQ,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
    }
)
"""What a file system says of a path where no such file can be, however long one waits.

While a record is written it is about that record, such as an artifact below the path of another; while
a run is opened, about the store.
"""

FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What it says of a place where nobody may write until somebody allows it: that is about the store."""


def patience(options: Options, usual: float) -> float:
    """Tell how long something may take: `usual` seconds, or less if the options have a `patience`.

    Every deadline of a Writer and a Reader begins with this, so that a test need not wait a minute to
    see a server given up.
    """
    return min(usual, float(options.get("patience", usual)))


def bytes_of(what: str, digest: str, blob: BlobPath) -> Path:
    """Find the bytes of something that was logged.

    Args:
        what: How a reject is to call it, such as "image 'sample'".
        digest: Theirs.
        blob: Finds them.

    Raises:
        Rejected: They are not there any more.
    """
    source = blob(digest)
    if not source.is_file():
        raise Rejected(f"{what}: its bytes are not at {source} any more")
    return source


def file_of(artifact: Artifact, blob: BlobPath) -> Path:
    """Find the file of an artifact: its copy, or the one that it refers to if that is what was logged.

    Raises:
        Rejected: It is gone, has changed, or cannot be read.
    """
    what = f"artifact {artifact.path!r}"
    if artifact.digest:
        return bytes_of(what, artifact.digest, blob)
    source = Path(artifact.reference)
    try:
        now = source.stat()
        if stat.S_ISREG(now.st_mode):  # to open another one may take for ever
            source.open("rb").close()
    except OSError as error:
        raise Rejected(f"{what}: {source} cannot be read any more: {error}") from None
    if (now.st_size, now.st_mtime) != (artifact.size, artifact.mtime):
        raise Rejected(f"{what}: {source} has changed since it was logged")
    return source


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as the tracker knows it.

    `id` is the tracker's own id of the run; `url` its page, if there is a server that shows one;
    `view` a command that shows it where there is none. `rows` is how many of the run's rows the tracker
    has, if it says so: if the relay believed that there were more, it delivers all of the run again.
    `anew` says that nothing has been written to the run since it was made, or that all of it is written
    again, as to a file: what was delivered before, if anything, is gone. Then too.
    """

    id: str
    url: str = ""
    view: str = ""
    rows: int | None = None
    anew: bool = False


class Placed(msgspec.Struct, frozen=True):
    """An event, and the number of the row that it belongs to: 0, 1, 2 … in the whole run.

    What a Writer is given instead of the event, if its backend has `rows`. The events of one row come
    next to each other, in one call of `write`; rows come in order, and a row that is sent again, by
    another process too, has the same events. A row of which everything was rejected does not come.
    """

    row: int
    event: Event


class Writer(Protocol):
    """One backend's way to take a run. Used by one thread of one process at a time.

    Every method may raise `Unavailable` (try again later), `Rejected` (never this, the rest may be
    fine) or `Refused` (never anything), and nothing else: the backend maps its client's exceptions.
    No method may block longer than `Limits.patience` without raising.
    """

    def open(self, run: RunStarted) -> Remote:
        """Find the run, or create it. Idempotent: a second call, in a new process too, finds it."""
        ...

    def write(self, batch: Sequence[Event]) -> None:
        """Deliver events, oldest first. May be called again with the same events.

        A batch never exceeds `Limits`. `RunFinished` comes last, alone, once everything else is
        acknowledged. Of a backend with `rows`, what belongs to a row is given as `Placed`.
        """
        ...

    def acknowledged(self) -> int | None:
        """Count the events since `open` that the tracker has confirmed.

        None: all that `write` returned for.
        """
        ...

    def close(self) -> None:
        """Let go of connections. What `write` was given is confirmed when this returns."""
        ...


class Live(Protocol):
    """The live run, as `Backend.attach` sees it in the training process."""

    @property
    def online(self) -> bool:
        """Whether a relay delivers this run while it goes on."""
        ...

    def restored(self, uri: str) -> str:
        """Give a URI from the options the credentials back that it came with."""
        ...

    def remote(self) -> str:
        """Wait until the relay has published the tracker's id of the run; empty if it does not come.

        Waits at most the setting `<backend>_attach_timeout` the first time, and not again after it
        failed. Says so once.
        """
        ...

    def when_imported(self, module: str, then: Callable[[ModuleType], None]) -> None:
        """Have `then` called with a module now, or as soon as the user's code has imported it."""
        ...


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a tracker's list of runs shows it."""

    id: str
    name: str
    project: str
    status: str
    started: float


class Reader(Protocol):
    """One backend's way to give runs back, also those that tracelet did not write.

    Every method may raise `Unavailable`, or `Refused`, with what to do; and nothing else. Nothing
    is changed at the tracker.
    """

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """List the runs of a project, or of all."""
        ...

    def events(self, run: str) -> Iterator[Event]:
        """Give a run's whole history, never a sample.

        `RunStarted` comes first; `RunFinished` last, or not at all while the run goes on. Metrics of
        one name come oldest first. An `Artifact` has no digest and no reference: `download` gives
        its bytes. A payload has a path instead of a digest, and is the encoded file; a `Histogram` has
        counts instead. Where a journal is the store, all of them are as they were recorded.

        Args:
            run: The tracker's own id of the run.
        """
        ...

    def download(self, run: str, path: str, to: Path) -> None:
        """Write the bytes of an artifact or a payload to a file.

        Args:
            run: The tracker's own id of the run.
            path: An artifact's path, or a payload's; of a payload without one, its digest.
            to: The file.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tracker can take. The relay keeps to it; a Writer need not check again.

    `name_characters` is the inside of a regular-expression class of the characters that a name may
    have; with `name_is_path` a name must also be a clean relative path ("a/b", never "/a", "a//b",
    "a/", "." or ".."). Names that do not fit are mapped reversibly (`tracelet.names`); values that
    are too long are cut, and counted as degraded.
    """

    batch: int = 1000  # events in one call of `write`; a `Params` or `Tags` event has one key there
    params: int = 100  # params among them
    tags: int = 100  # tags among them
    name_length: int = 250  # characters of a metric's, param's or tag's name
    name_characters: str = r"\s\S"
    name_is_path: bool = False
    param_value: int = 6000  # characters of a param's value as text
    tag_value: int = 5000  # characters
    note: int = 8000  # characters
    needs_step: bool = False  # a point without a step is given its ordinal
    patience: float = 60.0  # seconds that one call may take before the relay counts as hanging
    upload_rate: float = UPLOAD_RATE  # bytes per second; an artifact adds its size over this to the patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How the rows are made of a tracker that knows a point by its place.

    A row holds neighbouring events of one process and one step with different names. It takes the
    time of its first event; one that came more than `seconds` later begins another. The relay notes
    which events make which row before it sends any (see `tracelet.relay.plan`).
    """

    kinds: tuple[type, ...] = (Metric, *SERIES)
    seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """Something a tracker cannot hold as it was logged, and what becomes of it there."""

    what: str
    becomes: str


Confirms: TypeAlias = Literal["write", "count", "close"]
"""How a client confirms: when `write` returns, by `acknowledged`, or only when it is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A tracker, as the rest of tracelet knows it.

    Attributes:
        name: As in `start_logging(backend=…)`.
        client: The module that must be importable; empty if the backend needs none.
        install: What to type when it is not.
        limits: What the tracker can take.
        variables: What the tracker's own environment variables begin with; they are read from
            `.env` too.
        takes_url: Whether `backend_url` speaks to it.
        project_variable: The tracker's own variable that names the project.
        configure: Choose the options of one run, in the training process, without a network and
            without importing the client. The options `name`, `project` and `parent`, if there are
            any, are what the script told the tracker; they become the run's where its user named none.
        writer: Make a Writer from options; `max_image_size` is among them if the user has set it (see
            `tracelet.media.most`), and `patience` in a test (see `patience`). Called in the relay's
            process. None: the journal itself is the store, and no relay is needed.
        source: Make options of a place to read from, the part behind the colon in
            `mlflow:sqlite:///mlflow.db`.
        scheme: What stands before that colon; the backend's name if empty.
        examples: Places that `source` takes, one of each sort, for the help of `--from`.
        reader: Make a Reader from options; None while a backend cannot be read.
        attach: Let the user's own calls of the tracker's client, in the training process, land on
            the live run; returns what takes all of it back. Given the run's options.
        identity: What makes two points one in this tracker; None: it keeps all apart.
        confirms: How the client confirms.
        rows: How rows are made, of a tracker that knows a point by its place; None for all others.
        held: What an event is after its way into the tracker and back, whatever the `Limits` have
            made of it before; None for what the tracker has no place for. Equal to the event
            itself if the tracker holds it as it is. What is counted or encoded on the way cannot be
            told without its bytes, and is left out: an image's size, a histogram's counts. A run
            that comes back is equal to what was sent if, after this, both have the same points,
            texts, images and histograms (points of one `identity` are one) and the same last value
            of each param, tag, note and artifact, whose times do not count. Tags that the tracker
            sets by itself may be there besides.
        degradations: What does not survive, in words, for the documentation.
    """

    name: str
    client: str
    install: str
    limits: Limits
    variables: str = ""
    project_variable: str = ""
    takes_url: bool = False
    configure: "Callable[[Configuration], dict[str, str]]"
    writer: Callable[[Options, BlobPath], Writer] | None
    source: Callable[[str], dict[str, str]] | None = None
    scheme: str = ""
    examples: tuple[str, ...] = ()
    reader: Callable[[Options], Reader] | None = None
    attach: Callable[[Options, Live], Callable[[], None]] | None = None
    identity: Callable[[Event], Hashable] | None = None
    confirms: Confirms = "write"
    rows: Rows | None = None
    held: Callable[[Event], Event | None] | None = None
    degradations: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a backend may look at when it chooses the options of one run.

    Attributes:
        settings: Settings that speak to this backend, by their name without the backend's prefix
            (`tracking_uri` of `mlflow_tracking_uri`), and `backend_url` if the user gave one.
        environ: The environment, with `.env` beneath it.
        project: The run's project; empty if its user named none.
        name: The run's name; empty if its user named none.
        directory: Where relative paths of the user begin: the working directory at the start.
        script_directory: Where the training script lies.
        script: What was started, as the user wrote it; empty if this process does not train.
    """

    settings: Mapping[str, str]
    environ: Mapping[str, str]
    project: str
    name: str = ""
    directory: Path
    script_directory: Path
    script: str = ""
