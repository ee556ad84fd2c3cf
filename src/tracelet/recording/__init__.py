"""What can be logged to a run: each `log_*`, and what captures call beneath it.

A method that users call checks nothing and hands on to the one that captures call: `log_image` to
`image`. That one is given a name, a thing, a step and a time, whatever their types, and never raises.
The methods stand in four files, by what they log; `Recording` is all of them. What is needed for one
kind only is loaded when it is logged for the first time.
"""

from collections.abc import Sequence
from typing import Final, cast

from tracelet.intake import Intake
from tracelet.journal.recorder import Recorder
from tracelet.recording.files import Files
from tracelet.recording.media import Media
from tracelet.recording.points import Points
from tracelet.recording.tables import Tables

_HANDLES: Final = 1000  # that are kept for the next time they are asked for


class Recording(Points, Media, Tables, Files):
    """Everything that can be logged.

    Args:
        recorder: Where points go.
        intake: Where all else goes.
    """

    __slots__ = ("_directed", "_intake", "_scalar")

    def __init__(self, recorder: Recorder, intake: Intake) -> None:
        self._scalar = recorder.scalar
        self._intake = intake
        self._directed: dict[tuple[str, ...], Recording] = {}

    def to(self, *backends: str | Sequence[str]) -> "Recording":
        """Return a handle on which everything can be logged, and that logs to some backends alone.

        What is logged to it is in the journal as all else is. A backend that the run does not have gets
        it when `tracelet sync RUN --backend NAME` adds it; a warning says so, once.

        Args:
            backends: Their names; several, or a list.
        """
        given = backends[0] if len(backends) == 1 else backends
        key = _key(given)
        known = self._directed.get(key)
        if known is not None:
            return known
        only = self._intake.only(given)
        made = self._directed.get(only)
        if made is None:
            intake = self._intake.directed(only)
            made = self._directed[only] = Recording(intake.recorder, intake)
        if key and len(self._directed) < _HANDLES:
            self._directed[key] = made
        return made


def _key(given: object) -> tuple[str, ...]:
    """Make of names what a handle is found by; nothing of anything else, whose hash might raise."""
    if isinstance(given, str):
        return (given,)
    if isinstance(given, (list, tuple)) and all(type(name) is str for name in cast("list[object]", given)):
        return tuple(cast("list[str]", given))
    return ()
