"""The handle that a user holds on one live run: every `log_*` ends in the run's journal.

No method raises for bad input, blocks on a network or waits for a tracker, but `flush` and `stop`,
which wait for deliveries, and only as long as those move. Bad input is warned of once.
"""

import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet import guard, values
from tracelet.events import Note, Packed, Params, Plain, RunFinished, Status, Tags
from tracelet.journal import blobs, progress, status
from tracelet.journal.overview import RunOverview, Summary, overview
from tracelet.journal.recorder import Nowhere, Recorder
from tracelet.journal.status import RunFile
from tracelet.journal.writer import Writer

if TYPE_CHECKING:
    from typing_extensions import Self

_LOG: Final = logging.getLogger("tracelet")
_now: Final = time.time
_AT_ONCE: Final = 500  # params in one record
_TEXT_MAX: Final = 1_000_000  # characters of a note, a tag or a param's text in the journal


class Experiment:
    """One live run.

    Make one with `tracelet.start_logging`, or with `tracelet.start_experiment` for several at
    once. It is a context manager: leaving it ends the run, as FAILED after an exception.
    Any thread may use it, and so may a forked child, or a spawned one that it was handed to.
    """

    __slots__ = (
        "__weakref__",
        "_directory",
        "_ending",
        "_on_stop",
        "_owner",
        "_recorder",
        "_revive",
        "_run",
        "_scalar",
        "_stop_timeout",
        "_summary",
    )

    def __init__(
        self,
        directory: Path | None,
        run: RunFile,
        recorder: Recorder | None = None,
        *,
        owner: int = 0,
        stop_timeout: float = 60.0,
        revive: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._run = run
        self._recorder: Recorder = recorder or Nowhere()
        self._scalar = self._recorder.scalar
        self._owner = owner  # the process that may end the run
        self._stop_timeout = stop_timeout
        self._revive = revive
        self._summary: Summary | None = None
        self._ending = threading.Lock()
        self._on_stop: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        """Show the run's name and id."""
        return f"<tracelet.Experiment {self._run.name!r} {self._run.run_id or '(disabled)'}>"

    @property
    def run_id(self) -> str:
        """The run's id, ours, the same for all backends; empty if nothing is recorded."""
        return self._run.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._run.name

    @property
    def project(self) -> str:
        """The project that the run belongs to."""
        return self._run.project

    @property
    def directory(self) -> Path | None:
        """The run's directory on disk; None if nothing is recorded."""
        return self._directory

    @property
    def active_backends(self) -> list[str]:
        """The backends of this run, in the order in which they were given, reachable or not."""
        return list(self._run.targets)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self._summary is not None

    def url(self, backend: str | None = None) -> str | None:
        """Return the run's page at a backend (by default the first); None while there is none."""
        name = backend or next(iter(self._run.targets), "")
        if self._directory is None or name not in self._run.targets:
            return None
        return status.read_delivery(self._directory, name).url or None

    def status(self) -> RunOverview | None:
        """Tell how the run and its deliveries stand; None if nothing is recorded."""
        return None if self._directory is None else overview(self._directory)

    def log_metric(
        self, name: str, value: float, iteration: int | None = None, *, step: int | None = None
    ) -> None:
        """Log one value of a metric.

        Args:
            name: Any text that is not empty.
            value: A number, or a numpy or torch scalar. May be NaN or infinite.
            iteration: The x axis, a whole number; None if the metric has none.
            step: The same as `iteration`.
        """
        if iteration is None:
            iteration = step
        try:
            # What nearly every call is: its types are right, and it is written at once.
            if (
                value.__class__ is float
                and iteration.__class__ is int
                and self._scalar(name, value, iteration, _now())  # pyright: ignore[reportArgumentType]
            ):
                return
        except (TypeError, ValueError, struct.error):
            pass  # said below, in words
        self.scalar(name, value, iteration)

    def log_metrics(
        self, metrics: Mapping[str, float], iteration: int | None = None, *, step: int | None = None
    ) -> None:
        """Log values of several metrics, at one step and one time."""
        now = _now()
        for name, value in _mapping(metrics, "log_metrics").items():
            self.scalar(name, value, iteration if step is None else step, now)

    def scalar(self, name: object, value: object, step: object, time: float | None = None) -> None:
        """Record one value, whatever its type: what captures call.

        Args:
            name: The metric's name.
            value: See `log_metric`.
            step: See `log_metric`; a float without a fraction is taken as the whole number it is.
            time: Seconds since the epoch; None for now.
        """
        now = _now() if time is None else time
        try:
            if (
                value.__class__ is float and step.__class__ is int and self._scalar(name, value, step, now)  # pyright: ignore[reportArgumentType]
            ):
                return
        except (TypeError, ValueError, struct.error):
            pass  # said below, in words
        self._any_scalar(name, value, step, now)

    @guard.contained
    def _any_scalar(self, name: object, value: object, step: object, now: float) -> None:
        """Record a value that still has to be understood, or say why it cannot be."""
        if not isinstance(name, str) or not name:
            guard.warn_once("a metric needs a name, a text that is not empty; got %r. It is not logged", name)
            return
        try:
            number, now = values.number(value), values.number(now)
        except TypeError as error:
            guard.warn_once(
                "metric %r: %s. It is not logged; give a number", name, error, key=("value", name)
            )
            return
        try:
            whole = values.step(step)
        except (TypeError, OverflowError) as error:
            guard.warn_once("metric %r: the step %s; logged without a step", name, error, key=("step", name))
            whole = None
        if whole is None:
            written = self._recorder.stepless(name, number, now)
        else:
            written = self._scalar(name, number, whole, now)
        if not written:
            self._missed(f"metric {name!r}")

    @guard.contained
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log hyperparameters; nested mappings are joined by dots, objects are kept as their text."""
        plain: dict[str, Plain] = {}
        for name, value in values.flattened(_mapping(params, "log_params")):
            if not name:
                guard.warn_once("a param needs a name that is not empty; %r is not logged", value)
                continue
            plain[name] = _shortened(name, value)
        names = list(plain)
        for begin in range(0, len(names), _AT_ONCE):
            part = {name: plain[name] for name in names[begin : begin + _AT_ONCE]}
            self._record_params(Params(_now(), part))

    def _record_params(self, event: Params) -> None:
        """Record params; halve them if together they are too large for one record."""
        try:
            self._record(event)
        except ValueError:
            names = list(event.params)
            for half in (names[: len(names) // 2], names[len(names) // 2 :]):
                self._record_params(Params(event.time, {name: event.params[name] for name in half}))

    @guard.contained
    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, or set them anew; values are kept as text."""
        texts = {
            str(name): str(_shortened(str(name), str(value)))
            for name, value in _mapping(tags, "set_tags").items()
        }
        if texts:
            self._record(Tags(_now(), texts))

    @guard.contained
    def set_note(self, text: str) -> None:
        """Set the run's description; a later one replaces it."""
        self._record(Note(_now(), str(_shortened("note", str(text)))))

    @guard.contained
    def log_artifact(
        self, path: str | os.PathLike[str], artifact_path: str | None = None, *, copy: bool = True
    ) -> None:
        """Log a file, or all files below a directory, as they are at this moment.

        Args:
            path: The file or directory.
            artifact_path: The directory among the run's artifacts that it goes to. A directory's
                contents go right into it; without it, into one of the directory's own name.
            copy: False for files too large to copy: only their place, size and time are kept, and
                a file that has changed when it is delivered is rejected.
        """
        if self._directory is None:
            return
        source = Path(path).expanduser()
        try:
            for artifact in blobs.artifacts(self._directory, source, artifact_path, copy=copy):
                self._record(artifact)
        except OSError as error:
            reason = error.strerror or str(error)
            what = error.filename or source
            guard.warn_once("artifact %s cannot be logged: %s", what, reason, key=str(what))

    def record(self, event: Packed) -> None:
        """Record any other event."""
        guard.contained(self._record)(event)

    def _record(self, event: Packed) -> None:
        if not self._recorder.event(event):
            self._missed(type(event).__name__)

    def _missed(self, what: str) -> None:
        """Say why something was not recorded, once."""
        if self.ended:
            guard.warn_once(
                "%s comes after the run %s has ended; it is not logged", what, self.name, key=self.run_id
            )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the backends have everything that was logged so far.

        Args:
            timeout: Seconds; None for the setting `stop_timeout`.

        Returns:
            Whether all of them have it. One that is away for some seconds is not waited for.
        """
        if self._directory is None or self._run.mode == "offline":
            return self._directory is None
        limit = self._stop_timeout if timeout is None else timeout
        reached = progress.until_now(self._directory)
        return not progress.wait_for(self._directory, self._run.targets, reached, limit, self._look_after)

    def stop(self, status: Status = "FINISHED", reason: str = "", *, wait: bool = True) -> Summary:
        """End the run; wait as long as its deliveries move.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: Why, in a few words.
            wait: False: leave the deliveries to the background.

        Returns:
            What became of the run. A second call returns the same.
        """
        with self._ending:
            if self._summary is None:
                self._summary = self._stop(status, reason, wait=wait)
            return self._summary

    def _stop(self, how: Status, reason: str, *, wait: bool) -> Summary:
        began = time.monotonic()
        for callback in self._on_stop:
            guard.contained(callback)()
        if self._directory is None or self._owner != os.getpid():
            return Summary(run_id=self.run_id, name=self.name, status=how)
        finished = self._recorder.finish(RunFinished(_now(), how, reason[:1000]))
        if not finished:
            _LOG.error("the end of run %s could not be written to %s", self.run_id, self._directory)
        if wait and self._run.mode == "online":
            self._wait()
        recorder = self._recorder
        return Summary(
            run_id=self.run_id,
            name=self.name,
            status=how,
            backends=overview(self._directory).backends,
            lost=recorder.lost if isinstance(recorder, Writer) else 0,
            dropped=recorder.dropped if isinstance(recorder, Writer) else 0,
            seconds=time.monotonic() - began,
        )

    def _wait(self) -> None:
        directory = cast("Path", self._directory)
        try:
            progress.wait_for(
                directory,
                self._run.targets,
                progress.everything(directory),
                self._stop_timeout,
                self._look_after,
            )
        except KeyboardInterrupt:
            _LOG.warning("not waiting any longer; delivery of %s goes on in the background", self.run_id)

    def _look_after(self) -> None:
        guard.contained(self._revive)(cast("Path", self._directory))

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have something done once, before the run's end is recorded."""
        self._on_stop.append(callback)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.stop(
                "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED", f"{kind.__name__}: {error}"
            )

    def __reduce__(self) -> tuple[Callable[[str], "Experiment"], tuple[str]]:
        """Let a spawned process log to this run, into segments of its own."""
        return joined, (str(self._directory or ""),)


def joined(directory: str) -> Experiment:
    """Join a run from another process: everything but ending it."""
    if not directory:
        return disabled("", "")
    path = Path(directory)
    return Experiment(path, status.read_run(path), Writer(path, "joined"))


def disabled(name: str, project: str) -> Experiment:
    """Make an experiment whose calls do nothing."""
    nobody = status.Holder(0)
    run = RunFile(
        run_id="",
        name=name,
        project=project,
        time=0.0,
        trainer=nobody,
        host="",
        directory="",
        python="",
        targets={},
    )
    return Experiment(None, run)


def _mapping(given: object, where: str) -> Mapping[Any, Any]:
    """Take a mapping, or what `vars` makes one of; warn of anything else."""
    if isinstance(given, Mapping):
        return cast("Mapping[Any, Any]", given)
    if hasattr(given, "__dict__") and not isinstance(given, type):
        return vars(given)
    guard.warn_once("%s takes names and values, such as a dict; got %r. Nothing is logged", where, given)
    return {}


def _shortened(name: str, value: Plain) -> Plain:
    """Keep a value whose text is too large even for the journal within a record."""
    whole: Sequence[Any] | str = value if isinstance(value, str) else str(value)
    if len(whole) <= _TEXT_MAX:
        return value
    guard.warn_once("%r has %d characters; the first %d are kept", name, len(whole), _TEXT_MAX, key=name)
    return str(whole[:_TEXT_MAX])
