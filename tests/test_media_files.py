"""Sounds, films and plots: as TensorBoard shows them, and files that others open."""

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from tracelet import media
from tracelet.events import Audio, Figure, Histogram, Html, Payload, Video
from tracelet.media import plots

Write = Callable[..., Path]
ALL: dict[str, Any] = {"time": 1.0, "name": "a", "step": 1}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an event whose payload is an array as a file."""

    def written(kind: type, array: Any, most: int = 0, **more: Any) -> Path:
        array = np.ascontiguousarray(array)
        (tmp_path / "blob").write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
        data = Payload("", array.nbytes, dtype=array.dtype.name, shape=array.shape)
        event = kind(data=data, **ALL, **more)
        made = tmp_path / f"made.{media.ending(event)}"
        media.write(event, tmp_path / "blob", made, most)
        return made

    return written


def samples(file: Path) -> tuple[Any, int]:
    with wave.open(str(file)) as sound:
        assert sound.getsampwidth() == 2
        found = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        return found.reshape(-1, sound.getnchannels()), sound.getframerate()


def frames(file: Path) -> list[tuple[Any, int]]:
    """Read each frame of a GIF, and for how many milliseconds it is shown."""
    found: list[tuple[Any, int]] = []
    with Pillow.open(file) as film:
        for number in range(getattr(film, "n_frames", 1)):
            film.seek(number)
            found.append((np.asarray(film.convert("RGB")), film.info["duration"]))
    return found


def test_a_sound_of_floats_is_that_of_tensorboard(write: Write) -> None:
    from torch.utils.tensorboard import summary

    array = np.random.default_rng(1).normal(size=500).astype("f4")
    theirs = summary.audio("a", array, 8000).value[0].audio.encoded_audio_string

    ours = write(Audio, array, rate=8000)

    assert ours.read_bytes() == theirs


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([-1.5, 0.5, np.nan, np.inf], "f2", [-32767, 16383, 0, 32767]),
        ([-32768, 1], "i2", [-32768, 1]),
        ([-128, 1], "i1", [-32768, 256]),
        ([-(2**31), 1 << 16], "i4", [-32768, 1]),
        ([-(2**63), 1 << 48], "i8", [-32768, 1]),
        ([0, 128, 255], "u1", [-32768, 0, 32512]),
        ([0, 32768, 65535], "u2", [-32768, 0, 32767]),
        ([0, 2**31, 2**32 - 1], "u4", [-32768, 0, 32767]),
        ([0, 2**63, 2**64 - 1], "u8", [-32768, 0, 32767]),
        ([False, True], "?", [0, 32767]),
    ],
)
def test_every_type_of_element_is_a_sound(
    write: Write, values: list[Any], kind: str, expected: list[int]
) -> None:
    found, rate = samples(write(Audio, np.array(values, kind)))

    assert found[:, 0].tolist() == expected
    assert rate == 44_100


def test_a_sound_has_its_channels_and_may_be_empty(write: Write) -> None:
    array = np.random.default_rng(2).integers(-99, 99, (3_000_000, 2), dtype="i2")

    assert np.array_equal(samples(write(Audio, array, rate=16_000))[0], array)
    assert samples(write(Audio, np.zeros(0, "f4"), rate=16_000))[0].size == 0


@pytest.mark.parametrize("layout", ["NTCHW", "NTHWC", "TCHW", "HWT", "HWTC"])
def test_a_film_has_its_frames_in_order(write: Write, layout: str) -> None:
    lengths = {"N": 1, "T": 5, "C": 3, "H": 8, "W": 6}
    shade = np.arange(5, dtype="u1") * 40
    axis = layout.index("T")
    array = np.zeros([lengths[name] for name in layout], "u1") + shade.reshape(
        [-1 if at == axis else 1 for at in range(len(layout))]
    )

    found = frames(write(Video, array, layout=layout, fps=30.0))

    assert [frame.shape for frame, _ in found] == [(8, 6, 3)] * 5
    assert [int(frame[0, 0, 0]) for frame, _ in found] == shade.tolist()
    assert sum(duration for _, duration in found) == 170  # 5 / 30 s


def test_films_of_a_batch_stand_where_tensorboard_puts_them(write: Write) -> None:
    array = np.zeros((3, 2, 1, 4, 4), "u1")
    array += np.array([60, 120, 180], "u1").reshape(3, 1, 1, 1, 1)
    array[:, 1] += 1  # frames that are equal would become one

    (first, _), _ = frames(write(Video, array, layout="NTCHW"))

    assert first.shape == (8, 8, 3)
    assert [int(first[y, x, 0]) for y in (0, 4) for x in (0, 4)] == [60, 120, 180, 0]


def test_a_film_is_scaled_frame_by_frame_and_no_faster_than_browsers_show(write: Write) -> None:
    array = np.random.default_rng(3).integers(0, 255, (4, 40, 20, 3), dtype="u1")

    found = frames(write(Video, array, most=600, layout="THWC", fps=1000.0))

    assert [frame.shape for frame, _ in found] == [(20, 10, 3)] * 4
    assert [duration for _, duration in found] == [20] * 4


def test_what_is_nothing_to_show_says_so(write: Write) -> None:
    with pytest.raises(ValueError, match="nothing to show"):
        write(Video, np.zeros((4, 4, 0), "u1"), layout="HWT")
    with pytest.raises(ValueError, match="Histogram without a payload"):
        media.write(Histogram(**ALL), Path("a"), Path("b"))


def test_a_file_stays_what_it_is_and_a_figure_becomes_a_png(write: Write, tmp_path: Path) -> None:
    page = Html(data=Payload("x", 3, format="html"), **ALL)
    (tmp_path / "page").write_bytes(b"<p>")
    array = np.random.default_rng(4).integers(0, 255, (4, 5, 4), dtype="u1")

    media.write(page, tmp_path / "page", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"<p>"
    with Pillow.open(write(Figure, array)) as picture:
        assert np.array_equal(np.asarray(picture), array)


def chart(kind: str, table: Any, place: Path) -> Any:
    (place / "table.json").write_text(table if isinstance(table, str) else json.dumps(table))
    return plots.chart(kind, place / "table.json")


def test_tables_of_known_kinds_are_drawn(tmp_path: Path) -> None:
    pairs = [[a, b, 3] for a in ("cat", "dog") for b in ("cat", "dog")]
    known = {
        "confusion_matrix": {"columns": ["actual", "predicted", "count"], "data": pairs},
        "pr_curve": {"columns": ["recall", "precision"], "data": [[0.0, None], [1.0, 0.5]]},
        "roc_curve": {"columns": ["fpr", "tpr"], "data": []},
    }
    drawn = [chart(kind, table, tmp_path) for kind, table in known.items()]

    assert [(picture.size, picture.mode) for picture in drawn] == [((600, 480), "RGB")] * 3
    assert len({picture.tobytes() for picture in drawn}) == 3


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("pie", {"columns": [], "data": []}),
        ("roc_curve", {"columns": ["a"], "data": [[1]]}),
        ("roc_curve", {"columns": ["fpr", "tpr"], "data": [["x", "y"]]}),
        ("roc_curve", "no json"),
    ],
)
def test_what_is_no_such_table_is_not_drawn(tmp_path: Path, kind: str, table: Any) -> None:
    assert chart(kind, table, tmp_path) is None


def test_plotlys_json_becomes_a_page(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    (tmp_path / "plot").write_text(go.Figure(go.Scatter(y=[1, 23456789])).to_json() or "")
    (tmp_path / "other").write_text("{")
    page = plots.page(tmp_path / "plot")

    assert page is not None
    assert b"23456789" in page
    assert len(page) < 20_000  # plotly's own script is not in it
    assert plots.page(tmp_path / "other") is None
