"""Runs and their events, wherever they are: on the shelf, or with `--from` at a tracker."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from typer.core import TyperCommand

from tracelet import backend, backends, settings
from tracelet.cli import output
from tracelet.cli.runs import Run, look, shelf_at
from tracelet.errors import ConfigError, JournalCorrupt, JournalError, suggestion
from tracelet.events import Event
from tracelet.journal import history, shelf
from tracelet.journal.reader import Damage

LISTED: Final = 10  # runs that an error names, the newest

From: TypeAlias = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="SOURCE",
        help="Where the runs are, if not on this machine's shelf: a tracker, or another directory."
        " See the list of sources below.",
    ),
]


class Readable(TyperCommand):
    """A command with `--from`, whose help ends with the sources that there are.

    They are asked for only then: a command that runs loads no backend that it does not need.
    """

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # click's, or those that typer brings
        """Write the sources, as the backends tell of them."""
        with formatter.section("Sources, for --from"):
            formatter.write_dl(_sources())
        super().format_epilog(ctx, formatter)


def _sources() -> list[tuple[str, str]]:
    """List what a source can begin with, and what may follow; another package's backend may be broken."""
    found: dict[str, str] = {}
    for name in backends.names():
        with contextlib.suppress(ConfigError, ImportError, AttributeError):
            one = backends.load(name)
            if one.source is None or one.reader is None:
                continue
            scheme = one.scheme or name
            places = ", ".join(f"{scheme}:{place}" for place in one.examples or ("PLACE",))
            found[f"{scheme}:"] = places if backends.has_client(one) else f"{places} ({one.install})"
    return sorted(found.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A run, and the way to its events.

    Attributes:
        id: What it is called there.
        name: As the user called it.
        project: As the user called it.
        status: RUNNING, FINISHED, FAILED or KILLED.
        started: When it began, in seconds since the epoch.
        events: Reads all of them, `RunStarted` first, `RunFinished` last; tells its argument of what
            cannot be read. Raises JournalError or BackendError.
        fetch: Writes the bytes of the artifact of a path to a file. Raises BackendError.
        run: The run on the shelf; None at a tracker.
    """

    id: str
    name: str
    project: str
    status: str
    started: float
    events: Callable[[Callable[[Damage], object]], Iterator[Event]]
    fetch: Callable[[str, Path], None]
    run: Run | None = None


@contextlib.contextmanager
def opened(place: Path | None, source: str, wanted: Sequence[str]) -> Generator[list[Origin]]:
    """Find runs, each once, in the order in which they were named.

    Args:
        place: The directory of the runs, if the user named one.
        source: Where else the runs are; empty for the shelf.
        wanted: An id, its beginning or end, or a name; of several runs of one name it is the newest.

    Raises:
        ConfigError: There is no such run or source.
        JournalError: A run on the shelf cannot be read.
        BackendError: The tracker does not answer.
    """
    if not source:
        where = shelf_at(place)
        yield [on_shelf(directory) for directory in dict.fromkeys(shelf.find(where, name) for name in wanted)]
        return
    refuse_both(place, source)
    with contextlib.closing(reader_of(source)) as reader:
        listed = list(reader.runs(None))
        found = {run.id: run for run in (_find(listed, name, source) for name in wanted)}
        yield [_at_tracker(reader, run) for run in found.values()]


def reader_of(source: str) -> backend.Reader:
    """Open a source where a relay's client would look, too: in `.env`, below the environment.

    Raises:
        ConfigError: There is no such source.
    """
    settings.lend_environment(Path.cwd(), (backends.of_source(source).variables, "TRACELET_"))
    return backends.reader(source)


def refuse_both(place: Path | None, source: str) -> None:
    """Refuse two places at once.

    Raises:
        ConfigError: There are two.
    """
    if place is not None and source:
        raise ConfigError(f"--dir and --from name two places; say --from journal:{place} for that directory")


def on_shelf(directory: Path) -> Origin:
    """Take a run on the shelf.

    Raises:
        JournalCorrupt: It cannot be read.
    """
    run = look(directory)
    if run.status == "UNREADABLE":
        raise JournalCorrupt(run.attention[0])
    reader = _local(directory)
    return Origin(
        id=run.run_id,
        name=run.name,
        project=run.project,
        status=run.status,
        started=run.started,
        events=lambda damaged: _journal(directory, damaged),
        fetch=lambda path, to: reader.download(directory.name, path, to),
        run=run,
    )


def _journal(directory: Path, damaged: Callable[[Damage], object]) -> Iterator[Event]:
    try:
        yield from history.whole(directory, damaged)
    except OSError as error:
        raise JournalError(f"the journal in {directory} cannot be read: {error}") from error


def _local(directory: Path) -> backend.Reader:
    """Make the reader that knows where the artifacts of a shelf's runs are."""
    local = backends.load("local")
    if local.reader is None:
        raise ConfigError("the backend 'local' has no reader")
    return local.reader({"shelf": str(directory.parent)})


def _at_tracker(reader: backend.Reader, run: backend.RunSummary) -> Origin:
    return Origin(
        id=run.id,
        name=run.name,
        project=run.project,
        status=run.status,
        started=run.started,
        events=lambda _: reader.events(run.id),
        fetch=lambda path, to: reader.download(run.id, path, to),
    )


def _find(runs: Iterable[backend.RunSummary], wanted: str, source: str) -> backend.RunSummary:
    """Find a run by its id, its name (the newest of that name), or the beginning or end of its id."""
    known = sorted(runs, key=lambda run: (run.started, run.id))
    exact = [run for run in known if run.id == wanted] or [run for run in known if run.name == wanted]
    if exact:
        return exact[-1]
    fitting = [run for run in known if run.id.startswith(wanted) or run.id.endswith(wanted)] if wanted else []
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConfigError(f"{len(fitting)} runs fit {wanted!r}: {_listed(fitting)}. Give more of the id")
    if not known:
        raise ConfigError(f"no run {wanted!r}: there are none in {source}")
    names = [text for run in known for text in (run.id, run.name)]
    raise ConfigError(
        f"no run {wanted!r} in {source}; there are {_listed(known)}.{suggestion(wanted, names)}"
    )


def _listed(runs: Sequence[backend.RunSummary]) -> str:
    named = ", ".join(f"{run.id} ({run.name})" if run.name else run.id for run in reversed(runs[-LISTED:]))
    older = len(runs) - LISTED
    return f"{named} and {output.count(older, 'older one')}" if older > 0 else named
