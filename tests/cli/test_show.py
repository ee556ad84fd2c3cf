"""`show` tells what one run recorded, to people and to programs, and draws its metrics."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.inside import delivered, inside
from tests.cli.making import EVENTS, FINISHED, STARTED, Result, new_run, running
from tracelet.cli.curves import Curve
from tracelet.cli.digest import Gathering
from tracelet.cli.plot import PLAIN, RICH, Glyphs, Series, draw, sparkline
from tracelet.cli.points import Course, MetricDigest
from tracelet.events import Lost, Metric, Note, Params, RunFinished, Tags, Text
from tracelet.journal import status
from tracelet.journal.status import Reject
from tracelet.journal.writer import Writer

RUN = "20231114-221320-aaaaaa"


def shown(place: Path) -> Path:
    """Make a run in which there is something of everything."""
    directory = new_run(place, *EVENTS, end=None)
    writer = Writer(directory)
    for step, value in ((3, 0.5), (0, math.nan), (1, 2.0), (2, -1.0)):
        writer.scalar("loss", value, step, STARTED + step)
    writer.stepless("speed", math.inf, STARTED)
    for step, text in enumerate(("first", "\nthe second\nof two lines\n")):
        writer.event(Text(time=STARTED + step, name="samples", text=text, step=step))
    writer.event(Text(time=STARTED, name="notes", text="of no step"))
    writer.event(Lost(STARTED, 4, "no room"))
    writer.finish(FINISHED)
    return directory


def rejected(directory: Path, count: int) -> None:
    for number in range(count):
        reject = Reject("segment", number, "", f"Metric m{number}", "too long", 1.0)
        status.append_reject(directory, "memory", reject)


def words(result: Result) -> list[list[str]]:
    return [line.split() for line in result.out.splitlines()]


# -------------------------------------------------------------------------------------- what is told


def test_it_tells_what_a_run_recorded(place: Path) -> None:
    directory = delivered(shown(place))
    rejected(directory, 7)

    result = inside("show", "first")

    lines = words(result)
    assert result.code == 0
    assert ["lr", "0.2"] in lines
    assert ["team", "vision"] in lines
    assert ["note", "what", "it", "is"] in lines
    assert ["model/weights.bin", "12,345"] in lines
    assert ["metric", "points", "steps", "last", "min", "at", "max", "at", "NaN"] in lines
    assert ["loss", "4", "0..3", "0.5", "-1", "2", "2", "1", "1"] in lines
    assert ["speed", "1", "inf", "inf", "inf"] in lines
    assert ["samples", "2", "1", "the", "second"] in lines
    assert "4 could not be written" in result.out
    assert "memory   7 rejected" in result.out
    assert result.out.count("too long") == 5
    assert "2 more rejects" in result.err
    assert inside("show", "first", "--rejects").out.count("too long") == 7


def test_it_gives_programs_every_field(place: Path) -> None:
    rejected(shown(place), 1)

    run = inside("show", RUN, "--json").json

    assert (run["run_id"], run["name"], run["project"], run["status"]) == (RUN, "first", "demo", "FINISHED")
    assert (run["started"], run["ended"], run["lost"], run["damaged"]) == (STARTED, STARTED + 100, 4, 0)
    assert run["latest"] == STARTED + 100
    assert run["params"] == {"lr": 0.2, "layers": [1, 2]}
    assert run["metrics"]["loss"] == {
        "points": 4, "stepless": 0, "nan": 1, "first_step": 0, "last_step": 3,
        "last": 0.5, "min": -1.0, "min_step": 2, "max": 2.0, "max_step": 1, "mean": 0.5, "summary": {},
    }  # fmt: skip
    assert run["metrics"]["speed"]["last"] == "Infinity"
    assert run["metrics"]["speed"]["first_step"] is None
    assert run["texts"]["samples"]["last"] == "\nthe second\nof two lines\n"
    assert run["artifacts"][0]["path"] == "model/weights.bin"
    assert run["rejects"]["memory"][0]["reason"] == "too long"
    assert run["backends"][0]["pending"] == 16


def test_it_reads_a_run_that_goes_on(place: Path) -> None:
    running(place, points=30_000)

    run = inside("show", RUN, "--json").json

    assert (run["ended"], run["status"]) == (None, "RUNNING")
    assert run["metrics"]["loss"]["points"] == 30_000


def test_a_text_is_printed_as_it_is(place: Path) -> None:
    shown(place)

    result = inside("show", "first", "--text", "samples")

    assert result.out == "\nthe second\nof two lines\n\n"


def test_a_run_is_read_from_where_it_is_said_to_be(place: Path) -> None:
    shown(place)

    result = inside("show", RUN, "--from", f"journal:{place / '.tracelet'}")
    by_end = inside("show", "aaaaaa", "--from", f"journal:{place}", "--json")

    assert ["loss", "4", "0..3", "0.5", "-1", "2", "2", "1", "1"] in words(result)
    assert f"source     journal:{place / '.tracelet'}" in result.out
    assert "delivery" not in result.out
    assert by_end.json["status"] == "FINISHED"
    assert by_end.json["params"] == {"lr": 0.2, "layers": [1, 2]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["second", "--from", "journal:.tracelet"], f"there are {RUN} (first)."),
        (["first1", "--from", "journal:.tracelet"], "Did you mean 'first'?"),
        (["first", "--from", "journals:.tracelet"], "Did you mean 'journal'?"),
        (["first", "--from", "journal:.tracelet", "--dir", "."], "name two places"),
        (["first", "--from", "journal:.tracelet", "--rejects"], "does not go with --from"),
        (["first", "--plot", "los"], "no metric 'los'; there are loss, speed. Did you mean 'loss'?"),
        (["first", "--metric", "val/*"], "no metric 'val/*'"),
        (["first", "--text", "sample"], "Did you mean 'samples'?"),
        (["first", "--text", "*"], "2 texts fit '*'"),
        (["first", "--json", "--plot", "loss"], "--json prints one document"),
    ],
)
def test_a_mistake_is_told_with_what_there_is(place: Path, arguments: list[str], said: str) -> None:
    shown(place)

    result = inside("show", *arguments)

    assert result.code == 2
    assert result.out == ""
    assert said in result.err


# ---------------------------------------------------------------------------------- on a terminal


def busy(place: Path) -> None:
    directory = new_run(place, Params(STARTED, {"text": "x" * 500}), end=None)
    writer = Writer(directory)
    for number in range(60):
        for step in range(20):
            writer.scalar(f"group/{number:02}", math.sin(step / 5 + number), step, STARTED)
    writer.finish(FINISHED)


def test_a_terminal_sees_how_each_metric_went(place: Path) -> None:
    busy(place)

    wide = inside("show", "first", "-m", "group/0*", columns=120)
    ascii_only = inside("show", "first", "-m", "group/0*", columns=120, PYTHONIOENCODING="ascii")

    (line,) = [line for line in wide.out.splitlines() if line.strip().startswith("group/00")]
    assert line.split()[-1] == "▄▅▅▆▇▇█████▇▇▆▅▄▃▃▂▁"
    assert "group/10" not in wide.out
    assert ascii_only.out.isascii()
    assert "#*+=:-.._____.--:=+*" in ascii_only.out


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_metrics_table_fits_the_terminal(place: Path, columns: int) -> None:
    busy(place)

    result = inside("show", "first", "-m", "group/0*", "--plot", "group/01", columns=columns)

    table = [line for line in result.out.splitlines() if "group/0" in line or "│" in line]
    assert len(table) == 10 + 1 + 12
    assert max(map(len, table)) <= max(columns, 62)  # below that, only names are cut


def test_a_table_without_room_for_a_trend_keeps_what_fits(place: Path) -> None:
    directory = new_run(place, end=None)
    writer = Writer(directory)
    for step in range(3):
        writer.scalar("a/name/of/some/forty/characters/in/all", step + 0.123456, step, STARTED)
    writer.finish(FINISHED)

    (header, line) = inside("show", "first", columns=85).out.split("metrics\n")[1].splitlines()[:2]

    assert header.split() == ["metric", "points", "steps", "last", "min", "at", "max", "at"]
    assert line.split()[3:5] == ["2.123", "0.1235"]
    assert len(line) <= 85


def test_what_is_long_is_cut_on_a_terminal_and_said_to_be(place: Path) -> None:
    directory = new_run(place, Note(STARTED, "n" * 200), Params(STARTED, {"long": "x" * 200}), end=None)
    writer = Writer(directory)
    writer.event(Text(time=STARTED, name="doc", text="a line\nand another"))
    writer.finish(RunFinished(STARTED, "FAILED", "r" * 200))
    reject = Reject("segment", 1, "", "Metric m", "y" * 200, 1.0)
    status.append_reject(directory, "memory", reject)

    brief = inside("show", "first", columns=80)
    whole = inside("show", "first", "--all", columns=80)

    assert max(map(len, brief.out.splitlines())) <= 80 + len(str(directory))
    assert [letter for letter in "nxry" if letter * 80 in brief.out] == []
    assert "what is long is cut; --all shows it whole" in brief.err
    assert "--text NAME prints a text whole" in brief.err
    assert [letter for letter in "nxry" if letter * 200 in whole.out] == [*"nxry"]
    assert "cut" not in whole.err


def test_only_a_terminal_is_spared_long_tables_and_values(place: Path) -> None:
    busy(place)

    brief = inside("show", "first", columns=100)
    whole = inside("show", "first", "--all", columns=100)
    piped = inside("show", "first")

    assert brief.out.count("group/") == 50
    assert "10 more metrics; --all shows every one" in brief.err
    assert "x" * 100 not in brief.out
    for result in (whole, piped):
        assert result.out.count("group/") == 60
        assert "x" * 500 in result.out
    assert "trend" not in piped.out


# ------------------------------------------------------------------------------------------- the digest

POINTS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
        st.floats(width=64),
        st.floats(0, 2e9),
    ),
    min_size=1,
    max_size=60,
)


def digest(points: Sequence[tuple[int | None, float, float]]) -> tuple[MetricDigest, Course]:
    gathering = Gathering(lambda _: 8)
    gathering.take(Metric("m", value, step, time) for step, value, time in points)
    return gathering.digest.metrics["m"], gathering.course("m")


@given(POINTS)
def test_a_digest_says_of_all_points_what_is_true_of_all(
    points: list[tuple[int | None, float, float]],
) -> None:
    found, course = digest(points)

    real = [(value, step) for step, value, _ in points if not math.isnan(value)]
    steps = [step for step, _, _ in points if step is not None]
    assert found.points == len(points)
    assert found.nan == len(points) - len(real)
    assert found.stepless == len(points) - len(steps)
    assert (found.first_step, found.last_step) == (min(steps, default=None), max(steps, default=None))
    for value, step, choose in ((found.min, found.min_step, min), (found.max, found.max_step, max)):
        assert value == choose((value for value, _ in real), default=None)
        there = [step for other, step in real if other == value and step is not None]
        assert step == min(there, default=None)
    latest = max((-math.inf if step is None else step, time) for step, _, time in points)
    assert repr(found.last) in {
        repr(value) for step, value, time in points if (-math.inf if step is None else step, time) == latest
    }
    drawn = [(step, value) for step, value, _ in points if step is not None or not steps]
    assert len(course.buckets) <= 8
    assert sum(bucket.odd for bucket in course.buckets) == sum(not math.isfinite(v) for _, v in drawn)
    finite = [value for _, value in drawn if math.isfinite(value)]
    assert min((b.low for b in course.buckets), default=math.inf) == min(finite, default=math.inf)
    assert max((b.high for b in course.buckets), default=-math.inf) == max(finite, default=-math.inf)


@given(POINTS)
def test_every_course_can_be_drawn(points: list[tuple[int | None, float, float]]) -> None:
    _, course = digest(points)

    for signs in (RICH, PLAIN):
        lines = draw([Series("m", course), Series("again", course)], 60, signs, mark=signs is PLAIN)
        assert all(len("".join(piece.text for piece in line)) <= 60 for line in lines)
        assert 1 <= len(sparkline(course, 10, signs)) <= 10


@given(st.permutations([(step, step % 7) for step in range(-20, 40)]))
def test_a_curve_depends_on_its_points_and_not_on_their_order(points: list[tuple[int, int]]) -> None:
    curve = Curve(16)
    for step, value in points:
        curve.add(step, float(value))

    in_order = Curve(16)
    for step, value in sorted(points):
        in_order.add(step, float(value))
    assert curve.buckets() == in_order.buckets()
    assert len(curve.buckets()) <= 16


def test_what_was_said_last_is_told_by_its_time() -> None:
    gathering = Gathering()

    gathering.take(
        [
            Params(2.0, {"lr": 2}),
            Params(1.0, {"lr": 1, "batch": 1}),
            Tags(2.0, {"team": "new"}),
            Tags(1.0, {"team": "old"}),
            Note(2.0, "new"),
            Note(1.0, "old"),
            Text(time=1.0, name="t", text="of step 5", step=5),
            Text(time=2.0, name="t", text="of step 4", step=4),
            Text(time=3.0, name="t", text="of no step"),
        ]
    )

    found = gathering.digest
    assert found.params == {"lr": 2, "batch": 1}
    assert (found.tags, found.note) == ({"team": "new"}, "new")
    assert (found.texts["t"].count, found.texts["t"].last) == (3, "of step 5")


# -------------------------------------------------------------------------------------------- a plot


def drawn(values: Sequence[float], signs: Glyphs = PLAIN, log: bool | None = None) -> list[str]:
    curve = Curve(512)
    for step, value in enumerate(values):
        curve.add(step, value)
    course = Course(curve.buckets(), 0, len(values) - 1)
    lines = draw([Series("m", course)], 30, signs, height=4, log=log)
    return ["".join(piece.text for piece in line).rstrip() for line in lines]


def test_a_plot_has_axes_with_the_ends_of_what_it_shows() -> None:
    lines = drawn([0.0, 1.0, 2.0, 3.0])

    assert lines == [
        "3 |                     ******",
        "  |             *********",
        "  |    **********",
        "0 |*****",
        "  +---------------------------",
        "   step 0                    3",
    ]


def test_what_is_not_finite_is_marked_on_the_axis_and_interrupts_the_line() -> None:
    lines = drawn([1.0, math.nan, 1.0, math.inf, 1.0])

    assert lines[4].count("x") == 2
    assert [line.count("*") for line in lines[:4]] == [0, 3, 0, 0]
    assert lines[1].startswith("1 |")


def test_values_of_many_magnitudes_are_drawn_by_their_logarithm() -> None:
    values = [1.0, 1e-3, 1e-6, 1e-9]

    assert drawn(values) == drawn(values, log=True)
    assert drawn(values) != drawn(values, log=False)
    assert drawn([0.0, *values]) == drawn([0.0, *values], log=False)
    assert drawn([1.0, 2.0]) == drawn([1.0, 2.0], log=False)


def test_ends_that_are_close_are_told_apart() -> None:
    lines = drawn([1.0, 1.0000001])

    assert lines[0].startswith("1.0000001 |")
    assert lines[3].startswith("        1 |")


def test_a_plot_is_printed_for_a_pipe_when_it_is_asked_for(place: Path) -> None:
    new_run(place, points=300)

    result = inside("show", "first", "--plot", "lo*")

    assert "step 0" in result.out
    assert result.out.count("│") == 12
