"""Listen to Lightning, called `lightning` or `pytorch_lightning`, and to its Fabric.

    self.log, self.log_dict   metrics, as Lightning hands them to its loggers, be there any or not: under
                              its names, at its steps, with its epoch as the metric `epoch`
    save_hyperparameters      params, of the module and the data module
    logger.log_metrics, logger.log_hyperparams   the script's own calls, of any logger
    Fabric.log, Fabric.log_dict   metrics
    ModelCheckpoint           artifacts, if the setting `log_checkpoints` says so

What stands between `self.log` and the loggers is `_LoggerConnector.log_metrics`, which is private: it
alone is called whether there are loggers or not. So it is looked for when Lightning has been imported;
where a version has none, the loggers' own `log_metrics` are what is heard, and a warning says so.

The outermost call speaks: what a logger does with a value, such as writing it with a `SummaryWriter`, is
not heard again. Where one of the loggers writes to this very run (`tracelet_run` is its id), that one
speaks for its trainer, and the others are not heard.
"""

import atexit
import functools
import inspect
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelet.capture import Capture
from tracelet.ends import how_it_ends
from tracelet.fitting import Checkpoints, Epochs, flat, known_params, rank
from tracelet.guard import contained, warn_once
from tracelet.patching import Patches, overheard

if TYPE_CHECKING:
    from tracelet.experiment import Experiment

CONNECTOR: Final = "trainer.connectors.logger_connector.logger_connector"
SIGNALS: Final = "trainer.connectors.signal_connector"
SCALING: Final = "tuner.batch_size_scaling"


def install(patches: Patches, experiment: "Experiment", *, log_checkpoints: str = "none") -> None:
    """Let `experiment` record what Lightning logs in this process."""
    listener = _Listener(patches, experiment, log_checkpoints)
    for namespace in ("lightning.pytorch", "pytorch_lightning"):
        patches.when_imported(namespace, listener.find_trainer)
    for namespace in ("lightning.fabric", "lightning_fabric"):
        patches.when_imported(namespace, listener.find_fabric)
    experiment.on_stop(listener.end)


class _Given(NamedTuple):
    """The last point of a name that a logger was given by the script."""

    logger: int
    step: object
    value: object


class _Listener:
    """What hears Lightning's calls, for one run."""

    def __init__(self, patches: Patches, experiment: "Experiment", log_checkpoints: str) -> None:
        self._patches = patches
        self._experiment = experiment
        self._checkpoints = Checkpoints(log_checkpoints)
        self._epochs = Epochs()
        self._given: dict[str, _Given] = {}
        self._trainers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._scaling: weakref.WeakSet[Any] = weakref.WeakSet()

    # Finding what there is to hear

    def find_trainer(self, module: ModuleType) -> None:
        """Listen to a namespace's Trainer."""
        package, wrap = module.__name__, self._patches.wrap
        connector, signals = f"{package}.{CONNECTOR}", f"{package}.{SIGNALS}"
        if _takes(connector, "_LoggerConnector.log_metrics", ("metrics", "step")):
            self._patches.overhear(connector, "convert_tensors_to_scalars")
            wrap(connector, "_LoggerConnector.log_metrics", self.log_metrics)
        else:
            message = (
                "%s %s hands on what self.log is given in a way that tracelet does not know: it is recorded"
                " only if the Trainer has a logger. Use an older Lightning, or a newer tracelet"
            )
            warn_once(message, package, getattr(module, "__version__", ""))
        if _takes(connector, "_LoggerConnector.on_trainer_init", ("logger", "log_every_n_steps")):
            wrap(connector, "_LoggerConnector.on_trainer_init", self.on_trainer_init)
        if _takes(signals, "_SignalConnector.register_signal_handlers", ()):
            wrap(signals, "_SignalConnector.register_signal_handlers", self.on_begin)
            wrap(signals, "_SignalConnector.teardown", self.on_end)
        else:
            message = (
                "%s %s begins a fit in a way that tracelet does not know: what save_hyperparameters keeps is"
                " recorded only if the Trainer has a logger. Use an older Lightning, or a newer tracelet"
            )
            warn_once(message, package, getattr(module, "__version__", ""))
        scaling = f"{package}.{SCALING}"
        if _takes(scaling, "__scale_batch_reset_params", ("trainer",)):
            wrap(scaling, "__scale_batch_reset_params", self.on_scaling)
            wrap(scaling, "__scale_batch_restore_params", self.on_scaled)
        if self._checkpoints.which != "none":
            place = f"{package}.callbacks.model_checkpoint"
            wrap(place, "ModelCheckpoint._save_checkpoint", self.save_checkpoint)
        self._find_loggers(getattr(sys.modules.get(f"{package}.loggers.logger"), "Logger", None))

    def find_fabric(self, module: ModuleType) -> None:
        """Listen to a namespace's Fabric."""
        package = module.__name__
        self._patches.overhear(f"{package}.fabric", "convert_tensors_to_scalars")
        self._patches.wrap(f"{package}.fabric", "Fabric.log_dict", self.log_dict)
        self._find_loggers(getattr(sys.modules.get(f"{package}.loggers.logger"), "Logger", None))

    def _find_loggers(self, base: Any) -> None:
        """Listen to all classes of loggers that there are by now."""
        waiting = [base] if inspect.isclass(base) else []
        while waiting:
            kind = waiting.pop()
            waiting += kind.__subclasses__()
            self._hear_logger(kind)

    def _hear_logger(self, kind: type) -> None:
        if kind.__name__ == "DummyLogger" or "<" in kind.__qualname__ or hasattr(kind, "tracelet_run"):
            return
        heard: tuple[tuple[str, Callable[..., object]], ...] = (
            ("log_metrics", self.logger_log_metrics),
            ("log_hyperparams", self.logger_log_hyperparams),
        )
        for name, listener in heard:
            method = kind.__dict__.get(name)
            if inspect.isfunction(method) and not getattr(method, "__isabstractmethod__", False):
                self._patches.wrap(kind.__module__, f"{kind.__qualname__}.{name}", listener)

    # What the Trainer does

    def on_trainer_init(self, connector: Any, logger: Any = None, log_every_n_steps: Any = None) -> None:
        """Know the loggers, and let a process that the trainer is sent to record, too."""
        del logger, log_every_n_steps  # Lightning's
        trainer = connector.trainer
        trainer.__dict__["_tracelet"] = _Rejoining(self._experiment, self._checkpoints.which)
        self._known.add(trainer)
        self._know_loggers(trainer)

    def _know_loggers(self, trainer: Any) -> None:
        for one in trainer.loggers:
            self._trainers[id(one)] = trainer
            for kind in type(one).__mro__:
                self._hear_logger(kind)

    def on_scaling(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Hear that trials of batch sizes begin: without a logger, nothing else tells them from a fit."""
        self._scaling.add(trainer)

    def on_scaled(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Hear that they have ended."""
        self._scaling.discard(trainer)

    def on_begin(self, connector: Any) -> None:
        """Hear that a fit, a validation or a test begins: everything is set up."""
        trainer = connector.trainer
        atexit.unregister(self._leave)
        self._given.clear()
        self._know_loggers(trainer)
        if rank() or self._is_trial(trainer) or self._speaks(trainer.loggers):
            return
        if not getattr(trainer, "enable_autolog_hparams", True):
            return
        sources: tuple[Any, ...] = trainer.lightning_module, getattr(trainer, "datamodule", None)
        for source in sources:
            if getattr(source, "_log_hyperparams", False):
                found = {key: value for key, value in source.hparams_initial.items() if key != "_class_path"}
                self._record_params(found)

    def on_end(self, connector: Any) -> None:
        """Hear that it has ended, by itself or by an exception, which then is being handled."""
        if rank():
            return
        if not self._is_trial(connector.trainer):
            self._checkpoints.finish(self._experiment)
        error = sys.exc_info()[1]
        # Lightning leaves by `sys.exit(1)` after Ctrl-C, and by a SystemExit of its own after SIGTERM.
        by_hand = isinstance(error, KeyboardInterrupt)
        ends = by_hand or type(error).__name__ == "SIGTERMException"
        if ends and not hasattr(sys, "ps1"):  # an interpreter that goes on has ended nothing
            atexit.register(self._leave, os.getpid(), by_hand)

    def _leave(self, pid: int, by_hand: bool) -> None:
        if pid == os.getpid():
            reason = how_it_ends(KeyboardInterrupt, KeyboardInterrupt())[1] if by_hand else "SIGTERM"
            contained(self._experiment.stop)("KILLED", reason)

    def end(self) -> None:
        """Forget how the process would end: the run has. Leave the trainers as they were."""
        atexit.unregister(self._leave)
        for trainer in self._known:
            trainer.__dict__.pop("_tracelet", None)

    def log_metrics(self, connector: Any, metrics: Any, step: Any = None) -> None:
        """Record what `self.log` has gathered, with the step that Lightning gives its loggers."""
        trainer = connector.trainer
        if not metrics or rank() or self._is_trial(trainer) or self._speaks(trainer.loggers):
            return
        values = {**(overheard(metrics) or metrics)}  # on the host, if there was a logger to bring them there
        if step is None:
            chosen = values.pop("step", metrics.get("step"))
            if chosen is not None:
                step = int(chosen)
            else:
                step = _step(trainer)
                if "epoch" not in metrics:
                    values.pop("epoch", None)
                    epoch = trainer.current_epoch
                    if self._epochs.new(step, epoch):
                        values["epoch"] = epoch
        self._record(values, step)

    def save_checkpoint(self, callback: Any, trainer: Any, filepath: Any) -> None:
        """Keep a checkpoint, unless the run's own logger does."""
        del filepath  # the callback says what it is to it
        if not rank() and not any(getattr(one, "tracelet_run", None) == self._run for one in trainer.loggers):
            self._checkpoints.saved(callback, self._experiment)

    # What Fabric and the loggers do

    def log_dict(self, fabric: Any, metrics: Any, step: Any = None) -> None:
        """Record what `Fabric.log` or `Fabric.log_dict` was given."""
        if not rank() and not self._speaks(getattr(fabric, "_loggers", ())):
            self._record(overheard(metrics) or metrics, step)

    def logger_log_metrics(self, logger: Any, metrics: Any, step: Any = None, *_: Any, **__: Any) -> None:
        """Record what a logger was given by the script, or by a callback, which gives it to each."""
        if rank() or self._is_represented(logger):
            return
        now = time.time()
        for name, value in flat(metrics):
            before = self._given.get(name)
            number = value.item() if callable(getattr(value, "item", None)) else value
            again = _Given(id(logger), step, repr(number))
            if before is not None and before.logger != again.logger and before[1:] == again[1:]:
                continue
            self._given[name] = again
            self._experiment.scalar(name, number, step, now)

    def logger_log_hyperparams(
        self, logger: Any, params: Any = None, metrics: Any = None, step: Any = None, *_: Any, **__: Any
    ) -> None:
        """Record what a logger was told of hyperparameters; TensorBoard's may have metrics with them."""
        if rank() or self._is_represented(logger):
            return
        self._record_params(params)
        if metrics is not None:
            named = metrics if hasattr(metrics, "items") else {"hp_metric": metrics}
            self.logger_log_metrics(logger, named, step)

    # Recording

    @property
    def _run(self) -> str:
        return self._experiment.run_id

    def _is_trial(self, trainer: Any) -> bool:
        """Tell whether this run is a trial, whose values Lightning keeps from every logger."""
        dummies = any(type(one).__name__ == "DummyLogger" for one in trainer.loggers)
        finding = any(type(one).__name__ == "_LRCallback" for one in trainer.callbacks)
        scaling = trainer in self._scaling
        return dummies or finding or scaling or bool(getattr(trainer, "fast_dev_run", False))

    def _speaks(self, loggers: Iterable[Any]) -> bool:
        """Tell whether one of the loggers writes to this run itself."""
        return any(getattr(one, "tracelet_run", None) == self._run for one in loggers)

    def _is_represented(self, logger: Any) -> bool:
        """Tell whether another logger of the same trainer speaks for this one."""
        others = getattr(self._trainers.get(id(logger)), "loggers", ())
        return any(logger is one for one in others) and self._speaks(others)

    def _record(self, metrics: Mapping[Any, Any], step: Any) -> None:
        now = time.time()
        for name, value in flat(metrics):
            self._experiment.scalar(name, value, step, now)

    def _record_params(self, params: Any) -> None:
        if params is not None and (found := known_params(self._experiment).new(params)):
            self._experiment.log_params(found)


def _takes(module: str, path: str, names: tuple[str, ...]) -> bool:
    """Tell whether a method is there, and takes what we know it by."""
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return inspect.isfunction(found) and set(names) <= set(inspect.signature(found).parameters)


def _step(trainer: Any) -> Any:
    """Count the batches that stepped, as Lightning does for its loggers."""
    loop = getattr(getattr(trainer, "fit_loop", None), "epoch_loop", None)
    step = getattr(loop, "_batches_that_stepped", None)
    if step is None:
        message = "Lightning does not say how many batches stepped; its values have the trainer's global step"
        warn_once(message)
        return trainer.global_step
    return step


class _Rejoining:
    """Goes with a trainer to a spawned process, and lets that one record to the same run.

    Wherever else a trainer is pickled, None goes in its place: what a user keeps needs no tracelet.
    """

    def __init__(self, experiment: "Experiment", log_checkpoints: str) -> None:
        self._experiment = experiment
        self._log_checkpoints = log_checkpoints

    def __deepcopy__(self, memo: object) -> "_Rejoining":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        context: Any = sys.modules.get("multiprocessing.context")
        spawning = getattr(context, "get_spawning_popen", None)
        if spawning is None or spawning() is None or self._experiment.ended:
            return type(None), ()
        return _rejoin, (*self._experiment.__reduce__(), self._log_checkpoints, os.getpid())


@functools.cache
def _rejoin(
    join: "Callable[[str], Experiment]", where: tuple[str], log_checkpoints: str, pid: int
) -> "_Rejoining | None":
    """Begin to listen, in a process that the trainer's own has started."""
    return _rejoined(join(*where), log_checkpoints) if pid == os.getppid() else None


@contained
def _rejoined(experiment: "Experiment", log_checkpoints: str) -> _Rejoining:
    if experiment.directory is not None:
        install(Patches(), experiment, log_checkpoints=log_checkpoints)
    return _Rejoining(experiment, log_checkpoints)


CAPTURE: Final = Capture(name="lightning", install=install, settings=("log_checkpoints",))
