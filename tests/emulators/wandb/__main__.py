"""The emulator as a command: `python -m tests.emulators.wandb --port 8787 --directory D`, until it is ended.

What it was told is kept in D/state.json, and is there again when it starts the next time.
"""

import argparse
import signal
import threading
from pathlib import Path

import msgspec

from tests.emulators.wandb import WandbServer
from tests.emulators.wandb.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.wandb")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--directory", type=Path, required=True, help="where state.json is kept")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long it runs at most")
    told = parser.parse_args()
    told.directory.mkdir(parents=True, exist_ok=True)
    state = told.directory / "state.json"
    store = msgspec.json.decode(state.read_bytes(), type=Store) if state.exists() else Store()
    server = WandbServer(told.port, store)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    print(*(f"export {name}={value}" for name, value in server.environment.items()), sep="\n", flush=True)  # noqa: T201
    ended.wait(told.seconds)
    server.close()
    state.write_bytes(msgspec.json.encode(server.store))


main()
