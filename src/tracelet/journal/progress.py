"""Wait for deliveries: as long as they move, and no longer than is asked for."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tracelet.journal import cursors, status
from tracelet.journal.locks import held
from tracelet.journal.reader import segments

LOOK: Final = 0.05  # seconds between two looks
UNAVAILABLE: Final = 5.0  # seconds; a tracker that is away this long is not waited for


def wait_for(
    directory: Path,
    backends: Iterable[str],
    reached: Callable[[str], bool],
    timeout: float,
    look: Callable[[], None] = lambda: None,
) -> list[str]:
    """Wait until deliveries have reached a point; return the backends that have not.

    A backend that refuses, or has been unavailable for some seconds, is not waited for.

    Args:
        directory: The run's directory.
        backends: Whom to wait for.
        reached: Tells whether a backend is there.
        timeout: Seconds, in all.
        look: Called at each look: to show progress, or to bring back a keeper that died.

    Raises:
        KeyboardInterrupt: Ctrl-C ends the waiting, not the delivery.
    """
    waiting = list(backends)
    missed: list[str] = []
    until = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        waiting = [name for name in waiting if not reached(name)]
        hopeless = [name for name in waiting if _is_hopeless(directory, name)]
        missed += hopeless
        waiting = [name for name in waiting if name not in hopeless]
        if not waiting or time.monotonic() >= until:
            return missed + waiting
        look()
        pause.wait(LOOK)


def _is_hopeless(directory: Path, name: str) -> bool:
    said = status.read_delivery(directory, name)
    if said.state == "refused":
        return True
    return said.state == "unavailable" and time.time() - said.since > UNAVAILABLE


def everything(directory: Path) -> Callable[[str], bool]:
    """Make a `reached` for: the backend has all of the run, its end included."""
    return lambda name: cursors.load(directory, name).finished


def until_now(directory: Path) -> Callable[[str], bool]:
    """Make a `reached` for: the backend has all that is in the journal at this moment."""
    there: dict[str, int] = {}
    for name in segments(directory):
        path = directory / name
        there[name] = path.stat().st_size if path.exists() else 0

    def reached(backend: str) -> bool:
        cursor = cursors.load(directory, backend)
        return cursor.finished or status.last_records(directory, there, cursor.offsets)

    return reached


class Movement:
    """Tells whether deliveries still move: whether a cursor does, or the journal still grows.

    A tracker that answers and never takes anything does not move.

    Args:
        directory: The run's directory.
        names: The backends to look at.
        patience: Seconds without movement after which a delivery counts as stalled.
    """

    def __init__(self, directory: Path, names: Iterable[str], patience: float) -> None:
        self._directory = directory
        self._names = tuple(names)
        self._patience = patience
        self._seen: object = None
        self._since = time.monotonic()

    def stalled(self) -> bool:
        """Tell whether nothing has moved for the patience, or for as long as the call under way may take."""
        now, seen = time.monotonic(), self._measured()
        if seen != self._seen:
            self._seen, self._since = seen, now
        still = now - self._since
        return still > self._patience and still > self._allowed()

    def _measured(self) -> object:
        return [
            (status.backlog(self._directory, name), cursors.load(self._directory, name).finished)
            for name in self._names
        ]

    def _allowed(self) -> float:
        """Tell how long the calls may take that are under way; an artifact of gigabytes takes long."""
        longest = 0.0
        for name in self._names:
            said = status.read_delivery(self._directory, name)
            if said.state == "delivering" and held(self._directory / f"relay.{name}.lock"):
                longest = max(longest, said.deadline - said.beat)
        return longest
