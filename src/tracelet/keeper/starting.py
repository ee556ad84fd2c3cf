"""Start a keeper, from the training process or from whatever touches the run later."""

import os
from collections.abc import Mapping
from pathlib import Path

from tracelet.journal.locks import held
from tracelet.journal.status import RunFile
from tracelet.keeper import processes


def keeper_lives(directory: Path) -> bool:
    """Tell whether a keeper watches over the run."""
    return held(directory / "keeper.lock")


def start_keeper(directory: Path, run: RunFile, extra: Mapping[str, str] | None = None) -> None:
    """Start the run's keeper. One that is started twice ends at once.

    Args:
        directory: The run's directory.
        run: Its `run.json`.
        extra: Variables for keeper and relays only: credentials that may stand in no file.

    Raises:
        OSError: Processes cannot be started here.
    """
    environ = processes.child_environment(os.environ) | dict(extra or {})
    line = processes.command(run.python, "tracelet.keeper", str(directory))
    processes.start_detached(line, directory / "keeper.log", Path(run.directory), environ, run.nice)
