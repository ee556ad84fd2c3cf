"""Where an experiment's events go: a journal's `Writer`, or nowhere."""

from typing import Protocol

from tracelet.events import Packed
from tracelet.journal.codec import Addressed, Called


class Recorder(Protocol):
    """What an experiment needs of its journal.

    `lost` counts what could not be written, for `reason`; `dropped` what a signal handler or
    `__del__` recorded inside another record.
    """

    @property
    def lost(self) -> int:
        """See above."""
        ...

    @property
    def dropped(self) -> int:
        """See above."""
        ...

    @property
    def reason(self) -> str:
        """See above."""
        ...

    def scalar(self, name: Called, value: float, step: int, time: float) -> bool:
        """See `Writer.scalar`."""
        ...

    def stepless(self, name: Called, value: float, time: float) -> bool:
        """See `Writer.stepless`."""
        ...

    def event(self, event: Packed, only: tuple[str, ...] = ()) -> bool:
        """See `Writer.event`."""
        ...

    def finish(self, event: Packed) -> bool:
        """See `Writer.finish`."""
        ...

    def lose(self, reason: str) -> None:
        """See `Writer.lose`."""
        ...


class Nowhere:
    """Takes everything and keeps nothing: for ranks above 0, and when tracelet is disabled."""

    lost = 0
    dropped = 0
    reason = ""

    def scalar(self, name: Called, value: float, step: int, time: float) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.scalar`."""
        return True

    def stepless(self, name: Called, value: float, time: float) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.stepless`."""
        return True

    def event(self, event: Packed, only: tuple[str, ...] = ()) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.event`."""
        return True

    def finish(self, event: Packed) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.finish`."""
        return True

    def lose(self, reason: str) -> None:
        """See `Recorder.lose`."""


class Directed:
    """Records for some of a run's backends alone.

    Args:
        recorder: Where it is recorded.
        only: The backends, by their names in the run.
    """

    def __init__(self, recorder: Recorder, only: tuple[str, ...]) -> None:
        self._recorder = recorder
        self._only = only

    @property
    def lost(self) -> int:
        """See `Recorder`."""
        return self._recorder.lost

    @property
    def dropped(self) -> int:
        """See `Recorder`."""
        return self._recorder.dropped

    @property
    def reason(self) -> str:
        """See `Recorder`."""
        return self._recorder.reason

    def scalar(self, name: Called, value: float, step: int, time: float) -> bool:
        """See `Writer.scalar`."""
        return self._recorder.scalar(self._addressed(name), value, step, time)

    def stepless(self, name: Called, value: float, time: float) -> bool:
        """See `Writer.stepless`."""
        return self._recorder.stepless(self._addressed(name), value, time)

    def event(self, event: Packed, only: tuple[str, ...] = ()) -> bool:
        """See `Writer.event`."""
        return self._recorder.event(event, only or self._only)

    def finish(self, event: Packed) -> bool:
        """See `Writer.finish`: a run's end is for all."""
        return self._recorder.finish(event)

    def lose(self, reason: str) -> None:
        """See `Writer.lose`."""
        self._recorder.lose(reason)

    def _addressed(self, name: Called) -> Addressed:
        return name if isinstance(name, Addressed) else Addressed(name, self._only)
