"""`tracelet sync`: deliver what trackers do not have yet, and say what is left and why."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer

from tracelet.cli import completing, output
from tracelet.cli.delivering import Job, View, deliver
from tracelet.cli.interrupting import Interrupt
from tracelet.cli.planning import plan
from tracelet.cli.progress import Bars, Lines, Silent
from tracelet.cli.runs import Json, Place, Run, look, seconds, shelf_at, what, word
from tracelet.errors import TraceletError
from tracelet.journal import holdings, shelf, status
from tracelet.journal.overview import BackendOverview

PATIENCE: Final = 60.0  # seconds
FEW: Final = 3  # rejects whose reasons are told for each backend


class Outcome(NamedTuple):
    """What became of a run: the backends that were asked for, what is to be said, and whether all is well."""

    run: Run
    backends: tuple[str, ...]
    sentences: tuple[str, ...]
    fine: bool


def sync(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="An id, its beginning or end, or a name; else all that is undelivered.",
            autocompletion=completing.runs,
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            "-b",
            metavar="NAME",
            help="Only to this one, also if the run did not have it; more than once for several.",
            autocompletion=completing.backends,
        ),
    ] = None,
    backend_url: Annotated[
        str,
        typer.Option(
            "--backend-url",
            metavar="URL",
            help="Where the runs are to go instead, such as another server; all of each is delivered there.",
        ),
    ] = "",
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            "--timeout",
            metavar="DURATION",
            parser=seconds,
            show_default="60s",
            help="Leave a run when nothing has moved for this long, as in 90s, 10m, 1h.",
        ),
    ] = PATIENCE,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Deliver what is undelivered. Exits with 1 if something is left, or was rejected."""
    where = shelf_at(place)
    made = plan(where, runs or (), backend or (), backend_url)
    view: View = Silent() if as_json else Bars() if sys.stderr.isatty() else Lines()
    with Interrupt().listening() as interrupt:
        problems = _deliver(made.jobs, patience, interrupt, view)
    outcomes = [_outcome(job, problems.get(job.directory, "")) for job in made.jobs]
    outcomes += [
        Outcome(look(skipped.directory), (), (skipped.reason,), fine=skipped.fine) for skipped in made.skipped
    ]
    if as_json:
        output.document(_document(where, outcomes, interrupted=bool(interrupt.signal)))
    else:
        _tell(where, outcomes)
    if interrupt.signal:
        raise typer.Exit(128 + interrupt.signal)
    if not all(outcome.fine for outcome in outcomes):
        raise typer.Exit(1)


def _deliver(jobs: Sequence[Job], patience: float, interrupt: Interrupt, view: View) -> dict[Path, str]:
    """Deliver one run after the other; return what kept some from being tried."""
    problems: dict[Path, str] = {}
    try:
        for job in jobs:
            if interrupt.signal:
                break
            try:
                deliver(job, patience, interrupt, view)
            except (TraceletError, OSError) as error:
                problems[job.directory] = str(error)
    finally:
        view.end()
    return problems


def _outcome(job: Job, problem: str) -> Outcome:
    """See how a run stands after its delivery."""
    run = look(job.directory)
    there = {backend.name: backend for backend in run.backends}
    sentences = [problem] if problem else []
    fine = not problem
    for name in job.backends:
        delivery = there.get(name)
        if delivery is None:  # its own keeper did not let go of the run in time
            sentences.append(f"{name}: not added, since the run's own keeper is at work; try again later")
        else:
            sentences.append(f"{name}: {_sentence(job.directory, delivery)}")
        fine = fine and delivery is not None and word(delivery) in {"delivered", "kept"}
        if delivery is not None and not delivery.relayed and name in job.added:
            gone = holdings.missing(job.directory)
            sentences += [f"{name}: {_gone(gone)}"] if gone else []
            fine = fine and not gone
    return Outcome(run, job.backends, tuple(sentences), fine=fine)


def _gone(names: Sequence[str]) -> str:
    """Say what a run lacks that is kept from now on, and was not before."""
    named = ", ".join(names[:FEW])
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    what = output.count(len(names), "file")
    return f"the bytes of {what} are gone, deleted once the other backends had them: {named}{more}"


def _sentence(directory: Path, delivery: BackendOverview) -> str:
    """Say how a delivery ended."""
    if not delivery.relayed:
        return f"kept here, {output.count(delivery.delivered, 'record')}"
    if delivery.state != "finished":
        reason = delivery.error or f"see {directory / f'relay.{delivery.name}.log'}"
        return f"{delivery.state}, {output.count(delivery.pending, 'record')} left: {reason}"
    said = f"delivered, {output.count(delivery.delivered, 'record')}"
    if delivery.merged:
        said += f", {delivery.merged:,} of them merged with equal ones"
    if delivery.degraded:
        said += f", {output.count(delivery.degraded, 'value')} cut to its limits"
    if delivery.unrouted:
        said += f", {delivery.unrouted:,} not routed here"
    if not delivery.rejected:
        return said
    rejects = status.rejects(directory, delivery.name)
    reasons = "; ".join(f"{what(reject)}: {reject.reason}" for reject in rejects[:FEW])
    more = f"; and {len(rejects) - FEW:,} more" if len(rejects) > FEW else ""
    return f"{said}, but {len(rejects):,} rejected: {reasons}{more}"


def _tell(where: Path, outcomes: Sequence[Outcome]) -> None:
    """Print what became of each run, and of all."""
    for outcome in outcomes:
        for sentence in outcome.sentences:
            output.say(f"{outcome.run.run_id}  {sentence}", "" if outcome.fine else "yellow")
    wrong = sum(not outcome.fine for outcome in outcomes)
    if wrong:
        output.remark(f"{wrong:,} of {output.count(len(outcomes), 'run')} not delivered whole")
        if any(
            "unavailable" in sentence or "refused" in sentence
            for _, _, said, _ in outcomes
            for sentence in said
        ):
            output.remark("`tracelet sync RUN --backend-url URL` takes a run to another address")
    elif not outcomes:
        output.nothing_left(any_runs=bool(shelf.runs(where)), where=where)


def _document(place: Path, outcomes: Sequence[Outcome], *, interrupted: bool) -> dict[str, Any]:
    """Make what `--json` prints."""
    runs: list[dict[str, Any]] = [
        msgspec.to_builtins(outcome.run)
        | {"asked": outcome.backends, "fine": outcome.fine, "said": outcome.sentences}
        for outcome in outcomes
    ]
    fine = all(outcome.fine for outcome in outcomes)
    return {"directory": str(place), "fine": fine, "interrupted": interrupted, "runs": runs}
