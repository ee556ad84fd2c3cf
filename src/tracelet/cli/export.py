"""`tracelet export`: a run as a file that other programs read, and its artifacts as files."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
import typer

from tracelet.cli import completing, copying, digest, formats, output
from tracelet.cli.copying import Kept
from tracelet.cli.formats import SUFFIXES, Format
from tracelet.cli.runs import Json, Place
from tracelet.cli.sources import From, Origin, opened
from tracelet.errors import ConfigError, TraceletError
from tracelet.events import Artifact, Event, Metric
from tracelet.journal import blobs

NAMED: Final = 5  # artifacts that could not be copied, and are named


class Exported(msgspec.Struct, kw_only=True):
    """What became of one run.

    Attributes:
        events: How many the file tells of.
        points: How many of them are of metrics.
        left_out: How many were not, by their class: the format has no place for them.
        damaged: Places in the journal that cannot be read.
        artifacts: Files that were copied.
        failed: Files that could not be, by path, and why.
    """

    run_id: str
    name: str
    events: int = 0
    points: int = 0
    left_out: dict[str, int] = {}
    damaged: int = 0
    artifacts: int = 0
    failed: dict[str, str] = {}


def export(
    wanted: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Ids, their beginnings or ends, or names.",
            autocompletion=completing.runs,
        ),
    ],
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="By default as the file's name ends; else jsonl."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write; by default to the output."),
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(
            "--artifacts",
            metavar="DIRECTORY",
            help="Copy artifacts, images and all else that has bytes there; alone, nothing else is written.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what exists.")] = False,
    as_json: Json = False,
    source: From = "",
    place: Place = None,
) -> None:
    """Write runs as JSON lines, CSV or Parquet, and their artifacts."""
    file = None if file == Path("-") else file
    only_files = artifacts is not None and file is None and kind is None
    chosen = _format(kind, file)
    _check(chosen, file, artifacts, force=force)
    if as_json and file is None and not only_files:
        raise ConfigError("--json says what was written, and the output is taken; give a file with -o")
    with opened(place, source, wanted) as origins, _stream(file, os.devnull if only_files else "") as stream:
        if only_files:
            done = _export(origins, None, artifacts)
        else:
            with contextlib.closing(formats.sink(chosen, stream)) as sink:
                done = _export(origins, sink, artifacts)
    fine = not any(run.damaged or run.failed for run in done)
    if as_json:
        written = None if file is None else str(file.absolute())
        shape = None if only_files else chosen.value
        runs = msgspec.to_builtins(done)
        output.document({"file": written, "format": shape, "fine": fine, "runs": runs})
    else:
        _tell(done, chosen, file, artifacts, source)
    if not fine:
        raise typer.Exit(1)


def _format(kind: Format | None, file: Path | None) -> Format:
    if kind is not None:
        return kind
    if file is None or not file.suffix:
        return Format.JSONL
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"no format is known by the ending of {file.name!r}; there are {', '.join(SUFFIXES)}."
            " Or say --format jsonl, csv or parquet"
        )
    return SUFFIXES[file.suffix.lower()]


def _check(chosen: Format, file: Path | None, artifacts: Path | None, *, force: bool) -> None:
    """Refuse what cannot be written before anything is read.

    Raises:
        ConfigError: It cannot be, or must not.
    """
    try:
        if file is not None:
            _check_file(file, force=force)
        elif chosen is Format.PARQUET and sys.stdout.isatty():
            raise ConfigError("a Parquet file is nothing to read on a terminal; give a file with -o")
        if artifacts is not None and artifacts.exists():
            _check_directory(artifacts, force=force)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be used: {error.strerror}") from error


def _check_file(file: Path, *, force: bool) -> None:
    if file.is_dir():
        raise ConfigError(f"{file} is a directory; name a file in it")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"there is no directory {file.absolute().parent}")
    if file.is_file() and not force:
        raise ConfigError(f"{file} exists; --force replaces it")


def _check_directory(place: Path, *, force: bool) -> None:
    if not place.is_dir():
        raise ConfigError(f"{place} is no directory")
    if any(place.iterdir()) and not force:
        raise ConfigError(f"{place} is not empty; --force writes into it, and over what has the same name")


@contextlib.contextmanager
def _stream(file: Path | None, instead: str) -> Generator[BinaryIO]:
    """Open what is written to; a file appears under its name only when it is whole.

    Raises:
        TraceletError: It cannot be written.
    """
    place = Path(instead) if instead else file
    if place is None:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # as `head` does it: nothing to talk about
            raise
        except OSError as error:
            raise TraceletError(f"the output cannot be written: {error.strerror or error}") from error
        return
    special = place.exists() and not place.is_file()  # a pipe, a device: written as it is
    place = place if special else place.resolve()  # what a link points to, and not the link
    new = place if special else place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as stream:
            yield stream
        if not special:
            new.replace(place)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TraceletError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        if not special:
            new.unlink(missing_ok=True)


def _export(origins: Sequence[Origin], sink: formats.Sink | None, artifacts: Path | None) -> list[Exported]:
    done: list[Exported] = []
    about: list[dict[str, Any]] = []
    for origin in origins:
        run = Exported(run_id=origin.id, name=origin.name)
        gathering = digest.Gathering()
        series: list[Kept] = []
        found = gathering.take(_written(origin, sink, run, gathering, series)).digest
        run.damaged = found.damaged
        done.append(run)
        about.append(_about(origin, found, run))
        if artifacts is not None:
            below = artifacts if len(origins) == 1 else artifacts / blobs.clean(origin.id)
            paths = [artifact.path for artifact in found.artifacts]
            copied = copying.copy(origin, paths, series, below, below / f".{os.getpid()}.new")
            run.artifacts, run.failed = copied.count, copied.failed
    if sink is not None:
        sink.end(about)
    return done


def _written(
    origin: Origin, sink: formats.Sink | None, run: Exported, gathering: digest.Gathering, series: list[Kept]
) -> Iterator[Event]:
    """Write a run's events; give those on that are not points, and note those that have bytes."""
    if origin.status == "RUNNING":
        output.remark(f"{origin.id} is still running; this is what there is by now")
    left_out: Counter[str] = Counter()
    for event in origin.events(gathering.damaged):
        is_point = isinstance(event, Metric)
        if sink is not None:
            if sink.take(origin.id, event):
                run.events += 1
                run.points += is_point
            else:
                left_out[type(event).__name__] += 1
        if isinstance(event, copying.KEPT):
            series.append(event)
        if not is_point:
            yield event
    run.left_out = dict(left_out)


def _about(origin: Origin, found: digest.Digest, run: Exported) -> dict[str, Any]:
    """Say what is known of a run besides its points, and how much the file has no place for."""
    content = digest.plain(found)
    status = origin.run.status if origin.run else found.status or origin.status
    head = {"run_id": origin.id, "name": origin.name, "project": origin.project}
    for name in ("metrics", "texts", *digest.KINDS, "records", "latest"):
        del content[name]
    return head | content | {"status": status, "left_out": run.left_out}


def _tell(
    done: Sequence[Exported], chosen: Format, file: Path | None, artifacts: Path | None, source: str
) -> None:
    """Say on the standard error what was written, and what was not."""
    if file is not None:
        events, points = sum(run.events for run in done), sum(run.points for run in done)
        written = output.count(events, "event") if chosen is Format.JSONL else output.count(points, "point")
        output.remark(f"{written} of {output.count(len(done), 'run')} in {file}")
    left_out = sum((Counter(run.left_out) for run in done), Counter[str]())
    copied = () if artifacts is None else [kind.__name__ for kind in (Artifact, *copying.SHOWN)]
    if missed := sorted(left_out.keys() - set(copied)):
        listed = ", ".join(f"{left_out[name]:,} {name}" for name in missed)
        output.remark(f"{chosen.value} has no place for {listed}; jsonl has one for everything")
    if artifacts is not None:
        output.remark(f"{output.count(sum(run.artifacts for run in done), 'artifact')} in {artifacts}")
    for run in done:
        if run.damaged:
            output.remark(f"{run.run_id}: {output.count(run.damaged, 'place')} in the journal cannot be read")
        failed = list(run.failed.items())
        for path, reason in failed[:NAMED]:
            output.remark(f"{run.run_id}: not copied: {reason if path in reason else f'{path}: {reason}'}")
        if len(failed) > NAMED:
            output.remark(f"{run.run_id}: nor were {len(failed) - NAMED:,} more; --json names every one")
    if not source and any(run.failed for run in done):
        output.remark("a tracker that has the run has its artifacts too: --from names it")
