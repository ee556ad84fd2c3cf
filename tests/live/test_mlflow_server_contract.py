"""MLflow's own server, on its bad days: what `tracelet.testing.ServerContract` promises."""

import uuid

import pytest

from tests.backends.conftest import WARNINGS
from tests.live.servers import MlflowServer
from tracelet import backends
from tracelet.backend import Options
from tracelet.testing import Server, ServerContract

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("mlflow-server"), *WARNINGS]


class TestMlflowServer(ServerContract):
    backend = backends.load("mlflow")

    @pytest.fixture
    def options(self, mlflow_server: MlflowServer) -> Options:
        self.project = f"project {uuid.uuid4()}"  # the server is shared, and this is empty
        return {"tracking_uri": mlflow_server.uri, "experiment": self.project, "artifact_location": ""}

    @pytest.fixture
    def server(
        self, mlflow_server: MlflowServer, options: Options, monkeypatch: pytest.MonkeyPatch
    ) -> Server:
        # MLflow's client is told by the environment; a relay's process sets both.
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")

        def through(port: int) -> Options:
            return {**options, "tracking_uri": f"http://127.0.0.1:{port}"}

        return Server(mlflow_server.port, through)
