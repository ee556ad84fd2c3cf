"""How far the deliveries are, for as long as somebody waits for them.

On a terminal and in a notebook: one line on stderr, drawn again where it stands, and gone when the
wait is over. Elsewhere: one message, once a wait has become long. Nothing is shown of a short wait,
nor by another thread than the main one. No thread is started: at exit, Python allows none.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Final

from tracelet.guard import first
from tracelet.journal import codec, status
from tracelet.journal.progress import STALLED, Hope
from tracelet.telling import words
from tracelet.telling.messages import silenced, tell

SHORT: Final = 1.0  # seconds of waiting of which a terminal sees nothing
LONG: Final = 5.0  # seconds after which a log is told
EVERY: Final = 0.2  # seconds between two drawings
EXACT: Final = 64 * 1024  # bytes; up to here records are counted, more are estimated: nobody waits to count
NOTEBOOK: Final = 100  # characters that fit into a notebook's line
_MESSAGE: Final = "waiting up to %.0f s for deliveries%s; %s; Ctrl-C ends the wait"


@contextlib.contextmanager
def shown(
    directory: Path, backends: Iterable[str], timeout: float
) -> Generator[Callable[[], None], None, None]:
    """Show a wait; gives what is to be called at each look.

    Args:
        directory: The run's directory.
        backends: Whom somebody waits for.
        timeout: Seconds that the wait takes at most.
    """
    if silenced() or threading.current_thread() is not threading.main_thread():
        yield lambda: None
    elif _redraws():
        line = _Line(directory, backends, timeout)
        try:
            yield line.look
        finally:
            line.clear()
    else:
        yield _Message(directory, backends, timeout).look


def _redraws() -> bool:
    """Tell whether a line on stderr can be drawn again."""
    try:
        return _in_notebook() or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
    except (AttributeError, ValueError):  # there is no stderr, or it is closed
        return False


def _in_notebook() -> bool:
    """Tell whether stderr is a notebook's cell."""
    return type(sys.stderr).__module__.startswith("ipykernel.")


class _Line:
    """One line on a terminal or in a notebook."""

    def __init__(self, directory: Path, backends: Iterable[str], timeout: float) -> None:
        self._directory = directory
        self._hopes = _hopes(directory, backends)
        self._timeout = timeout
        self._began = time.monotonic()
        self._next = self._began + SHORT
        self._drawn = 0  # characters

    def look(self) -> None:
        """Draw the line, when it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        if left := _left(self._directory, self._hopes):
            stuck = f" ({STALLED:.0f} if stuck)" if self._timeout > STALLED else ""
            seconds = f"{now - self._began:.0f}/{self._timeout:.0f} s{stuck}"
            self._draw(f"tracelet: {seconds}, Ctrl-C ends waiting; {left}")

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._draw("")
            self._write("\r")

    def _draw(self, text: str) -> None:
        room = _width() - 1  # a full line would begin the next one
        text = words.clean(text, room)
        self._write("\r" + text.ljust(min(self._drawn, room)))
        self._drawn = len(text)

    def _write(self, text: str) -> None:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it is only for the eye
            sys.stderr.write(text)
            sys.stderr.flush()


def _width() -> int:
    if _in_notebook():
        return NOTEBOOK
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (AttributeError, OSError, ValueError):
        return 80


class _Message:
    """One message, once for a run."""

    def __init__(self, directory: Path, backends: Iterable[str], timeout: float) -> None:
        self._directory = directory
        self._hopes = _hopes(directory, backends)
        self._timeout = timeout
        self._due = time.monotonic() + LONG

    def look(self) -> None:
        """Say it, when it is time."""
        if time.monotonic() < self._due:
            return
        self._due = float("inf")
        left = _left(self._directory, self._hopes)
        if left and first("waiting", self._directory):  # a training loop may flush at each epoch
            still = f", {STALLED:.0f} s if nothing moves" if self._timeout > STALLED else ""
            tell(logging.INFO, _MESSAGE, self._timeout, still, left)


def _hopes(directory: Path, backends: Iterable[str]) -> dict[str, Hope]:
    return {name: Hope(directory, name) for name in backends}


def _left(directory: Path, hopes: Mapping[str, Hope]) -> str:
    """Say what those have left who are waited for: "mlflow: ~12,000 left, wandb: 3 left (unavailable)"."""
    parts: list[str] = []
    for name, hope in hopes.items():
        size = status.backlog(directory, name)
        delivery = status.read_delivery(directory, name)
        if not hope.lasts() or not size:
            continue
        exact = size <= EXACT
        number = status.lag(directory, name) if exact else size // codec.FRAME.size
        said = words.state(delivery.state) if delivery.pid else "starting"
        text = f"{name}: {'' if exact else '~'}{number:,} left"
        parts.append(text if said == "delivering" else f"{text} ({said})")
    return ", ".join(parts)
