"""A Logger of Lightning's that writes to a run: `Trainer(logger=TraceletLogger("baseline"))`.

`TraceletLogger` is a subclass of the `Logger` of each namespace that has been imported when it is asked
for first (`lightning.pytorch`, `pytorch_lightning`, or Fabric alone), and counts as one of those that are
imported later. Without any, the first that is installed is imported.

Its run is the active one, if `start_logging` began one, and then it ends as that does. Else it begins one
of its own where Lightning first needs it, on global rank zero only. Lightning calls `finalize` after each
`fit` and each `test`, so that says how the run would end, and does not end it: that is done by
`logger.experiment.stop()`, or when the process ends.
"""

import functools
import importlib
import importlib.util
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from tracelet import guard, session
from tracelet.ends import how_it_ends
from tracelet.errors import MissingDependency
from tracelet.experiment import Experiment, disabled
from tracelet.fitting import Checkpoints, Epochs, flat, known_params, rank
from tracelet.hooks import EndHooks

if TYPE_CHECKING:
    from tracelet.events import Status

NAMESPACES: Final = ("lightning.pytorch", "pytorch_lightning", "lightning.fabric", "lightning_fabric")
GOOD: Final = frozenset({"success", "finished"})
"""What Lightning says to `finalize` of a run that went well."""

R = TypeVar("R")


def _on_rank_zero(method: "Callable[..., R]") -> "Callable[..., R | None]":
    @functools.wraps(method)
    def only(self: Any, *args: Any, **kwargs: Any) -> R | None:
        return None if rank() else method(self, *args, **kwargs)

    return only


class LoggerOfRun:
    """What makes a Lightning Logger of a run; see `TraceletLogger`.

    Args:
        exp_name: The run's name, as in `start_logging`.
        project: The project that it belongs to, as in `start_logging`.
        backend: Where it goes, as in `start_logging`.
        experiment: A run that was begun elsewhere; it is never ended from here.
        log_model: Checkpoints as artifacts: True, the best of each `ModelCheckpoint` when a fit ends;
            "all", each as it is saved.
        prefix: Stands before each metric's name, followed by `-`.
        **settings: Any other setting, by its name.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(
        self,
        exp_name: str | None = None,
        project: str | None = None,
        backend: "str | list[str] | None" = None,
        *,
        experiment: Experiment | None = None,
        log_model: 'bool | Literal["all"]' = False,
        prefix: str = "",
        **settings: Any,
    ) -> None:
        super().__init__()
        _register()
        self._arguments: dict[str, Any] = {
            "exp_name": exp_name,
            "project": project,
            "backend": backend,
            **settings,
        }
        self._experiment = experiment
        self._prefix = prefix
        self._log_model = log_model
        self._checkpoints = Checkpoints("all" if log_model == "all" else "best" if log_model else "none")
        self._epochs = Epochs()
        self._ending: _Ending | None = None

    @property
    def experiment(self) -> Experiment:
        """The run. On a rank above zero, one whose calls do nothing."""
        if self._experiment is None:
            if number := rank():
                name, project = (str(self._arguments[key] or "") for key in ("exp_name", "project"))
                return disabled(name, project, f"this is rank {number}, and rank 0 records")
            self._experiment = self._joined() or self._begun()
        return self._experiment

    def _joined(self) -> Experiment | None:
        active = session.get_active_experiment()
        if active is not None:
            given = {name: value for name, value in self._arguments.items() if value is not None}
            if given:
                message = "TraceletLogger(%s) uses the active run %r, and its own arguments have no effect"
                shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
                guard.warn_once(message, shown, active.name)
        return active

    def _begun(self) -> Experiment:
        _end_the_forgotten()
        experiment = session.start_experiment(**self._arguments)
        if experiment.directory is not None:
            self._ending = _Ending(experiment, self)
        return experiment

    @property
    def tracelet_run(self) -> str:
        """The id of the run, if there is one yet; the capture of Lightning asks for it."""
        return "" if self._experiment is None else self._experiment.run_id or "none"

    @property
    def name(self) -> str | None:
        """The run's name; the first part of where Lightning puts checkpoints."""
        made = self._experiment.name if self._experiment is not None else None
        return made or self._arguments["exp_name"]

    @property
    def version(self) -> str | None:
        """The run's id, as soon as there is one; the second part."""
        return None if self._experiment is None else self._experiment.run_id or None

    @property
    def save_dir(self) -> str | None:
        """None: checkpoints go below the Trainer's `default_root_dir`."""
        return None

    @_on_rank_zero
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values of several metrics at one step."""
        now, experiment = time.time(), self.experiment
        before = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        for name, value in flat(metrics):
            if name != "epoch" or self._epochs.new(step, value):
                experiment.scalar(f"{before}{name}", value, step, now)

    @_on_rank_zero
    def log_hyperparams(
        self, params: Any = None, metrics: Any = None, step: int | None = None, *_: Any, **__: Any
    ) -> None:
        """Log hyperparameters, and metrics that belong to them."""
        if params is not None and (found := known_params(self.experiment).new(params)):
            self.experiment.log_params(found)
        if metrics is not None:
            named = cast("Any", metrics) if isinstance(metrics, Mapping) else {"hp_metric": metrics}
            self.log_metrics(named, step)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Do nothing: Lightning asks each logger for a graph at each fit, and only some have a picture."""

    @_on_rank_zero
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Hear from Lightning that a checkpoint was saved."""
        if self._log_model:
            self._checkpoints.saved(checkpoint_callback, self.experiment)

    def save(self) -> None:
        """Do nothing: what was logged is on disk already."""

    @_on_rank_zero
    def finalize(self, status: str) -> None:
        """Hear from Lightning that a fit or test has ended, and how; more may follow."""
        if self._experiment is None:  # with several processes, the first one may have logged nothing
            return
        self._checkpoints.finish(self._experiment)
        if self._ending is not None:
            self._ending.outcome = _outcome(status)

    def __getstate__(self) -> dict[str, Any]:
        """Go to a spawned process, which logs to the same run; so there must be one by now."""
        made = self.experiment
        return {**self.__dict__, "_ending": None, "_experiment": None if made.directory is None else made}

    def __deepcopy__(self, memo: dict[int, Any]) -> "LoggerOfRun":
        """Copy the logger; the copy logs to the same run."""
        copy = self.__class__.__new__(self.__class__)
        memo[id(self)] = copy
        _ = self.experiment  # else each of the two would begin one
        copy.__dict__.update(self.__dict__)
        if self._ending is not None:
            self._ending.loggers.add(copy)
        return copy


def _outcome(status: str) -> "tuple[Status, str]":
    """Make a run's status of what Lightning says to `finalize`, and of what it handles meanwhile."""
    if status in GOOD:
        return "FINISHED", ""
    kind, error, _ = sys.exc_info()
    if kind is None:
        return ("FAILED" if status == "failed" else "KILLED"), f"Lightning says {status!r}"
    if kind.__name__ == "SIGTERMException":  # Lightning's own way out: a SystemExit without a code
        return "KILLED", "SIGTERM"
    return how_it_ends(kind, error)


class _Ending:
    """How a logger's own run ends: with its process, or when the next one begins and it is forgotten."""

    def __init__(self, experiment: Experiment, logger: object) -> None:
        self.outcome: tuple[Status, str] = ("FINISHED", "")
        self._experiment = experiment
        self.loggers = weakref.WeakSet([logger])
        self._hooks = EndHooks(self.end)
        self._hooks.install()
        self._pid = os.getpid()
        experiment.on_stop(self._let_go)
        _endings.append(self)
        self._end_with_a_worker()

    def _end_with_a_worker(self) -> None:
        """Have a process of `multiprocessing` end the run: one that was forked runs no exit handlers."""
        if (module := sys.modules.get("multiprocessing.process")) and module.parent_process() is not None:
            from multiprocessing import util

            util.Finalize(None, self.end, args=self.outcome, exitpriority=0)

    @property
    def forgotten(self) -> bool:
        """Whether nobody has the logger any more."""
        return not self.loggers and guard.own_process(self._pid)

    def end(self, how: "Status", reason: str, *, wait: bool = True) -> None:
        if how == "FINISHED" or reason.startswith("sys.exit"):  # Lightning has said it better
            how, reason = self.outcome if self.outcome[0] != "FINISHED" else (how, reason)
        self._experiment.stop(how, reason, wait=wait)

    def _let_go(self) -> None:
        self._hooks.uninstall()
        if self in _endings:
            _endings.remove(self)


_endings: Final[list[_Ending]] = []


def _end_the_forgotten() -> None:
    """End the runs of loggers that are gone: a sweep makes many, and each run has a keeper."""
    for ending in [one for one in _endings if one.forgotten]:
        guard.contained(ending.end)("FINISHED", "", wait=False)


def _bases() -> list[Any]:
    """List the `Logger`s of the namespaces that have been imported, most derived first."""
    modules = [sys.modules.get(f"{namespace}.loggers.logger") for namespace in NAMESPACES]
    found = [getattr(module, "Logger", None) for module in modules if module is not None]
    return [base for base in found if base is not None]


def _import_one() -> None:
    for namespace in NAMESPACES:
        if importlib.util.find_spec(namespace.partition(".")[0]) is not None:
            importlib.import_module(f"{namespace}.loggers.logger")
            return
    raise MissingDependency("TraceletLogger needs Lightning; install it with: pip install lightning")


def _register() -> None:
    """Let the class count as a Logger of the namespaces that were imported after it was made."""
    for base in _bases():
        if not issubclass(_class(), base):
            base.register(_class())


@functools.cache
def _class() -> type[LoggerOfRun]:
    """Make the class, for the namespaces that have been imported."""
    if not _bases():
        _import_one()
    bases = _bases()
    own = [base for base in bases if sum(issubclass(other, base) for other in bases) == 1]
    body = {"__module__": __name__, "__qualname__": "TraceletLogger", "__doc__": LoggerOfRun.__doc__}
    return type(own[0])("TraceletLogger", (LoggerOfRun, *own), body)


if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    class TraceletLogger(LoggerOfRun, Logger):
        """A Logger of Lightning's that writes to a run; see `LoggerOfRun`."""

else:

    def __getattr__(name: str) -> type:
        if name == "TraceletLogger":
            return _class()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
