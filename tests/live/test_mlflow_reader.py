"""MLflow's Reader against a real server: what the Writer brings there comes back."""

import math
from pathlib import Path

import pytest

from tests.live.servers import FaultProxy, MlflowServer
from tracelet import backends
from tracelet.errors import Refused, Unavailable
from tracelet.events import Artifact, Event, Metric, Note, Params, RunFinished, RunStarted, Tags, Text

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("mlflow-server"),
    # Several libraries', by way of MLflow.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

BACKEND = backends.load("mlflow")
NOW = 1_700_000_000.123
RUN = RunStarted(
    time=NOW, run_id="read back", name="ü", project="of a reader", tags={"team": "vision"}, note="a note"
)


def test_a_run_comes_back_from_a_server(
    mlflow_server: MlflowServer, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    names = ["#1/a?.txt", "b%2f.txt", "c+&=; \\.txt", "_0x41_/ü (1).txt", "MLmodel"]
    for number, name in enumerate(names):
        (tmp_path / str(number)).write_text(name)
    points = [Metric("loss", value, step, NOW + step) for step, value in enumerate([0.1, math.inf, -5e-324])]
    rest: list[Event] = [Params(NOW, {"lr": 0.1}), Tags(NOW, {"a": "b"}), Note(NOW, "another")]
    rest += [Text(time=NOW, name="samples/漢" * 20, text="ü\r\n" * 9, step=-1)]
    rest += [
        Artifact(time=NOW, path=name, size=len(name.encode()), digest=str(number))
        for number, name in enumerate(names)
    ]
    options = {"tracking_uri": mlflow_server.uri, "experiment": RUN.project, "artifact_location": ""}
    assert BACKEND.writer is not None
    assert BACKEND.held is not None
    assert BACKEND.reader is not None
    writer = BACKEND.writer(options, lambda digest: tmp_path / digest)
    remote = writer.open(RUN)
    for event in [*points, *rest, RunFinished(NOW + 9, "FAILED")]:
        writer.write([event])

    reader = backends.reader(f"mlflow:{fault_proxy.uri}")
    back = list(reader.events(remote.id))

    (run,) = reader.runs(RUN.project)
    assert (run.id, run.name, run.status, run.started) == (remote.id, "ü", "FAILED", NOW)
    started, params, *others = back
    assert isinstance(started, RunStarted)
    assert (started.run_id, started.note) == ("read back", "another")
    assert started.tags == {"team": "vision", "a": "b"}
    assert params == BACKEND.held(rest[0])
    expected = [BACKEND.held(event) for event in [*points, *rest[3:], RunFinished(NOW + 9, "FAILED")]]
    assert sorted(map(repr, others)) == sorted(map(repr, expected))
    for name in names:
        reader.download(remote.id, name, tmp_path / "back" / name)
        assert (tmp_path / "back" / name).read_text() == name
    with pytest.raises(Refused, match=r"no file 'none\.txt'"):
        reader.download(remote.id, "none.txt", tmp_path / "none")
    fault_proxy.mode = "error"
    with pytest.raises(Unavailable):
        list(reader.events(remote.id))
    reader.close()
