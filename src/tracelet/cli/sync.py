"""`tracelet sync`: deliver what trackers do not have yet, and say what is left and why."""

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer

from tracelet import backends
from tracelet.cli import completing, output
from tracelet.cli.delivering import Job, View, deliver
from tracelet.cli.interrupting import Interrupt
from tracelet.cli.planning import plan
from tracelet.cli.progress import Bars, Lines, Silent
from tracelet.cli.runs import Json, Place, Run, Verbose, look, seconds, shelf_at, what, word
from tracelet.errors import ConfigError, TraceletError
from tracelet.journal import holdings, shelf, status
from tracelet.journal.locks import held
from tracelet.journal.overview import BackendOverview
from tracelet.journal.status import DeliveryStatus

PATIENCE: Final = 60.0  # seconds
_FAILED: Final = frozenset({"refused", "unavailable"})
FEW: Final = 3  # rejects whose reasons are told for each backend


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        run: The run.
        backends: The backends that were asked for.
        sentences: What is to be said.
        fine: Whether all is well.
        movable: Whether it did not arrive at a backend that takes an address.
    """

    run: Run
    backends: tuple[str, ...]
    sentences: tuple[str, ...]
    fine: bool
    movable: bool = False


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
    verbose: Verbose = False,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Deliver what is undelivered. Exits with 1 if something is left, or was rejected."""
    where = shelf_at(place)
    made = plan(where, runs or (), backend or (), backend_url)
    view: View = Silent() if as_json else Bars() if sys.stderr.isatty() else Lines(patience, whole=verbose)
    before = {
        job.directory: {name: status.read_delivery(job.directory, name) for name in job.backends}
        for job in made.jobs
    }
    with Interrupt().listening() as interrupt:
        problems = _deliver(made.jobs, patience, interrupt, view)
    whole = verbose or as_json
    outcomes = [
        _outcome(job, problems.get(job.directory, ""), before[job.directory], whole=whole)
        for job in made.jobs
    ]
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


def _outcome(job: Job, problem: str, before: Mapping[str, DeliveryStatus], *, whole: bool) -> Outcome:
    """See how a run stands after its delivery.

    Args:
        job: What was to be delivered.
        problem: What kept it from being tried; empty if nothing did.
        before: What each delivery had said until then.
        whole: Whether errors are said whole, however long.
    """
    run = look(job.directory)
    there = {backend.name: backend for backend in run.backends}
    sentences = [problem] if problem else []
    fine, movable = not problem, False
    for name in job.backends:
        delivery = there.get(name)
        if delivery is None:  # its own keeper did not let go of the run in time
            sentences.append(f"{name}: not added, since the run's own keeper is at work; try again later")
        else:
            said = _sentence(job.directory, delivery, before[name], whole=whole)
            sentences.append(f"{name}: {said}")
            movable = movable or (delivery.state in _FAILED and _takes_url(job, name))
        fine = fine and delivery is not None and word(delivery) in {"delivered", "kept"}
        if delivery is not None and not delivery.relayed and name in job.added:
            gone = holdings.missing(job.directory)
            sentences += [f"{name}: {_gone(gone)}"] if gone else []
            fine = fine and not gone
    return Outcome(run, job.backends, tuple(sentences), fine=fine, movable=movable)


def _takes_url(job: Job, name: str) -> bool:
    """Tell whether a backend can be given another address."""
    target = job.run.targets.get(name) or job.added.get(name)
    try:
        return target is not None and backends.load(target.load).takes_url
    except (ConfigError, ImportError):  # only its relay can load it, or nobody
        return False


def _gone(names: Sequence[str]) -> str:
    """Say what a run lacks that is kept from now on, and was not before."""
    named = ", ".join(names[:FEW])
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    what = output.count(len(names), "file")
    return f"the bytes of {what} are gone, deleted once the other backends had them: {named}{more}"


def _sentence(directory: Path, delivery: BackendOverview, before: DeliveryStatus, *, whole: bool) -> str:
    """Say how a delivery ended."""
    if not delivery.relayed:
        return f"kept here, {output.count(delivery.delivered, 'record')}"
    if delivery.state != "finished":
        reason = output.brief(_reason(directory, delivery, before), whole=whole)
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
    brief = functools.partial(output.brief, whole=whole)
    reasons = "; ".join(f"{what(reject)}: {brief(reject.reason)}" for reject in rejects[:FEW])
    more = f"; and {len(rejects) - FEW:,} more" if len(rejects) > FEW else ""
    return f"{said}, but {len(rejects):,} rejected: {reasons}{more}"


def _reason(directory: Path, delivery: BackendOverview, before: DeliveryStatus) -> str:
    """Say why a delivery is not complete; of an earlier attempt's error, that it is one."""
    now = status.read_delivery(directory, delivery.name)
    if delivery.error and (delivery.error != before.error or (now != before and now.state in _FAILED)):
        return delivery.error
    if held(directory / "keeper.lock"):
        return "the run's own keeper was at work on it all the time; try again later"
    log = directory / f"relay.{delivery.name}.log"
    earlier = f"; the error before was: {delivery.error}" if delivery.error else ""
    return f"there was no answer this time, see {log}{earlier}"


def _tell(where: Path, outcomes: Sequence[Outcome]) -> None:
    """Print what became of each run, and of all."""
    for outcome in outcomes:
        for sentence in outcome.sentences:
            output.say(f"{outcome.run.run_id}  {sentence}", "" if outcome.fine else "yellow")
        if left := ", ".join(_unasked(outcome)):
            run = outcome.run.run_id
            output.remark(f"{run} is still to go to {left}; `tracelet sync {run}` delivers it there")
    wrong = sum(not outcome.fine for outcome in outcomes)
    if wrong:
        output.remark(f"{wrong:,} of {output.count(len(outcomes), 'run')} not delivered whole")
        if any(outcome.movable for outcome in outcomes):
            output.remark(
                "`tracelet sync RUN --backend NAME --backend-url URL` takes a run to another address"
            )
    elif not outcomes:
        output.nothing_left(any_runs=bool(shelf.runs(where)), where=where)


def _unasked(outcome: Outcome) -> list[str]:
    """Name the backends that lack a run, to which nobody delivers now, and that were not asked for."""
    of_run = outcome.run.backends
    if not any(one.relayed and one.name in outcome.backends for one in of_run):
        return []  # no delivery was asked for
    left = [one.name for one in of_run if one.state != "finished" and one.name not in outcome.backends]
    return [] if held(Path(outcome.run.directory) / "keeper.lock") else left


def _document(place: Path, outcomes: Sequence[Outcome], *, interrupted: bool) -> dict[str, Any]:
    """Make what `--json` prints."""
    runs: list[dict[str, Any]] = [
        msgspec.to_builtins(outcome.run)
        | {"asked": outcome.backends, "fine": outcome.fine, "said": outcome.sentences}
        for outcome in outcomes
    ]
    fine = all(outcome.fine for outcome in outcomes)
    return {"directory": str(place), "fine": fine, "interrupted": interrupted, "runs": runs}
