"""Weights & Biases keeps what every backend promises: at its server, and where it is offline."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.emulators.wandb import WandbServer
from tracelet import backends
from tracelet.backend import Options
from tracelet.events import Artifact
from tracelet.testing import BackendContract
from tracelet.testing.contract.endings import Endings
from tracelet.testing.contract.kinds import Kinds
from tracelet.testing.contract.points import Points
from tracelet.testing.contract.repetition import Repetition
from tracelet.testing.contract.servers import Server

NOW: Final = 1_700_000_000.125


@pytest.fixture(scope="session")
def emulator() -> Iterator[WandbServer]:
    emulator = WandbServer()
    emulator.start()
    yield emulator
    emulator.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server often, and send what is not confirmed early, with a client that is nobody else's."""
    monkeypatch.setattr("tracelet.backends.wandb.session._OURS", True)
    monkeypatch.setattr("tracelet.backends.wandb.confirming.POLL", 0.02)
    monkeypatch.setattr("tracelet.backends.wandb.writer.FLUSH", 0.1)


class TestWandb(BackendContract):
    backend = backends.load("wandb")
    poison = (Artifact(time=NOW, path="a.bin", size=1, reference="/nowhere/a.bin", mtime=NOW),)
    never_again = "previously created and deleted"

    @pytest.fixture
    def options(self, emulator: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Options:
        for name, text in emulator.environment.items():
            monkeypatch.setenv(name, text)
        emulator.store.runs.clear()
        return {"mode": "online", "base_url": emulator.url, "entity": "tester"}

    @pytest.fixture
    def forget(self, emulator: WandbServer) -> Callable[[str], None]:
        def deleted(path: str) -> None:
            entity, project, run = path.split("/")
            emulator.store.runs = [one for one in emulator.store.runs if one.name != run]
            emulator.store.deleted.append((entity, project, run))

        return deleted

    @pytest.fixture
    def server(self, emulator: WandbServer, options: Options) -> Server:
        def through(port: int) -> Options:
            return {**options, "base_url": f"http://127.0.0.1:{port}"}

        return Server(emulator.port, through, patience=2.0, delay=0.1)

    @pytest.fixture
    def away(self, monkeypatch: pytest.MonkeyPatch) -> Options:
        monkeypatch.setenv("WANDB_API_KEY", "b2" * 20)
        return {"mode": "online", "base_url": "http://127.0.0.1:9", "entity": "tester"}


class TestWandbOffline(Points, Kinds, Repetition, Endings):
    """What depends on where the rows go; the rest is one and the same."""

    backend = backends.load("wandb")

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"mode": "offline", "dir": str(tmp_path / "here")}

    @pytest.fixture
    def forget(self, options: Options) -> Callable[[str], None]:
        return lambda _: shutil.rmtree(options["dir"])
