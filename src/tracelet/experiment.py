"""The handle that a user holds on one live run: what it is, where it arrives, and how it ends.

What can be logged to it stands in `tracelet.recording`; every `log_*` ends in the run's journal.

No method raises for bad input, blocks on a network or waits for a tracker, but `flush` and `stop`,
which wait for deliveries, and only as long as those move. Bad input is warned of once.
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from tracelet import guard
from tracelet.ends import how_it_ends
from tracelet.events import Status
from tracelet.intake import Intake
from tracelet.journal import status
from tracelet.journal.deliveries import Deliveries, unseen
from tracelet.journal.overview import RunOverview
from tracelet.journal.recorder import Nowhere, Recorder
from tracelet.journal.status import RunFile
from tracelet.journal.writer import Writer
from tracelet.life import Life
from tracelet.recording import Recording
from tracelet.telling import waiting
from tracelet.telling.summary import Summary

if TYPE_CHECKING:
    from typing_extensions import Self


class Experiment(Recording):
    """One live run.

    Make one with `tracelet.start_logging`, or with `tracelet.start_experiment` for several at
    once. It is a context manager: leaving it ends the run, as FAILED after an exception.
    Any thread may use it, and so may a forked child, or a spawned one that it was handed to.
    """

    __slots__ = (
        "__weakref__",
        "_deliveries",
        "_directory",
        "_life",
        "_recorder",
        "_run",
        "_silent",
    )

    def __init__(
        self,
        directory: Path | None,
        run: RunFile,
        recorder: Recorder | None = None,
        *,
        owner: int = 0,
        stop_timeout: float = 60.0,
        revive: Callable[[Path], None] | None = None,
        quiet: bool = False,
        silent: str = "",
    ) -> None:
        self._directory = directory
        self._run = run
        self._recorder: Recorder = recorder or Nowhere()
        self._silent = silent
        display = unseen if quiet else waiting.shown
        self._deliveries = Deliveries(directory, run, stop_timeout, revive, display)
        self._life = Life(directory, run, self._recorder, self._deliveries, owner, quiet=quiet)
        super().__init__(self._recorder, Intake(directory, run, self._recorder, self._life))

    def __repr__(self) -> str:
        """Show the run's name and id, or why nothing is recorded."""
        what = self._run.run_id or f"records nothing: {self._silent}"
        return f"<tracelet.Experiment {self._run.name!r} {what}{' (ended)' * self.ended}>"

    @guard.contained
    def _repr_html_(self) -> str:
        """Show the run in a notebook, as it stands."""
        from tracelet.telling import notebook

        seen = self._life.overview()
        return notebook.of_experiment(seen) if seen else notebook.of_nothing(self.name, self._silent)

    @property
    def run_id(self) -> str:
        """The run's id, ours, the same for all backends; empty if nothing is recorded."""
        return self._run.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._run.name

    @property
    def project(self) -> str:
        """The project that the run belongs to."""
        return self._run.project

    @property
    def directory(self) -> Path | None:
        """The run's directory on disk; None if nothing is recorded."""
        return self._directory

    @property
    def active_backends(self) -> list[str]:
        """The backends of this run, in the order in which they were given, reachable or not."""
        return list(self._run.targets)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self._life.ended

    def url(self, backend: str | None = None) -> str | None:
        """Return the run's page at a backend (by default the first); None while there is none."""
        return self._deliveries.url(backend)

    def remote_id(self, backend: str | None = None, timeout: float = 0.0) -> str | None:
        """Return a backend's own id of the run (by default the first's); None while there is none.

        Args:
            backend: The backend's name.
            timeout: Seconds to wait for it, at most; a tracker that is away is not waited for.
        """
        return self._deliveries.remote_id(backend, timeout, lambda: self.ended)

    @guard.contained
    def status(self) -> RunOverview | None:
        """Tell how the run and its deliveries stand; None if nothing is recorded."""
        return self._life.overview()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the backends have everything that was logged so far.

        Args:
            timeout: Seconds; None for the setting `stop_timeout`.

        Returns:
            Whether all of them have it. One that is away for some seconds is not waited for.
        """
        return self._deliveries.flush(timeout)

    def stop(self, status: Status = "FINISHED", reason: str = "", *, wait: bool = True) -> Summary:
        """End the run; wait as long as its deliveries move.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: Why, in a few words.
            wait: False: leave the deliveries to the background.

        Returns:
            What became of the run. A second call returns the same; a child's call ends nothing.
        """
        return self._life.stop(status, reason, wait=wait)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have something done once, before the run's end is recorded."""
        self._life.on_stop(callback)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.stop(*how_it_ends(kind, error))

    def __reduce__(self) -> tuple[Callable[[str], "Experiment"], tuple[str]]:
        """Let a spawned process log to this run, into segments of its own."""
        return joined, (str(self._directory or ""),)


_joined: Final[dict[str, "Experiment"]] = {}


def joined(directory: str) -> Experiment:
    """Join a run from another process: everything but ending it. Once per process and run."""
    if not directory:
        return disabled("", "", "the experiment it came from does not either")
    if directory not in _joined:
        path = Path(directory)
        run = status.read_run(path)
        _joined[directory] = Experiment(path, run, Writer(path, "joined", sync=run.durability == "record"))
    return _joined[directory]


def disabled(name: str, project: str, why: str) -> Experiment:
    """Make an experiment whose calls do nothing, and that says why."""
    return Experiment(None, status.no_run(name, project), silent=why)
