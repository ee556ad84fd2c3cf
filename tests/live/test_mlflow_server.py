"""MLflow's Writer against a real server on loopback, and against one that fails in all ways."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.servers import MlflowServer
from tracelet import backends
from tracelet.backend import Writer
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Artifact, Event, Metric, Note, Params, RunFinished, RunStarted, Tags
from tracelet.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("mlflow-server"),
    # Several libraries', by way of MLflow.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

BACKEND = backends.load("mlflow")
NOW = 1_700_000_000.123


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a relay's process sets, and a shorter time."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


@pytest.fixture
def run(request: pytest.FixtureRequest) -> RunStarted:
    name = request.node.name.replace("[", "-").rstrip("]")
    return RunStarted(time=NOW, run_id=name, name="a name", project=f"project of {name}")


@pytest.fixture
def client(mlflow_server: MlflowServer) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(mlflow_server.uri)


@pytest.fixture
def writer(fault_proxy: FaultProxy, run: RunStarted, tmp_path: Path) -> Iterator[Writer]:
    """A Writer behind the proxy, not yet opened."""
    options = {"tracking_uri": fault_proxy.uri, "experiment": run.project, "artifact_location": ""}
    assert BACKEND.writer is not None
    writer = BACKEND.writer(options, lambda digest: tmp_path / digest)
    yield writer
    writer.close()


def history(client: "MlflowClient", run_id: str, name: str) -> list[tuple[int | None, int, float]]:
    return sorted((m.step, m.timestamp, m.value) for m in client.get_metric_history(run_id, name))


def test_a_run_arrives_as_it_was(
    writer: Writer, run: RunStarted, client: "MlflowClient", fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "abc").write_bytes(b"\x00weights")
    (tmp_path / "empty").touch()
    values = [0.1 + 0.2, 5e-324, math.inf, -math.inf, -1.5e308]

    remote = writer.open(run)
    writer.write([Metric("loss", value, step, NOW + step) for step, value in enumerate(values)])
    writer.write([Metric("nan", math.nan, 2**63 - 1, NOW)])
    params: dict[str, Any] = {"lr": 1e-4, "none": None, "empty": "", "list": [1, "a"]}
    writer.write([*(Params(NOW, {name: value}) for name, value in params.items())])
    writer.write([Tags(NOW, {"team": "vision"}), Note(NOW, "what it is")])
    writer.write([Artifact(time=NOW, path="deep/er/model.bin", size=8, digest="abc")])
    writer.write([Artifact(time=NOW, path="empty", size=0, digest="empty")])
    writer.write([RunFinished(NOW + 60, "FAILED")])

    there = client.get_run(remote.id)
    assert remote.url == f"{fault_proxy.uri}/#/experiments/{there.info.experiment_id}/runs/{remote.id}"
    largest = 1.7976931348623157e308
    held = [largest if value == math.inf else -largest if value == -math.inf else value for value in values]
    assert history(client, remote.id, "loss") == [
        (step, 1_700_000_000_123 + 1000 * step, value) for step, value in enumerate(held)
    ]
    [(step, _, nan)] = history(client, remote.id, "nan")
    assert (step, math.isnan(nan)) == (2**63 - 1, True)
    assert there.data.params == {name: str(value) for name, value in params.items()}
    assert there.data.tags["team"] == "vision"
    assert there.data.tags["mlflow.note.content"] == "what it is"
    downloaded = Path(client.download_artifacts(remote.id, "deep/er/model.bin", str(tmp_path)))
    assert downloaded.read_bytes() == b"\x00weights"
    assert Path(client.download_artifacts(remote.id, "empty", str(tmp_path / "deep"))).read_bytes() == b""
    assert (there.info.status, there.info.end_time) == ("FAILED", 1_700_000_060_123)


def test_what_is_sent_twice_is_there_once(writer: Writer, run: RunStarted, client: "MlflowClient") -> None:
    batch: list[Event] = [Metric("loss", step / 3, step, NOW) for step in range(1000)]

    remote = writer.open(run)
    writer.write(batch)
    assert writer.open(run).id == remote.id
    writer.write([*batch[500:], Metric("loss", 1.0, 1000, NOW)])

    assert [step for step, _, _ in history(client, remote.id, "loss")] == list(range(1001))


def test_the_largest_batch_that_limits_allow_is_taken(
    writer: Writer, run: RunStarted, client: "MlflowClient"
) -> None:
    batch: list[Event] = [Params(NOW, {f"{'p' * 240}{i}": "é" * 6000}) for i in range(100)]
    batch += [Tags(NOW, {f"{'t' * 240}{i}": '"\n' * 4000}) for i in range(100)]
    batch += [Metric(f"{'m' * 240}{i}", 1.0, i, NOW) for i in range(800)]

    remote = writer.open(run)
    writer.write(batch)

    data = client.get_run(remote.id).data
    assert (len(data.params), len(data.metrics)) == (100, 800)
    assert data.tags["t" * 240 + "99"] == '"\n' * 4000


def test_a_param_that_changes_is_rejected(writer: Writer, run: RunStarted, client: "MlflowClient") -> None:
    remote = writer.open(run)
    writer.write([Params(NOW, {"p": 1})])

    with pytest.raises(Rejected, match="Changing param values is not allowed"):
        writer.write([Params(NOW, {"p": 2})])

    assert client.get_run(remote.id).data.params == {"p": "1"}


def test_a_deleted_run_is_refused(writer: Writer, run: RunStarted, client: "MlflowClient") -> None:
    remote = writer.open(run)
    client.delete_run(remote.id)

    with pytest.raises(Refused):
        writer.write([Metric("loss", 0.5, 0, NOW)])
    with pytest.raises(Refused, match="mlflow runs restore"):
        writer.open(run)


@pytest.mark.parametrize("mode", ["refuse", "error", "black_hole"])
def test_a_failing_server_is_unavailable_and_then_takes_up_where_it_was(
    writer: Writer,
    run: RunStarted,
    client: "MlflowClient",
    fault_proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    mode: Any,
) -> None:
    remote = writer.open(run)
    writer.write([Metric("loss", 0.5, step, NOW) for step in range(5)])
    batch = [Metric("loss", 0.5, step, NOW) for step in range(10)]

    fault_proxy.mode = mode
    with monkeypatch.context() as short:
        short.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with pytest.raises(Unavailable):
            writer.write(batch)
        with pytest.raises(Unavailable):
            writer.open(run)
    fault_proxy.mode = "pass"
    again = writer.open(run)
    writer.write(batch)

    assert again.id == remote.id
    assert [step for step, _, _ in history(client, remote.id, "loss")] == list(range(10))


def test_a_server_that_is_restarted_has_lost_nothing(
    writer: Writer, run: RunStarted, client: "MlflowClient", mlflow_server: MlflowServer
) -> None:
    remote = writer.open(run)
    writer.write([Metric("loss", 0.5, 0, NOW)])

    mlflow_server.stop()
    with pytest.raises(Unavailable):
        writer.write([Metric("loss", 0.5, 1, NOW)])
    mlflow_server.start()
    writer.open(run)
    writer.write([Metric("loss", 0.5, 1, NOW)])

    assert [step for step, _, _ in history(client, remote.id, "loss")] == [0, 1]


def test_one_record_that_the_server_cannot_digest_is_rejected(
    writer: Writer, run: RunStarted, client: "MlflowClient", fault_proxy: FaultProxy
) -> None:
    remote = writer.open(run)

    fault_proxy.poison = b"indigestible"
    with pytest.raises(Rejected, match="takes other records, but not this"):
        writer.write([Params(NOW, {"p": "indigestible"})])
    writer.write([Params(NOW, {"q": "fine"})])

    assert client.get_run(remote.id).data.params == {"q": "fine"}
