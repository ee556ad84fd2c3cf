"""MLflow's own calls in the training process land on the live run.

Every call of MLflow's that logs to "the active run" looks for it in one variable of its module
`fluent`: a stack of runs for each thread. `_Stack` takes its place. The first call that asks waits
until the relay has made the run, and finds it on its thread's stack; so does each later call on a
thread that has no run of its own. This is what makes `log_metric`, `active_run`, autologging and
`pytorch.log_model` work, whatever they were imported as.

    fluent._active_run_stack                 the stack
    fluent.MlflowClient                      how `start_run` makes a run and `end_run` ends one
    utils._tracking_uri                      lent to MLflow where the script has set none
    utils._tracking_store_registry.get_store waits for a SQLite database that the relay is making

*Guarantees.* A run of tracelet's is never ended here: `end_run`, leaving a `with` and MLflow's exit
handler only take it off the stack. The first `start_run()` is given this run, as it would be by
MLFLOW_RUN_ID; the next makes one of its own, as in MLflow alone. If the run does not come, or
MLflow is sent to another store, MLflow goes on as without us. No environment variable is set.
`detach` puts back the very same objects, and takes the run off every thread's stack.

All that is private to MLflow is named here and in `told`. If it is not what it was, MLflow is left alone.
"""

import inspect
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

from tracelet.backend import Live, Options
from tracelet.backends.mlflow import told
from tracelet.backends.mlflow.options import database_file, is_same_store
from tracelet.guard import report, warn_once
from tracelet.scrub import without_userinfo

_STACK: Final = "_active_run_stack"
_CLIENT: Final = "MlflowClient"
_URI: Final = "_tracking_uri"
_ENDS: Final = frozenset({"end_run", "__exit__"})
_CHOSEN: Final = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


def attach(options: Options, live: Live) -> Callable[[], None]:
    """See `Backend.attach`."""
    attachment = _Attachment(options, live)
    live.when_imported(told.FLUENT, attachment.install)
    return attachment.detach


class _Failure(Exception):
    """MLflow's client raised `error` when it was asked for the run."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Here(threading.local):
    """What a thread is about: the `start_run` that it is in, and whether it asks for the run."""

    adopts = False
    lends = False
    asking = False


class _Replaced:
    """Attributes that stand in for others; put back together."""

    def __init__(self) -> None:
        self._all: list[tuple[Any, str, Any, Any]] = []

    def put(self, owner: Any, name: str, new: Any) -> None:
        self._all.append((owner, name, _own(owner).get(name, self), new))
        setattr(owner, name, new)

    def back(self) -> None:
        """Put back what is still ours to put back; what somebody has set since is theirs."""
        replaced, self._all = self._all, []
        for owner, name, old, new in reversed(replaced):
            if _own(owner).get(name) is not new:
                continue
            if old is self:  # it was the class's
                delattr(owner, name)
            else:
                setattr(owner, name, old)


def _own(owner: Any) -> dict[str, Any]:
    return owner.__dict__


class _Attachment:
    """One run, and MLflow's modules in this process.

    Args:
        options: The run's.
        live: The run.
    """

    def __init__(self, options: Options, live: Live) -> None:
        self._live = live
        self._stored = options["tracking_uri"]
        self._adopted = self._id = options.get("run", "")
        if self._adopted:
            told.adopted.add(self._adopted)
        self._before = told.open_here()
        self._taken = bool(self._adopted)  # whether a `start_run` of the script's has been given the run
        self._run: Any = None
        self._gone = False  # closed, given up, or ended by the script
        self._here = _Here()
        self._pid, self._lock = os.getpid(), threading.RLock()
        self._replaced, self._lent = _Replaced(), _Replaced()
        self._fluent: Any = None
        self._tracking: Any = None
        self._seen: tuple[str, bool] = ("", False)
        self._experiment: object = None

    def install(self, fluent: ModuleType) -> None:
        """Take the places in MLflow's modules."""
        tracking = sys.modules.get(told.TRACKING)
        if not _is_known(fluent, tracking):
            warn_once("this version of MLflow is not known: its own calls do not log to tracelet's run")
            return
        if self._gone:
            return
        self._fluent, self._tracking = fluent, tracking
        self._experiment = self._fluent._active_experiment_id  # noqa: SLF001
        own = getattr(fluent, _STACK)
        self._kind: Any = type("ActiveRun", (self._fluent.ActiveRun,), {})  # one that nobody started
        self._client: Any = getattr(fluent, _CLIENT)
        if self._live.online:
            self._lend()
            registry = self._tracking._tracking_store_registry  # noqa: SLF001
            self._replaced.put(registry, "get_store", self._waiting(registry))
        self._replaced.put(fluent, _CLIENT, _client(self._client, self))
        self._replaced.put(fluent, _STACK, _Stack(own, self))

    def detach(self) -> None:
        """Take the run off every stack, without ending it, and put everything back."""
        self._gone = True
        if self._fluent is None:
            return
        stacks = getattr(self._fluent, _STACK)
        self._replaced.back()
        self._take_back_uri()
        for stack in stacks.get_all_thread_values().values():
            stack[:] = [run for run in stack if not self._is_ours(run)]

    def asked(self, stack: list[Any], caller: FrameType) -> None:
        """Do what has to be done before a function of MLflow's looks at a thread's stack."""
        function = caller.f_code.co_name
        try:
            if self._here.asking:
                return
            if function in _ENDS:
                self._strip(stack)  # it is the script's run that is to be ended
            elif function == "start_run":
                self._starts(stack, caller.f_locals)
            else:
                self._put(stack)
        except _Failure as failure:
            if function != "active_run":  # this one asks no server, so it cannot fail in MLflow
                raise failure.error from None
        except Exception as error:  # noqa: BLE001  a mistake of ours must not reach the user's call
            report(error, f"mlflow's {function}")

    def created(self, client: Any, create: Callable[..., Any], more: dict[str, Any]) -> Any:
        """Give `start_run` this run, or the one that it asks for."""
        adopts, self._here.adopts = self._here.adopts, False
        run = self._run
        if adopts and run is not None and not self._taken:
            self._taken = True
            try:
                self._tag(client, more.get("tags") or {})
                return client.get_run(self._id)
            except BaseException:  # the script may try again
                self._taken = False
                raise
        if self._here.lends and run is not None and "experiment_id" in more:
            more["experiment_id"] = run.info.experiment_id
        return create(client, **more)

    def ends(self, run_id: str) -> bool:
        """Tell whether MLflow may note the end of a run: not of one of tracelet's."""
        if run_id != self._id:
            return True
        if self._adopted:
            self._gone = True
        return bool(self._adopted)

    def _starts(self, stack: list[Any], asked: dict[str, Any]) -> None:
        """Prepare for a `start_run`: it makes a run beside ours, below ours, or is given ours."""
        self._strip(stack)
        self._here.adopts = self._here.lends = False
        if asked.get("run_id") or asked.get("parent_run_id"):
            return
        experiment: Any = asked.get("experiment_id")
        if asked.get("nested"):
            self._put(stack)
        elif not self._taken and not stack:
            run = self._found()
            self._here.adopts = run is not None and str(experiment or "") in {"", run.info.experiment_id}
        chosen = experiment or self._fluent._active_experiment_id or any(map(os.environ.get, _CHOSEN))  # noqa: SLF001
        self._here.lends = not chosen

    def _put(self, stack: list[Any]) -> None:
        """Put the run on a stack, unless the script has opened one of its own since the start."""
        if stack and stack[-1].info.run_id not in self._before:
            if isinstance(stack[-1], self._kind) and self._is_elsewhere():
                self._strip(stack)
            return
        if self._adopted and any(run.info.run_id == self._adopted for run in stack):
            return
        run = self._found()
        if run is not None:
            stack.append(self._kind(run))

    def _strip(self, stack: list[Any]) -> None:
        stack[:] = [run for run in stack if not isinstance(run, self._kind)]

    def _is_ours(self, run: Any) -> bool:
        return isinstance(run, self._kind) or (not self._adopted and run.info.run_id == self._id)

    def _found(self) -> Any:
        """Wait for the run the first time; None if MLflow is to go on as without us."""
        if self._gone or ((self._live.online or self._adopted) and self._is_elsewhere()):
            return None
        if self._run is None:
            if self._pid != os.getpid():  # another thread may have held it when this process was forked
                self._pid, self._lock = os.getpid(), threading.RLock()
            with self._lock:
                if self._run is None:
                    self._fetch()
        return None if self._gone else self._run

    def _fetch(self) -> None:
        self._id = self._adopted or self._live.remote()
        if not self._id:
            self._gone = True
            self._take_back_uri()
            return
        if not self._adopted:
            told.made.add(self._id)
        self._here.asking = True
        try:
            self._run = self._client().get_run(self._id)
        except Exception as error:  # it is MLflow's own, and goes to the script as it is
            raise _Failure(error) from error
        finally:
            self._here.asking = False

    def _tag(self, client: Any, tags: dict[str, Any]) -> None:
        """Set what `start_run` was given, and what MLflow knows of the process, on the run."""
        from mlflow.entities import RunTag  # the script has imported it

        kept = {name: str(value) for name, value in tags.items() if name != "mlflow.runName"}
        if kept:
            client.log_batch(self._id, tags=[RunTag(*pair) for pair in kept.items()])

    def _is_elsewhere(self) -> bool:
        """Tell whether MLflow would look for the run in another store."""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            self._take_back_uri()  # it was lent because there was none
        uri = str(self._tracking.get_tracking_uri())
        if uri != self._seen[0]:
            self._seen = (uri, not self._is_here(uri))
            if self._seen[1]:
                shown = without_userinfo(uri)
                warn_once(
                    "MLflow's tracking URI is %s, and the run is in %s: MLflow's own calls do not log to it",
                    shown,
                    self._stored,
                    key=shown,
                )
        return self._seen[1]

    def _is_here(self, uri: str) -> bool:
        return is_same_store(uri, self._stored, Path.cwd())

    def _lend(self) -> None:
        """Let MLflow go where the run goes, if nobody has told it where to go."""
        given = getattr(self._tracking, _URI)
        if (given is None or isinstance(given, told.Lent)) and not os.environ.get("MLFLOW_TRACKING_URI"):
            self._lent.put(self._tracking, _URI, told.Lent(self._live.restored(self._stored)))

    def _take_back_uri(self) -> None:
        # An experiment that the script has chosen meanwhile is nowhere else.
        if self._fluent._active_experiment_id == self._experiment:  # noqa: SLF001
            self._lent.back()

    def _waiting(self, registry: Any) -> Callable[..., Any]:
        """Make a `get_store` that does not make the database that the relay is making."""
        file = database_file(self._stored)
        own: Any = registry.get_store  # bound to the registry, as the class has it

        def get_store(store_uri: str | None = None, artifact_uri: str | None = None) -> Any:
            uri = store_uri or self._tracking.get_tracking_uri()
            if file is not None and not file.exists() and not self._gone and self._is_here(str(uri)):
                self._live.remote()
            return own(store_uri, artifact_uri)

        return get_store


class _Stack:
    """Stands where MLflow keeps its stacks, and lets an attachment see who asks for one."""

    def __init__(self, own: Any, attachment: _Attachment) -> None:
        self.__wrapped__ = own
        self._attachment = attachment

    def get(self) -> list[Any]:
        """Return this thread's stack."""
        stack: list[Any] = self.__wrapped__.get()
        frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._attachment.asked(stack, frame)
        return stack

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


def _client(original: Any, attachment: _Attachment) -> Any:
    """Make the client that MLflow's own functions start and end runs with."""

    class MlflowClient(original):
        def create_run(self, experiment_id: str, **more: Any) -> Any:
            return attachment.created(self, original.create_run, {"experiment_id": experiment_id, **more})

        def set_terminated(self, run_id: str, *args: Any, **more: Any) -> None:
            if attachment.ends(run_id):
                original.set_terminated(self, run_id, *args, **more)

    return MlflowClient


def _is_known(fluent: Any, tracking: Any) -> bool:
    """Tell whether MLflow's modules are as this file knows them."""
    try:
        stack = getattr(fluent, _STACK)
        asks = [fluent.start_run, fluent.end_run, fluent.active_run, fluent.ActiveRun.__exit__]
        ends = [fluent.start_run, fluent.end_run]
        return (
            all(callable(getattr(stack, name)) for name in ("get", "set", "get_all_thread_values"))
            and all(_STACK in inspect.unwrap(function).__code__.co_names for function in asks)
            and all(_CLIENT in inspect.unwrap(function).__code__.co_names for function in ends)
            and {"run_id", "experiment_id", "nested"} <= {*inspect.signature(fluent.start_run).parameters}
            and hasattr(fluent, "_active_experiment_id")
            and hasattr(tracking, _URI)
            and callable(tracking.get_tracking_uri)
            and callable(tracking._tracking_store_registry.get_store)  # noqa: SLF001
        )
    except (AttributeError, TypeError, ValueError):
        return False
