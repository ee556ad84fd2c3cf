"""`tracelet rm`: delete runs from this machine; what trackers have of them stays there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tracelet.cli import completing, consent, output
from tracelet.cli.runs import Json, Place, Run, look, shelf_at
from tracelet.errors import ConfigError, JournalCorrupt, JournalError
from tracelet.journal import removal, shelf, status


class Outcome(NamedTuple):
    """What became of a run: whether it is gone, the bytes that freed, and what was said."""

    run: Run
    deleted: bool
    bytes: int
    said: str


def rm(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs, each by its id, the beginning or end of it, or its name.",
            autocompletion=completing.runs,
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Delete also what exists nowhere else.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Delete runs from this machine. Exits with 1 if one was not deleted."""
    where = shelf_at(place)
    for name in runs:
        if len(same := shelf.namesakes(where, name)) > 1:
            listed = ", ".join(path.name for path in same[-shelf.LISTED :])
            raise ConfigError(f"{len(same)} runs are called {name!r}: {listed}. Name them by their ids")
    chosen = [look(path) for path in dict.fromkeys(shelf.find(where, name) for name in runs)]
    refused = {run.run_id: said for run in chosen if (said := _refusal(Path(run.directory), force=force))}
    going = [run for run in chosen if run.run_id not in refused]
    agreed = not going or yes or consent.given(going)
    outcomes = [
        Outcome(run, False, 0, refused.get(run.run_id, "kept"))
        if run.run_id in refused or not agreed
        else _remove(run, force=force)
        for run in chosen
    ]
    if as_json:
        _document(where, outcomes)
    else:
        _tell(outcomes)
    if not all(outcome.deleted for outcome in outcomes):
        raise typer.Exit(1)


def _refusal(directory: Path, *, force: bool) -> str:
    """Say why a run is not deleted; empty if it may be."""
    if busy := removal.worker(directory):
        return f"{busy}; what is being written cannot be deleted"
    if force:
        return ""
    reason = _only_copy(directory)
    return f"{reason}; --force deletes it all the same" if reason else ""


def _only_copy(directory: Path) -> str:
    """Say what of a run exists nowhere else; empty if everything does."""
    try:
        run = status.read_run(directory)
    except JournalCorrupt:
        return "it cannot be read, and so nobody knows whether it was delivered"
    if not run.targets:
        return "it has no backend: this is its only copy"
    if run.kept:
        return "its backend keeps it here: this is its only copy"
    behind = [name for name in run.relayed if not status.is_complete(directory, name)]
    if behind:
        return f"{', '.join(behind)} does not have all of it; `tracelet sync {directory.name}` delivers it"
    rejected = [name for name in run.relayed if status.rejects(directory, name)]
    return f"{', '.join(rejected)} rejected some of it: this is the only copy of that" if rejected else ""


def _remove(run: Run, *, force: bool) -> Outcome:
    try:
        # It may have become the only copy while somebody thought about the question.
        freed = removal.remove(Path(run.directory), lambda directory: _refusal(directory, force=force))
    except JournalError as error:
        return Outcome(run, False, 0, str(error))
    except OSError as error:
        return Outcome(run, False, 0, f"it cannot be deleted: {error}")
    return Outcome(run, True, freed, f"deleted, {output.size(freed)} freed")


def _tell(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        line = f"{outcome.run.run_id}  {outcome.said}"
        if outcome.deleted:
            output.say(line)
        else:
            output.remark(line)
    gone = [outcome for outcome in outcomes if outcome.deleted]
    if len(gone) > 1:
        freed = sum(outcome.bytes for outcome in gone)
        output.say(f"{output.count(len(gone), 'run')} deleted, {output.size(freed)} freed")


def _document(place: Path, outcomes: Sequence[Outcome]) -> None:
    runs = [
        {
            "run_id": outcome.run.run_id,
            "name": outcome.run.name,
            "project": outcome.run.project,
            "deleted": outcome.deleted,
            "bytes": outcome.bytes,
            "said": outcome.said,
        }
        for outcome in outcomes
    ]
    freed = sum(outcome.bytes for outcome in outcomes)
    output.document({"directory": str(place), "bytes": freed, "runs": runs})
