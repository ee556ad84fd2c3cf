"""ClearML keeps what every backend promises, at an emulated server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backends.clearmls import serving
from tests.emulators.clearml import ClearML
from tracelet import backends
from tracelet.backend import Options
from tracelet.events import Artifact
from tracelet.testing import BackendContract
from tracelet.testing.contract.scene import BEGAN
from tracelet.testing.contract.servers import Server


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearML]:
    with serving(tmp_path, monkeypatch) as made:
        yield made


class TestClearML(BackendContract):
    backend = backends.load("clearml")
    poison = (Artifact(time=BEGAN, path="a.bin", size=1, reference="/nowhere/a.bin", mtime=BEGAN),)

    @pytest.fixture
    def options(self, emulator: ClearML) -> Options:
        assert emulator.running  # the client finds it in the environment
        return {}

    @pytest.fixture
    def server(self, emulator: ClearML) -> Server:
        hosts = ("api_host", "files_host")
        return Server(emulator.port, lambda port: dict.fromkeys(hosts, f"http://127.0.0.1:{port}"))

    @pytest.fixture
    def forget(self, emulator: ClearML) -> Callable[[str], object]:
        return emulator.tasks.by_id.pop

    @pytest.fixture
    def away(self) -> Options:
        return {"api_host": "http://127.0.0.1:9"}
