"""Aim, in a local repository, keeps what every backend promises."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from tests.backends import aims
from tests.backends.aims import NOW
from tracelet import backends
from tracelet.backend import Options
from tracelet.events import Artifact
from tracelet.testing import BackendContract


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aims.new(tmp_path_factory.mktemp("aim") / "template")


class TestAim(BackendContract):
    backend = backends.load("aim")
    poison = (Artifact(time=NOW, path="a.bin", size=1, reference="/nowhere/a.bin", mtime=NOW),)
    exempt: ClassVar = {"server": "a repository on this machine has none"}

    @pytest.fixture
    def options(self, template: Path, tmp_path: Path) -> Options:
        return aims.copied(template, tmp_path / "repository")

    @pytest.fixture
    def forget(self, options: Options) -> Callable[[str], None]:
        return lambda run: aims.deleted(options, run)

    @pytest.fixture
    def away(self) -> Options:
        return {"repo": "aim://127.0.0.1:9", "artifacts_uri": ""}
