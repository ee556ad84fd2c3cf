"""Real servers on loopback, for the tests that talk to one."""

from collections.abc import Iterator

import pytest

from tests.live.servers import FaultProxy, MlflowServer


@pytest.fixture(scope="session")
def running_mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mlflow_server(running_mlflow_server: MlflowServer) -> MlflowServer:
    """A real MLflow server that runs; one for all tests, and running again if a test stopped it."""
    if not running_mlflow_server.running:
        running_mlflow_server.start()
    return running_mlflow_server


@pytest.fixture
def fault_proxy(mlflow_server: MlflowServer) -> Iterator[FaultProxy]:
    """A proxy before that server, which hands everything on until it is told otherwise."""
    proxy = FaultProxy(mlflow_server.port)
    proxy.mode = "pass"
    yield proxy
    proxy.stop()
