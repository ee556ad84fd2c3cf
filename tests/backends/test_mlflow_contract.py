"""MLflow on SQLite keeps what every backend promises."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from tests.backends.conftest import WARNINGS, Store
from tracelet import backends
from tracelet.backend import Options
from tracelet.errors import Unavailable
from tracelet.events import Params
from tracelet.testing import BackendContract
from tracelet.testing.contract.scene import Scene, points

pytestmark = WARNINGS


class TestMlflow(BackendContract):
    backend = backends.load("mlflow")
    poison = (Params(1.0, {"once": "one"}), Params(2.0, {"once": "another"}))
    exempt: ClassVar = {
        "test_a_param_that_is_logged_again_has_its_last_value": "a reject; the first value stays",
        "server": "a file has none; see tests/live",
    }

    @pytest.fixture
    def options(self, store: Store) -> Options:
        return {**store.options, "user": ""}

    @pytest.fixture
    def forget(self, store: Store) -> Callable[[str], None]:
        return store.delete

    @pytest.fixture
    def away(self, store: Store) -> Options:
        return {**store.options, "tracking_uri": f"sqlite:///{store.file}/no directory/mlflow.db"}

    def test_a_database_that_is_replaced_meanwhile_gets_the_whole_run(
        self, scene: Scene, store: Store, template: Path
    ) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        writer = scene.writer(run)
        writer.open(run.started)
        shutil.copy(template, scene.place / "another.db")
        (scene.place / "another.db").replace(store.file)

        with pytest.raises(Unavailable, match="taken the database away"):
            writer.write(points("loss", range(5, 8), 5))
        run.log(*points("loss", range(5, 8), 5))
        run.finish().deliver()

        assert run.problems() == []
