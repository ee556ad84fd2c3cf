"""What is said of metrics before they are logged: which of their values count, and what is shown together."""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from tracelet import guard, inputs
from tracelet.events import Chart, Definition, Layout

if TYPE_CHECKING:
    from tracelet.intake import Intake

SUMMARIES: Final = ("min", "max", "mean", "last", "best", "none")
GOALS: Final = ("minimize", "maximize")
CHARTS_MAX: Final = 10_000


def definition(intake: "Intake", name: object, *, step_metric: Any, summary: Any, goal: Any) -> None:
    """See `Recording.define_metric`."""
    at = intake.place("metric", name, None, None)
    if at is None:
        return
    words = _summary(at.name, summary)
    aim = "" if goal is None else _known(at.name, "goal", goal, GOALS)
    if "best" in words and not aim:
        message = 'metric %r: summary="best" needs goal=, one of %s; it is left out'
        guard.warn_once(message, at.name, ", ".join(map(repr, GOALS)), key=at.name)
        words = tuple(word for word in words if word != "best")
    (axis,) = inputs.names("step_metric", step_metric)[:1] or ("",)
    intake.event(Definition(time=at.time, name=at.name, summary=words, goal=aim, step_metric=axis))


def _summary(name: str, given: Any) -> tuple[str, ...]:
    listed = inputs.names("summary", given.split(",") if isinstance(given, str) else given)
    found = [_known(name, "summary", word.strip(), SUMMARIES) for word in listed]
    return tuple(dict.fromkeys(word for word in found if word))


def _known(name: str, what: str, given: Any, words: tuple[str, ...]) -> str:
    if isinstance(given, str) and given in words:
        return given
    message = "metric %r: %s=%r is unknown; there are %s. It is left out"
    guard.warn_once(message, name, what, given, ", ".join(words), key=(name, what))
    return ""


def layout(intake: "Intake", charts: Iterable[Chart], time: float | None) -> None:
    """See `Recording.layout`."""
    at = intake.place("layout", "layout", None, time)
    if at is not None:
        shown = tuple(itertools.islice(charts, CHARTS_MAX))
        intake.event(Layout(at.time, shown))
