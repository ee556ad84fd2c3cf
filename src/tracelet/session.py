"""The one live experiment and all that runs for it: the only global.

`start_logging` makes a run, starts its keeper, installs captures and hooks; `stop_logging` takes
all of it back. A second `start_logging` ends the run before it.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import tracelet
from tracelet import backends, captures, guard
from tracelet.backend import Backend, Configuration
from tracelet.errors import ConfigError
from tracelet.events import RunStarted, Status
from tracelet.experiment import Experiment, Summary, disabled
from tracelet.hooks import EndHooks
from tracelet.journal import shelf, status
from tracelet.journal.locks import this_host, this_process
from tracelet.journal.status import RunFile, Target
from tracelet.journal.writer import Writer
from tracelet.keeper.starting import keeper_lives, start_keeper
from tracelet.patching import Patches
from tracelet.ranks import global_rank
from tracelet.scrub import without_userinfo
from tracelet.settings import Resolved, TraceletSettings, resolve

_LOG: Final = logging.getLogger("tracelet")
_NOT_YET: Final = ("track_system", "track_git", "track_env", "automagic")

_LOOK_BACK: Final = 50  # runs; each costs a start some 0.1 ms
_JOBS: Final = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST", "RAY_JOB_ID", "PBS_JOBID", "LSB_JOBID")

_active: "_Session | None" = None
_changing: Final = threading.RLock()


class _Session:
    """The live experiment, its captures and its hooks."""

    def __init__(self, experiment: Experiment, settings: Resolved) -> None:
        self.experiment = experiment
        self._patches = Patches()
        self._hooks = EndHooks(self._at_end)
        self._settings = settings

    @property
    def mode(self) -> str:
        return self._settings.mode

    def start(self) -> None:
        self.experiment.on_stop(self._let_go)
        if self.experiment.directory is not None:
            for name in captures.names():
                if getattr(self._settings, f"track_{name}", True):
                    self._listen(name)
        self._hooks.install()

    @guard.contained
    def _listen(self, name: str) -> None:
        captures.load(name).install(self._patches, self.experiment)

    def stop(self, how: Status = "FINISHED", reason: str = "", *, wait: bool = True) -> Summary:
        return self.experiment.stop(how, reason, wait=wait)

    def _let_go(self) -> None:
        """Take everything back, also when the user ends the run by its handle."""
        global _active  # noqa: PLW0603  the only one
        self._patches.uninstall()
        self._hooks.uninstall()
        if _active is self:
            _active = None

    def _at_end(self, how: Status, reason: str) -> None:
        _report(self.stop(how, reason), self.mode)


def start_logging(
    exp_name: str | None = None,
    project: str | None = None,
    backend: str | Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    settings: TraceletSettings | None = None,
    **more: Any,
) -> Experiment:
    """Begin a run; what the process logs from here on reaches the backends.

    Args:
        exp_name: The run's name; by default the script's name and the time.
        project: The project that it belongs to; by default what the tracker's own variable says.
        backend: One or several of `tracelet.backends`: a name, a list, or "name,name".
        config: Hyperparameters, and the settings that `tracelet.settings.CONFIG_KEYS` names.
        settings: Settings made elsewhere.
        **more: Any other setting, by its name.

    Returns:
        The experiment: a handle, and a context manager. On ranks above 0, and with
        `TRACELET_MODE=disabled`, its calls do nothing.

    Raises:
        ConfigError: An unknown backend, a value that does not fit, a directory that cannot be written.
        MissingDependency: A backend's client is not installed.
    """
    global _active  # noqa: PLW0603  the only one
    with _changing:
        # Made first: a mistake in it must not end the run before.
        arguments = {"exp_name": exp_name, "project": project, "backend": backend, **more}
        experiment, resolved = _new(arguments, config or {}, settings)
        before, _active = _active, None
        if before is not None:
            before.stop(wait=False)
        guard.forget()
        _active = _Session(experiment, resolved)
        _active.start()
        return experiment


def start_experiment(
    exp_name: str | None = None,
    project: str | None = None,
    backend: str | Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    settings: TraceletSettings | None = None,
    **more: Any,
) -> Experiment:
    """Begin a run that only its own handle logs to: for several at once in a process.

    Nothing is captured for it. End it with `stop`, or use it as a context manager; otherwise it
    counts as KILLED when the process ends. Arguments and errors are those of `start_logging`.
    """
    arguments = {"exp_name": exp_name, "project": project, "backend": backend, **more}
    return _new(arguments, config or {}, settings)[0]


def get_active_experiment() -> Experiment | None:
    """Return the experiment that `start_logging` began; None if there is none."""
    session = _active
    return None if session is None or session.experiment.ended else session.experiment


def stop_logging() -> Summary | None:
    """End the run and wait for its deliveries as long as they move; None without a run.

    A tracker that is away is not waited for: `tracelet sync` delivers the rest.
    """
    global _active
    with _changing:
        session, _active = _active, None
    if session is None:
        return None
    summary = session.stop()
    _report(summary, session.mode)
    return summary


def _new(
    arguments: dict[str, Any], config: Mapping[str, Any], settings: TraceletSettings | None
) -> tuple[Experiment, Resolved]:
    """Make a run from what the user said, on disk, and start what watches over it."""
    if not isinstance(config, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f"config={config!r} does not fit; it takes a dict of settings and hyperparameters"
        raise ConfigError(message)
    unknown = [name for name in arguments if arguments[name] is not None and not hasattr(Resolved, name)]
    if unknown:
        TraceletSettings(**{unknown[0]: None})
    resolved = resolve(arguments, config, settings, Path.cwd(), os.environ)
    name, project = _named(resolved), resolved.experiment_name or resolved.project
    if resolved.mode == "disabled" or global_rank(os.environ) > 0:
        return disabled(name, project), resolved
    chosen = [backends.load(wanted) for wanted in resolved.backend or _default_backends()]
    project = project or _projects_own(chosen, resolved) or "default"
    targets, secrets = _targets(chosen, resolved, project)
    return _begin(name, project, targets, resolved, secrets), resolved


def _named(resolved: Resolved) -> str:
    script = Path(getattr(sys.modules.get("__main__"), "__file__", None) or "python").stem
    return resolved.run_name or resolved.exp_name or f"{script}-{time.strftime('%Y%m%d-%H%M%S')}"


def _default_backends() -> list[str]:
    return ["mlflow"]


def _environ(backend: Backend, resolved: Resolved) -> dict[str, str]:
    """Give a backend the environment, with its own variables of `.env` beneath."""
    prefixes = tuple(prefix for prefix in (backend.variables, "TRACELET_") if prefix)
    lent = {name: text for name, text in resolved.dotenv.items() if name.startswith(prefixes)}
    return {**lent, **os.environ}


def _projects_own(chosen: Sequence[Backend], resolved: Resolved) -> str:
    for backend in chosen:
        if own := _environ(backend, resolved).get(backend.project_variable or " "):
            return own
    return ""


def _targets(
    chosen: Sequence[Backend], resolved: Resolved, project: str
) -> tuple[dict[str, Target], dict[str, str]]:
    """Let each backend choose its options; give back also what must not be written down."""
    takes_url = [backend.name for backend in chosen if backend.takes_url]
    if resolved.backend_url and len(takes_url) > 1:
        message = (
            f"backend_url={without_userinfo(resolved.backend_url)!r} is for one backend, and there are"
            f" {', '.join(takes_url)}. Use each one's own setting, such as mlflow_tracking_uri"
        )
        raise ConfigError(message)
    targets: dict[str, Target] = {}
    secrets: dict[str, str] = {}
    for backend, load in zip(chosen, resolved.backend or _default_backends(), strict=True):
        backends.check_client(backend)
        own = resolved.of(backend.name)
        configuration = Configuration(
            settings=own,
            environ=_environ(backend, resolved),
            project=project,
            directory=Path.cwd(),
            script_directory=_script_directory(),
        )
        targets[backend.name] = Target(load, backend.configure(configuration))
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
    name: str, project: str, targets: dict[str, Target], resolved: Resolved, secrets: dict[str, str]
) -> Experiment:
    """Put a run on disk, its first record in its journal, and start its keeper."""
    now = time.time()
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
        python=resolved.python or sys.executable,
        targets=targets,
        mode=cast("status.Mode", resolved.mode),
        durability=cast("status.Durability", resolved.durability),
        linger=resolved.linger,
        retention=resolved.retention,
    )
    writer = Writer(directory, sync=resolved.durability == "record")
    started = RunStarted(
        time=now,
        run_id=run_id,
        name=name,
        project=project,
        tags=resolved.tags,
        note=resolved.notes,
        group=resolved.group,
        job_type=resolved.job_type,
    )
    try:
        written = writer.event(started)
        status.write_run(directory, run)
    except OSError as error:
        written, reason = False, str(error)
    else:
        reason = "there is no room, or no permission"
    if not written:
        message = f"the journal in {directory} cannot be written: {reason}. Set TRACELET_DIR to another place"
        raise ConfigError(message)
    experiment = Experiment(
        directory,
        run,
        writer,
        owner=os.getpid(),
        stop_timeout=resolved.stop_timeout,
        revive=_Revival(run, secrets),
    )
    _attend(directory, run, resolved, secrets)
    if resolved.hyperparameters:
        experiment.log_params(resolved.hyperparameters)
    _say_what_is_due(place, directory, resolved)
    return experiment


def _attend(directory: Path, run: RunFile, resolved: Resolved, secrets: dict[str, str]) -> None:
    """Start the keeper; where no process can be started, deliver from threads."""
    if resolved.relay == "process":
        try:
            start_keeper(directory, run, secrets)
        except OSError as error:
            _LOG.warning("no process can be started (%s); tracelet delivers from threads", error)
        else:
            return
    if run.mode == "online":
        from tracelet.relay.thread import RelayThread  # most runs need none

        for name in run.targets:
            RelayThread(directory, name).start()


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


def _say_what_is_due(place: Path, directory: Path, resolved: Resolved) -> None:
    if kind := shelf.network_file_system(place):
        _LOG.warning("the journal lies on %s (%s); TRACELET_DIR can name a local disk", kind, place)
    if waiting := _left_behind(place, directory):
        _LOG.warning("%d earlier runs are not delivered; `tracelet sync` delivers them", waiting)
    for name in _NOT_YET:
        if getattr(resolved, name):
            _LOG.warning("%s is accepted, and not collected by this version yet", name)
    _LOG.info("tracelet records to %s", directory)


def _left_behind(place: Path, directory: Path) -> int:
    """Count the newest runs that have ended undelivered and that nobody delivers any more."""
    newest = [path for path in shelf.runs(place)[-_LOOK_BACK:] if path != directory]
    runs = [path for path in shelf.undelivered(newest) if not keeper_lives(path)]
    return sum(status.read_run(path).mode == "online" for path in runs)


def _is_last_chance() -> bool:
    """Tell whether what this process leaves running ends with it, as in a container or a batch job."""
    return os.getpid() == 1 or any(name in os.environ for name in _JOBS)


def _report(summary: Summary, mode: str) -> None:
    """Log one line about what became of the run: a warning if something is left."""
    if not summary.run_id or not summary.backends:
        return
    if mode == "offline":
        _LOG.info("run %s %s; `tracelet sync %s` delivers it", summary.name, summary.status, summary.run_id)
        return
    parts: list[str] = []
    for backend in summary.backends:
        where = backend.url or backend.view
        told = (
            "delivered"
            if backend.state == "finished"
            else f"{backend.pending} records left ({backend.state})"
        )
        told += f", {backend.rejected} rejected" if backend.rejected else ""
        told += f": {backend.error}" if backend.error else ""
        parts.append(f"{backend.name}: {told}" + (f" [{where}]" if where else ""))
    if summary.delivered:
        _LOG.info("run %s %s; %s", summary.name, summary.status, "; ".join(parts))
        return
    hint = f"`tracelet status {summary.run_id}` tells more, `tracelet sync` delivers"
    if _is_last_chance():
        hint += "; background delivery ends with this job, so keep its journal where it can be synced"
    _LOG.warning("run %s %s; %s. %s", summary.name, summary.status, "; ".join(parts), hint)
