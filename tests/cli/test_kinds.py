"""Everything that can be logged is listed, counted, compared and exported, whatever its kind."""

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.cli.inside import delivered, inside, on_terminal
from tests.cli.making import FINISHED, STARTED, Result, new_run
from tracelet.cli import lines
from tracelet.events import (
    SERIES,
    Artifact,
    Audio,
    Bundle,
    Chart,
    Definition,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Layout,
    Metric,
    Packed,
    Payload,
    Table,
    Text,
    Video,
    payload_of,
)
from tracelet.journal import blobs, holdings
from tracelet.journal.census import PLURALS, census
from tracelet.journal.writer import Writer
from tracelet.telling.words import logged
from tracelet.testing import memory

RUN = "20231114-221320-aaaaaa"
SHADES = np.arange(60, dtype="u1").reshape(1, 4, 3, 5) * 4
TABLE = b'{"columns": ["actual", "predicted", "count"], "data": [["a", "b", 3]]}'
MATRIX = "confusion_matrix"
PLOT = b'{"data": [{"type": "scatter", "y": [1, 2]}], "layout": {}}'


def words(result: Result) -> list[list[str]]:
    return [line.split() for line in result.out.splitlines()]


def of_array(directory: Path, array: Any) -> Payload:
    digest, size = blobs.keep_bytes(directory, [array.tobytes()])
    return Payload(digest, size, array.dtype.name, array.shape)


def of_file(directory: Path, content: bytes, kind: str, shape: tuple[int, ...] = ()) -> Payload:
    digest, size = blobs.keep_bytes(directory, [content])
    return Payload(digest, size, shape=shape, format=kind)


def everything(directory: Path) -> list[Packed]:
    """Make one of each kind that has bytes, in a step of its own."""
    spread = of_array(directory, np.arange(8.0))
    film = of_array(directory, SHADES[:, :, np.newaxis])
    sound = of_array(directory, np.linspace(-1, 1, 800, dtype="f4").reshape(400, 2))
    made = io.BytesIO()
    Pillow.fromarray(SHADES[0, 0]).save(made, "PNG")
    manifest = of_file(directory, b'{"model/m.pt": {"digest": "d", "size": 4}}', "json")
    return [
        Image(time=2, name="i", step=1, data=of_array(directory, SHADES[0]), layout="NHW", caption="four"),
        Image(time=1, name="i", data=of_file(directory, made.getvalue(), "png")),
        Figure(time=1, name="f/drawn", step=2, data=of_array(directory, SHADES.reshape(4, 5, 3))),
        Figure(time=1, name="f/plotly", step=2, data=of_file(directory, PLOT, "plotly.json")),
        Histogram(time=1, name="h", step=3, data=spread),
        Histogram(time=1, name="counted", step=3, counts=(1.0, 2.0), limits=(0.0, 1.0, 2.0)),
        Audio(time=1, name="a", step=4, data=sound, rate=8000, caption="a sweep"),
        Video(time=1, name="v", step=5, data=film, layout="NTCHW", fps=4.0),
        Html(time=1, name="p", step=6, data=of_file(directory, b"<b>p</b>", "html")),
        Table(time=1, name="t", step=7, data=of_file(directory, TABLE, "json", (1, 3)), chart=MATRIX),
        Text(time=1, name="x", step=8, text="once"),
        Artifact(time=1, path="model/m.pt", size=4, digest=blobs.keep_bytes(directory, [b"mmmm"])[0]),
        Bundle(
            time=2, name="net", kind="model", path="model", files=1, data=manifest,
            aliases=("best", "prod"), step=9, metadata={"top": float("inf"), "note": "Infinity"},
        ),
        Bundle(time=1, name="digits", kind="dataset", reference="s3://bucket/digits"),
    ]  # fmt: skip


def plans() -> list[Event]:
    """Say of metrics what stands for them, and log some."""
    return [
        Definition(time=1, name="val/*", summary=("best", "mean"), goal="minimize", step_metric="epoch"),
        Definition(time=1, name="val/acc", summary=("max", "last")),
        Definition(time=1, name="never", summary=("min",)),
        Layout(1, (Chart("old", "one", "multiline", ("a",)),)),
        Layout(
            2, (Chart("losses", "both", "multiline", ("a", "b")), Chart("", "m", "margin", ("a", "b", "c")))
        ),
        *(Metric("val/loss", value, step, 1.0) for step, value in enumerate((0.5, 0.12, 0.4))),
        *(Metric("val/acc", value, step, 1.0) for step, value in enumerate((0.1, 0.9, 0.6))),
        Metric("other", 1.0, 0, 1.0),
    ]


@pytest.fixture
def directory(place: Path) -> Path:
    return logs(place)


def logs(place: Path, run_id: str = RUN, name: str = "first") -> Path:
    """Make a run in which there is something of every kind."""
    directory = new_run(place, run_id=run_id, name=name, end=None)
    writer = Writer(directory)
    for event in [*everything(directory), *plans()]:
        if isinstance(event, Metric):
            writer.scalar(event.name, event.value, event.step or 0, STARTED)
        else:
            assert writer.event(event)
    writer.finish(FINISHED)
    return directory


def test_no_kind_is_forgotten() -> None:
    assert set(PLURALS) == set(SERIES)


@pytest.mark.usefixtures("directory")
def test_show_lists_each_kind_with_what_the_last_one_was() -> None:
    result = inside("show", "first")

    found = words(result)
    (images,) = [row for row in found if row[:3] == ["i", "2", "1"]]
    assert images[4:] == ["4×3×5", "uint8,", "NHW:", "four"]
    assert ["f/plotly", "1", "2", f"{len(PLOT)}", "plotly.json"] in found
    assert ["h", "1", "3", "64", "8", "float64"] in found
    assert ["counted", "1", "3", "2", "bins"] in found
    assert ["a", "1", "4", "3,200", "400×2", "float32,", "8,000", "Hz:", "a", "sweep"] in found
    assert ["v", "1", "5", "60", "1×4×1×3×5", "uint8,", "NTCHW,", "4", "fps"] in found
    assert ["p", "1", "6", "8", "html"] in found
    assert ["t", "1", "7", f"{len(TABLE)}", "1", "row,", "3", "columns,", "confusion", "matrix"] in found
    assert ["x", "1", "8", "once"] in found
    assert ["net", "model", "9", "1", "4", "best,", "prod", "model"] in found
    assert ["digits", "dataset", "s3://bucket/digits"] in found
    assert "layout     2 charts: losses/both, m" in result.out


@pytest.mark.usefixtures("directory")
def test_show_computes_what_a_definition_asks_for() -> None:
    found = words(inside("show", "first"))

    assert ["val/loss", "best", "0.12", "at", "step", "1,", "mean", "0.34", "epoch"] in found
    assert ["val/acc", "max", "0.9", "at", "step", "1,", "last", "0.6", "at", "step", "2"] in found
    assert ["never", "min"] in found
    assert not any(row[:1] == ["val/*"] for row in found)
    only = inside("show", "first", "--metric", "val/acc").out
    assert "val/loss" not in only
    assert "never" not in only


@pytest.mark.usefixtures("directory")
def test_programs_are_given_each_kind_under_a_key_of_its_own() -> None:
    run = inside("show", "first", "--json").json

    counts = {kind: sum(one["count"] for one in run[kind].values()) for kind in PLURALS.values()}
    assert counts == {
        "texts": 1, "images": 2, "figures": 2, "histograms": 2, "audio": 1, "videos": 1,
        "html": 1, "tables": 1,
    }  # fmt: skip
    assert run["tables"]["t"] == {
        "count": 1, "last_step": 7, "size": len(TABLE), "time": 1.0,
        "last": {"chart": "confusion_matrix", "shape": [1, 3], "format": "json"},
    }  # fmt: skip
    assert run["images"]["i"]["last"] == {
        "layout": "NHW",
        "caption": "four",
        "dtype": "uint8",
        "shape": [4, 3, 5],
    }
    assert [one["name"] for one in run["bundles"]] == ["digits", "net"]
    assert run["bundles"][1]["metadata"] == {"top": "Infinity", "note": "Infinity"}
    assert run["metrics"]["val/loss"]["summary"]["best"] == {"value": 0.12, "step": 1}
    assert run["definitions"]["val/*"] == {
        "summary": ["best", "mean"],
        "goal": "minimize",
        "step_metric": "epoch",
    }
    assert [chart["title"] for chart in run["charts"]] == ["both", "m"]


def test_metrics_with_a_definition_are_compared_by_what_it_says(place: Path) -> None:
    logs(place)
    logs(place, "20231114-221321-bbbbbb", "second")

    by_definition = words(inside("compare", "first", "second"))
    by_last = words(inside("compare", "first", "second", "--by", "last"))

    assert ["val/loss,", "best", "0.12", "0.12"] in by_definition
    assert ["val/acc,", "max", "0.9", "0.9"] in by_definition
    assert ["other", "1", "1"] in by_definition
    assert ["val/loss", "0.4", "0.4"] in by_last
    told = inside("compare", "first", "second", "--json").json
    assert told["by"] == {"other": "last", "val/acc": "max", "val/loss": "best"}


def test_what_was_logged_is_counted_by_its_right_word(directory: Path) -> None:
    assert logged(census(directory)) == (
        "7 points of 3 metrics, 1 text, 2 images, 2 figures, 2 histograms, 1 audio clip, 1 video,"
        " 1 HTML page, 1 table, 1 dataset, 1 model, 1 artifact"
    )


@pytest.mark.usefixtures("directory")
def test_json_lines_hold_every_event_of_every_kind(directory: Path) -> None:
    assert inside("export", "first", "-o", "run.jsonl").code == 0

    read = [lines.decode(line)[1] for line in Path("run.jsonl").read_bytes().splitlines()]
    expected = [event for event in [*everything(directory), *plans()] if not isinstance(event, Metric)]
    assert all(event in read for event in expected)


@pytest.mark.usefixtures("directory")
def test_tables_of_points_say_what_they_have_no_place_for() -> None:
    told = inside("export", "first", "-o", "run.parquet", "--json").json

    from pyarrow import parquet

    (run,) = json.loads(parquet.read_metadata("run.parquet").metadata[b"tracelet"])["runs"]
    assert run["left_out"] == told["runs"][0]["left_out"]
    assert run["left_out"] == {
        "Image": 2, "Figure": 2, "Histogram": 2, "Audio": 1, "Video": 1, "Html": 1, "Table": 1, "Text": 1,
    }  # fmt: skip
    assert [one["name"] for one in run["bundles"]] == ["digits", "net"]
    assert not {"images", "tables", "texts", "metrics"} & set(run)


@pytest.mark.usefixtures("directory")
def test_every_payload_becomes_a_file_that_others_open() -> None:
    result = inside("export", "first", "--artifacts", "files")

    assert result.code == 0, result.err
    found = {
        "/".join(path.relative_to("files").parts[:-1]) + path.name[path.name.index(".") :]: path
        for path in Path("files").rglob("*")
        if path.is_file()
    }
    assert sorted(found) == [
        "audio/a.wav", "bundles/net.json", "figures/f/drawn.png", "figures/f/plotly.plotly.json",
        "histograms/h.npy", "html/p.html", "images/i.png", "model.pt", "tables/t.json", "videos/v.gif",
    ]  # fmt: skip
    with wave.open(str(found["audio/a.wav"])) as sound:
        assert (sound.getnchannels(), sound.getnframes(), sound.getframerate()) == (2, 400, 8000)
    with Pillow.open(found["videos/v.gif"]) as film:
        assert (getattr(film, "n_frames", 0), film.size) == (4, (5, 3))
    with Pillow.open(found["figures/f/drawn.png"]) as figure:
        assert np.array_equal(np.asarray(figure), SHADES.reshape(4, 5, 3))
    assert np.array_equal(np.load(found["histograms/h.npy"]), np.arange(8.0))
    assert found["figures/f/plotly.plotly.json"].read_bytes() == PLOT
    assert found["tables/t.json"].read_bytes() == TABLE
    assert found["html/p.html"].read_bytes() == b"<b>p</b>"
    assert len(list(Path("files/images").rglob("*.png"))) == 2


def test_bytes_that_are_gone_are_named_and_those_of_records_are_no_orphans(directory: Path) -> None:
    assert inside("gc", "--json").json["kinds"]["orphans"]["count"] == 0
    blobs.delete(directory)

    gone = {name.partition(" (")[0] for name in holdings.missing(directory)}

    assert gone == {"i", "f/drawn", "f/plotly", "h", "a", "v", "p", "t", "net", "model/m.pt"}
    assert "and 8 more" in inside("sync", "first", "--backend", "local").out


def test_a_tracker_that_tests_use_keeps_every_byte(directory: Path, place: Path) -> None:
    assert inside("sync", "first").code == 0

    kept = {path.name: path.read_bytes() for path in memory.payloads_of(place / "memory").iterdir()}
    wanted = {payload_of(event)[0] for event in everything(directory) if not isinstance(event, Artifact)} - {
        ""
    }
    assert set(kept) == wanted
    assert PLOT in kept.values()


def test_runs_of_a_source_are_listed(place: Path) -> None:
    logs(place)
    logs(place, "20231114-221321-bbbbbb", "second")

    listed = inside("ls", "--from", f"journal:{place}")
    newest = inside("ls", "--from", f"journal:{place}", "-n", "1", "--json").json

    assert [row[:4] for row in words(listed)[1:]] == [
        [RUN, "first", "demo", "FINISHED"],
        ["20231114-221321-bbbbbb", "second", "demo", "FINISHED"],
    ]
    assert newest["runs"] == [
        {
            "run_id": "20231114-221321-bbbbbb", "name": "second", "project": "demo",
            "status": "FINISHED", "started": STARTED,
        }
    ]  # fmt: skip
    assert inside("ls", "--from", f"journal:{place}", "-p", "none", "-s", "failed").err == (
        f"tracelet: no runs of the project 'none' that are FAILED in journal:{place}\n"
    )
    assert "name two places" in inside("ls", "--from", f"journal:{place}", "--dir", place).err


def test_gc_asks_before_it_deletes_runs_that_their_retention_keeps(place: Path) -> None:
    directory = delivered(new_run(place), ago=8 * 86400.0)
    for segment in directory.glob("*.seg"):  # written by this process, which lives
        segment.unlink()

    nobody = inside("gc", "--older-than", "7d")
    code, said = on_terminal("gc", "--older-than", "7d", answers={b"[y/N]": "n\n"})

    assert (nobody.code, code) == (2, 1)
    assert "--yes deletes without asking" in nobody.err
    assert "Delete 1 run" in said
    assert "nothing was deleted" in said
    assert directory.is_dir()
    assert inside("gc", "--older-than", "30d").code == 0  # nothing to ask about
    assert inside("gc", "--older-than", "7d", "--yes").code == 0
    assert not directory.is_dir()
