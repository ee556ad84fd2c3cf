"""Every kind of event against a real MLflow server: files, registry, datasets, summaries, the way back."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from mlflow import MlflowClient

from tests.live.servers import MlflowServer
from tracelet import backends
from tracelet.backend import Writer
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Chart,
    Definition,
    Event,
    Figure,
    Html,
    Image,
    Layout,
    Metric,
    Payload,
    RunFinished,
    RunStarted,
    Table,
    Video,
)

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("mlflow-server"),
    # Several libraries', by way of MLflow.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

BACKEND = backends.load("mlflow")
NOW = 1_700_000_000.123
RUN = RunStarted(time=NOW, run_id="all kinds", name="all", project="of all kinds")


def kept(place: Path, content: bytes, **more: object) -> Payload:
    digest = f"blob{len([*place.glob('blob*')])}"
    (place / digest).write_bytes(content)
    return msgspec.convert({"digest": digest, "size": len(content), **more}, Payload)


def events(place: Path) -> list[Event]:
    pixels = np.arange(4 * 6 * 3, dtype="u1").tobytes()
    rows = json.dumps({"columns": ["a"], "data": [[1], [2]]}).encode()
    at = {"time": NOW, "name": "a/b: ü", "step": 3}
    model = kept(place, b"weights")
    return [
        Figure(data=kept(place, pixels, dtype="uint8", shape=[4, 6, 3]), caption="c", **at),
        Figure(data=kept(place, b'{"data": [], "layout": {}}', format="plotly.json"), **at),
        Audio(data=kept(place, bytes(8), dtype="int16", shape=[4]), rate=8000, **at),
        Video(data=kept(place, pixels, dtype="uint8", shape=[1, 4, 6, 3]), layout="THWC", fps=5.0, **at),
        Html(data=kept(place, b"<p>", format="html"), **at),
        Table(data=kept(place, rows, format="json", shape=[2, 1]), **at),
        Layout(NOW, (Chart("c", "t", "multiline", ("a",)),)),
        Artifact(time=NOW, path="model/w #1.bin", size=7, digest=model.digest),
        Bundle(
            time=NOW,
            name="net: 1",
            kind="model",
            path="model",
            files=1,
            data=kept(place, b"{}", format="json"),
            aliases=("best", "v2"),
        ),
        Bundle(
            time=NOW, name="far", kind="dataset", reference="s3://bucket/x", metadata={"context": "train"}
        ),
        Definition(time=NOW, name="loss", summary=("min", "best"), goal="maximize"),
        *[Metric("loss", float(step % 4), step, NOW + step) for step in range(9)],
    ]


def writer(server: MlflowServer, place: Path) -> Writer:
    options = {"tracking_uri": server.uri, "experiment": RUN.project, "artifact_location": ""}
    assert BACKEND.writer is not None
    return BACKEND.writer(options, lambda digest: place / digest)


def test_every_kind_arrives_once_and_comes_back_from_a_server(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    sent = events(tmp_path)
    run = ""
    for _ in range(2):  # as a relay that was killed before it could note anything
        there = writer(mlflow_server, tmp_path)
        run = there.open(RUN).id
        for event in [*sent, RunFinished(NOW + 99, "FINISHED")]:
            there.write([event])
        there.close()

    reader = backends.reader(f"mlflow:{mlflow_server.uri}")
    back = [event for event in reader.events(run) if not isinstance(event, (RunStarted, RunFinished))]
    client = MlflowClient(mlflow_server.uri)

    assert BACKEND.held is not None
    assert sorted(map(bare, back)) == sorted(bare(BACKEND.held(event)) for event in sent)
    assert not any(isinstance(event, Image) for event in back)
    for event in back:
        if (data := getattr(event, "data", None)) is not None:
            reader.download(run, data.path, tmp_path / "back")
            assert (tmp_path / "back").stat().st_size == data.size
    reader.close()
    (version,) = client.search_model_versions(f"run_id='{run}'")
    assert (version.name, version.source) == ("net_0x3a_ 1", f"runs:/{run}/model")
    assert client.get_model_version_by_alias("net_0x3a_ 1", "best").version == version.version
    used = client.get_run(run).inputs
    assert used is not None
    assert [one.dataset.name for one in used.dataset_inputs] == ["far"]
    assert [(point.step, point.value) for point in client.get_metric_history(run, "loss.best")] == [(3, 3.0)]
    (listed,) = json.loads(client.get_run(run).data.tags["mlflow.loggedArtifacts"])
    number = client.get_run(run).info.experiment_id
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", mlflow_server.uri)
    assert client.load_table(number, listed["path"], [run])["a"].tolist() == [1, 2]


def bare(event: object) -> str:
    data = getattr(event, "data", None)
    if data is not None and isinstance(event, msgspec.Struct):
        event = msgspec.structs.replace(event, data=msgspec.structs.replace(data, path="", size=0))
    return repr(event)
