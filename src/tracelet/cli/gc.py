"""`tracelet gc`: delete what nobody needs any more, and nothing that exists nowhere else."""

from pathlib import Path
from typing import Annotated

import typer

from tracelet.cli import consent, output
from tracelet.cli.output import Column
from tracelet.cli.runs import Json, Place, look_at, seconds, shelf_at
from tracelet.journal import removal, shelf
from tracelet.journal.removal import Sweep, Waste

_COLUMNS = (
    Column("kind"),
    Column("how many", right=True),
    Column("size", right=True),
    Column("what", cut=True),
)
_MEANING = {
    "runs": "delivered, and past their retention",
    "blobs": "files of delivered runs",
    "orphans": "artifacts that no record names",
    "leftovers": "temporary files of killed processes",
    "trash": "runs whose deletion was cut short",
}


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Delete nothing, and say what would be deleted.")
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            parser=seconds,
            help="Delete runs that were delivered longer ago than this, as in 12h, 7d, having asked; by"
            " default each after its retention.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Delete what nobody needs any more, of all runs. Exits with 1 if something could not be deleted."""
    where = shelf_at(place)
    asks = older_than is not None and not (dry_run or yes)
    agreed = not asks or _agreed(where, older_than)
    sweep = Sweep(where, older_than, dry=dry_run)
    found = list(sweep.run(shelf.runs(where))) if agreed else []
    if as_json:
        _document(where, sweep, found, dry_run=dry_run)
    elif agreed:
        _tell(sweep, found, dry_run=dry_run, older=older_than is not None)
    else:
        output.remark("nothing was deleted")
    if sweep.failed or not agreed:
        raise typer.Exit(1)


def _agreed(place: Path, older_than: float | None) -> bool:
    """Ask about the runs that would go: their own retention may say that they stay.

    Raises:
        ConfigError: There is nobody to ask.
    """
    found = Sweep(place, older_than, dry=True).run(shelf.runs(place))
    going = look_at(waste.path for waste in found if waste.kind == "runs")
    return not going or consent.given(going)


def _tell(sweep: Sweep, found: list[Waste], *, dry_run: bool, older: bool) -> None:
    rows: list[tuple[str, ...]] = []
    for kind in removal.KINDS:
        sizes = [waste.size for waste in found if waste.kind == kind]
        if sizes:
            meaning = "delivered, and older than asked" if kind == "runs" and older else _MEANING[kind]
            rows.append((kind, f"{len(sizes):,}", output.size(sum(sizes)), meaning))
    if rows:
        output.table(_COLUMNS, rows)
        for run in (waste.run for waste in found if waste.kind == "runs"):
            output.say(f"{run}  {'would be deleted' if dry_run else 'deleted'}")
    freed = output.size(sum(waste.size for waste in found))
    if found:
        output.say(f"{freed} {'would be freed' if dry_run else 'freed'}", "green")
    else:
        output.say("there is nothing to delete", "green")
    if sweep.spared:
        runs = output.count(len(sweep.spared), "delivered run is", "delivered runs are")
        output.remark(f"{runs} kept, since a backend rejected some of it; `tracelet show RUN --rejects`")
    for run in sweep.unreadable:
        output.remark(f"{run} cannot be read, and is left alone")
    for failure in sweep.failed:
        output.remark(f"not deleted: {failure}")


def _document(place: Path, sweep: Sweep, found: list[Waste], *, dry_run: bool) -> None:
    kinds = {
        kind: {
            "count": sum(waste.kind == kind for waste in found),
            "bytes": sum(waste.size for waste in found if waste.kind == kind),
            "paths": [str(waste.path) for waste in found if waste.kind == kind],
        }
        for kind in removal.KINDS
    }
    output.document(
        {
            "directory": str(place),
            "dry_run": dry_run,
            "bytes": sum(waste.size for waste in found),
            "kinds": kinds,
            "spared": list(sweep.spared),
            "unreadable": sweep.unreadable,
            "failed": sweep.failed,
        }
    )
