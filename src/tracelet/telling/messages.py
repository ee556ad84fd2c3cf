"""The lines that a run has to say: that it began and where it goes, what became of it, what is left behind.

They are records of the logger `tracelet`, the start and a good end at INFO. Python shows nothing
below WARNING by itself, and of a warning not who speaks. So, while a run lasts and nobody has
configured logging when it begins, a handler of ours writes what that logger says to stderr, and its
INFO too. What somebody else's handler has been enabled for later, ours says no more, so nothing is
ever said twice: a library that only gives the root logger a handler, as some do when a model is
logged, silences nothing. No level is changed, and the last run's end takes the handler away.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tracelet.guard import contained
from tracelet.journal import shelf, status
from tracelet.journal.locks import held
from tracelet.journal.overview import BackendOverview
from tracelet.journal.status import RunFile
from tracelet.telling import summary as summaries
from tracelet.telling import words
from tracelet.telling.summary import Summary

LOOK_BACK: Final = 50  # runs; each costs a start some 0.1 ms

_LOG: Final = logging.getLogger("tracelet")
_TRACKERLESS: Final = (
    "no tracker was named and MLflow is not installed; after `pip install 'tracelet[mlflow]'`, "
    "`tracelet sync %s --backend mlflow` takes the run there"
)
_JOBS: Final = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST", "RAY_JOB_ID", "PBS_JOBID", "LSB_JOBID")


class _Stderr(logging.StreamHandler):  # pyright: ignore[reportMissingTypeArgument]
    """Says on stderr what nobody else would say."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.setFormatter(logging.Formatter("tracelet: %(message)s"))
        self.runs = 0  # that want it

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, unless somebody else does."""
        # What nobody has enabled is said by nobody: a library may have given the root logger a handler.
        if _unconfigured() or not _LOG.isEnabledFor(record.levelno):
            self.stream = sys.stderr  # as it is now: tests and notebooks exchange it
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Let it be: stderr is gone, so there is nobody to tell, and a logging call must not raise."""


_stderr: Final = _Stderr()


def _unconfigured() -> bool:
    return not logging.root.handlers and all(handler is _stderr for handler in _LOG.handlers)


def _is_ours() -> bool:
    """Tell whether nobody had configured logging when the first run began: then it is ours to speak."""
    return _stderr in _LOG.handlers


def begin() -> None:
    """Let what is said be seen from here on; `end` takes it back."""
    _stderr.acquire()  # its own lock, which logging makes anew in a forked child
    try:
        _stderr.runs += 1
        if _unconfigured():
            _LOG.addHandler(_stderr)
    finally:
        _stderr.release()


def end() -> None:
    """Take back what `begin` did, once for each call of it."""
    _stderr.acquire()
    try:
        _stderr.runs -= 1
        if _stderr.runs <= 0:
            _LOG.removeHandler(_stderr)
    finally:
        _stderr.release()


def silenced() -> bool:
    """Tell whether somebody wants to hear no more than warnings of us."""
    root = logging.root.level
    level = _LOG.level or (logging.INFO if root == logging.WARNING else root)  # WARNING is Python's default
    return _LOG.disabled or level > logging.INFO or _LOG.manager.disable >= logging.INFO


def tell(level: int, message: str, *args: object, quiet: bool = False) -> None:
    """Log something that users should see also if they have not configured logging.

    Args:
        level: As in logging.
        message: With the places of `args`.
        *args: Of the message.
        quiet: Whether the user wants to see no more than warnings.
    """
    if quiet or _LOG.isEnabledFor(level) or silenced() or not (_LOG.propagate and _is_ours()):
        _LOG.log(level, message, *args)
        return
    record = _LOG.makeRecord(_LOG.name, level, "", 0, message, args, None)
    if _LOG.filter(record):
        _stderr.handle(record)


@contained
def started(directory: Path, run: RunFile, *, quiet: bool, trackerless: bool = False) -> None:
    """Say that a run has begun, where it goes, and what is due before it.

    Args:
        directory: The run's directory.
        run: Its `run.json`.
        quiet: See `tell`.
        trackerless: Whether the run goes to no tracker for want of one that is installed.
    """
    tell(
        logging.INFO,
        "run %s (%s) of project %s %s",
        words.clean(run.name),
        run.run_id,
        words.clean(run.project),
        _goes_to(run, _from_here(directory)),
        quiet=quiet,
    )
    if trackerless:
        tell(logging.INFO, _TRACKERLESS, run.run_id, quiet=quiet)
    if kind := shelf.network_file_system(directory):
        _LOG.warning(
            "the journal lies on %s (%s); TRACELET_DIR can name a local disk", kind, directory.parent
        )
    _say_what_is_left(directory)


def _goes_to(run: RunFile, journal: Path) -> str:
    backends = words.clean(", ".join(run.relayed))
    if not backends:
        return f"is kept in {journal}; `tracelet show {run.run_id}` shows it"
    if run.mode == "offline":
        return f"is recorded in {journal}; `tracelet sync {run.run_id}` delivers it to {backends}"
    return f"goes to {backends}; its journal is {journal}"


def _from_here(directory: Path) -> Path:
    """Write a path as one would from the working directory, if it lies below."""
    here = Path.cwd()
    return directory.relative_to(here) if directory.is_relative_to(here) else directory


def _say_what_is_left(directory: Path) -> None:
    """Warn of the newest runs that have ended undelivered and that nobody delivers any more."""
    newest = [path for path in shelf.runs(directory.parent) if path != directory][-LOOK_BACK:]
    left = [path for path in shelf.undelivered(newest) if not held(path / "keeper.lock")]
    runs = {path: run for path in left if (run := status.read_run(path)).mode == "online"}
    if not runs:
        return
    backends = {
        name for path, run in runs.items() for name in run.targets if not status.is_complete(path, name)
    }
    oldest = time.strftime("%Y-%m-%d %H:%M", time.localtime(min(run.time for run in runs.values())))
    one, least = len(runs) == 1, "at least " if len(runs) >= LOOK_BACK else ""
    _LOG.warning(
        "%s not delivered to %s (%s %s); `tracelet sync` delivers %s, `tracelet status` says what kept %s",
        "1 earlier run is" if one else f"{least}{len(runs)} earlier runs are",
        words.clean(", ".join(sorted(backends))),
        "it began" if one else "the oldest began",
        oldest,
        *(("it", "it") if one else ("them", "them")),
    )


class Outlook(NamedTuple):
    """What a run's end means for its deliveries.

    Attributes:
        waited: False if they were left to the background on purpose.
        background: Whether they go on when this process is gone.
    """

    waited: bool = True
    background: bool = True


@contained
def ended(summary: Summary, outlook: Outlook, *, quiet: bool = False) -> None:
    """Say what became of a run: a warning if something is left or was lost.

    Args:
        summary: The run's.
        outlook: What becomes of the rest.
        quiet: See `tell`.
    """
    if not summary.run_id:
        return
    shares = summary.shares
    levels = [_level(backend, waited=outlook.waited) for backend in shares]
    worst = max([logging.WARNING if summary.lost or summary.dropped else logging.INFO, *levels])
    lines = [
        (worst, summaries.head(summary)),
        *zip(levels, map(summaries.share, shares), strict=True),
        *((worst, hint) for hint in summaries.hints(summary, _about(summary, outlook))),
    ]
    if len(shares) > 1:  # one line each, or it would be too long to read
        for level, line in lines:
            tell(level, "%s", line, quiet=quiet)
    else:
        tell(worst, "%s", "; ".join(line for _, line in lines), quiet=quiet)


def _level(backend: BackendOverview, *, waited: bool) -> int:
    left = backend.state != "finished" and (waited or backend.state == "refused")
    return logging.WARNING if left or backend.rejected else logging.INFO


def _about(summary: Summary, outlook: Outlook) -> str:
    """Say what becomes of what is left, as only this process at its end can tell."""
    if _is_last_chance():
        said = "background delivery ends with this job, so keep its journal where `tracelet sync` finds it"
        return f"{said}: {summary.directory}"
    if outlook.background:
        return "delivery goes on in the background, and `tracelet sync` delivers what it leaves"
    return "`tracelet sync` delivers what is left"


def _is_last_chance() -> bool:
    """Tell whether what this process leaves running ends with it, as in a container or a batch job."""
    return os.getpid() == 1 or any(name in os.environ for name in _JOBS)
