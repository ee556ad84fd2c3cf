"""The handle that a user holds on one live run: every `log_*` ends in the run's journal.

No method raises for bad input, blocks on a network or waits for a tracker, but `flush` and `stop`,
which wait for deliveries, and only as long as those move. Bad input is warned of once.
"""

import math
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from tracelet import guard, inputs
from tracelet.ends import how_it_ends
from tracelet.events import Note, Packed, Params, Status, Tags
from tracelet.intake import Intake
from tracelet.journal import status
from tracelet.journal.deliveries import Deliveries, unseen
from tracelet.journal.overview import RunOverview
from tracelet.journal.recorder import Nowhere, Recorder
from tracelet.journal.status import RunFile
from tracelet.journal.writer import Writer
from tracelet.life import Life
from tracelet.telling import waiting
from tracelet.telling.summary import Summary

if TYPE_CHECKING:
    from typing_extensions import Self

_now: Final = time.time


class Experiment:
    """One live run.

    Make one with `tracelet.start_logging`, or with `tracelet.start_experiment` for several at
    once. It is a context manager: leaving it ends the run, as FAILED after an exception.
    Any thread may use it, and so may a forked child, or a spawned one that it was handed to.
    """

    __slots__ = (
        "__weakref__",
        "_deliveries",
        "_directory",
        "_intake",
        "_life",
        "_recorder",
        "_run",
        "_scalar",
        "_silent",
    )

    def __init__(
        self,
        directory: Path | None,
        run: RunFile,
        recorder: Recorder | None = None,
        *,
        owner: int = 0,
        stop_timeout: float = 60.0,
        revive: Callable[[Path], None] | None = None,
        quiet: bool = False,
        silent: str = "",
    ) -> None:
        self._directory = directory
        self._run = run
        self._recorder: Recorder = recorder or Nowhere()
        self._scalar = self._recorder.scalar
        self._silent = silent
        display = unseen if quiet else waiting.shown
        self._deliveries = Deliveries(directory, run, stop_timeout, revive, display)
        self._life = Life(directory, run, self._recorder, self._deliveries, owner, quiet=quiet)
        self._intake = Intake(directory, run, self._recorder, self._life)

    def __repr__(self) -> str:
        """Show the run's name and id, or why nothing is recorded."""
        what = self._run.run_id or f"records nothing: {self._silent}"
        return f"<tracelet.Experiment {self._run.name!r} {what}{' (ended)' * self.ended}>"

    @guard.contained
    def _repr_html_(self) -> str:
        """Show the run in a notebook, as it stands."""
        from tracelet.telling import notebook

        seen = self._life.overview()
        return notebook.of_experiment(seen) if seen else notebook.of_nothing(self.name, self._silent)

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
        return self._life.ended

    def url(self, backend: str | None = None) -> str | None:
        """Return the run's page at a backend (by default the first); None while there is none."""
        return self._deliveries.url(backend)

    def remote_id(self, backend: str | None = None, timeout: float = 0.0) -> str | None:
        """Return a backend's own id of the run (by default the first's); None while there is none.

        Args:
            backend: The backend's name.
            timeout: Seconds to wait for it, at most; a tracker that is away is not waited for.
        """
        return self._deliveries.remote_id(backend, timeout, lambda: self.ended)

    @guard.contained
    def status(self) -> RunOverview | None:
        """Tell how the run and its deliveries stand; None if nothing is recorded."""
        return self._life.overview()

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
            if value.__class__ is float and iteration.__class__ is int:
                if not self._scalar(name, value, iteration, _now()):  # pyright: ignore[reportArgumentType]
                    self._intake.missed(f"metric {name!r}")
                return
        except (TypeError, ValueError, struct.error):
            pass  # said below, in words
        self.scalar(name, value, iteration)

    @guard.contained
    def log_metrics(
        self, metrics: Mapping[str, float], iteration: int | None = None, *, step: int | None = None
    ) -> None:
        """Log values of several metrics, at one step and one time."""
        now = _now()
        for name, value in inputs.mapping(metrics, "log_metrics").items():
            self.scalar(name, value, step if iteration is None else iteration, now)

    def scalar(self, name: object, value: object, step: object, time: float | None = None) -> None:
        """Record one value, whatever its type: what captures call.

        Args:
            name: The metric's name.
            value: See `log_metric`.
            step: See `log_metric`; a float without a fraction is taken as the whole number it is.
            time: Seconds since the epoch; None for now.
        """
        try:
            # As in `log_metric`, and not called from there: one more call is a tenth of the cost.
            if value.__class__ is float and step.__class__ is int and (time is None or math.isfinite(time)):
                when = _now() if time is None else time
                if not self._scalar(name, value, step, when):  # pyright: ignore[reportArgumentType]
                    self._intake.missed(f"metric {name!r}")
                return
        except (TypeError, ValueError, struct.error):
            pass  # said below, in words
        self._intake.point(name, value, step, time)

    @guard.contained
    def log_params(self, params: object) -> None:
        """Log hyperparameters.

        Args:
            params: A mapping, a dataclass, a model of pydantic or attrs, an OmegaConf configuration,
                a Namespace, or any object with attributes. Names of nested ones are joined by dots.
        """
        now = _now()
        self._intake.parts(inputs.params(params), lambda part: Params(now, dict(part)))

    @guard.contained
    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, or set them anew; values are kept as text."""
        now = _now()
        self._intake.parts(inputs.tags(tags), lambda part: Tags(now, dict(part)))

    @guard.contained
    def set_note(self, text: str) -> None:
        """Set the run's description; a later one replaces it."""
        self._intake.event(Note(_now(), inputs.text("the note", text)))

    @guard.contained
    def log_text(
        self, name: str, text: str, iteration: int | None = None, *, step: int | None = None
    ) -> None:
        """Log a text that belongs to a step, such as a sample of what a model writes.

        Args:
            name: Any text that is not empty.
            text: The text; may be Markdown. Of more than a million characters, the first are kept.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
        """
        self.text(name, text, step if iteration is None else iteration)

    @guard.contained
    def text(self, name: object, text: object, step: object, time: float | None = None) -> None:
        """Record a text, or something whose text it is: what captures call. See `scalar`."""
        passage = inputs.passage(name, text, step, time)
        if passage is not None:
            self._intake.event(passage)

    def log_histogram(
        self,
        name: str,
        values: Any = None,
        iteration: int | None = None,
        *,
        step: int | None = None,
        bins: Any = None,
        counts: Any = None,
        limits: Any = None,
    ) -> None:
        """Log how values are spread.

        Args:
            name: Any text that is not empty.
            values: A tensor, an array or a list of numbers, of any shape; or an iterable of tensors or
                arrays, such as `model.parameters()`, whose values are taken together.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            bins: How values are counted: a number of equal bins, a rule of `numpy.histogram`, or limits.
            counts: Instead of values: how many are in each bin.
            limits: Where each bin begins, and where the last ends: one more than counts.
        """
        at = step if iteration is None else iteration
        self.histogram(name, values, at, bins=bins, counts=counts, limits=limits)

    @guard.contained
    def histogram(
        self, name: object, values: Any, step: object, time: float | None = None, **more: Any
    ) -> None:
        """Record a histogram: what captures call. `more` is as in `Intake.histogram`."""
        self._intake.histogram(name, values, step, time, **more)

    def log_image(
        self,
        name: str,
        image: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        layout: str | None = None,
        caption: str = "",
    ) -> None:
        """Log an image.

        Args:
            name: Any text that is not empty.
            image: An image of Pillow's, the path of a file, or a tensor or array: of floats from 0 to 1,
                or of uint8. A batch becomes a grid.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            layout: The axes of a tensor or array: "HW", "HWC", "CHW", "NCHW", "NHWC". By default the
                channels are the axis of 1, 3 or 4 elements: of a tensor the first, else the last.
            caption: A text that belongs to it.
        """
        self.image(name, image, step if iteration is None else iteration, layout=layout, caption=caption)

    @guard.contained
    def log_images(
        self,
        name: str,
        images: Iterable[Any],
        iteration: int | None = None,
        *,
        step: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Log several images, as `name/0`, `name/1` …; `layout` is that of each."""
        at, now = step if iteration is None else iteration, _now()
        for number, image in enumerate(images):
            self.image(f"{name}/{number}", image, at, now, layout=layout)

    @guard.contained
    def image(self, name: object, image: Any, step: object, time: float | None = None, **more: Any) -> None:
        """Record an image: what captures call. `more` is as in `Intake.image`."""
        self._intake.image(name, image, step, time, **more)

    @guard.contained
    def log_artifact(
        self,
        path: str | os.PathLike[str],
        artifact_path: str | os.PathLike[str] | None = None,
        *,
        copy: bool = True,
    ) -> None:
        """Log a file, or all files below a directory, as they are at this moment.

        Args:
            path: The file or directory.
            artifact_path: The directory among the run's artifacts that it goes to. A directory's
                contents go right into it; without it, into one of the directory's own name.
            copy: False for files too large to copy: only their place, size and time are kept, and
                a file that has changed when it is delivered is rejected.
        """
        self._intake.artifact(path, artifact_path, copy=copy)

    def record(self, event: Packed) -> None:
        """Record any other event."""
        guard.contained(self._intake.event)(event)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the backends have everything that was logged so far.

        Args:
            timeout: Seconds; None for the setting `stop_timeout`.

        Returns:
            Whether all of them have it. One that is away for some seconds is not waited for.
        """
        return self._deliveries.flush(timeout)

    def stop(self, status: Status = "FINISHED", reason: str = "", *, wait: bool = True) -> Summary:
        """End the run; wait as long as its deliveries move.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: Why, in a few words.
            wait: False: leave the deliveries to the background.

        Returns:
            What became of the run. A second call returns the same; a child's call ends nothing.
        """
        return self._life.stop(status, reason, wait=wait)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have something done once, before the run's end is recorded."""
        self._life.on_stop(callback)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.stop(*how_it_ends(kind, error))

    def __reduce__(self) -> tuple[Callable[[str], "Experiment"], tuple[str]]:
        """Let a spawned process log to this run, into segments of its own."""
        return joined, (str(self._directory or ""),)


_joined: Final[dict[str, "Experiment"]] = {}


def joined(directory: str) -> Experiment:
    """Join a run from another process: everything but ending it. Once per process and run."""
    if not directory:
        return disabled("", "", "the experiment it came from does not either")
    if directory not in _joined:
        path = Path(directory)
        run = status.read_run(path)
        _joined[directory] = Experiment(path, run, Writer(path, "joined", sync=run.durability == "record"))
    return _joined[directory]


def disabled(name: str, project: str, why: str) -> Experiment:
    """Make an experiment whose calls do nothing, and that says why."""
    return Experiment(None, status.no_run(name, project), silent=why)
