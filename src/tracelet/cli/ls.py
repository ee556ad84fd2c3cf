"""`tracelet ls`: the runs, newest last, each with a word on every delivery; or those of a tracker."""

import contextlib
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tracelet.cli import completing, output
from tracelet.cli.output import Column
from tracelet.cli.runs import Json, Place, Run, look_at, shelf_at, word
from tracelet.cli.sources import From, reader_of, refuse_both
from tracelet.errors import ConfigError, JournalCorrupt, suggestion
from tracelet.journal import shelf, status

_COLUMNS = (
    Column("run"),
    Column("name", cut=True),
    Column("project", cut=True, spare=2),
    Column("status", state=True),
    Column("started", spare=1),
    Column("age", right=True, spare=3),
    Column("delivery", state=True),
)


def ls(
    number: Annotated[
        int, typer.Option("-n", "--number", metavar="NUMBER", min=1, help="How many, from the newest back.")
    ] = 20,
    everything: Annotated[bool, typer.Option("--all", "-a", help="List every run.")] = False,
    project: Annotated[
        str, typer.Option("--project", "-p", metavar="NAME", help="Only the runs of this project.")
    ] = "",
    wanted: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            "-s",
            metavar="STATUS",
            help="Only runs that are RUNNING, FINISHED, FAILED, KILLED or UNREADABLE;"
            " more than once for several.",
            autocompletion=completing.statuses,
        ),
    ] = None,
    as_json: Json = False,
    source: From = "",
    place: Place = None,
) -> None:
    """List runs, the newest last, with a word on each delivery."""
    statuses = {_status(word) for word in wanted or ()}
    if source:
        refuse_both(place, source)
        _elsewhere(source, project, statuses, None if everything else number, as_json=as_json)
        return
    where = shelf_at(place)
    directories = shelf.runs(where)
    if project or statuses:
        directories = [path for path in directories if _fits(path, project, statuses)]
    shown = directories if everything else directories[-number:]
    runs = look_at(shown)
    if as_json:
        output.document({"directory": str(where), "runs": msgspec.to_builtins(runs)})
        return
    if not runs:
        _none(where, project, statuses)
        return
    now = time.time()
    output.table(_COLUMNS, [_row(run, now) for run in runs])
    for run in runs:
        if run.status == "UNREADABLE":
            output.remark(run.attention[0])
    _older(len(directories) - len(shown))


def _elsewhere(source: str, project: str, statuses: set[str], number: int | None, *, as_json: bool) -> None:
    """List the runs of a tracker, whoever wrote them.

    Args:
        source: As in `--from`.
        project: Only those of this one, unless it is empty.
        statuses: Only those that stand so, unless there are none.
        number: How many; None for all.
        as_json: Print one document.

    Raises:
        ConfigError: There is no such source.
        BackendError: The tracker does not answer.
    """
    with contextlib.closing(reader_of(source)) as reader:
        listed = sorted(reader.runs(project or None), key=lambda run: (run.started, run.id))
    fitting = [run for run in listed if not statuses or run.status in statuses]
    shown = fitting if number is None else fitting[-number:]
    runs = [
        Run(run_id=run.id, name=run.name, project=run.project, status=run.status, started=run.started)
        for run in shown
    ]
    if as_json:
        fields = ("run_id", "name", "project", "status", "started")
        output.document(
            {"source": source, "runs": [{name: getattr(run, name) for name in fields} for run in runs]}
        )
    elif runs:
        now = time.time()
        output.table(_COLUMNS[:-1], [_row(run, now)[:-1] for run in runs])
        _older(len(fitting) - len(shown))
    else:
        _none(source, project, statuses)


def _none(where: object, project: str, statuses: set[str]) -> None:
    of = f" of the project {project!r}" if project else ""
    that = f" that are {' or '.join(sorted(statuses))}" if statuses else ""
    output.remark(f"no runs{of}{that} in {where}")


def _older(hidden: int) -> None:
    if hidden:
        output.remark(f"{output.count(hidden, 'older run')} not shown; --all lists every one")


def _status(word: str) -> str:
    if word.upper() in completing.STATUSES:
        return word.upper()
    known = ", ".join(completing.STATUSES)
    meant = suggestion(word.upper(), completing.STATUSES)
    raise ConfigError(f"no status {word!r}; there are {known}.{meant}")


def _fits(directory: Path, project: str, statuses: set[str]) -> bool:
    try:
        run = status.read_run(directory)
    except JournalCorrupt:
        return not project and "UNREADABLE" in statuses
    return project in {"", run.project} and (not statuses or status.run_status(directory, run) in statuses)


def _row(run: Run, now: float) -> list[str]:
    deliveries = ", ".join(f"{backend.name}: {word(backend)}" for backend in run.backends)
    age = output.span(now - run.started) if run.started else ""
    started = output.moment(run.started, brief=True)
    return [run.run_id, run.name, run.project, run.status, started, age, deliveries]
