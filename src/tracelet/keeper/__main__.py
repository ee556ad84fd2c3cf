"""`python -m tracelet.keeper RUN_DIRECTORY`: the keeper of one run, in the background."""

import logging
import signal
import sys
import threading
import time
from pathlib import Path

from tracelet.errors import JournalLocked
from tracelet.journal.locks import take
from tracelet.keeper.keeping import Keeper


def main(arguments: list[str]) -> int:
    """Keep one run; 0 also if another keeper already does."""
    directory = Path(arguments[0])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    # On a thread: the handler may run inside `stop.wait`, which holds the lock that `set` takes.
    signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Thread(target=stop.set).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        lock = take(directory / "keeper.lock")
    except (JournalLocked, FileNotFoundError) as error:
        logging.getLogger("tracelet.keeper").info("%s", error)
        return 0
    try:
        keeper = Keeper(directory)
        keeper.run(stop)
        if directory.exists():
            keeper.tidy(time.time())
    finally:
        lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
