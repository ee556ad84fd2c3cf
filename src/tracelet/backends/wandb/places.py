"""Where the client works on this machine: the variables that it sees, and directories that go with it.

The client makes temporary directories of its own, which stay when its process is killed. A relay has them
made in one that bears the run's id and its own number; whoever opens the run next removes what the dead
have left.
"""

import atexit
import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Final

from tracelet.journal.locks import process_lives

_PREFIX: Final = "tracelet-wandb"


@contextlib.contextmanager
def environment(**there: str | None) -> Generator[None]:
    """Have variables of the client's be so; they are what they were afterwards.

    Args:
        there: The variables; None for one that is not set.
    """
    before = {name: os.environ.get(name) for name in there}
    _put(there)
    try:
        yield
    finally:
        _put(before)


def _put(variables: dict[str, str | None]) -> None:
    for name, text in variables.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text


@contextlib.contextmanager
def temporary(place: Path) -> Generator[None]:
    """Have temporary files made in a directory, if this is a relay's process: a thread is one of many."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, tempfile.tempdir = tempfile.tempdir, str(place)
    try:
        yield
    finally:
        tempfile.tempdir = before


def load_client(run_id: str) -> None:
    """Import the client; what it makes as it is imported goes with a relay's process."""
    if "wandb" not in sys.modules and threading.current_thread() is threading.main_thread():
        place = new_place(run_id)
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        with temporary(place):
            importlib.import_module("wandb")


def new_place(run_id: str) -> Path:
    """Make a directory for a run, and remove what dead processes that had the same run have left."""
    prefix, temp = f"{_PREFIX}-{run_id}-", Path(tempfile.gettempdir())
    for left in temp.glob(f"{prefix}*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if owner.isdecimal() and not process_lives(int(owner), 0):
            # The client's own process has its socket in a directory called by the number of its parent.
            for one in (left, *temp.glob(f"wandb-{owner}-*")):
                shutil.rmtree(one, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
