"""Look at runs again and again: in place on a terminal, else a block or a JSON document per change.

It ends by itself when nothing moves any more without somebody's doing: every run is delivered, or
has ended with nobody at work on it.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import typer

from tracelet.cli import output
from tracelet.cli.interrupting import Interrupt
from tracelet.cli.runs import Run, look
from tracelet.journal.locks import held
from tracelet.journal.overview import BackendOverview

if TYPE_CHECKING:
    from rich.text import Text

SHORTEST: Final = 0.1  # seconds between two looks
SPAN: Final = 10.0  # seconds over which a rate is measured

Rates: TypeAlias = Mapping[tuple[str, str], float]
"""Records per second, by run and backend."""


class Block(Protocol):
    """Draws a run."""

    def __call__(self, run: Run, rates: Rates | None = None, room: int | None = None) -> "list[Text]":
        """Draw it, in lines of `room` characters."""
        ...


class View(Protocol):
    """Whoever shows what is seen."""

    def show(self, seen: list[Run], rates: Rates, *, changed: bool) -> None:
        """Show one look; `changed` tells whether it differs from the one before."""
        ...

    def end(self) -> None:
        """Leave the screen as it is."""
        ...


def watch(directories: Callable[[], Sequence[Path]], view: View, interval: float) -> list[Run]:
    """Look until nothing moves by itself any more; return what was seen last.

    Args:
        directories: The runs to look at, asked each time.
        view: Shows them.
        interval: Seconds between two looks.

    Raises:
        Exit: Ctrl-C or SIGTERM came.
    """
    measured, glances = _Measured(), _Glances()
    before: object = None
    with Interrupt().listening() as interrupt:
        try:
            while True:
                seen = [glances.look(directory) for directory in directories()]
                over = not any(map(moves, seen))
                if over:  # whoever was at work may have ended right after the look
                    seen = [look(path) for path in (Path(run.directory) for run in seen) if path.exists()]
                seen.sort(key=lambda run: not moves(run))
                rates = measured.rates(seen)
                now = _essence(seen)
                view.show(seen, rates, changed=now != before)
                before = now
                if over or interrupt.wait(max(SHORTEST, interval)):
                    break
        finally:
            view.end()
    if interrupt.signal:
        raise typer.Exit(128 + interrupt.signal)
    return seen


def moves(run: Run) -> bool:
    """Tell whether something can become of a run by itself."""
    if run.status == "RUNNING":
        return True
    return not run.delivered and any(map(held, Path(run.directory).glob("*.lock")))


def is_screen() -> bool:
    """Tell whether the standard output is a terminal on which lines can be written anew."""
    return sys.stdout.isatty() and not output.console().is_dumb_terminal


def _essence(seen: list[Run]) -> object:
    """Leave out what changes while nothing happens."""
    return [
        (run.run_id, run.status, run.lost, run.attention, [_of_backend(backend) for backend in run.backends])
        for run in seen
    ]


def _of_backend(seen: BackendOverview) -> object:
    counts = seen.pending, seen.delivered, seen.rejected, seen.merged, seen.degraded
    return seen.name, seen.state, counts, seen.error


class _Measured:
    """What was delivered when, for as long as a rate needs it."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], deque[tuple[float, int]]] = {}

    def rates(self, seen: list[Run]) -> dict[tuple[str, str], float]:
        """Add a look, and tell how fast each delivery is; a first look tells nothing."""
        now = time.monotonic()
        found: dict[tuple[str, str], float] = {}
        for run in seen:
            for backend in run.backends:
                points = self._points.setdefault((run.run_id, backend.name), deque())
                points.append((now, backend.delivered))
                while len(points) > 2 and now - points[1][0] > SPAN:  # noqa: PLR2004  two make a rate
                    points.popleft()
                if len(points) > 1:
                    (then, had), (_, has) = points[0], points[-1]
                    found[run.run_id, backend.name] = max(0, has - had) / max(now - then, 1e-9)
        return found


class _Glances:
    """Looks at runs; one that does not move is looked at again only when a file of it has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, Run]] = {}

    def look(self, directory: Path) -> Run:
        """See `runs.look`."""
        traces = _traces(directory)
        known = self._known.get(directory)
        if known is not None and known[0] == traces and not moves(known[1]):
            return known[1]
        run = look(directory)
        self._known[directory] = traces, run
        return run


def _traces(directory: Path) -> object:
    try:
        with os.scandir(directory) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return None
    return sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


class Documents:
    """One JSON document per line, whenever something has changed."""

    def __init__(self, content: Callable[[list[Run], Rates], dict[str, Any]]) -> None:
        self._content = content

    def show(self, seen: list[Run], rates: Rates, *, changed: bool) -> None:
        """See `View.show`."""
        if changed:
            output.document({"time": time.time(), **self._content(seen, rates)}, brief=True)

    def end(self) -> None:
        """See `View.end`."""


class Blocks:
    """A line for all, and a block for each run that has changed, whenever one has."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._shown: dict[str, object] = {}

    def show(self, seen: list[Run], rates: Rates, *, changed: bool) -> None:
        """See `View.show`."""
        if not changed:
            return
        out = output.console()
        out.print(_head(seen))
        for run in seen:
            essence = _essence([run])
            if self._shown.get(run.run_id) != essence:  # of several runs, only those that changed
                self._shown[run.run_id] = essence
                out.print(*self._block(run, rates), sep="\n")
        sys.stdout.flush()

    def end(self) -> None:
        """See `View.end`."""


def _head(seen: list[Run]) -> "Text":
    """Say how all of it stands."""
    moving = sum(map(moves, seen))
    if moving:
        now = output.moment(time.time())
        return output.line(f"{now}  {output.count(moving, 'run')} under way; Ctrl-C ends the watch", "dim")
    if all(run.delivered for run in seen):
        return output.line("everything is delivered", "green")
    return output.line("nobody is at work on what is left; `tracelet sync` delivers it", "yellow")


class Screen:
    """All runs, drawn anew in place, those that move first."""

    def __init__(self, block: Block) -> None:
        from rich.live import Live

        self._block = block
        self._live = Live(console=output.console(), auto_refresh=False)
        self._started = False

    def show(self, seen: list[Run], rates: Rates, *, changed: bool) -> None:  # noqa: ARG002  times pass
        """See `View.show`."""
        from rich.console import Group

        if not self._started:
            self._live.start()
            self._started = True
        room = self._live.console.width
        lines = [line for run in seen for line in self._block(run, rates, room)]
        # The head comes first: what does not fit on the screen is cut at its end.
        lines.insert(0, _head(seen))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        self._live.update(Group(*lines), refresh=True)

    def end(self) -> None:
        """See `View.end`."""
        if self._started:
            self._live.stop()
