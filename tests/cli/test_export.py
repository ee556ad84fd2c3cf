"""`export` writes what a run recorded so that others can read it: complete, exact, or not at all."""

import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.inside import inside
from tests.cli.making import EVENTS, FINISHED, STARTED, command, new_run, running
from tracelet.cli import lines
from tracelet.events import Event, Histogram, Image, Metric, Moments, Payload, RunStarted, Text
from tracelet.journal import codec, history, status
from tracelet.journal.writer import Writer

pytestmark = pytest.mark.slow

RUN: Final = "20231114-221320-aaaaaa"
VALUES: Final = (0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e16, math.nan, math.inf, -math.inf)
NAMES: Final = ("loss", 'a "name", with; all\nof it', "größe/損失", "half \udc80")


def full(place: Path) -> Path:
    """Make a run in which there is something of everything."""
    directory = new_run(place, *EVENTS, end=None)
    writer = Writer(directory)
    for name in NAMES:
        for step, value in enumerate(VALUES):
            writer.scalar(name, value, step - 3, STARTED + 0.1 * step)
            writer.stepless(name, value, STARTED + 0.1 * step)
    writer.event(Text(time=STARTED, name="samples", text="line\nline\u2028", step=7))
    writer.finish(FINISHED)
    return directory


def journal(directory: Path) -> list[Event]:
    return list(history.whole(directory, lambda damage: pytest.fail(str(damage))))


def same(one: Sequence[object], other: Sequence[object]) -> bool:
    """Tell whether all is equal, by its digits: NaN is itself here, and -0.0 is not 0.0."""
    return [repr(thing) for thing in one] == [repr(thing) for thing in other]


def points(directory: Path) -> list[Metric]:
    return [event for event in journal(directory) if isinstance(event, Metric)]


# ---------------------------------------------------------------------------------------- JSON lines

TEXTS: Final = st.text(st.characters(codec="utf-8"), max_size=8)
FLOATS: Final = st.floats(width=64)
PLAIN: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FLOATS | TEXTS | st.just("NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("a/b~1"), inner, max_size=3),
    max_leaves=6,
)
BUILT: Final[dict[Any, st.SearchStrategy[Any]]] = {
    str: TEXTS,
    float: FLOATS,
    int: st.integers(-(2**63), 2**63 - 1),
    dict[str, str]: st.dictionaries(TEXTS, TEXTS, max_size=3),
    dict[str, Any]: st.dictionaries(TEXTS, PLAIN, max_size=3),
}


def events() -> st.SearchStrategy[Event]:
    """Make events of every class there is, each field by its type."""

    def of(kind: Any) -> st.SearchStrategy[Any]:
        fields = {
            field.encode_name: BUILT.get(field.type, st.from_type(field.type))
            for field in msgspec.structs.fields(kind)
        }
        return st.builds(kind, **fields)

    return st.one_of([of(kind) for kind in get_args(Event)])


@given(events(), TEXTS)
def test_every_event_can_be_read_back_from_its_line(event: Event, run: str) -> None:
    line = lines.encode(run, event)

    assert "\n" not in line
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    found, again = lines.decode(line)
    assert found == run
    assert repr(again) == repr(event)


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"type": "Metric"}', '{"run": "r", "type": "Nothing", "time": 1}']
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        lines.decode(line)


def test_json_lines_hold_the_whole_journal(place: Path) -> None:
    directory = full(place)

    result = inside("export", "first")

    found = [lines.decode(line) for line in result.out.split("\n")[:-1]]
    assert (result.code, result.err) == (0, "")
    assert {run for run, _ in found} == {RUN}
    assert same([event for _, event in found], journal(directory))


def test_a_run_that_goes_on_is_exported_as_far_as_it_is(place: Path) -> None:
    running(place, points=3)

    result = inside("export", "first")

    assert result.code == 0
    assert [lines.decode(line)[1] for line in result.out.splitlines()][-1] == Metric(
        "loss", 1 / 3, 2, STARTED + 2
    )
    assert "is still running" in result.err


def test_numbers_that_json_lacks_come_back_wherever_they_stand() -> None:
    histogram = Histogram(
        time=1.0,
        name="NaN",
        counts=(1.0, math.inf),
        limits=(-math.inf, 0.0, math.nan),
        moments=Moments(1.0, math.nan, math.inf, 0.0, -math.inf),
    )
    image = Image(time=math.nan, name="a", data=Payload("NaN", 1), boxes=((0.0, math.nan, 1.0, math.inf),))

    for event in (histogram, image):
        assert same([lines.decode(lines.encode("r", event))[1]], [event])


# ------------------------------------------------------------------------------------ CSV and Parquet


def test_csv_holds_every_point_exactly(place: Path) -> None:
    directory = full(place)

    result = inside("export", "first", "-o", "points.csv")

    with Path("points.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["run_id", "name", "step", "time", "value"]
    assert same(
        [
            (name, int(step) if step else None, float(time), float(value))
            for _, name, step, time, value in rows
        ],
        [
            (point.name.replace("\udc80", "\\udc80"), point.step, point.time, point.value)
            for point in points(directory)
        ],
    )
    assert {row[0] for row in rows} == {RUN}
    assert "72 points of 1 run in points.csv" in result.err
    assert "csv has no place for 1 Artifact, 1 Note, 2 Params, 1 Tags, 1 Text" in result.err


def test_parquet_holds_every_point_exactly_and_the_rest_in_its_metadata(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = full(place)
    monkeypatch.setattr("tracelet.cli.formats.GROUP", 50)

    result = inside("export", "first", "-o", "points.parquet")

    file = pq.ParquetFile("points.parquet")
    table = file.read().to_pydict()
    assert result.code == 0
    assert file.num_row_groups == 2
    assert [str(kind) for kind in file.schema_arrow.types] == [
        "string",
        "string",
        "int64",
        "double",
        "double",
    ]
    assert same(
        list(zip(*(table[name] for name in ("name", "step", "time", "value")), strict=True)),
        [
            (point.name.replace("\udc80", "\\udc80"), point.step, point.time, point.value)
            for point in points(directory)
        ],
    )
    (about,) = json.loads(file.metadata.metadata[b"tracelet"])["runs"]
    assert (about["run_id"], about["name"], about["status"]) == (RUN, "first", "FINISHED")
    assert about["params"] == {"lr": 0.2, "layers": [1, 2]}
    assert about["tags"] == {"team": "vision"}
    assert "parquet has no place for 1 Text" in result.err


def test_pandas_reads_both(place: Path) -> None:
    pandas = pytest.importorskip("pandas")
    new_run(place, points=100)
    inside("export", "first", "-o", "points.csv")
    inside("export", "first", "-o", "points.parquet")

    by_csv, by_parquet = pandas.read_csv("points.csv"), pandas.read_parquet("points.parquet")

    assert list(by_parquet["value"]) == [1.0 / (step + 1) for step in range(100)]
    assert list(by_csv["value"]) == pytest.approx(list(by_parquet["value"]), rel=1e-15)
    assert list(by_csv["step"]) == list(range(100))


def test_several_runs_go_into_one_file(place: Path) -> None:
    new_run(place, points=2)
    new_run(place, points=3, run_id="20231114-221321-bbbbbb", name="second")

    result = inside("export", "first", "second", "-o", "both.parquet", "--json")

    assert pq.read_table("both.parquet")["run_id"].to_pylist() == [RUN] * 2 + ["20231114-221321-bbbbbb"] * 3
    assert result.json["file"] == str(place / "both.parquet")
    assert result.json["format"] == "parquet"
    assert [(run["run_id"], run["points"]) for run in result.json["runs"]] == [
        (RUN, 2),
        ("20231114-221321-bbbbbb", 3),
    ]
    assert result.err == ""


def test_without_pyarrow_it_says_what_to_type(place: Path) -> None:
    new_run(place)
    code = "import sys; sys.modules['pyarrow'] = None; from tracelet.cli import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", code, "export", "first", "-o", "points.parquet"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert 'pip install "tracelet[parquet]"' in done.stderr
    assert not list(place.glob("*points*"))


# ------------------------------------------------------------------------------------------ the file


def test_a_file_that_exists_is_replaced_only_when_it_is_said(place: Path) -> None:
    new_run(place, points=2)
    Path("points.csv").write_text("precious")

    refused = inside("export", "first", "-o", "points.csv")
    before = Path("points.csv").read_text()
    replaced = inside("export", "first", "-o", "points.csv", "--force")

    assert (refused.code, before) == (2, "precious")
    assert "--force replaces it" in refused.err
    assert replaced.code == 0
    assert len(Path("points.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("name", ["points.jsonl", "points.csv", "points.parquet"])
def test_what_fails_on_the_way_leaves_nothing_behind(place: Path, name: str) -> None:
    directory = new_run(place, points=2)
    name_of_newer = "worker-00000000-0000.seg"
    header = codec.SegmentHeader(codec.VERSION + 1, "worker-00000000", 0, 1, 0, STARTED)
    (directory / name_of_newer).write_bytes(codec.header_frame(header, codec.salt_of(name_of_newer)))

    result = inside("export", "first", "-o", name, "--from", f"journal:{place}")

    assert result.code == 1
    assert "Upgrade tracelet" in result.err
    assert not list(place.glob("*points*"))


def test_damage_is_told_and_the_rest_is_exported(place: Path) -> None:
    directory = new_run(place, points=10)
    (segment,) = [directory / name for name in status.sizes(directory)]
    content = bytearray(segment.read_bytes())
    content[-200] ^= 0xFF
    segment.write_bytes(content)

    result = inside("export", "first", "-o", "points.csv")

    assert result.code == 1
    assert "1 place in the journal cannot be read" in result.err
    assert len(Path("points.csv").read_text().splitlines()) == 10


def test_a_reader_that_goes_away_ends_it_quietly(place: Path) -> None:
    new_run(place, points=20_000)

    export = subprocess.Popen(command("export", "first"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert export.stdout is not None
    assert export.stderr is not None
    line = export.stdout.readline()
    export.stdout.close()
    err = export.stderr.read()
    export.stderr.close()

    assert export.wait(60) == 1
    assert isinstance(lines.decode(line)[1], RunStarted)
    assert err == b""


def test_an_output_that_is_full_is_told(place: Path) -> None:
    new_run(place, points=20_000)
    with Path("/dev/full").open("wb") as full_device:
        done = subprocess.run(
            command("export", "first"), stdout=full_device, stderr=subprocess.PIPE, timeout=60, check=False
        )

    assert done.returncode == 1
    assert b"the output cannot be written" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["first1"], "Did you mean 'first'?"),
        (["first", "-o", "points.json"], "no format is known by the ending of 'points.json'"),
        (["first", "-o", "."], "is a directory"),
        (["first", "-o", "nowhere/points.csv"], "there is no directory"),
        (["first", "--format", "xlsx"], "'xlsx' is not one of"),
        (["first", "--json"], "give a file with -o"),
        (["first", "--artifacts", ".tracelet"], "is not empty"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(place: Path, arguments: list[str], said: str) -> None:
    new_run(place)

    result = inside("export", *arguments)

    assert result.code == 2
    assert result.out == ""
    assert said in result.err
    assert [path.name for path in place.iterdir()] == [".tracelet"]
