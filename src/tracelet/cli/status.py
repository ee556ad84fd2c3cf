"""`tracelet status`: how far each backend is, and what keeps it."""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from tracelet.cli import completing, output, watching
from tracelet.cli.output import Column
from tracelet.cli.runs import Json, Place, Run, Verbose, look_at, seconds, shelf_at, unrouted
from tracelet.errors import JournalCorrupt
from tracelet.journal import shelf
from tracelet.journal import status as files
from tracelet.journal.overview import BackendOverview

if TYPE_CHECKING:
    from rich.text import Text

_COLUMNS = (
    Column("backend"),
    Column("state", state=True),
    Column("since"),
    Column("pending", right=True),
    Column("delivered", right=True),
    Column("rejected", right=True),
    Column("merged", right=True),
    Column("degraded", right=True),
)
_RATE = Column("records/s", right=True)
_RATES_AT = 4  # behind "pending"
_RARE = frozenset({"rejected", "merged", "degraded"})


def status(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="An id, its beginning or end, or a name; else what is running or undelivered.",
            autocompletion=completing.runs,
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Look again and again, until nothing moves by itself any more."),
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            metavar="DURATION",
            parser=seconds,
            show_default="1s",
            help="How long --watch waits between two looks.",
        ),
    ] = 1.0,
    verbose: Verbose = False,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Say how far each backend is. Exits with 1 if something needs attention."""
    where = shelf_at(place)
    wanted = list(dict.fromkeys(shelf.find(where, name) for name in runs or ()))
    if watch:
        seen = _watch(where, wanted, interval, as_json=as_json, whole=verbose)
    else:
        seen = look_at(wanted if runs else unsettled(where, ()))
        if as_json:
            output.document(_content(where, seen))
        else:
            _print(where, seen, named=bool(runs), whole=verbose)
    if any(run.attention for run in seen):
        raise typer.Exit(1)


def _print(where: Path, seen: list[Run], *, named: bool, whole: bool) -> None:
    out = output.console()
    for run in seen:
        for line in block(run, room=out.width if out.is_terminal else None, whole=whole):
            out.print(line)
    if not seen:
        output.nothing_left(any_runs=bool(shelf.runs(where)), where=where)
    if not named:
        _mention_rejects(where, [Path(run.directory) for run in seen])


def _watch(where: Path, wanted: list[Path], interval: float, *, as_json: bool, whole: bool) -> list[Run]:
    """Show what moves until nothing does; give back what was seen last."""
    drawn = functools.partial(block, whole=whole)
    if as_json:
        view: watching.View = watching.Documents(lambda seen, rates: _content(where, seen, rates))
    elif watching.is_screen():
        view = watching.Screen(drawn)
    else:
        view = watching.Blocks(drawn)
    settled: set[Path] = set()
    watched = dict.fromkeys(wanted)

    def directories() -> list[Path]:
        if not wanted:  # a run that was seen once stays to be seen, also when it is delivered
            watched.update(dict.fromkeys(unsettled(where, settled)))
        return [directory for directory in watched if directory.exists()]

    return watching.watch(directories, view, interval)


def unsettled(where: Path, settled: "set[Path] | tuple[()]") -> list[Path]:
    """List the runs that go on, or that some backend does not have whole.

    Args:
        where: The shelf.
        settled: Runs that are known not to be among them; a set learns of others.
    """
    found: list[Path] = []
    for directory in shelf.runs(where):
        if directory in settled:
            continue
        try:
            run = files.read_run(directory)
            is_settled = files.is_delivered(directory, run) and files.run_status(directory, run) != "RUNNING"
        except JournalCorrupt:
            is_settled = False
        if not is_settled:
            found.append(directory)
        elif isinstance(settled, set):
            settled.add(directory)
    return found


def _content(
    where: Path, seen: list[Run], rates: Mapping[tuple[str, str], float] | None = None
) -> dict[str, Any]:
    """Make what `--json` prints."""
    runs: list[Any] = msgspec.to_builtins(seen)
    if rates is not None:
        for run in runs:
            for backend in run["backends"]:
                backend["rate"] = rates.get((run["run_id"], backend["name"]))
    return {"directory": str(where), "attention": any(run.attention for run in seen), "runs": runs}


def _mention_rejects(where: Path, shown: list[Path]) -> None:
    """Point at delivered runs with rejects: they are settled, but not to be forgotten in silence."""
    found = [
        directory.name
        for directory in shelf.runs(where)
        if directory not in shown and any(path.stat().st_size for path in directory.glob("rejects.*"))
    ]
    if found:
        runs = output.count(len(found), "delivered run has", "delivered runs have")
        output.remark(f"{runs} rejects; the latest: `tracelet show {found[-1]} --rejects`")


def block(
    run: Run,
    rates: Mapping[tuple[str, str], float] | None = None,
    room: int | None = None,
    *,
    whole: bool = False,
) -> "list[Text]":
    """Draw a run's block: a line, a table of its backends, and what is to be said of them.

    Args:
        run: The run.
        rates: Records per second, by run and backend; None to leave them out.
        room: Characters that a line has; None for any number.
        whole: Whether errors are said whole, however long.
    """
    what = f"{run.status}{', offline' if run.mode == 'offline' else ''}"
    head = f"{run.run_id}  {run.name}  ({run.project})  {what}, started {output.moment(run.started)}"
    lines = [output.line(head if run.started else f"{run.run_id}  {run.status}", "bold")]
    if run.backends:
        lines += _table(run, rates, room)
    elif run.started:
        lines.append(
            output.line("  it has no backend; `tracelet sync --backend NAME RUN` delivers it to one")
        )
    for backend in run.backends:
        failed = "error" if backend.state in {"refused", "unavailable"} else "last error"
        error = output.brief(backend.error, whole=whole)
        for what, text in ((failed, error), ("page", backend.url), ("view", backend.view)):
            if text:
                lines.append(output.line(f"  {backend.name} {what}: {text}"))
        if backend.unrouted:
            lines.append(output.line(f"  {backend.name}: {unrouted(backend)}"))
    lines += [output.line(f"  ! {reason}", "yellow") for reason in run.attention]
    return lines


def _table(run: Run, rates: Mapping[tuple[str, str], float] | None, room: int | None) -> "list[Text]":
    """Draw a run's backends; with rates, only the counts that are not 0: a watched screen may be small."""
    rows = [_row(backend) for backend in run.backends]
    if rates is None:
        return output.grid(_COLUMNS, rows, 2, room)
    for row, backend in zip(rows, run.backends, strict=True):
        rate = rates.get((run.run_id, backend.name))
        row.insert(_RATES_AT, "" if rate is None else f"{rate:,.0f}")
    columns = (*_COLUMNS[:_RATES_AT], _RATE, *_COLUMNS[_RATES_AT:])
    kept = [
        index
        for index, column in enumerate(columns)
        if column.header not in _RARE or any(row[index] != "0" for row in rows)
    ]
    return output.grid(
        [columns[index] for index in kept], [[row[index] for index in kept] for row in rows], 2, room
    )


def _row(backend: BackendOverview) -> list[str]:
    since = f"{output.span(time.time() - backend.since)} ago" if backend.since else ""
    numbers = (backend.pending, backend.delivered, backend.rejected, backend.merged, backend.degraded)
    return [backend.name, backend.state, since, *(f"{number:,}" for number in numbers)]
