"""What the script has told MLflow in this process: its store, its experiment, the run it holds open.

Read from the client's modules if the script has imported them; nothing is imported, nothing asked.
MLflow keeps no note of who opened a run, so that is inferred (`OpenRun.by_script`).
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FLUENT: Final = "mlflow.tracking.fluent"
TRACKING: Final = "mlflow.tracking._tracking_service.utils"

_GENERATED: Final = re.compile(r"[a-z]+-[a-z]+-\d+")
"""A name that MLflow gives to a run without one, as "nimble-crow-318"."""

made: Final[set[str]] = set()
"""The ids of the runs that tracelet made and that this process's calls of MLflow were led to."""

adopted: Final[set[str]] = set()
"""The ids of the runs of the script's that an experiment of this process has logged to."""


class Lent(str):
    """A tracking URI that MLflow has been given for a while, and that nobody has set.

    MLflow ignores it when a script sets the URI that is already there. It must not ignore that of
    this one, or it would be gone when this one is taken back.
    """

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        """Be unlike whatever a script sets."""
        return self is not other


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that is open on the current thread.

    Attributes:
        name: Empty if it has none.
        experiment_id: The experiment it is in.
        by_script: Whether the script opened it, and not a call such as `mlflow.log_metric`.
    """

    id: str
    name: str = ""
    experiment_id: str = ""
    by_script: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What there is to know.

    Attributes:
        said: The tracking URI that the script has set.
        used: The tracking URI that it has used, though it set none.
        now: The tracking URI that MLflow would use now; empty if it is not imported.
        experiment_id: The experiment that it has set.
        run: The run that it holds open.
    """

    said: str = ""
    used: str = ""
    now: str = ""
    experiment_id: str = ""
    run: OpenRun | None = None


def state() -> State:
    """Look at MLflow's modules; find nothing if they are not there, or not what they were."""
    fluent, tracking = sys.modules.get(FLUENT), sys.modules.get(TRACKING)
    if fluent is None or tracking is None:
        return State()
    try:
        return _state(fluent, tracking)
    except (AttributeError, TypeError, LookupError):  # private names: they may go
        return State()


def open_here() -> frozenset[str]:
    """Return the ids of the runs that are open on this thread."""
    fluent: Any = sys.modules.get(FLUENT)
    try:
        return frozenset() if fluent is None else frozenset(run.info.run_id for run in _stack(fluent))
    except (AttributeError, TypeError):  # as in `state`
        return frozenset()


def _stack(fluent: Any) -> Sequence[Any]:
    stack = fluent._active_run_stack  # noqa: SLF001
    return getattr(stack, "__wrapped__", stack).get()  # an attachment may stand in its place


def _state(fluent: Any, tracking: Any) -> State:
    run = _open_run(_stack(fluent))
    experiment = fluent._active_experiment_id  # noqa: SLF001
    last = fluent._last_active_run_id.get()  # noqa: SLF001
    is_in_use = run is not None or experiment is not None or (last is not None and last not in made)
    given, now = tracking._tracking_uri, tracking.get_tracking_uri()  # noqa: SLF001
    is_lent = isinstance(given, Lent)
    return State(
        said=str(given) if given and not is_lent else "",
        used=str(now) if is_in_use and not is_lent else "",
        now=str(now),
        experiment_id=str(experiment or ""),
        run=run,
    )


def _open_run(stack: Sequence[Any]) -> OpenRun | None:
    """Find the innermost run that is the script's own."""
    for depth in reversed(range(len(stack))):
        info = stack[depth].info
        if info.run_id not in made:
            return OpenRun(
                id=info.run_id,
                name=info.run_name or "",
                experiment_id=info.experiment_id,
                by_script=depth > 0 or _is_kept(stack, depth) or _is_described(stack[depth]),
            )
    return None


def _is_kept(stack: Sequence[Any], depth: int) -> bool:
    """Tell whether somebody but the stack has a run: a variable, or a `with` that is not left."""
    count = getattr(sys, "getrefcount", None)
    return count is not None and _references(stack, depth, count) > _references([object()], 0, count)


def _references(items: Sequence[Any], at: int, count: Any) -> int:
    item = items[at]
    return count(item)


def _is_described(run: Any) -> bool:
    """Tell whether a run bears what only a call of `start_run` can give it."""
    tags: Mapping[str, str] = run.data.tags
    if any(not tag.startswith("mlflow.") for tag in tags) or "mlflow.note.content" in tags:
        return True
    return "mlflow.parentRunId" in tags or not _GENERATED.fullmatch(run.info.run_name or "a-b-0")
