"""The journal as a store keeps what every backend promises, as far as there is no Writer."""

from pathlib import Path
from typing import ClassVar

import pytest

from tracelet import backends
from tracelet.backend import Options
from tracelet.testing import BackendContract


class TestLocal(BackendContract):
    backend = backends.load("local")
    exempt: ClassVar = {"server": "a directory has none"}

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"shelf": str(tmp_path / ".tracelet")}

    @pytest.fixture
    def away(self, tmp_path: Path) -> Options:
        (tmp_path / "a file").touch()
        return {"shelf": str(tmp_path / "a file")}
