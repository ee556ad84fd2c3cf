"""`python -m tests.emulators.clearml --port N --directory D`: serve until SIGINT or SIGTERM."""

import argparse
import signal
from pathlib import Path

from tests.emulators.clearml.server import ACCESS_KEY, SECRET_KEY, ClearML


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.clearml")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--directory", type=Path, help="where the state is kept between two servers")
    parser.add_argument("--seconds", type=float, default=3600.0, help="after which it ends by itself")
    told = parser.parse_args()
    # Before the server's threads, which would otherwise take the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    server = ClearML(told.port, told.directory)
    server.start()
    print(f"{server.url} with the keys {ACCESS_KEY} and {SECRET_KEY}", flush=True)  # noqa: T201  a command
    signal.sigtimedwait({signal.SIGINT, signal.SIGTERM}, told.seconds)
    server.close()


if __name__ == "__main__":
    main()
