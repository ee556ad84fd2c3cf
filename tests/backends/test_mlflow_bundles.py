"""Models and datasets in MLflow's registry, and among a run's inputs."""

import json
from pathlib import Path
from typing import Any, Final

import mlflow.artifacts
import mlflow.data
import pytest
from mlflow.exceptions import MlflowException

from tests.backends.conftest import NOW, WARNINGS, Store
from tracelet.backends.mlflow import bundles
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Artifact, Bundle, Event

pytestmark = [pytest.mark.slow, *WARNINGS]

PATH: Final = "models/net #1"


def bundle(store: Store, **more: Any) -> list[Event]:
    """Make a file, and what it is."""
    file = store.blob(b"weights", "bin")
    listed = json.dumps({f"{PATH}/w.bin": {"digest": file.digest, "size": 7}}).encode()
    given = {"name": "net", "kind": "model", "time": NOW, "step": 3, **more}
    return [
        Artifact(time=NOW, path=f"{PATH}/w.bin", size=7, digest=file.digest),
        Bundle(path=PATH, files=1, data=store.blob(listed, "json"), **given),
    ]


def versions(store: Store, name: str = "net") -> list[Any]:
    found = store.client.search_model_versions(f"name='{name}'")
    return sorted(found, key=lambda version: int(version.version))


def aliases(store: Store, name: str = "net") -> dict[str, int]:
    return {alias: int(of) for alias, of in store.client.get_registered_model(name).aliases.items()}


def read_back(store: Store) -> list[Any]:
    return [event for event in store.events() if isinstance(event, (Bundle, Artifact))]


def test_a_model_is_a_version_with_its_aliases_and_its_files(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    store.open().write(bundle(store, aliases=("best", "final")))

    (version,) = versions(store)
    assert (version.run_id, version.source) == (store.id, f"runs:/{store.id}/models/net _0x23_1")
    assert version.tags["tracelet.step"] == "3"
    assert aliases(store) == {"best": 1, "final": 1}
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", store.uri)
    loaded = Path(mlflow.artifacts.download_artifacts("models:/net@best"))
    assert (loaded / "w.bin").read_bytes() == b"weights"


def test_a_record_is_one_version_however_often_it_was_sent(store: Store) -> None:
    first, second = bundle(store, aliases=("best",)), bundle(store, aliases=("best",), step=4)
    for events in (first, second, first, second, first):
        store.open().write(events)

    assert [version.tags["tracelet.step"] for version in versions(store)] == ["3", "4"]
    assert aliases(store) == {"best": 2}  # a repetition of the older one does not take it back


def test_a_version_whose_alias_was_not_set_any_more_is_found_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = bundle(store, aliases=("best",))
    writer = store.open()

    def killed(*_: Any) -> None:
        raise Unavailable("killed between creating and naming")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.set_registered_model_alias", killed)
        with pytest.raises(Unavailable):
            writer.write(events)
    store.open().write(events)

    assert len(versions(store)) == 1
    assert aliases(store) == {"best": 1}


def test_a_model_joins_one_that_is_registered_already(store: Store) -> None:
    store.open()
    store.client.create_registered_model("net")
    store.client.create_model_version("net", f"runs:/{store.id}/x", store.id)
    store.open().write(bundle(store))

    assert [version.tags.get("tracelet.step") for version in versions(store)] == [None, "3"]


@pytest.mark.parametrize(
    ("name", "mapped"),
    [("net", "net"), ("a/b: c", "a_0x2f_b_0x3a_ c"), ("", "_0x_"), ("..", "_0x2e_."), ("ü (1)", "ü (1)")],
)
def test_names_that_mlflow_refuses_are_mapped(store: Store, name: str, mapped: str) -> None:
    store.open().write(bundle(store, name=name))

    assert len(versions(store, mapped)) == 1
    assert [event.name for event in read_back(store) if isinstance(event, Bundle)] == [name]


def test_aliases_that_mlflow_refuses_are_mapped_and_its_own_left_out(store: Store) -> None:
    store.open().write(bundle(store, aliases=("v3", "V12", "a b", "latest", "Latest", "")))

    assert aliases(store) == {"_0x76_3": 1, "_0x56_12": 1, "a_0x20_b": 1, "_0x_": 1}
    assert store.client.get_model_version_by_alias("net", "latest").version == versions(store)[-1].version


def test_all_bundles_come_back_and_nothing_else(store: Store) -> None:
    sent = [
        *bundle(
            store, aliases=("best",), metadata={"lr": 0.1, "nan": float("nan"), "deep": {"a": [1, None]}}
        ),
        *bundle(store, kind="dataset", name="data", step=None),
        *bundle(store, kind="embedding", name="words"),
        Bundle(time=NOW, name="far", kind="dataset", reference="s3://bucket/a"),
        Bundle(time=NOW, name="far", kind="model", reference="s3://bucket/m"),
    ]
    store.open().write(sent)

    back = read_back(store)

    assert [event.path for event in back if isinstance(event, Artifact)] == [f"{PATH}/w.bin"]
    found = {(event.name, event.kind): event for event in back if isinstance(event, Bundle)}
    assert {key: (event.step, event.files, event.reference) for key, event in found.items()} == {
        ("net", "model"): (3, 1, ""),
        ("data", "dataset"): (None, 1, ""),
        ("words", "embedding"): (3, 1, ""),
        ("far", "dataset"): (None, 0, "s3://bucket/a"),
        ("far", "model"): (None, 0, "s3://bucket/m"),
    }
    assert found["net", "model"].metadata == {"lr": 0.1, "nan": "nan", "deep": {"a": [1, None]}}
    assert found["net", "model"].aliases == ("best",)
    data = found["words", "embedding"].data
    assert data is not None
    listed = json.loads(store.read(data.path))
    assert listed[f"{PATH}/w.bin"]["size"] == 7
    assert versions(store, "far")[0].source == "s3://bucket/m"


def test_a_dataset_is_an_input_of_the_run_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    schema = {"mlflow_colspec": [{"type": "long", "name": "x", "required": True}]}
    sent = bundle(store, kind="dataset", metadata={"schema": schema, "profile": "9 rows", "context": "train"})
    far = [
        Bundle(time=NOW, name=name, kind="dataset", reference=name)
        for name in ("https://host/x.csv", "s3://bucket/x", "/data/x", "odd:x")
    ]
    for events in (sent, sent, far, far):
        store.open().write(events)

    used = {one.dataset.name: one for one in store.run.inputs.dataset_inputs}

    assert len(store.run.inputs.dataset_inputs) == 5
    assert json.loads(used["net"].dataset.schema or "") == schema
    assert used["net"].dataset.profile == "9 rows"
    assert {tag.key: tag.value for tag in used["net"].tags}["mlflow.data.context"] == "train"
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", store.uri)
    loaded = mlflow.data.get_source(used["net"]).load()
    assert (Path(str(loaded)) / "w.bin").read_bytes() == b"weights"
    assert mlflow.data.get_source(used["https://host/x.csv"]).to_dict() == {"url": "https://host/x.csv"}
    assert mlflow.data.get_source(used["s3://bucket/x"]).to_dict() == {"uri": "s3://bucket/x"}
    assert mlflow.data.get_source(used["/data/x"]).to_dict() == {"uri": "/data/x"}


def test_what_is_too_long_for_a_dataset_is_left_out(store: Store) -> None:
    store.open().write(
        bundle(
            store, kind="dataset", name="n" * 600, metadata={"schema": "s" * 2_000_000, "digest": "d" * 99}
        )
    )

    (used,) = store.run.inputs.dataset_inputs
    assert (len(used.dataset.name), used.dataset.schema, used.dataset.digest) == (500, None, "d" * 36)


def test_what_is_a_users_own_stays_told_in_the_runs_json(store: Store) -> None:
    store.open().write(bundle(store))
    store.client.create_model_version("net", f"runs:/{store.id}/mine", store.id)

    (told,) = [event.path for event in read_back(store) if event.path.startswith("mlflow/run-")]

    assert told == f"mlflow/run-{store.id}.json"


@pytest.mark.parametrize("code", ["ENDPOINT_NOT_FOUND", "FEATURE_DISABLED"])
def test_a_store_without_a_registry_takes_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    def raises(*_: Any, **__: Any) -> None:
        error = MlflowException("there is none")
        error.error_code = code
        raise error

    monkeypatch.setattr("mlflow.MlflowClient.search_model_versions", raises)
    monkeypatch.setattr("mlflow.MlflowClient.log_inputs", raises)
    writer = store.open()
    writer.write(bundle(store))
    writer.write(bundle(store, kind="dataset"))
    monkeypatch.undo()

    assert "model 'net' is not registered, its files are there: the store cannot" in caplog.text
    assert "dataset 'net' is not noted" in caplog.text
    assert len([event for event in read_back(store) if isinstance(event, Bundle)]) == 2


def test_a_registry_that_refuses_is_a_reject_and_the_files_stay(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        error = MlflowException("you may not")
        error.error_code = "PERMISSION_DENIED"
        raise error

    monkeypatch.setattr("mlflow.MlflowClient.create_registered_model", refuses)
    writer = store.open()

    with pytest.raises(Rejected, match=r"model 'net' could not be registered, though its files are there"):
        writer.write(bundle(store))

    assert {type(event) for event in read_back(store)} == {Artifact, Bundle}


def test_an_alias_is_never_mapped_to_what_mlflow_refuses() -> None:
    assert bundles.alias("x" * 300).startswith("xxx")
    assert len(bundles.alias("x" * 300)) <= 255
