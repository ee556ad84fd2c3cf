"""MLflow on SQLite keeps what every backend promises."""

from typing import ClassVar

import pytest

from tests.backends.conftest import WARNINGS, Store
from tracelet import backends
from tracelet.backend import Options
from tracelet.events import Params
from tracelet.testing import BackendContract

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
    def away(self, store: Store) -> Options:
        return {**store.options, "tracking_uri": f"sqlite:///{store.file}/no directory/mlflow.db"}
