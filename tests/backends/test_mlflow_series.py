"""Images and histograms in MLflow: its own image series, files that a person can read, and the way back."""

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow

from tests.backends.conftest import BACKEND, NOW, WARNINGS, Store
from tracelet import backends
from tracelet.backend import Reader
from tracelet.backends.mlflow import series
from tracelet.backends.mlflow.held import held
from tracelet.errors import Rejected
from tracelet.events import Artifact, Histogram, Image, Moments, Payload
from tracelet.inputs import pictures
from tracelet.names import NameMap

pytestmark = [pytest.mark.slow, *WARNINGS]

MILLISECONDS: Final = round(NOW * 1000)
SHADES: Final = np.random.default_rng(1).integers(0, 256, (5, 6, 3)).astype("u1")


@pytest.fixture
def reader(store: Store) -> Iterator[Reader]:
    reader = backends.reader(f"mlflow:{store.uri}")
    yield reader
    reader.close()


def image(store: Store, array: Any = SHADES, **more: Any) -> Image:
    found = pictures.pixels(array, None)
    given = {"time": NOW, "name": "a/b", "step": 3, **more}
    return Image(**{"data": store.array(array), "layout": found.layout, **given})


def histogram(store: Store, values: Any, **more: Any) -> Histogram:
    return Histogram(**{"time": NOW, "name": "a/b", "step": 3, "data": store.array(values), **more})


def pixels(file: bytes) -> Any:
    return np.asarray(Pillow.open(io.BytesIO(file)))


def read_back(reader: Reader, run: str, kind: type) -> list[Any]:
    return [event for event in reader.events(run) if isinstance(event, kind)]


def test_an_image_is_called_as_mlflows_own_client_calls_it(store: Store) -> None:
    store.open().write([image(store)])
    ours = store.files("images")
    other = store.client.create_run("0").info.run_id
    store.client.log_image(other, SHADES, key="a/b", step=3, timestamp=MILLISECONDS)

    theirs = sorted(file.path for file in store.client.list_artifacts(other, "images"))
    assert [re.sub(r"[0-9a-f-]{36}", "uuid", path) for path in ours] == [
        re.sub(r"[0-9a-f-]{36}", "uuid", path) for path in theirs
    ]
    tag = "mlflow.loggedImages"
    assert store.run.data.tags[tag] == store.client.get_run(other).data.tags[tag]
    for mine, its in zip(ours, theirs, strict=True):
        content = Path(store.client.download_artifacts(other, its)).read_bytes()
        one, two = (Pillow.open(io.BytesIO(file)) for file in (store.read(mine), content))
        assert (one.format, one.size, one.mode) == (two.format, two.size, two.mode)
        if mine.endswith(".png"):
            assert np.array_equal(np.asarray(one), SHADES)
            assert np.array_equal(np.asarray(two), SHADES)


def test_a_repetition_makes_no_second_image_or_histogram(store: Store) -> None:
    batch = [image(store, caption="c"), histogram(store, [1.0, 2.0])]
    for event in batch * 2:
        store.open().write([event])  # as a relay that was killed before it could note it
    for event in batch:
        store.open().write([event])

    assert len(store.files("images")) == 3
    assert len(store.files("histograms")) == 1


def test_what_differs_in_anything_is_another_image(store: Store) -> None:
    one = image(store)
    changes: list[dict[str, Any]] = [
        {"step": 4}, {"name": "b"}, {"time": NOW + 1e-4}, {"caption": "c"},
        {"boxes": ((1.0, 1.0, 2.0, 2.0),)},
        {"data": image(store, SHADES[::-1]).data},
    ]  # fmt: skip
    several = [one, *(msgspec.structs.replace(one, **change) for change in changes)]

    writer = store.open()
    for event in several:
        writer.write([event])

    assert len([path for path in store.files("images") if path.endswith(".png")]) == len(several)


def test_nothing_but_images_lies_where_mlflows_page_reads_names(store: Store) -> None:
    """Its page shows no image at all when it finds a name in `images/` that it does not understand."""
    store.open().write([image(store, caption="c", boxes=((1.0, 1.0, 2.0, 2.0),), labels=("x",))])

    names = [entry.path for entry in store.client.list_artifacts(store.id, "images") if not entry.is_dir]
    parts = [name.removeprefix("images/").rpartition(".")[0].split("+") for name in names]
    assert [(len(part), part[1], part[3]) for part in parts] == [
        (7, "step", "timestamp"),
        (6, "step", "timestamp"),
    ]


def test_a_histogram_is_a_file_that_a_person_can_read(store: Store) -> None:
    values = np.random.default_rng(2).normal(size=1000).astype("f4")
    values[:2] = math.nan, math.inf

    store.open().write([histogram(store, values)])

    (path,) = store.files("histograms")
    assert re.fullmatch(rf"histograms/a/b/step-00000003\+{MILLISECONDS}\+[0-9a-f]{{8}}\.json", path)
    said = json.loads(store.read(path))
    finite = values[2:].astype("f8")
    counts, limits = np.histogram(finite, 64)
    assert (said["counts"], said["limits"]) == (counts.tolist(), limits.tolist())
    assert (said["num"], said["min"], said["max"], said["left_out"]) == (998, finite.min(), finite.max(), 2)
    assert said["sum"] == pytest.approx(finite.sum())
    assert said["sum_squares"] == pytest.approx(finite.dot(finite))
    assert (said["step"], said["time"]) == (3, MILLISECONDS / 1000)


def test_images_and_histograms_come_back(store: Store, reader: Reader, tmp_path: Path) -> None:
    boxes = ((1.0, 2.0, 3.0, 4.0), (0.0, math.inf, 1.0, 1.0))
    sent = [
        image(store, name="plain", step=None, ordinal=4),
        image(store, caption="what \u2028 it is", boxes=boxes, labels=("a", "b")),
        image(store, name="_0x23_ ü", step=-5, time=NOW + 5),
    ]
    moments = Moments(3.0, -math.inf, math.inf, math.nan, 5.0)
    counted = Histogram(
        time=NOW, name="counted", step=None, ordinal=2, counts=(1.0, 2.5), limits=(-math.inf, 0.0, math.inf),
        moments=moments,
    )  # fmt: skip
    writer = store.open()
    for event in [*sent, counted, histogram(store, [1.0, 2.0])]:
        writer.write([event])

    back = read_back(reader, store.id, Image)
    expected: list[Any] = [held(event) for event in sent]
    expected = [msgspec.structs.replace(event, name=event.name.replace("_0x23_", "#")) for event in expected]
    bare = [msgspec.structs.replace(event, data=Payload("", 0, format="png")) for event in back]
    assert sorted(bare, key=str) == sorted(expected, key=str)
    for event in back:
        reader.download(store.id, event.data.path, tmp_path / "back.png")
        assert (tmp_path / "back.png").stat().st_size == event.data.size
        assert pixels((tmp_path / "back.png").read_bytes()).shape == (5, 6, 3)
    raw, exact = read_back(reader, store.id, Histogram)
    assert str(exact) == str(held(counted))  # NaN is not equal to itself
    assert (raw.name, sum(raw.counts), len(raw.limits)) == ("a/b", 2, 65)
    assert read_back(reader, store.id, Artifact) == []


@pytest.mark.parametrize(
    "name",
    ["x" * 200, "ü" * 100, "漢" * 249, "a/" * 100 + "b", "_0x28_" * 40, "x" * 229 + "_0xh0123456789abcdef_"],
)
def test_a_name_that_is_too_long_for_a_file_comes_back_whole(store: Store, reader: Reader, name: str) -> None:
    store.open().write([image(store, name=name)])

    (back,) = read_back(reader, store.id, Image)
    expected = name.replace("_0x28_", "(")
    if name.endswith("def_"):  # cut by the relay before, which has told its original elsewhere
        assert back.name.endswith("x_0xh0123456789abcdef_")
    else:
        assert back.name == expected
    assert all(len(Path(path).name.encode()) <= 255 for path in store.files("images"))


def test_what_plain_mlflow_users_log_comes_back_as_images(
    store: Store, reader: Reader, tmp_path: Path
) -> None:
    run = store.client.create_run("0").info.run_id
    store.client.log_image(run, SHADES, key="a/b", step=2, timestamp=1_700_000_000_123)
    store.client.log_image(run, SHADES, "static.png")
    old = f"images/a#b%step%7%timestamp%1700000000456%{'0' * 8}-1111-2222-3333-{'4' * 12}"
    for path in (f"{old}.png", f"{old}%compressed.webp", "images/about/mine.json", "images/holiday.png"):
        place = Path(str(store.client.get_run(run).info.artifact_uri), path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"theirs")

    found = read_back(reader, run, Image)

    assert [(one.name, one.step, one.time) for one in found] == [
        ("a/b", 2, 1_700_000_000.123),
        ("a/b", 7, 1_700_000_000.456),
    ]
    reader.download(run, found[0].data.path, tmp_path / "back.png")
    assert np.array_equal(pixels((tmp_path / "back.png").read_bytes()), SHADES)
    assert [one.path for one in read_back(reader, run, Artifact)] == [
        "images/about/mine.json", "images/holiday.png", "static.png"
    ]  # fmt: skip


def test_what_others_put_where_our_histograms_are_is_an_artifact(store: Store, reader: Reader) -> None:
    store.open().write([histogram(store, [1.0]), image(store, caption="c")])
    place = Path(store.run.info.artifact_uri)
    (place / "histograms/a/b/step-00000001+1+01234567.json").write_text('{"record": "76543210"}')
    (place / "histograms/a/b/step-00000002+1+01234567.json").write_text("no json")
    (place / "images/about/of-nothing.json").write_text("{}")
    about = next(place.glob("images/about/*-*-*-*-*.json"))
    about.write_text("[]")

    assert [one.step for one in read_back(reader, store.id, Histogram)] == [3]
    assert [one.caption for one in read_back(reader, store.id, Image)] == [""]
    assert len(read_back(reader, store.id, Artifact)) == 3


def test_an_image_is_scaled_to_the_size_that_was_asked_for(store: Store) -> None:
    store.options["max_image_size"] = "300"
    store.open().write([image(store, np.zeros((100, 100, 3), "u1"))])

    assert [pixels(store.read(path)).shape[:2] for path in store.files("images")] == [(256, 256), (10, 10)]


@pytest.mark.parametrize("gone", [True, False])
def test_what_cannot_be_read_is_rejected(store: Store, gone: bool) -> None:
    events = [image(store), histogram(store, [1.0])]
    for event in events:
        blob = store.file.parent / "blobs" / (event.data.digest if event.data else "")
        blob.unlink() if gone else blob.write_bytes(b"short")

    for event in events:
        with pytest.raises(Rejected, match="a/b.*not at" if gone else "mmap"):
            store.open().write([event])


def test_an_image_file_that_is_none_is_rejected(store: Store) -> None:
    place = store.file.parent / "blobs"
    place.mkdir()
    (place / "x").write_bytes(b"no image")

    with pytest.raises(Rejected, match="no image"):
        store.open().write([Image(time=NOW, name="a", data=Payload("x", 8, format="png"))])


def test_every_name_that_the_relay_makes_is_one_of_an_image() -> None:
    for name in ("a~b", "a+b", "a%b", "a#b", "+step+1+timestamp+2+", "%"):
        mapped = NameMap(BACKEND.limits).to_tracker(name)
        event = Image(time=NOW, name=mapped, data=Payload("x", 1), step=1)
        found = series.image_at(series.files_of(event).whole, 1)
        assert found is not None
        assert found.image.name == mapped
