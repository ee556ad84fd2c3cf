"""What `tracelet sync` has to do: which runs, to which backends, and which not now, and why."""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tracelet import backends, media, settings
from tracelet.backend import Backend, Configuration
from tracelet.cli.delivering import Job, interpreter
from tracelet.errors import ConfigError, JournalCorrupt
from tracelet.journal import shelf, status
from tracelet.journal.status import Route, RunFile, Target

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


def plan(place: Path, wanted: Sequence[str], asked: Sequence[str], url: str = "") -> Plan:
    """Find out what to deliver; nothing is written yet.

    Args:
        place: The shelf.
        wanted: Runs, as the user names them; none for all that have ended and are undelivered.
        asked: Backends, as the user names them; none for all of each run's.
        url: Where the runs are to go, instead of where they were to go.

    Raises:
        ConfigError: There is no such run or backend, or a new backend cannot be configured.
    """
    named = {shelf.find(place, name) for name in wanted}
    if url and not named:
        raise ConfigError("--backend-url takes runs to another place: name them")
    runs: dict[Path, RunFile] = {}
    skipped: list[Skipped] = []
    for directory in sorted(named) if named else shelf.runs(place):
        try:
            runs[directory] = status.read_run(directory)
        except JournalCorrupt as error:  # noqa: PERF203  one that cannot be read does not keep the others
            skipped.append(Skipped(directory, str(error)))
    request = _request(asked, runs.values(), url)
    found = [_one(directory, run, request, named=bool(named)) for directory, run in runs.items()]
    jobs = [job for job in found if isinstance(job, Job)]
    skipped += [other for other in found if isinstance(other, Skipped)]
    return Plan(tuple(jobs), tuple(skipped))


@dataclass(frozen=True, slots=True)
class _Request:
    """The backends that were asked for.

    Attributes:
        loads: What loads each, by its name in a run; empty if none was asked for.
        backend: Loads one.
        resolved: The settings that hold here and now, asked for only if a backend is new: whoever
            reads them warns of what cannot be understood.
    """

    loads: dict[str, str]
    backend: Callable[[str], Backend]
    resolved: Callable[[], settings.Resolved]
    url: str = ""


def _request(asked: Sequence[str], runs: Iterable[RunFile], url: str) -> _Request:
    """Find the backends that were asked for, as runs call them or as `start_logging` would."""
    known = {name: target.load for run in runs for name, target in run.targets.items()}
    names = {load: name for name, load in known.items()}
    loads: dict[str, str] = {}
    for given in asked:
        name = given if given in known else names.get(given) or backends.load(given).name
        loads[name] = known.get(name, given)
    return _Request(
        loads,
        functools.cache(backends.load),
        functools.cache(lambda: _resolved(url)),
        url,
    )


def _resolved(url: str) -> settings.Resolved:
    """Ask for the settings that hold here; `url` is what `--backend-url` says."""
    found = settings.resolve({"backend_url": url or None}, {}, None, Path.cwd(), os.environ)
    if url:
        found.sources["backend_url"] = "--backend-url"  # as an error is to call it
    return found


def _one(directory: Path, run: RunFile, request: _Request, *, named: bool) -> Job | Skipped | None:
    """Plan one run; None if there is nothing to do and nothing to say."""
    names = _one_with_a_url(run, request) if request.url else tuple(request.loads or run.targets)
    new = [name for name in names if request.url or name not in run.targets]
    if not status.has_ended(directory, run):
        return _running(directory, run, new) if named else None
    if not named and not _is_due(directory, run, names, new):
        return None
    if not names:
        return Skipped(directory, "it has no backend; --backend NAME delivers it to one")
    added: dict[str, Target] = {}
    environ: dict[str, str] = {}
    for name in new:
        load = request.loads[name] if name in request.loads else run.targets[name].load
        added[name], lent = _target(load, request.backend(load), run, request.resolved())
        environ |= lent
    had = (name for name in new if name in run.targets)
    moved = frozenset(name for name in had if _differs(run.targets[name], added[name]))
    return Job(directory=directory, run=run, backends=names, added=added, moved=moved, environ=environ)


def _differs(old: Target, new: Target) -> bool:
    """Tell whether a run would go elsewhere; what only its training process knew does not count."""
    return old.options | new.options != old.options


def _one_with_a_url(run: RunFile, request: _Request) -> tuple[str]:
    """Find the one backend that a URL is for.

    Raises:
        ConfigError: There is none, or there are several.
    """
    loads = request.loads or {name: target.load for name, target in run.targets.items()}
    found = [name for name, load in loads.items() if request.backend(load).takes_url]
    if len(found) != 1:
        whose = ", ".join(found) or "no backend of this run"
        raise ConfigError(f"--backend-url is for one backend, and {whose} would take it; say --backend NAME")
    return (found[0],)


def _running(directory: Path, run: RunFile, new: Sequence[str]) -> Skipped:
    if new:
        return Skipped(directory, f"it is running; {', '.join(new)} can be added when it has ended")
    if run.mode == "offline":
        return Skipped(directory, "it is running offline; it can be delivered when it has ended")
    return Skipped(directory, "it is running, and delivered as it goes", fine=True)


def _is_due(directory: Path, run: RunFile, names: Iterable[str], new: Sequence[str]) -> bool:
    """Tell whether a run that nobody named has something to deliver."""
    if new:  # to deliver a whole shelf anew, one has to name its runs
        return not run.targets or not status.is_delivered(directory, run)
    return any(not status.is_complete(directory, name) for name in names)


def _route(load: str, name: str, run: RunFile, resolved: settings.Resolved) -> Route:
    """Find what of a run goes to a backend: as settings here say, else as they did when the run began."""
    for one in (name, load):
        if one in resolved.routes:
            return msgspec.convert(resolved.routes[one], Route)
    had = run.targets[name].route if name in run.targets else run.routes.get(name, run.routes.get(load))
    return had or Route()


def _target(
    load: str, backend: Backend, run: RunFile, resolved: settings.Resolved
) -> tuple[Target, dict[str, str]]:
    """Configure a backend that a run did not have, from what holds here and now.

    Returns:
        The target, and what its relay needs of `.env`: it looks only where the training began.
    """
    own = resolved.of(backend.name)
    with settings.places_told(resolved, backend.name, backend.variables):
        python = backends.interpreter(backend, own)
    if not python and interpreter(run) == sys.executable:  # what another one has, its relay will say
        backends.check_client(backend)
    here = Path.cwd()
    prefixes = tuple(prefix for prefix in (backend.variables, _PREFIX) if prefix)
    lent = {name: text for name, text in resolved.dotenv.items() if name.startswith(prefixes)}
    configuration = Configuration(
        settings=own,
        environ={**lent, **os.environ},
        project=run.project,
        name=run.name,
        directory=here,
        script_directory=here,
    )
    relayed = backend.writer is not None
    route = _route(load, backend.name, run, resolved)
    most = max((media.most(target.options) for target in run.targets.values()), default=0)
    with settings.places_told(resolved, backend.name, backend.variables):
        options = backend.configure(configuration)
    options |= {media.SETTING: str(most)} if most else {}
    return Target(load, options, relayed=relayed, python=python, route=route), lent
