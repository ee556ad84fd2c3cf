"""Where an experiment's events go: a journal's `Writer`, or nowhere."""

from typing import Protocol

from tracelet.events import Packed


class Recorder(Protocol):
    """What an experiment needs of its journal.

    `lost` counts what could not be written, for `reason`; `dropped` what a signal handler or
    `__del__` recorded inside another record.
    """

    lost: int
    dropped: int
    reason: str

    def scalar(self, name: str, value: float, step: int, time: float) -> bool:
        """See `Writer.scalar`."""
        ...

    def stepless(self, name: str, value: float, time: float) -> bool:
        """See `Writer.stepless`."""
        ...

    def event(self, event: Packed) -> bool:
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

    def scalar(self, name: str, value: float, step: int, time: float) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.scalar`."""
        return True

    def stepless(self, name: str, value: float, time: float) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.stepless`."""
        return True

    def event(self, event: Packed) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.event`."""
        return True

    def finish(self, event: Packed) -> bool:  # noqa: ARG002  see Recorder
        """See `Recorder.finish`."""
        return True

    def lose(self, reason: str) -> None:
        """See `Recorder.lose`."""
