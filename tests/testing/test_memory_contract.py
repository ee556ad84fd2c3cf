"""The tracker of `tracelet.testing.memory` keeps what every backend promises."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from tracelet.backend import Options
from tracelet.events import Metric
from tracelet.testing import BackendContract, memory


class TestMemory(BackendContract):
    backend = memory.BACKEND
    load = "tracelet.testing.memory:BACKEND"
    poison = (Metric(memory.POISON, 1.0, 0, 1.0),)
    exempt: ClassVar = {"server": "a file has none"}

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"path": str(tmp_path / "tracked")}

    @pytest.fixture
    def away(self, tmp_path: Path) -> Options:
        return {"path": str(tmp_path / "no" / "such" / "directory")}

    @pytest.fixture
    def forget(self, options: Options) -> Callable[[str], None]:
        return lambda _: Path(options["path"]).unlink()


class TestMemoryInRows(TestMemory):
    backend = memory.ROWS
    load = "tracelet.testing.memory:ROWS"
