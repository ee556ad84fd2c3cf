"""The one live experiment and all that runs for it: the only global.

`start_logging` makes a run, starts its keeper, installs captures and hooks; `stop_logging` takes
all of it back. A second `start_logging` ends the run before it.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tracelet import captures, guard
from tracelet.attaching import Attachments
from tracelet.events import Status
from tracelet.experiment import Experiment, Summary
from tracelet.hooks import EndHooks
from tracelet.launch import new_run
from tracelet.patching import Patches
from tracelet.settings import Resolved

if TYPE_CHECKING:
    from tracelet.settings import TraceletSettings  # it loads pydantic

_active: "_Session | None" = None
_changing: Final = threading.RLock()


class _Session:
    """The live experiment, its captures and its hooks."""

    def __init__(self, experiment: Experiment, settings: Resolved) -> None:
        self.experiment = experiment
        self._patches = Patches()
        self._attachments = Attachments(experiment, self._patches, settings)
        self._hooks = EndHooks(self._at_end)
        self._settings = settings

    def start(self) -> None:
        if self.experiment.directory is None:  # disabled, or not rank 0: nothing is touched
            return
        self.experiment.on_stop(self._let_go)
        for name in captures.names():
            if getattr(self._settings, f"track_{name}", True):
                self._listen(name)
        self._attachments.start()
        self._hooks.install()

    @guard.contained
    def _listen(self, name: str) -> None:
        capture = captures.load(name)
        chosen = {setting: getattr(self._settings, setting) for setting in capture.settings}
        capture.install(self._patches, self.experiment, **chosen)

    def stop(self, how: Status = "FINISHED", reason: str = "", *, wait: bool = True) -> Summary:
        return self.experiment.stop(how, reason, wait=wait)

    def _let_go(self) -> None:
        """Take everything back, also when the user ends the run by its handle."""
        global _active  # noqa: PLW0603  the only one
        self._attachments.stop()
        self._patches.uninstall()
        self._hooks.uninstall()
        if _active is self:
            _active = None

    def _at_end(self, how: Status, reason: str) -> None:
        self.stop(how, reason)


def start_logging(
    exp_name: str | None = None,
    project: str | None = None,
    backend: str | Sequence[str] | None = None,
    config: object = None,
    *,
    settings: "TraceletSettings | None" = None,
    **more: Any,
) -> Experiment:
    """Begin a run; what the process logs from here on reaches the backends.

    Args:
        exp_name: The run's name. Without one, the run is the one that the script holds open at a
            tracker, if it does; else it has the script's name and the time.
        project: The project that it belongs to; by default what the tracker's own variable says.
        backend: One or several of `tracelet.backends`: a name, a list, or "name,name".
        config: Hyperparameters, and the settings that `tracelet.settings.CONFIG_KEYS` names: whatever
            `Experiment.log_params` takes.
        settings: Settings made elsewhere.
        **more: Any other setting, by its name.

    Returns:
        The experiment: a handle, and a context manager. On ranks above 0, and with
        `TRACELET_MODE=disabled`, its calls do nothing.

    Raises:
        ConfigError: An unknown backend, a value that does not fit, a directory that cannot be written.
        MissingDependency: A backend's client is not installed.
        JournalFull: The journal's first records cannot be written.
    """
    global _active  # noqa: PLW0603  the only one
    with _changing:
        # Made first: a mistake in it must not end the run before.
        arguments = {"exp_name": exp_name, "project": project, "backend": backend, **more}
        experiment, resolved = new_run(arguments, {} if config is None else config, settings, joins=True)
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
    config: object = None,
    *,
    settings: "TraceletSettings | None" = None,
    **more: Any,
) -> Experiment:
    """Begin a run that only its own handle logs to: for several at once in a process.

    Nothing is captured for it. End it with `stop`, or use it as a context manager; otherwise it
    counts as KILLED when the process ends. Arguments and errors are those of `start_logging`.
    """
    arguments = {"exp_name": exp_name, "project": project, "backend": backend, **more}
    return new_run(arguments, {} if config is None else config, settings, joins=False)[0]


def get_active_experiment() -> Experiment | None:
    """Return the experiment that `start_logging` began; None if there is none."""
    session = _active
    return None if session is None or session.experiment.ended else session.experiment


def stop_logging() -> Summary | None:
    """End the run and wait for its deliveries as long as they move; None without a run.

    A tracker that is away is not waited for: `tracelet sync` delivers the rest.

    Returns:
        What became of the run: how it ended, what was logged, and each backend's share with its
        page. `print` shows it in words, a notebook as a card.
    """
    global _active
    with _changing:
        session, _active = _active, None
    if session is None:
        return None
    return session.stop()
