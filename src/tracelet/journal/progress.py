"""Wait for deliveries: as long as they move, and no longer than is asked for."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tracelet.journal import cursors, status
from tracelet.journal.locks import held

LOOK: Final = 0.05  # seconds between two looks
STALLED: Final = 20.0  # seconds; making a database, and importing a client, take some of them
UNAVAILABLE: Final = 5.0  # seconds; a tracker that is away this long is not waited for


def wait_for(
    directory: Path,
    backends: Iterable[str],
    reached: Callable[[str], bool],
    timeout: float,
    look: Callable[[], None] = lambda: None,
) -> list[str]:
    """Wait until deliveries have reached a point; return the backends that have not.

    A backend that refuses, that has been unavailable for some seconds, or whose delivery has not
    moved for longer, is not waited for: when none is left but such, the waiting ends. One that comes
    back while another is waited for is waited for again.

    Args:
        directory: The run's directory.
        backends: Whom to wait for.
        reached: Tells whether a backend is there.
        timeout: Seconds, in all.
        look: Called at each look: to show progress, or to bring back a keeper that died.

    Raises:
        KeyboardInterrupt: Ctrl-C ends the waiting, not the delivery.
    """
    missing = {name: Hope(directory, name) for name in backends}
    until = time.monotonic() + timeout
    pause = threading.Event()
    look()  # first: who is away may be so because nobody has tried for long
    while True:
        missing = {name: hope for name, hope in missing.items() if not reached(name)}
        awaited = [name for name, hope in missing.items() if hope.lasts()]
        if not awaited or time.monotonic() >= until:
            return [*missing]
        look()
        pause.wait(LOOK)


def published(
    directory: Path, name: str, timeout: float, look: Callable[[], None], enough: Callable[[], bool]
) -> str:
    """Wait until a relay has published the tracker's id of the run; empty if it does not come.

    Args:
        directory: The run's directory.
        name: The backend's name in the run.
        timeout: Seconds. One that refuses, or has been unavailable for some, is not waited for.
        look: Called at each look.
        enough: Asked at each look; True ends the waiting.
    """
    until = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        found = status.read_delivery(directory, name).id
        if found or enough() or time.monotonic() >= until or _is_hopeless(directory, name):
            return found
        look()
        pause.wait(LOOK)


def _is_hopeless(directory: Path, name: str) -> bool:
    said = status.read_delivery(directory, name)
    if said.state == "refused":
        return True
    return said.state == "unavailable" and time.time() - said.since > UNAVAILABLE


class Hope:
    """Tells whether a backend is worth waiting for, each time anew: it may come back.

    Args:
        directory: The run's directory.
        name: The backend's name in the run.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._movement = Movement(directory, [name], STALLED)

    def lasts(self) -> bool:
        """Tell whether it delivers, or may soon."""
        return not _is_hopeless(self._directory, self._name) and not self._movement.still()


def everything(directory: Path) -> Callable[[str], bool]:
    """Make a `reached` for: the backend has all of the run, its end included."""
    at_once = status.stores(directory)
    return lambda name: name in at_once or cursors.load(directory, name).finished


def until_now(directory: Path) -> Callable[[str], bool]:
    """Make a `reached` for: the backend has all that is in the journal at this moment."""
    there, at_once = status.sizes(directory), status.stores(directory)

    def reached(backend: str) -> bool:
        if backend in at_once:
            return True
        cursor = cursors.load(directory, backend)
        return status.last_records(directory, there, cursor.offsets)

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

    def still(self) -> bool:
        """Tell whether nothing has moved for the patience."""
        return self._standing() > self._patience

    def stalled(self) -> bool:
        """Tell whether nothing has moved for the patience, nor for as long as a call under way may take."""
        standing = self._standing()
        return standing > self._patience and standing > self._allowed()

    def _standing(self) -> float:
        """Measure for how many seconds nothing has moved."""
        now, seen = time.monotonic(), self._measured()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since

    def _measured(self) -> object:
        return [
            (status.backlog(self._directory, name), status.is_complete(self._directory, name))
            for name in self._names
        ]

    def _allowed(self) -> float:
        """Tell how long the calls may take that are under way; an artifact of gigabytes takes long."""
        longest = 0.0
        for name in self._names:
            said = status.read_delivery(self._directory, name)
            if said.state != "unavailable" and held(self._directory / f"relay.{name}.lock"):
                longest = max(longest, said.deadline - said.beat)
        return longest
