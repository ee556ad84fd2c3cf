"""What a shell offers for an unfinished word: runs, backends, statuses.

A shell asks at each press of Tab, and waits: nothing is loaded here that takes long, and no tracker.
What is offered goes through `eval` in some shells, so only harmless characters do.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import typer

from tracelet.cli.runs import shelf_at
from tracelet.errors import JournalCorrupt, TraceletError
from tracelet.journal import shelf, status

MOST: Final = 100  # runs, the newest; reading every run of a large shelf would take seconds
STATUSES: Final = ("RUNNING", "FINISHED", "FAILED", "KILLED", "UNREADABLE")
_WORD: Final = re.compile(r"[\w.@%+=,/-]+")
_HARMFUL: Final = re.compile(r"[^\w .,:()@%+=/-]")

Offer: TypeAlias = list[tuple[str, str]]
"""Words, each with what a shell may say of it."""


def runs(ctx: typer.Context, incomplete: str) -> Offer:
    """Offer runs by id and by name, the newest first; none of a tracker, whom one would have to ask."""
    if ctx.params.get("source"):
        return []
    try:
        place = ctx.params.get("place")
        newest = shelf.runs(shelf_at(Path(place) if place else None))[-MOST:]
    except (TraceletError, OSError):
        return []
    ids: dict[str, str] = {}
    names: dict[str, str] = {}
    for directory in reversed(newest):
        try:
            run = status.read_run(directory)
        except JournalCorrupt:
            ids[directory.name] = "cannot be read"
            continue
        ids[directory.name] = f"{run.name} ({run.project})"
        names.setdefault(run.name, f"run {directory.name} ({run.project})")
    return _fitting({**ids, **names}.items(), incomplete)


def backends(incomplete: str) -> Offer:
    """Offer the backends that are known by a plain name."""
    from tracelet.backends import names

    return _fitting(((name, "") for name in names()), incomplete)


def statuses(incomplete: str) -> Offer:
    """Offer what a run's status can be."""
    return _fitting(((word, "") for word in STATUSES), incomplete)


def _fitting(words: Iterable[tuple[str, str]], incomplete: str) -> Offer:
    return [
        (word, _HARMFUL.sub("?", said))
        for word, said in words
        if word.startswith(incomplete) and _WORD.fullmatch(word)
    ]
