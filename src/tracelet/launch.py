"""Making a run: from settings to a directory, a journal, and a keeper that watches over it."""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

import tracelet
from tracelet import backends, guard, inputs, media
from tracelet.backend import Backend, Configuration
from tracelet.errors import ConfigError, JournalFull, suggestion
from tracelet.events import RunStarted
from tracelet.experiment import Experiment, disabled
from tracelet.journal import shelf, status
from tracelet.journal.locks import this_host, this_process
from tracelet.journal.status import Route, RunFile, Target
from tracelet.journal.writer import Writer
from tracelet.keeper.starting import keeper_lives, start_keeper
from tracelet.ranks import global_rank
from tracelet.scrub import without_userinfo
from tracelet.settings import Resolved, places_told, resolve
from tracelet.telling import messages

if TYPE_CHECKING:
    from tracelet.settings import TraceletSettings

_NOT_YET: Final = (
    "automagic",
    "metrics_interval",
    "track_env",
    "track_git",
    "track_system",
)


def new_run(
    arguments: dict[str, Any],
    config: object,
    settings: "TraceletSettings | None",
    *,
    joins: bool,
) -> tuple[Experiment, Resolved]:
    """Make a run from what the user said, on disk, and start what watches over it.

    Args:
        arguments: Settings by name; None means not given.
        config: The user's `config`, whole.
        settings: The user's `settings=`.
        joins: Whether, without a name, it is the run that the script holds open at a tracker.

    Returns:
        The experiment, and the settings it was made with.

    Raises:
        ConfigError: An unknown backend, a value that does not fit, a directory that cannot be written.
        MissingDependency: A backend's client is not installed.
        JournalFull: The journal's first records cannot be written.
    """
    messages.begin()  # first: settings may have something to be warned of
    made: Experiment | None = None
    try:
        made, resolved = _made(arguments, config, settings, joins=joins)
        return made, resolved
    finally:
        if made is None or made.directory is None:  # else its end takes it back
            messages.end()


def _made(
    arguments: dict[str, Any],
    config: object,
    settings: "TraceletSettings | None",
    *,
    joins: bool,
) -> tuple[Experiment, Resolved]:
    fields = inputs.fields(config)
    if fields is None:
        given = inputs.texts.shown(config)
        message = f"config={given} does not fit; it takes a dict of settings and params, or a dataclass"
        raise ConfigError(message)
    if settings is not None:
        _check(settings)
    try:
        directory = Path.cwd()
    except OSError as error:
        message = f"the working directory is gone ({error}); change to another"
        raise ConfigError(message) from None
    resolved = resolve(arguments, fields, settings, directory, os.environ)
    unnamed = _named_by_time()
    name = inputs.text("the run's name", resolved.run_name or resolved.exp_name) or ("" if joins else unnamed)
    project = inputs.text("the project's name", resolved.experiment_name or resolved.project)
    if resolved.mode == "disabled":
        reason = f"mode='disabled' ({resolved.sources['mode']})"
        return disabled(name or unnamed, project, reason), resolved
    if (rank := global_rank(os.environ)) > 0:
        return disabled(name or unnamed, project, f"this is rank {rank}, and rank 0 records"), resolved
    loads = resolved.backend or default_backends()
    with places_told(resolved):
        chosen = {load: backends.load(load) for load in loads}
    routes = _routes(chosen, resolved)
    targets, secrets = _targets(chosen, resolved, routes, name, project)
    name = name or _told(targets, "name") or unnamed
    project = project or _told(targets, "project") or _projects_own(chosen.values(), resolved) or "default"
    others = {backend: route for backend, route in routes.items() if backend not in targets}
    return _begin(name, project, targets, others, resolved, secrets), resolved


def _check(settings: object) -> None:
    from tracelet.settings import TraceletSettings  # it loads pydantic, which most starts do without

    if not isinstance(settings, TraceletSettings):
        given = inputs.texts.shown(settings)
        message = f"settings={given} does not fit; it takes a tracelet.settings.TraceletSettings"
        raise ConfigError(message)


def _named_by_time() -> str:
    script = Path(getattr(sys.modules.get("__main__"), "__file__", None) or "python").stem
    return inputs.text("the script's name", f"{script}-{time.strftime('%Y%m%d-%H%M%S')}")


def _told(targets: Mapping[str, Target], option: str) -> str:
    """Return what the script told a tracker of the run, as the first backend found that knows."""
    return next((target.options[option] for target in targets.values() if target.options.get(option)), "")


def default_backends() -> list[str]:
    """Choose MLflow where its client is installed, else the journal itself."""
    return ["mlflow" if backends.has_client(backends.load("mlflow")) else "local"]


def lacks_tracker(resolved: Resolved, names: Sequence[str]) -> bool:
    """Tell whether a run stays in its journal because no backend was asked for and MLflow is missing."""
    return not resolved.backend and list(names) == ["local"]


def _environ(backend: Backend, resolved: Resolved) -> dict[str, str]:
    """Give a backend the environment, with its own variables of `.env` beneath."""
    prefixes = tuple(prefix for prefix in (backend.variables, "TRACELET_") if prefix)
    lent = {name: text for name, text in resolved.dotenv.items() if name.startswith(prefixes)}
    return {**lent, **os.environ}


def _projects_own(chosen: Iterable[Backend], resolved: Resolved) -> str:
    for backend in chosen:
        if own := _environ(backend, resolved).get(backend.project_variable or " "):
            return own
    return ""


def _routes(chosen: Mapping[str, Backend], resolved: Resolved) -> dict[str, Route]:
    """Make what goes to which backend, by its name in the run.

    Raises:
        ConfigError: There is no such backend. One that this run lacks is none: a file may speak of all.
    """
    routes: dict[str, Route] = {}
    for given, table in resolved.routes.items():
        name = chosen[given].name if given in chosen else given
        if name not in {backend.name for backend in chosen.values()} and ":" not in name:
            check_route(name, resolved.sources.get("routes", "routes"))
        routes[name] = msgspec.convert(table, Route)
    for backend in chosen.values():
        if backend.writer is None and backend.name in routes:
            message = "the route to %r has no effect: it is the journal, which has everything"
            guard.say(logging.WARNING, message, backend.name)
    return routes


def check_route(name: str, place: str) -> None:
    """Make sure that there is a backend of a route's name.

    Raises:
        ConfigError: There is none; `place` tells where it was named.
    """
    known = backends.names()
    if name not in known:
        listed = ", ".join(known)
        raise ConfigError(
            f"routes (from {place}): no backend called {name!r}; there are {listed}.{suggestion(name, known)}"
        )


def _targets(
    chosen: Mapping[str, Backend],
    resolved: Resolved,
    routes: Mapping[str, Route],
    name: str,
    project: str,
) -> tuple[dict[str, Target], dict[str, str]]:
    """Let each backend choose its options; give back also what must not be written down."""
    takes_url = [backend.name for backend in chosen.values() if backend.takes_url]
    if resolved.backend_url and len(takes_url) > 1:
        message = (
            f"backend_url={without_userinfo(resolved.backend_url)!r} is for one backend, and there are"
            f" {', '.join(takes_url)}. Use each one's own setting, such as mlflow_tracking_uri"
        )
        raise ConfigError(message)
    if resolved.backend_url and not takes_url:
        names = ", ".join(backend.name for backend in chosen.values())
        url = without_userinfo(resolved.backend_url)
        guard.say(logging.WARNING, "backend_url=%r has no effect: %s takes none", url, names)
    targets: dict[str, Target] = {}
    secrets: dict[str, str] = {}
    for load, backend in chosen.items():
        own = resolved.of(backend.name)
        with places_told(resolved, backend.name, backend.variables):
            python = backends.interpreter(backend, own) if resolved.relay == "process" else ""
        if not python:
            backends.check_client(backend)
        configuration = Configuration(
            settings=own,
            environ=_environ(backend, resolved),
            project=project,
            name=name,
            directory=Path.cwd(),
            script_directory=_script_directory(),
            script=(getattr(sys, "argv", None) or [""])[0],
        )
        relayed = backend.writer is not None
        with places_told(resolved, backend.name, backend.variables):
            options = backend.configure(configuration)
        if resolved.max_image_size:
            options = {**options, media.SETTING: str(resolved.max_image_size)}
        route = routes.get(backend.name, Route())
        targets[backend.name] = Target(load, options, relayed=relayed, python=python, route=route)
        for setting, value in own.items():
            if without_userinfo(value) != value:
                variable = setting if setting == "backend_url" else f"{backend.name}_{setting}"
                secrets[f"TRACELET_{variable.upper()}"] = value
    return targets, secrets


def _script_directory() -> Path:
    """Tell where the training script lies; for a module, a notebook or a tool, where it was started."""
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if isinstance(file, str) and spec is None:
        place = Path(file).resolve().parent
        if not place.is_relative_to(sys.prefix):  # else it is an installed command, such as pytest
            return place
    return _started_in()


def _started_in() -> Path:
    return Path(tracelet._started_in or Path.cwd())  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _begin(
    name: str,
    project: str,
    targets: dict[str, Target],
    others: dict[str, Route],
    resolved: Resolved,
    secrets: dict[str, str],
) -> Experiment:
    """Put a run on disk, its first record in its journal, and start its keeper."""
    now = time.time()
    python = _interpreter(resolved.python)
    place = shelf.locate(_started_in(), os.environ)
    run_id = shelf.new_run_id()
    directory = shelf.create(place, run_id)
    run = RunFile(
        run_id=run_id,
        name=name,
        project=project,
        time=now,
        trainer=this_process(),
        host=this_host(),
        directory=str(Path.cwd()),
        python=python,
        targets=targets,
        mode=cast("status.Mode", resolved.mode),
        durability=cast("status.Durability", resolved.durability),
        linger=resolved.linger,
        nice=resolved.nice,
        retention=resolved.retention,
        routes=others,
    )
    writer = Writer(directory, sync=resolved.durability == "record")
    started = RunStarted(
        time=now,
        run_id=run_id,
        name=name,
        project=project,
        tags=dict(inputs.tags(resolved.tags)),
        note=inputs.text("notes", resolved.notes),
        group=inputs.text("group", resolved.group),
        job_type=inputs.text("job_type", resolved.job_type),
        parent=_told(targets, "parent"),
    )
    try:
        written = writer.event(started)
        status.write_run(directory, run)
    except OSError as error:
        written, reason = False, str(error)
    except ValueError as error:
        writer.close()
        shutil.rmtree(directory, ignore_errors=True)
        raise ConfigError(f"the run's names, tags and notes are too long: {error}") from None
    else:
        reason = writer.reason
    if not written:
        message = f"the journal in {directory} cannot be written: {reason}. Set TRACELET_DIR to another place"
        raise JournalFull(message)
    experiment = Experiment(
        directory,
        run,
        writer,
        owner=os.getpid(),
        stop_timeout=resolved.stop_timeout,
        revive=_attend(directory, run, resolved, secrets),
        quiet=resolved.quiet,
    )
    if resolved.hyperparameters:
        experiment.log_params(resolved.hyperparameters)
    messages.started(directory, run, quiet=resolved.quiet, trackerless=lacks_tracker(resolved, [*targets]))
    for setting in _NOT_YET:
        if setting in resolved.sources:
            guard.say(logging.WARNING, "%s is accepted, and has no effect in this version yet", setting)
    return experiment


def _interpreter(wanted: str) -> str:
    found = shutil.which(wanted) if wanted else sys.executable
    if found is None:
        message = f"python={wanted!r} is no program that can be run; give the path of an interpreter"
        raise ConfigError(message)
    return found


def _attend(
    directory: Path, run: RunFile, resolved: Resolved, secrets: dict[str, str]
) -> Callable[[Path], None] | None:
    """Start the keeper, and return what brings it back; or deliver from threads, and return None."""
    if resolved.relay == "process":
        try:
            start_keeper(directory, run, secrets)
        except OSError as error:
            message = "no process can be started (%s); tracelet delivers from threads"
            guard.say(logging.WARNING, message, error)
        else:
            return _Revival(run, secrets)
    if secrets:
        message = "credentials in an argument do not reach a relay thread; put them in the environment"
        guard.say(logging.WARNING, message)
    if run.durability == "second":
        message = "durability='second' needs the keeper, a process; relay threads have none"
        guard.say(logging.WARNING, message)
    if run.mode == "online":
        from tracelet.relay.thread import RelayThread  # most runs need none

        for name in run.relayed:
            RelayThread(directory, name).start()
    return None


class _Revival:
    """Brings back a keeper that died, while somebody waits for its work."""

    def __init__(self, run: RunFile, secrets: dict[str, str]) -> None:
        self._run = run
        self._secrets = secrets
        self._next = time.monotonic() + 2.0

    def __call__(self, directory: Path) -> None:
        """Start a keeper if there has been none for a while."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 2.0
            if not keeper_lives(directory):
                start_keeper(directory, self._run, self._secrets)
