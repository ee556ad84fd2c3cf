"""Where an experiment's events go: a journal's `Writer`, or nowhere."""

from typing import Protocol

from tracelet.events import Packed


class Recorder(Protocol):
    """What an experiment needs of its journal."""

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


class Nowhere:
    """Takes everything and keeps nothing: for ranks above 0, and when tracelet is disabled."""

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
