"""Files that are one thing: bytes, models, references and bundles, whole in the journal or not at all."""

import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sklearn.linear_model import LinearRegression
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

import tracelet
from tests.recording import recorded
from tests.test_intake import of
from tracelet.events import Artifact, Bundle, Lost
from tracelet.experiment import Experiment
from tracelet.inputs import models
from tracelet.journal import blobs


def kept(experiment: Experiment, digest: str) -> bytes:
    assert experiment.directory is not None
    return blobs.path_of(experiment.directory, digest).read_bytes()


def listed(experiment: Experiment, bundle: Bundle) -> dict[str, Any]:
    """Read which files a bundle has; they are recorded before it."""
    assert bundle.data is not None
    before = recorded(experiment)[: recorded(experiment).index(bundle)]
    artifacts = {event.path: event for event in before if isinstance(event, Artifact)}
    manifest = json.loads(kept(experiment, bundle.data.digest))
    assert bundle.files == len(manifest)
    for path, one in manifest.items():
        assert path == bundle.path or path.startswith(f"{bundle.path}/")
        assert (artifacts[path].digest, artifacts[path].size) == (one["digest"], one["size"])
    return manifest


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_are_the_file_that_they_are_called(exp: Experiment, form: Any) -> None:
    exp.log_artifact(form(b"abc"), "data/labels.bin")

    (artifact,) = of(exp, Artifact)
    assert artifact.path == "data/labels.bin"
    assert kept(exp, artifact.digest) == b"abc"
    assert of(exp, Bundle) == []


def test_any_memory_is_bytes(exp: Experiment) -> None:
    array: Any = np.arange(12, dtype="i4").reshape(3, 4)

    exp.log_artifact(memoryview(array), "whole")
    exp.log_artifact(memoryview(array)[::2], "strided")
    exp.log_artifact(memoryview(array[:0]), "empty")

    whole, strided, empty = of(exp, Artifact)
    assert empty.size == 0
    assert kept(exp, whole.digest) == array.tobytes()
    assert kept(exp, strided.digest) == array[::2].tobytes()


@pytest.mark.parametrize("place", [None, "", "data/", ".."])
def test_bytes_without_a_name_are_not_logged(
    exp: Experiment, place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_artifact(b"abc", place)
    exp.log_artifact(b"abc", place)

    assert of(exp, Artifact) == []
    assert len(caplog.messages) == 1
    assert "need an artifact_path that names the file" in caplog.text


def test_a_file_with_a_type_is_one_thing_besides(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "epoch=3.ckpt").write_text("weights")

    exp.log_artifact(
        tmp_path / "epoch=3.ckpt",
        "checkpoints",
        type="checkpoint",
        aliases=["best", "last", "best"],
        metadata={"score": np.float32(0.5), "by": {"metric": "val/acc"}},
        step=30,
    )

    (bundle,) = of(exp, Bundle)
    assert (bundle.name, bundle.kind, bundle.path) == (
        "epoch=3.ckpt",
        "checkpoint",
        "checkpoints/epoch=3.ckpt",
    )
    assert (bundle.aliases, bundle.step) == (("best", "last"), 30)
    assert bundle.metadata == {"score": 0.5, "by": {"metric": "val/acc"}}
    assert [*listed(exp, bundle)] == ["checkpoints/epoch=3.ckpt"]


def test_a_directory_is_one_thing_with_a_name(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "a").write_text("a")
    (tmp_path / "data" / "sub" / "b").write_text("b")

    exp.log_artifact(tmp_path / "data", name="train set", aliases="latest")
    exp.log_artifact(tmp_path / "data", "there", type="dataset", copy=False)

    first, second = of(exp, Bundle)
    assert (first.name, first.kind, first.aliases, first.path) == ("train set", "", ("latest",), "data")
    assert sorted(listed(exp, first)) == ["data/a", "data/sub/b"]
    assert (second.name, second.path) == ("there", "there")
    assert {one["digest"] for one in listed(exp, second).values()} == {""}


def test_what_is_not_whole_is_no_bundle(
    exp: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    exp.log_artifact(tmp_path / "data", type="dataset")
    (tmp_path / "data" / "a").write_text("a")
    (tmp_path / "data" / "gone").symlink_to("nowhere")
    exp.log_artifact(tmp_path / "data", type="dataset")

    assert [artifact.path for artifact in of(exp, Artifact)] == ["data/a"]
    assert of(exp, Bundle) == []
    assert "has no files" in caplog.messages[0]
    assert "gone cannot be logged" in caplog.messages[1]


def test_metadata_that_is_too_large_is_left_out(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    exp.log_artifact(b"a", "a", metadata={f"key{number}": "x" * 900_000 for number in range(9)})

    assert of(exp, Bundle)[0].metadata == {}
    assert "the metadata of 'a' is too large" in caplog.text


@pytest.mark.parametrize("aliases", [7, [None, "good"], (name for name in ("good", ""))])
def test_an_alias_that_is_no_text_is_left_out(
    exp: Experiment, aliases: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_artifact(b"a", "a", type="x", aliases=aliases)

    assert of(exp, Bundle)[0].aliases == (() if aliases == 7 else ("good",))
    assert "is left out" in caplog.text


def test_a_module_is_kept_as_its_state_dict(exp: Experiment) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))

    exp.log_model("net", model, aliases="best", metadata={"layers": 2})
    exp.log_model("net", model, 7)
    exp.log_model("other/net", {"epoch": 3, "weights": model.state_dict()}, step=0)

    assert [artifact.path for artifact in of(exp, Artifact)] == [
        "models/net/model.pt",
        "models/net/step-7/model.pt",
        "models/other/net/step-0/model.pt",
    ]
    first, second, third = of(exp, Bundle)
    assert (first.name, first.kind, first.path, first.aliases) == ("net", "model", "models/net", ("best",))
    assert (second.path, second.step, first.metadata) == ("models/net/step-7", 7, {"layers": 2})
    read = torch.load(io.BytesIO(kept(exp, listed(exp, first)["models/net/model.pt"]["digest"])))
    assert all(torch.equal(read[name], value) for name, value in model.state_dict().items())
    path = "models/other/net/step-0/model.pt"
    assert torch.load(io.BytesIO(kept(exp, listed(exp, third)[path]["digest"])))["epoch"] == 3


def test_the_files_of_a_model_are_kept_as_they_are(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "weights.bin").write_text("w")

    exp.log_model("net", tmp_path / "saved")
    exp.log_model("file", str(tmp_path / "saved" / "weights.bin"))

    first, second = of(exp, Bundle)
    assert [*listed(exp, first)] == ["models/net/weights.bin"]
    assert (second.path, [*listed(exp, second)]) == ("models/file", ["models/file/weights.bin"])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LinearRegression(), "or call mlflow.sklearn.log_model"),
        (torch.nn.Linear(2, 2, device="meta"), "it has tensors on the device meta"),
        ({"not": "tensors"}, "neither a module of torch nor a state dict"),
        (None, "save it to a file and give its path"),
        ("nowhere.pt", "nowhere.pt cannot be logged"),
        ({"weights": torch.zeros(1), "lock": threading.Lock()}, "TypeError"),
    ],
)
def test_what_is_no_model_is_told(
    exp: Experiment, model: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    exp.log_model("net", model)

    assert of(exp, (Artifact, Bundle)) == []  # pyright: ignore[reportArgumentType]
    assert words in caplog.text or "cannot pickle" in caplog.text
    assert exp.directory is not None
    assert not [path for path in exp.directory.glob("blobs/**/*") if path.is_file()]


def test_a_disk_that_fills_up_while_a_model_is_saved_is_told_and_counted(
    exp: Experiment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "_write", full)
        exp.log_model("net", torch.nn.Linear(2, 2))
    exp.log_metric("loss", 0.5, 1)

    assert "No space left on device" in caplog.text
    assert [lost.count for lost in of(exp, Lost)] == [1]
    assert of(exp, Artifact) == []


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be the only process of a group: as sharded as it gets without another."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Gathering(FullyShardedDataParallel):
    """Says when its weights are collected from all processes."""

    def state_dict(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the other processes record nothing and would be waited for without end")


@pytest.mark.filterwarnings("ignore:FSDP is switching to use `NO_SHARD`:UserWarning")  # of a group of one
@pytest.mark.usefixtures("alone")
def test_a_model_that_gathers_its_weights_from_all_processes_is_not_asked_for_them(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    model = torch.nn.Sequential(Gathering(torch.nn.Linear(2, 2), device_id=torch.device("cpu")))

    exp.log_model("net", model)

    assert of(exp, Bundle) == []
    assert "is spread over several processes" in caplog.text
    assert "full_state_dict=True" in caplog.text


@pytest.mark.usefixtures("alone")
def test_a_part_of_a_model_is_not_taken_for_the_whole(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    model = torch.nn.Linear(2, 2)
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)

    exp.log_model("module", model)
    exp.log_model("state", model.state_dict())
    exp.log_model("checkpoint", {"epoch": 3, "weights": model.state_dict()})
    exp.log_model("whole", get_model_state_dict(model, options=whole))

    assert [bundle.name for bundle in of(exp, Bundle)] == ["whole"]
    assert caplog.text.count("is spread over several processes") == 3


def test_models_are_known_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(models.sys.modules, "torch")

    with pytest.raises(TypeError, match="neither a module"):
        models.saving({"a": np.zeros(1)})


def test_a_reference_is_kept_without_its_credentials(exp: Experiment, tmp_path: Path) -> None:
    exp.log_reference("s3://bucket/data/train/", type="dataset", aliases="v1", metadata={"rows": 10})
    exp.log_reference("https://me:password@host/x.csv?version=3&X-Amz-Signature=abc&token=1", name="x")
    exp.log_reference(tmp_path / "data")

    first, second, third = of(exp, Bundle)
    assert (first.name, first.kind, first.aliases) == ("train", "dataset", ("v1",))
    assert (first.reference, first.files, first.data) == ("s3://bucket/data/train/", 0, None)
    assert (second.name, second.reference) == ("x", "https://host/x.csv?version=3")
    assert third.reference == (tmp_path / "data").as_uri()


@pytest.mark.parametrize("uri", ["", "  ", None, 3])
def test_what_is_no_reference_is_told(exp: Experiment, uri: Any, caplog: pytest.LogCaptureFixture) -> None:
    exp.log_reference(uri)

    assert of(exp, Bundle) == []
    assert "it is a URI" in caplog.text


class Bucket:
    """A path in a bucket, as libraries have them."""

    def as_uri(self) -> str:
        return "s3://key:secret@bucket/data"

    def __fspath__(self) -> str:
        raise AssertionError("it would be downloaded")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Path("s3://key:secret@bucket/data"), "s3://bucket/data"),
        (Bucket(), "s3://bucket/data"),
        ("user:secret@host:/data", "host:/data"),
        ("//user:secret@host/data", "//host/data"),
        ("host:/data", "host:/data"),
    ],
)
def test_a_reference_has_no_credentials_however_it_is_written(exp: Experiment, given: Any, kept: str) -> None:
    exp.log_reference(given, name="data")

    (bundle,) = of(exp, Bundle)
    assert bundle.reference == kept


def test_an_empty_path_is_not_the_whole_working_directory(
    exp: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("secret")

    exp.log_artifact("")
    exp.log_model("net", "")

    assert of(exp, Artifact) == []
    assert "artifact '' cannot be logged: the path is empty" in caplog.text
    assert "model '' cannot be logged: the path is empty" in caplog.text


def test_a_bundle_keeps_all_its_files_below_its_path(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "sprite.png").write_text("png")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a").write_text("a")
    vectors = torch.rand(5, 3)

    exp.bundle(
        "words",
        {
            "vectors": vectors,
            "metadata.tsv": "a\tb\n",
            "raw": b"abc",
            "sprite.png": tmp_path / "sprite.png",
            "more": tmp_path / "more",
            "../up.npy": [1.0, 2.0],
        },
        "embedding",
        4,
        100.0,
        path="embeddings/words/4",
        metadata={"labels": ["a"]},
    )

    (bundle,) = of(exp, Bundle)
    assert (bundle.name, bundle.kind, bundle.step, bundle.time) == ("words", "embedding", 4, 100.0)
    files = {
        path.removeprefix("embeddings/words/4/"): kept(exp, one["digest"])
        for path, one in listed(exp, bundle).items()
    }
    assert sorted(files) == ["metadata.tsv", "more/a", "raw", "sprite.png", "up.npy", "vectors.npy"]
    assert np.array_equal(np.load(io.BytesIO(files["vectors.npy"])), vectors.numpy())
    assert np.load(io.BytesIO(files["up.npy"])).tolist() == [1.0, 2.0]
    assert (files["metadata.tsv"], files["sprite.png"], files["more/a"]) == (b"a\tb\n", b"png", b"a")


def test_durability_record_has_bytes_on_disk_before_the_record_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    monkeypatch.setenv("TRACELET_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("TRACELET_DURABILITY", "record")
    exp = tracelet.start_experiment("a run", backend="local")
    directory = exp.directory
    assert directory is not None
    synced: set[int] = set()
    left: set[str] = set()

    def noted(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)

    def looked(_: int) -> None:
        left.update(
            path.name for path in (directory / "blobs").rglob("*") if path.stat().st_ino not in synced
        )

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "fdatasync", looked)

    exp.log_image("sample", [[0.0, 0.5]], step=1)
    exp.log_artifact(tmp_path / "model.bin")
    exp.log_artifact(b"labels", "labels.bin")
    exp.log_html("page", "<p>", step=1)

    kept = [path for path in (directory / "blobs").rglob("*") if path.is_file()]
    exp.stop()
    assert len(kept) == 4
    assert left == set()
