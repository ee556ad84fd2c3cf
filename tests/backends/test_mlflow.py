"""MLflow's Writer against real SQLite stores, read back with MLflow's own client."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.backends.conftest import RUN, WARNINGS, Store
from tracelet import backends
from tracelet.errors import Rejected
from tracelet.events import Artifact, Event, Lost, Metric, Note, Params, RunFinished, Tags

BACKEND = backends.load("mlflow")
NOW = RUN.time
pytestmark = [pytest.mark.slow, *WARNINGS]


def blob(store: Store, digest: str, content: bytes) -> Artifact:
    file = store.file.parent / "blobs" / digest
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return Artifact(time=NOW, path="unset", size=len(content), digest=digest)


def at(artifact: Artifact, path: str) -> Artifact:
    return Artifact(time=NOW, path=path, size=artifact.size, digest=artifact.digest)


def test_points_keep_value_step_and_milliseconds(store: Store) -> None:
    values = [0.1 + 0.2, 5e-324, -1.5e308, math.pi, 1e-17, 2.0**53 + 2]
    steps = [0, 1, -7, 2**63 - 1, -(2**63), 5]
    times = [NOW + i * 0.0014 for i in range(6)]

    store.open().write([Metric("a", v, s, t) for v, s, t in zip(values, steps, times, strict=True)])

    expected = [(s, round(t * 1000), v) for v, s, t in zip(values, steps, times, strict=True)]
    assert sorted(store.history("a")) == sorted(expected)


def test_values_that_are_no_numbers_are_kept_as_declared(store: Store) -> None:
    values = [math.nan, math.inf, -math.inf, -0.0]

    store.open().write([Metric("a", value, step, NOW) for step, value in enumerate(values)])

    nan, high, low, zero = [
        value for _, _, value in sorted(store.history("a"), key=lambda point: point[0] or 0)
    ]
    assert math.isnan(nan)
    assert (high, low) == (sys.float_info.max, -sys.float_info.max)
    assert zero == 0.0


def test_a_batch_that_is_sent_twice_is_there_once(store: Store) -> None:
    batch: list[Event] = [Metric("a", float(i % 3), i % 5, NOW + i % 2) for i in range(30)]
    batch += [Metric("nan", math.nan, 1, NOW), Metric("inf", math.inf, 1, NOW)]
    batch += [Params(NOW, {"p": 1}), Tags(NOW, {"t": "u"}), Note(NOW, "note")]
    writer = store.open()

    writer.write(batch)
    writer.write(batch)
    writer.write([*batch, Metric("a", 9.0, 9, NOW)])

    assert len(store.history("a")) == len({(i % 3, i % 5, i % 2) for i in range(30)}) + 1
    assert len(store.history("nan")) == 1
    assert len(store.history("inf")) == 1


def test_what_is_one_point_in_the_store_has_one_identity(store: Store) -> None:
    assert BACKEND.identity is not None
    values = [math.nan, -math.nan, math.inf, sys.float_info.max, 0.0, -0.0, 1.0]
    batch = [Metric("a", value, 1, NOW + late) for value in values for late in (0, 0.0001, 0.002)]

    store.open().write(batch)

    assert len(store.history("a")) == len({BACKEND.identity(event) for event in batch})
    assert BACKEND.identity(Note(NOW, "a")) is None


def test_params_are_mlflows_own_text(store: Store) -> None:
    params: dict[str, Any] = {
        "int": 3,
        "float": 1e-4,
        "bool": True,
        "none": None,
        "text": "a b",
        "empty": "",
        "list": [1, "a", None],
        "dict": {"a": 1},
        "long": "ü" * 6000,
    }
    writer = store.open()
    other = store.client.create_run("0")
    for name, value in params.items():
        store.client.log_param(other.info.run_id, name, value)

    writer.write([Params(NOW, {name: value}) for name, value in params.items()])

    assert store.run.data.params == store.client.get_run(other.info.run_id).data.params


def test_a_param_that_changes_is_rejected_and_the_first_stays(store: Store) -> None:
    writer = store.open()
    writer.write([Params(NOW, {"p": 1})])

    with pytest.raises(Rejected, match="Changing param values is not allowed"):
        writer.write([Params(NOW, {"p": 2})])
    with pytest.raises(Rejected):
        writer.write([Params(NOW, {"q": 1}), Params(NOW, {"q": 2})])

    assert store.run.data.params["p"] == "1"


def test_the_last_of_equal_tags_and_notes_counts(store: Store) -> None:
    store.open().write(
        [Tags(NOW, {"a": "1", "b": "1"}), Note(NOW, "one"), Tags(NOW, {"a": "2"}), Note(NOW, "two")]
    )

    assert store.run.data.tags["a"] == "2"
    assert store.run.data.tags["b"] == "1"
    assert store.run.data.tags["mlflow.note.content"] == "two"


def test_a_tag_may_rename_the_run(store: Store) -> None:
    store.open().write([Tags(NOW, {"mlflow.runName": "another"})])

    assert store.run.info.run_name == "another"


def test_the_largest_batch_that_limits_allow_is_taken(store: Store) -> None:
    batch: list[Event] = [Params(NOW, {f"{'p' * 240}{i}": "\n" * 6000}) for i in range(100)]
    batch += [Tags(NOW, {f"{'t' * 240}{i}": "\U0001f600" * 8000}) for i in range(100)]
    batch += [Metric(f"{'m' * 240}{i}", 1.0, i, NOW) for i in range(800)]

    store.open().write(batch)

    data = store.run.data
    assert len(data.params) == 100
    assert data.tags["t" * 240 + "99"] == "\U0001f600" * 8000
    assert len(data.metrics) == 800


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_the_end_is_status_and_time(store: Store, status: Any) -> None:
    store.open().write([RunFinished(NOW + 60, status)])

    assert store.run.info.status == status
    assert store.run.info.end_time == 1_700_000_060_123


def test_what_no_tracker_holds_is_passed_over(store: Store) -> None:
    writer = store.open()

    writer.write([RUN, Lost(NOW, 3, "disk full")])
    writer.write([])
    writer.close()

    assert writer.acknowledged() is None
    assert store.run.data.metrics == {}


def test_artifacts_lie_under_their_paths_beside_the_database(store: Store) -> None:
    content = blob(store, "abc", b"\x00bytes\xff")
    paths = ["model.bin", "deep/er/model.bin", "naïve file (1).txt", "empty/twin.bin"]

    store.open().write([at(content, path) for path in paths])

    place = Path(store.run.info.artifact_uri)
    assert place.is_relative_to(store.file.parent / "mlruns")
    for path in paths:
        downloaded = Path(store.client.download_artifacts(store.id, path))
        assert downloaded.read_bytes() == b"\x00bytes\xff"
        assert not (place / path).is_symlink()


def test_of_artifacts_with_one_path_the_last_counts(store: Store) -> None:
    first, second = blob(store, "a", b"first"), blob(store, "b", b"second")
    writer = store.open()

    writer.write([at(first, "x.txt"), at(second, "x.txt")])
    writer.write([at(second, "y.txt")])
    writer.write([at(first, "y.txt")])

    assert Path(store.client.download_artifacts(store.id, "x.txt")).read_bytes() == b"second"
    assert Path(store.client.download_artifacts(store.id, "y.txt")).read_bytes() == b"first"


def test_a_referenced_file_is_taken_as_it_was(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    was = file.stat()
    artifact = Artifact(
        time=NOW, path="m/model.bin", size=was.st_size, reference=str(file), mtime=was.st_mtime
    )
    writer = store.open()

    writer.write([artifact])

    assert Path(store.client.download_artifacts(store.id, "m/model.bin")).read_bytes() == b"weights"
    file.write_bytes(b"other weights")
    with pytest.raises(Rejected, match="has changed"):
        writer.write([artifact])
    file.unlink()
    with pytest.raises(Rejected, match="cannot be read"):
        writer.write([artifact])


def test_an_artifact_whose_bytes_are_gone_is_rejected(store: Store) -> None:
    with pytest.raises(Rejected, match="are not at"):
        store.open().write([Artifact(time=NOW, path="x", size=1, digest="gone")])


@pytest.mark.parametrize("path", ["../escape", "file/below", "n" * 300])
def test_an_artifact_that_has_no_place_is_rejected(store: Store, path: str) -> None:
    content = blob(store, "abc", b"1")
    writer = store.open()
    writer.write([at(content, "file")])

    with pytest.raises(Rejected):
        writer.write([at(content, path)])
