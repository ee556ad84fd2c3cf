"""`tracelet status`: how far each backend is, and what keeps it."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tracelet.cli import output
from tracelet.cli.output import Column
from tracelet.cli.runs import Json, Place, Run, look, shelf_at
from tracelet.errors import JournalCorrupt
from tracelet.journal import shelf
from tracelet.journal import status as files
from tracelet.journal.overview import BackendOverview

_COLUMNS = (
    Column("backend"),
    Column("state"),
    Column("since"),
    Column("pending", right=True),
    Column("delivered", right=True),
    Column("rejected", right=True),
    Column("merged", right=True),
    Column("degraded", right=True),
)


def status(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="An id, its beginning or end, or a name; else what is running or undelivered.",
        ),
    ] = None,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Say how far each backend is. Exits with 1 if something needs attention."""
    where = shelf_at(place)
    wanted = dict.fromkeys(shelf.find(where, name) for name in runs or ())
    directories = list(wanted) if runs else _unsettled(where)
    seen = [look(directory) for directory in directories]
    attention = any(run.attention for run in seen)
    if as_json:
        content = {"directory": str(where), "attention": attention, "runs": msgspec.to_builtins(seen)}
        output.document(content)
    else:
        for run in seen:
            show(run)
        if not seen:
            output.say("everything is delivered", "green")
        if not runs:
            _mention_rejects(where, directories)
    if attention:
        raise typer.Exit(1)


def _unsettled(where: Path) -> list[Path]:
    """List the runs that go on, or that some backend does not have whole."""
    found: list[Path] = []
    for directory in shelf.runs(where):
        try:
            run = files.read_run(directory)
            settled = files.is_delivered(directory, run) and files.run_status(directory, run) != "RUNNING"
        except JournalCorrupt:
            settled = False
        if not settled:
            found.append(directory)
    return found


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


def show(run: Run) -> None:
    """Print a run's block: a line, a table of its backends, and what is to be said of them."""
    what = f"{run.status}{', offline' if run.mode == 'offline' else ''}"
    output.say(
        f"{run.run_id}  {run.name}  ({run.project})  {what}, started {output.moment(run.started)}", "bold"
    )
    if run.backends:
        output.table(_COLUMNS, [_row(backend) for backend in run.backends], indent=2)
    else:
        output.say("  it has no backend; `tracelet sync --backend NAME` delivers it to one")
    for backend in run.backends:
        for what, text in (("error", backend.error), ("page", backend.url), ("view", backend.view)):
            if text:
                output.say(f"  {backend.name} {what}: {text}")
    for reason in run.attention:
        output.say(f"  ! {reason}", "yellow")


def _row(backend: BackendOverview) -> list[str]:
    since = f"{output.span(time.time() - backend.since)} ago" if backend.since else ""
    numbers = (backend.pending, backend.delivered, backend.rejected, backend.merged, backend.degraded)
    return [backend.name, backend.state, since, *(f"{number:,}" for number in numbers)]
