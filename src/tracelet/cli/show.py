"""`tracelet show`: everything that one run recorded, in brief."""

import math
from typing import Annotated, Any, Final

import msgspec
import typer

from tracelet.cli import digest, output
from tracelet.cli.output import Column
from tracelet.cli.runs import Json, Place, Run, look, shelf_at, what, word
from tracelet.journal import shelf
from tracelet.journal import status as files

FEW: Final = 5  # rejects that are shown without being asked for

_METRICS: Final = (
    Column("metric"),
    Column("points", right=True),
    Column("first step", right=True),
    Column("last step", right=True),
    Column("last", right=True),
    Column("min", right=True),
    Column("max", right=True),
    Column("NaN", right=True),
)
_DELIVERIES: Final = (Column("backend"), Column("delivery"), Column("page or view"))
_REJECTS: Final = (Column("backend"), Column("rejected"), Column("reason"))


def show(
    wanted: Annotated[str, typer.Argument(metavar="RUN", help="An id, its beginning or end, or a name.")],
    rejects: Annotated[
        bool, typer.Option("--rejects", help="Show every reject, and not only the first.")
    ] = False,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Show what a run recorded: params, tags, metrics, artifacts, deliveries and rejects."""
    directory = shelf.find(shelf_at(place), wanted)
    run_file = files.read_run(directory)
    run = look(directory)
    found = digest.read(directory, final=files.has_ended(directory, run_file))
    refused = {backend.name: files.rejects(directory, backend.name) for backend in run.backends}
    if as_json:
        head = {"host": run_file.host, "pid": run_file.trainer.pid, "working_directory": run_file.directory}
        content: Any = msgspec.to_builtins(run) | head | msgspec.to_builtins(found)
        output.document(content | {"rejects": msgspec.to_builtins(refused)})
        return
    _head(run, run_file, found)
    _pairs("params", found.params)
    _pairs("tags", found.tags)
    _metrics(found)
    _artifacts(found)
    _deliveries(run)
    _rejects(refused, every=rejects)


def _head(run: Run, run_file: files.RunFile, found: digest.Digest) -> None:
    started = run.started if found.started is None else found.started
    lines = {
        "name": run.name,
        "project": run.project,
        "group": found.group,
        "job type": found.job_type,
        "status": run.status + (f": {found.reason}" if found.reason else ""),
        "mode": run.mode,
        "started": f"{output.moment(started)} on {run_file.host}, process {run_file.trainer.pid}",
        "ended": f"{output.moment(found.ended)}, after {_took(found.ended - started)}" if found.ended else "",
        "records": f"{found.records:,}",
        "lost": f"{found.lost:,} could not be written by the training process" if found.lost else "",
        "damaged": f"{output.count(found.damaged, 'place')} cannot be read" if found.damaged else "",
        "directory": run.directory,
        "note": found.note,
    }
    output.say(run.run_id, "bold")
    for name, text in lines.items():
        if text:
            output.say(f"  {name:<10} {text}")


def _took(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return (
        f"{hours}h {minutes}m {rest:.0f}s"
        if hours
        else f"{minutes}m {rest:.0f}s"
        if minutes
        else f"{rest:.1f}s"
    )


def _section(title: str) -> None:
    output.say("")
    output.say(title, "bold")


def _pairs(title: str, pairs: dict[str, Any]) -> None:
    if pairs:
        _section(title)
        rows = [(name, str(value)) for name, value in sorted(pairs.items())]
        output.table((Column("name"), Column("value")), rows, indent=2)


def _metrics(found: digest.Digest) -> None:
    if found.metrics:
        _section("metrics")
        rows = [(name, *_figures(metric)) for name, metric in found.metrics.items()]
        output.table(_METRICS, rows, indent=2)


def _figures(metric: digest.MetricDigest) -> tuple[str, ...]:
    steps = ("" if step is None else f"{step:,}" for step in (metric.first_step, metric.last_step))
    values = (_figure(value) for value in (metric.last, metric.min, metric.max))
    return (f"{metric.points:,}", *steps, *values, f"{metric.nan:,}" if metric.nan else "")


def _figure(value: float | None) -> str:
    return "" if value is None else "NaN" if math.isnan(value) else f"{value:.6g}"


def _artifacts(found: digest.Digest) -> None:
    if found.artifacts:
        _section("artifacts")
        rows = [(artifact.path, f"{artifact.size:,}", artifact.reference) for artifact in found.artifacts]
        output.table((Column("path"), Column("bytes", right=True), Column("left at")), rows, indent=2)


def _deliveries(run: Run) -> None:
    if run.backends:
        _section("delivery")
        rows = [(backend.name, word(backend), backend.url or backend.view) for backend in run.backends]
        output.table(_DELIVERIES, rows, indent=2)
    for backend in run.backends:
        if backend.error:
            output.say(f"  {backend.name} error: {backend.error}")


def _rejects(refused: dict[str, list[files.Reject]], *, every: bool) -> None:
    rows = [(name, what(reject), reject.reason) for name, found in refused.items() for reject in found]
    if not rows:
        if every:
            output.remark("nothing was rejected")
        return
    _section("rejects")
    output.table(_REJECTS, rows if every else rows[:FEW], indent=2)
    if len(rows) > FEW and not every:
        output.remark(f"{len(rows) - FEW:,} more rejects; --rejects shows every one")
