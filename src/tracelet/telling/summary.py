"""What became of a run: what `stop_logging` returns, and how it reads."""

from typing import Protocol

import msgspec

from tracelet.journal.census import Tally
from tracelet.journal.overview import BackendOverview
from tracelet.telling import words


class Printer(Protocol):
    """What IPython hands to `_repr_pretty_`."""

    def text(self, text: str, /) -> None:
        """Take a piece of text."""
        ...


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run. `print` shows it in words, and a notebook as a card.

    Attributes:
        run_id: The run's id, ours; empty if nothing was recorded.
        status: How the run ended: FINISHED, FAILED or KILLED.
        mode: online or offline.
        directory: Where its journal lies; empty if nothing was recorded.
        backends: Each backend's share; `state` is "finished" where it has all of the run.
        logged: How much was logged, by all of the run's processes.
        lost: Records that could not be written to the journal.
        dropped: Records that a signal handler or `__del__` made inside another record.
        duration: Seconds from the run's start to its end.
        seconds: How long ending took, the waiting included.
    """

    run_id: str
    name: str
    status: str
    project: str = ""
    mode: str = "online"
    directory: str = ""
    backends: tuple[BackendOverview, ...] = ()
    logged: Tally = Tally()
    lost: int = 0
    dropped: int = 0
    duration: float = 0.0
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether every backend has all of the run and took all of it; False if the journal is gone."""
        if self.run_id and not self.backends:
            return False
        complete = all(backend.state == "finished" and not backend.rejected for backend in self.backends)
        return complete and not self.lost

    @property
    def urls(self) -> dict[str, str]:
        """The run's page at each backend that has one."""
        return {backend.name: backend.url for backend in self.backends if backend.url}

    @property
    def shares(self) -> tuple[BackendOverview, ...]:
        """The backends that have the run; offline, those that need no delivery."""
        return tuple(backend for backend in self.backends if self.mode != "offline" or not backend.relayed)

    def __str__(self) -> str:
        if not self.run_id:
            return f"run {words.clean(self.name)}: nothing was recorded"
        return "\n  ".join([head(self), *map(share, self.shares), *hints(self)])

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from tracelet.telling import notebook

        if not self.run_id:
            return notebook.of_nothing(self.name, "nothing was recorded")
        said = f"{words.logged(self.logged)} in {words.span(self.duration)}"
        return notebook.of_run(self, self.shares, [said, *hints(self)])

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: ARG002  IPython's signature
        """Show it in a terminal's IPython."""
        printer.text(str(self))


def head(summary: Summary) -> str:
    """Say how a run ended, and what was logged in it."""
    who = f"run {words.clean(summary.name)} ({summary.run_id})"
    return f"{who} {summary.status} after {words.span(summary.duration)}: {words.logged(summary.logged)}"


def share(backend: BackendOverview) -> str:
    """Say what one backend has of it, and where it shows it."""
    where = words.clean(backend.url or backend.view)
    return f"{words.clean(backend.name)}: {words.delivery(backend)}{where and f' [{where}]'}"


def hints(summary: Summary, about: str = "`tracelet sync` delivers what is left") -> list[str]:
    """Say what is not as it should be, and what to do about it; a sentence each.

    Args:
        summary: The run's.
        about: What becomes of what is left.
    """
    found: list[str] = []
    if summary.run_id and not summary.backends:
        found.append(f"its journal in {summary.directory} is gone, or cannot be read")
    if summary.lost:
        found.append(f"{words.counted(summary.lost, 'record')} could not be written to the journal")
    if summary.dropped:
        what = words.counted(summary.dropped, "record")
        found.append(f"{what} of a signal handler or __del__ came inside another record and are not logged")
    if len(summary.shares) < len(summary.backends):
        found.append(f"recorded offline in {summary.directory}; `tracelet sync {summary.run_id}` delivers it")
        return found
    if any(backend.rejected for backend in summary.backends):
        found.append(f"`tracelet show {summary.run_id} --rejects` lists what was rejected")
    left = [backend for backend in summary.backends if backend.relayed and backend.state != "finished"]
    refusing = [words.clean(backend.name) for backend in left if backend.state == "refused"]
    if refusing:
        found.append(
            f"nothing more goes to {' and '.join(refusing)} by itself, but all of it is in the journal in "
            f"{summary.directory}: once the cause is mended, `tracelet sync {summary.run_id}` delivers it"
        )
    if len(left) > len(refusing):
        found.append(f"{about}; `tracelet status {summary.run_id}` tells how far it is")
    return found
