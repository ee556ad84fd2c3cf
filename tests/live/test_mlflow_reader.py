"""MLflow's Reader against a real server: what the Writer brings there comes back."""

import math
from pathlib import Path

import msgspec
import pytest

from tests.live.servers import MlflowServer
from tracelet import backends
from tracelet.errors import Refused, Unavailable
from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Image,
    Metric,
    Note,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Tags,
    Text,
)
from tracelet.testing.proxy import FaultProxy

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


def test_images_and_histograms_come_back_from_a_server(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    (tmp_path / "shades").write_bytes(bytes(range(6)))
    data = Payload("shades", 6, dtype="uint8", shape=(2, 3))
    # "%14" and "+1" are what a server would decode, were it in a URL as it is.
    names = ["a/b_0x25_14+1".replace("+", "_0x2b_"), "ü" * 100, "x: y" * 60]
    images = [
        Image(
            time=NOW, name=name, data=data, step=20, layout="HW", caption="c", boxes=((0.0, 0.0, 1.0, 1.0),)
        )
        for name in names
    ]
    counted = Histogram(time=NOW, name="漢/" * 60 + "w", step=2, counts=(1.0, 2.0), limits=(0.0, 0.5, 1.0))
    options = {"tracking_uri": mlflow_server.uri, "experiment": "of images", "artifact_location": ""}
    assert BACKEND.writer is not None
    assert BACKEND.held is not None
    writer = BACKEND.writer(options, lambda digest: tmp_path / digest)
    remote = writer.open(msgspec.structs.replace(RUN, run_id="with images"))
    for event in [*images, counted] * 2:
        writer.write([event])

    reader = backends.reader(f"mlflow:{mlflow_server.uri}")
    back = [event for event in reader.events(remote.id) if isinstance(event, (Image, Histogram, Artifact))]

    wanted = [msgspec.structs.replace(image, name=name) for image, name in zip(
        images, ["a/b%14+1", *names[1:]], strict=True
    )]  # fmt: skip
    bare = [
        msgspec.structs.replace(event, data=Payload("", 0, format="png"))
        if isinstance(event, Image)
        else event
        for event in back
    ]
    expected = [BACKEND.held(event) for event in [*wanted, counted]]
    assert sorted(map(repr, bare)) == sorted(map(repr, expected))
    for image in back:
        if isinstance(image, Image):
            reader.download(remote.id, image.data.path, tmp_path / "back.png")
            assert (tmp_path / "back.png").read_bytes().startswith(b"\x89PNG")
    reader.close()
