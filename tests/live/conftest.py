"""Real servers on loopback, for the tests that talk to one."""

from collections.abc import Iterator

import pytest

from tests.backends import aims
from tests.live.servers import S3, AimServer, MlflowServer, Postgres, has_postgres
from tracelet.testing.proxy import FaultProxy


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


@pytest.fixture(scope="session")
def running_aim_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AimServer]:
    server = AimServer(aims.new(tmp_path_factory.mktemp("aim") / "repository"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def aim_server(running_aim_server: AimServer) -> AimServer:
    """A real server of Aim's; one for all tests, and running again if a test stopped it."""
    if not running_aim_server.running:
        running_aim_server.start()
    return running_aim_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """An empty PostgreSQL."""
    if not has_postgres():
        pytest.skip("PostgreSQL's programs are not here, or nobody whose they may be")
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 in memory."""
    server = S3(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mlflow_on_postgres(
    postgres: Postgres, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A real MLflow server, as a company has it."""
    server = MlflowServer(
        tmp_path_factory.mktemp("mlflow-on-postgres"), postgres.uri, f"{s3.bucket}/served", s3.environ
    )
    server.start()
    yield server
    server.stop()
