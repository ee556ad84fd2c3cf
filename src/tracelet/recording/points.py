"""Points of metrics, params, tags, texts, and what is said of metrics beforehand."""

import math
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tracelet import guard, inputs
from tracelet.events import Chart, Note, Packed, Params, Tags

if TYPE_CHECKING:
    from tracelet.intake import Intake
    from tracelet.recording import Recording

_now: Final = time.time


class Points:
    """What is a number, a name or a text."""

    __slots__ = ()

    _intake: "Intake"
    _scalar: Callable[[str, float, int, float], bool]

    if TYPE_CHECKING:

        def to(self, *backends: str | Sequence[str]) -> Recording:
            """See `Recording.to`."""
            ...

    def log_metric(
        self,
        name: str,
        value: float,
        iteration: int | None = None,
        *,
        step: int | None = None,
        backends: str | Sequence[str] | None = None,
    ) -> None:
        """Log one value of a metric.

        Args:
            name: Any text that is not empty.
            value: A number, or a numpy or torch scalar. May be NaN or infinite.
            iteration: The x axis, a whole number; None if the metric has none.
            step: The same as `iteration`.
            backends: The backends that it goes to; None for all. See `to`.
        """
        if iteration is None:
            iteration = step
        if backends is not None:
            self._scalar_to(backends, name, value, iteration)
            return
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
        self,
        metrics: Mapping[str, float],
        iteration: int | None = None,
        *,
        step: int | None = None,
        backends: str | Sequence[str] | None = None,
    ) -> None:
        """Log values of several metrics, at one step and one time; the arguments are as in `log_metric`."""
        now = _now()
        into = self if backends is None else self.to(backends)
        for name, value in inputs.mapping(metrics, "log_metrics").items():
            into.scalar(name, value, step if iteration is None else iteration, now)

    @guard.contained
    def _scalar_to(self, backends: str | Sequence[str], name: str, value: float, step: int | None) -> None:
        self.to(backends).scalar(name, value, step)

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
    def log_hparams(self, params: object, metrics: Mapping[str, float] | None = None) -> None:
        """Log hyperparameters, and the metrics that came of them; these have no step.

        Args:
            params: See `log_params`.
            metrics: See `log_metrics`.
        """
        self.log_params(params)
        if metrics is not None:
            self.log_metrics(metrics)

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

    @guard.contained
    def define_metric(
        self,
        name: str,
        *,
        step_metric: str | None = None,
        summary: str | Sequence[str] | None = None,
        goal: str | None = None,
    ) -> None:
        """Say how a metric is to be read; a later call for the same name replaces it.

        Args:
            name: The metric's name, in which `*` stands for any text.
            step_metric: The metric that is its x axis, instead of the step.
            summary: Which of its values stand for the whole: one or several of "min", "max", "mean",
                "last", "best", which is the best by `goal`, or "none".
            goal: "minimize" or "maximize".
        """
        from tracelet.intake import plans

        plans.definition(self._intake, name, step_metric=step_metric, summary=summary, goal=goal)

    @guard.contained
    def layout(self, charts: Sequence[Chart], time: float | None = None) -> None:
        """Record which metrics are to be shown together: what captures call."""
        from tracelet.intake import plans

        plans.layout(self._intake, charts, time)

    def record(self, event: Packed) -> None:
        """Record any other event."""
        guard.contained(self._intake.event)(event)
