"""What `tracelet sync` has to do: which runs, to which backends, and which not now, and why."""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tracelet import backends, settings
from tracelet.backend import Backend, Configuration
from tracelet.cli.delivering import Job, interpreter
from tracelet.cli.runs import has_ended
from tracelet.errors import JournalCorrupt
from tracelet.journal import cursors, shelf, status
from tracelet.journal.status import RunFile, Target

_PREFIX: Final = "TRACELET_"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A run that is not delivered now. `fine` if nobody has to do anything about it."""

    directory: Path
    reason: str
    fine: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deliver, oldest run first, and what not."""

    jobs: tuple[Job, ...]
    skipped: tuple[Skipped, ...]


def plan(place: Path, wanted: Sequence[str], asked: Sequence[str]) -> Plan:
    """Find out what to deliver; nothing is written yet.

    Args:
        place: The shelf.
        wanted: Runs, as the user names them; none for all that have ended and are undelivered.
        asked: Backends, as the user names them; none for all of each run's.

    Raises:
        ConfigError: There is no such run or backend, or a new backend cannot be configured.
    """
    # Asked once, and only if something is new: it warns of what it does not understand.
    resolved = functools.cache(lambda: settings.resolve({}, {}, None, Path.cwd(), os.environ))
    named = {shelf.find(place, name) for name in wanted}
    directories = sorted(named) if named else shelf.runs(place)
    jobs: list[Job] = []
    skipped: list[Skipped] = []
    for directory in directories:
        try:
            run = status.read_run(directory)
        except JournalCorrupt as error:
            skipped.append(Skipped(directory, str(error)))
            continue
        found = _one(directory, run, asked, resolved, named=bool(named))
        if isinstance(found, Job):
            jobs.append(found)
        elif found is not None:
            skipped.append(found)
    return Plan(tuple(jobs), tuple(skipped))


def _one(
    directory: Path,
    run: RunFile,
    asked: Sequence[str],
    resolved: Callable[[], settings.Resolved],
    *,
    named: bool,
) -> Job | Skipped | None:
    """Plan one run; None if there is nothing to do and nothing to say."""
    if not has_ended(directory, run):
        return _running(directory, run, asked) if named else None
    names, new = _chosen(run, asked)
    if not named and not _is_due(directory, run, names, new):
        return None
    if not names:
        return Skipped(directory, "it has no backend; --backend NAME delivers it to one")
    added: dict[str, Target] = {}
    environ: dict[str, str] = {}
    for load, backend in new.items():
        added[backend.name], lent = _target(load, backend, run, resolved())
        environ |= lent
    return Job(directory=directory, run=run, backends=names, added=added, environ=environ)


def _running(directory: Path, run: RunFile, asked: Sequence[str]) -> Skipped:
    _, new = _chosen(run, asked)
    if new:
        added = ", ".join(backend.name for backend in new.values())
        return Skipped(directory, f"it is running; {added} can be added when it has ended")
    if run.mode == "offline":
        return Skipped(directory, "it is running offline; it can be delivered when it has ended")
    return Skipped(directory, "it is running, and delivered as it goes", fine=True)


def _chosen(run: RunFile, asked: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Backend]]:
    """Choose among a run's backends; return names in the run, and what is new, by what loads it."""
    names: dict[str, None] = {}
    new: dict[str, Backend] = {}
    by_load = {target.load: name for name, target in run.targets.items()}
    for given in asked:
        name = given if given in run.targets else by_load.get(given, "")
        if not name:
            backend = backends.load(given)
            name = backend.name
            if name not in run.targets:
                new[given] = backend
        names[name] = None
    return tuple(names if asked else run.targets), new


def _is_due(directory: Path, run: RunFile, names: Iterable[str], new: dict[str, Backend]) -> bool:
    """Tell whether a run that nobody named has something to deliver."""
    if new:  # to deliver a whole shelf anew, one has to name its runs
        return not run.targets or not status.is_delivered(directory, run)
    return any(not cursors.load(directory, name).finished for name in names)


def _target(
    load: str, backend: Backend, run: RunFile, resolved: settings.Resolved
) -> tuple[Target, dict[str, str]]:
    """Configure a backend that a run did not have, from what holds here and now.

    Returns:
        The target, and what its relay needs of `.env`: it looks only where the training began.
    """
    if interpreter(run) == sys.executable:  # what another one has, its relay will say
        backends.check_client(backend)
    here = Path.cwd()
    prefixes = tuple(prefix for prefix in (backend.variables, _PREFIX) if prefix)
    lent = {name: text for name, text in resolved.dotenv.items() if name.startswith(prefixes)}
    configuration = Configuration(
        settings=resolved.of(backend.name),
        environ={**lent, **os.environ},
        project=run.project,
        directory=here,
        script_directory=here,
    )
    return Target(load, backend.configure(configuration)), lent
