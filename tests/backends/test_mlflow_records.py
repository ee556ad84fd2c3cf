"""Figures, sounds, films, pages, tables and layouts in MLflow: files that people open, and the way back."""

import json
import re
import wave
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow

from tests.backends.conftest import NOW, WARNINGS, Store
from tracelet import backends
from tracelet.backends.mlflow import records
from tracelet.backends.mlflow.held import held
from tracelet.errors import Rejected
from tracelet.events import (
    Artifact,
    Audio,
    Chart,
    Event,
    Figure,
    Html,
    Image,
    Layout,
    Payload,
    Table,
    Video,
)

pytestmark = [pytest.mark.slow, *WARNINGS]

AT: Final[dict[str, Any]] = {"time": NOW + 0.0001, "name": "a/b", "step": 3}
COLUMNS: Final = ["actual", "predicted", "count"]
ROWS: Final = [["cat", "cat", 5], ["cat", "dog", 1], ["dog", "cat", 0], ["dog", "dog", 7]]


def table(store: Store, **more: Any) -> Table:
    content = json.dumps({"columns": COLUMNS, "data": ROWS}).encode()
    return Table(**{"data": store.blob(content, "json", shape=(4, 3)), **AT, **more})


def one_of_each(store: Store) -> list[Event]:
    pixels = np.random.default_rng(1).integers(0, 255, (6, 5, 3), dtype="u1")
    plotly = b'{"data": [{"type": "scatter", "y": [1, 2]}], "layout": {}}'
    return [
        Figure(data=store.array(pixels), caption="what it is", **AT),
        Figure(data=store.blob(plotly, "plotly.json"), **AT),
        Figure(data=store.blob(b"<svg/>", "svg"), **AT),
        Audio(data=store.array(np.arange(8, dtype="i2")), rate=8000, caption="c", **AT),
        Audio(data=store.blob(b"ID3", "mp3"), **AT),
        Video(data=store.array(pixels[None]), layout="THWC", fps=7.5, **AT),
        Html(data=store.blob(b"<p>", "html"), **AT),
        table(store),
        table(store, chart="confusion_matrix", name="matrix"),
        Layout(NOW, (Chart("c", "t", "margin", ("a", "b", "c")),)),
        Layout(NOW + 1, ()),
    ]


def bare(event: Any) -> Any:
    if isinstance(event, Layout):
        return event
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, path="", size=0))


def test_each_kind_comes_back_once_however_often_it_was_sent(store: Store, tmp_path: Path) -> None:
    sent = one_of_each(store)
    for event in sent * 2:
        store.open().write([event])  # as a relay that was killed before it could note it

    back = [event for event in store.events() if isinstance(event, (*records.RECORDED, Image, Artifact))]

    assert sorted(map(repr, map(bare, back))) == sorted(map(repr, map(held, sent)))
    reader = backends.reader(f"mlflow:{store.uri}")
    for event in back:
        if (data := getattr(event, "data", None)) is not None:
            reader.download(store.id, data.path, tmp_path / "back")
            assert (tmp_path / "back").stat().st_size == data.size
    reader.close()


def test_files_lie_in_directories_called_as_what_they_are(store: Store) -> None:
    store.open().write([*one_of_each(store)])

    ours = [re.sub(r"[0-9a-f]{8,}(-[0-9a-f]+)*", "0", path) for path in store.files()]
    when = "step-00000003+1700000000123+0"
    when = re.sub(r"[0-9]{8,}", "0", when)
    assert sorted({*ours}) == sorted({
        f"figures/a/b/{when}.html", f"figures/a/b/{when}.plotly.json", f"figures/a/b/{when}.svg",
        "figures/about/0.json", f"audio/a/b/{when}.wav", f"audio/a/b/{when}.mp3", "audio/about/0.json",
        f"videos/a/b/{when}.gif", "videos/about/0.json", f"html/a/b/{when}.html", "html/about/0.json",
        f"tables/a/b/{when}.json", f"tables/matrix/{when}.json", "tables/about/0.json", "layouts/0+0.json",
        "images/a~b+step+3+timestamp+0+0.png", "images/a~b+step+3+timestamp+0+0+compressed.webp",
        "images/matrix+step+3+timestamp+0+0.png", "images/matrix+step+3+timestamp+0+0+compressed.webp",
    })  # fmt: skip


def test_what_is_written_is_what_others_read(store: Store) -> None:
    figure, *rest = one_of_each(store)
    store.open().write([figure, *rest])
    kinds = (Figure, Audio, Video)
    path = {event.data.format: event.data.path for event in store.events() if isinstance(event, kinds)}

    with wave.open(store.client.download_artifacts(store.id, path["wav"])) as played:
        assert (played.getframerate(), played.getnframes()) == (8000, 8)
        assert played.readframes(8) == np.arange(8, dtype="<i2").tobytes()
    with Pillow.open(store.client.download_artifacts(store.id, path["png"])) as picture:
        assert isinstance(figure, Figure)
        assert picture.tobytes() == (store.file.parent / "blobs" / figure.data.digest).read_bytes()
    with Pillow.open(store.client.download_artifacts(store.id, path["gif"])) as shown:
        assert (shown.format, shown.size, shown.info["duration"]) == ("GIF", (5, 6), 130)
    page = store.read(path["plotly.json"].replace(".plotly.json", ".html"))
    assert b"Plotly.newPlot" in page
    about = json.loads(next(store.read(at) for at in store.files("audio/about") if b"8000" in store.read(at)))
    assert (about["event"]["caption"], about["path"]) == ("c", path["wav"])


def test_tables_are_those_of_mlflow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    writer = store.open()
    store.client.log_table(store.id, {"a": [1]}, "mine.json")
    writer.write([table(store, name="x: ü"), table(store, step=4)])

    listed = json.loads(store.run.data.tags["mlflow.loggedArtifacts"])

    assert next(entry["path"] for entry in listed) == "mine.json"
    for entry in listed[1:]:
        found = store.client.load_table(store.run.info.experiment_id, entry["path"], [store.id])
        assert (list(found.columns), found.to_numpy().tolist()) == (COLUMNS, ROWS)
    started = store.events()[0]
    assert json.loads(started.tags["mlflow.loggedArtifacts"]) == listed[:1]
    assert [event.path for event in store.events() if isinstance(event, Artifact)] == ["mine.json"]


def test_the_newest_tables_are_listed_when_there_are_too_many(store: Store) -> None:
    writer = store.open()
    store.client.log_table(store.id, {"a": [1]}, "mine.json")
    theirs = json.loads(store.run.data.tags["mlflow.loggedArtifacts"])
    ours = [
        {"path": f"tables/{'n' * 216}/step-{step:08d}+1+{step:08x}.json", "type": "table"}
        for step in range(28)
    ]
    assert len(json.dumps(theirs + ours)) > 7900
    store.client.set_tag(store.id, "mlflow.loggedArtifacts", json.dumps(theirs + ours))

    writer.write([table(store)])
    after = json.loads(store.run.data.tags["mlflow.loggedArtifacts"])

    assert len(store.run.data.tags["mlflow.loggedArtifacts"]) <= 8000
    assert after[0] == theirs[0]
    assert after[1] != ours[0]
    assert after[-2] == ours[-1]
    assert after[-1]["path"].startswith("tables/a/b/step-00000003")


def test_a_figure_and_an_image_of_one_name_and_step_stay_apart(store: Store) -> None:
    data = store.array(np.zeros((4, 4, 3), "u1"))
    store.open().write([Figure(data=data, **AT), Image(data=data, layout="HWC", **AT)])

    kinds = sorted(type(event).__name__ for event in store.events() if hasattr(event, "data"))

    assert kinds == ["Figure", "Image"]


def test_what_others_put_where_ours_is_stays_an_artifact(store: Store) -> None:
    writer = store.open()
    writer.write([Html(data=store.blob(b"<p>", "html"), **AT), table(store)])
    place = Path(store.run.info.artifact_uri)
    good = next(place.glob("html/about/*.json"))
    foreign = {
        "html/about/notes.json": "{}",
        f"html/about/{'0' * 32}.json": good.read_text(),  # a copy under another name
        f"audio/about/{'1' * 32}.json": "no json",
        f"layouts/1+{'2' * 8}.json": '{"record": "22222222", "event": {"type": "Layout"}}',
        f"bundles/x/no-step+1+{'3' * 8}.json": '{"record": "33333333", "event": {"type": "Metric"}}',
    }
    for path, content in foreign.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(content)
    next(place.glob("tables/a/b/*.json")).unlink()

    back = store.events()

    assert [type(event).__name__ for event in back if hasattr(event, "data")] == ["Html"]
    artifacts = {event.path for event in back if isinstance(event, Artifact)}
    assert artifacts == {*foreign, *store.files("tables/about")}


def test_pictures_of_all_kinds_keep_to_the_largest_size(store: Store) -> None:
    store.options["max_image_size"] = "300"
    store.open().write([
        Figure(data=store.array(np.zeros((100, 100, 3), "u1")), **AT),
        Video(data=store.array(np.zeros((1, 100, 100, 3), "u1")), layout="THWC", **AT),
    ])  # fmt: skip

    for path in (path for path in store.files() if path.endswith((".png", ".gif"))):
        with Pillow.open(store.client.download_artifacts(store.id, path)) as picture:
            assert picture.size == (10, 10)


def test_what_cannot_be_read_or_shown_is_rejected(store: Store) -> None:
    gone = Payload("f" * 64, 3, format="html")
    short = msgspec.structs.replace(store.array(np.zeros(2, "f4")), shape=(9,))
    writer = store.open()

    with pytest.raises(Rejected, match=r"html 'a/b'.*not at"):
        writer.write([Html(data=gone, **AT)])
    with pytest.raises(Rejected, match="mmap"):
        writer.write([Audio(data=short, **AT)])
    assert store.files() == []


def test_without_what_draws_there_are_still_the_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracelet.media.plots._there", lambda _: None)
    store.open().write([*one_of_each(store)])

    assert not [path for path in store.files("figures") if path.endswith(".html")]
    assert not [path for path in store.files("images") if "matrix" in path]
    assert len([event for event in store.events() if isinstance(event, (Figure, Table))]) == 5


def test_plain_users_tables_and_figures_stay_artifacts(store: Store) -> None:
    store.open()
    store.id = store.client.create_run("0").info.run_id
    store.client.log_table(store.id, {"a": [1]}, "eval.json")
    store.client.log_dict(store.id, {"record": "0"}, f"tables/about/{'0' * 32}.json")

    back = store.events()

    assert [event.path for event in back if isinstance(event, Artifact)] == sorted(store.files())
    assert "eval.json" in back[0].tags["mlflow.loggedArtifacts"]
