"""`python -m tracelet.relay RUN_DIRECTORY BACKEND`: one relay process, usually a keeper's child.

Exit codes are those of `tracelet.relay`. An error that nobody expected ends the process; the
keeper starts another, and the status tells of it.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from tracelet import backends, settings
from tracelet.errors import JournalLocked, TraceletError
from tracelet.journal import status
from tracelet.journal.locks import holder, take
from tracelet.relay import BROKEN, DONE, LOCKED, REFUSED
from tracelet.relay.delivery import Delivery

_LOG: Final = logging.getLogger("tracelet.relay")


def main(arguments: list[str]) -> int:
    """Deliver one run to one backend until it is delivered or there is nobody left to wait for."""
    directory, name = Path(arguments[0]).absolute(), arguments[1]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # On a thread: the handler may run inside `stop.wait`, which holds the lock that `set` takes.
        signal.signal(number, lambda _number, _frame: threading.Thread(target=stop.set).start())
    try:
        lock = take(directory / f"relay.{name}.lock")
    except JournalLocked as error:
        _LOG.info("%s", error)
        return LOCKED
    try:
        return _deliver(directory, name, stop)
    finally:
        lock.close()


def _deliver(directory: Path, name: str, stop: threading.Event) -> int:
    try:
        run = status.read_run(directory)
        with contextlib.suppress(OSError, AttributeError):
            os.nice(run.nice)  # training comes first
        target = run.targets[name]
        if not target.relayed:
            _LOG.info("the journal is the store of %s; there is nothing to deliver", name)
            return DONE
        backend = backends.load(target.load)
        settings.lend_environment(Path(run.directory), (backend.variables, "TRACELET_"))
        backends.check_client(backend)
        delivery = Delivery(directory, name, backend, target.options)
        state = delivery.run(stop, lambda: _alone(directory, run))
    except Exception as error:  # told, and raised again
        if isinstance(error, TraceletError) and not _may_pass(error):
            _LOG.exception("the relay to %s cannot work", name)
            _tell(directory, name, "refused", str(error))
            return BROKEN
        _tell(directory, name, "stopped", f"{type(error).__name__}: {error}")
        raise
    return REFUSED if state == "refused" else DONE


def _may_pass(error: TraceletError) -> bool:
    """Tell whether the machine is to blame: too many open files, or a file system that is away."""
    return isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError)


def _tell(directory: Path, name: str, state: status.State, error: str) -> None:
    said = status.read_delivery(directory, name)
    said.state, said.error, said.since, said.pid = state, error, time.time(), os.getpid()
    with contextlib.suppress(OSError):
        status.write_delivery(directory, name, said)


def _alone(directory: Path, run: status.RunFile) -> bool:
    """Tell whether keeper and trainer are both gone: then nobody would end this process."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:  # the trainer's directory was a temporary one: most clients fail where there is none
        with contextlib.suppress(OSError):
            os.chdir(directory)
    return not holder(directory / "keeper.lock").alive and not status.trainer_lives(directory, run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
