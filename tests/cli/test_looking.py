"""`ls` and `status` tell what is there, to people and to programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tracelet as package
from tests.cli.inside import inside
from tests.cli.making import command, memory, new_run, running, tracelet
from tracelet.cli import output
from tracelet.journal import cursors, status
from tracelet.journal.locks import this_process
from tracelet.journal.status import DeliveryStatus, Reject

RUN = "20231114-221320-aaaaaa"
OTHER = "20231114-221321-bbbbbb"


def delivered(directory: Path, backend: str = "memory", count: int = 2) -> None:
    cursors.save(directory, backend, cursors.Cursor(delivered=count, finished=True))
    status.write_delivery(directory, backend, DeliveryStatus(state="finished", since=1.0, pid=1))


def said(directory: Path, backend: str = "memory", **fields: object) -> None:
    status.write_delivery(directory, backend, DeliveryStatus(pid=1, since=1.0, **fields))  # type: ignore[arg-type]


def rejected(directory: Path, count: int = 1) -> None:
    for number in range(count):
        reject = Reject("segment", number, "", f"Metric m{number}", "too long", 1.0)
        status.append_reject(directory, "memory", reject)


# ----------------------------------------------------------------------------------------------- ls


def test_ls_gives_a_line_for_each_run_the_newest_last(place: Path) -> None:
    new_run(place, run_id=OTHER, name="second", points=10)
    delivered(new_run(place))

    result = inside("ls")

    header, first, second = result.out.splitlines()
    assert header.split() == ["run", "name", "project", "status", "started", "age", "delivery"]
    assert first.split()[:4] == [RUN, "first", "demo", "FINISHED"]
    assert first.endswith("memory: delivered")
    assert second.split()[:2] == [OTHER, "second"]
    assert second.endswith("memory: 12 behind")
    assert result.code == 0


@pytest.mark.parametrize(
    ("state", "word"), [("unavailable", "unavailable"), ("refused", "refused"), ("stopped", "2 behind")]
)
def test_ls_has_a_word_for_each_delivery(place: Path, state: str, word: str) -> None:
    said(new_run(place), state=state)

    assert inside("ls").out.splitlines()[1].endswith(f"memory: {word}")


def test_ls_counts_rejects(place: Path) -> None:
    directory = new_run(place)
    delivered(directory)
    rejected(directory, 3)

    assert inside("ls").out.splitlines()[1].endswith("memory: 3 rejected")


def test_ls_shows_the_newest_unless_all_are_asked_for(place: Path) -> None:
    new_run(place)
    new_run(place, run_id=OTHER)

    one, every = inside("ls", "-n", "1"), inside("ls", "--all")

    assert RUN not in one.out
    assert OTHER in one.out
    assert "1 older run not shown" in one.err
    assert RUN in every.out


def test_ls_can_be_limited_to_a_project(place: Path) -> None:
    new_run(place)
    new_run(place, run_id=OTHER, project="other")

    result = inside("ls", "--project", "other", "--json")

    assert [run["run_id"] for run in result.json["runs"]] == [OTHER]


def test_ls_of_nothing_says_where_it_looked(place: Path) -> None:
    result = inside("ls")

    assert result.code == 0
    assert result.out == ""
    assert f"no runs in {place / '.tracelet'}" in result.err


def test_ls_shows_a_run_that_cannot_be_read(place: Path) -> None:
    directory = new_run(place)
    (directory / "run.json").write_text('{"version": 2}')

    result = inside("ls")

    assert result.code == 0
    assert result.out.splitlines()[1].split() == [RUN, "UNREADABLE"]
    assert "is not a run that this version of tracelet can read" in result.err


def test_a_narrow_terminal_gets_whole_ids_and_what_else_fits(place: Path) -> None:
    new_run(place, name="a name that is much longer than what fits into eighty columns")

    narrow, usual, wide = (inside("ls", columns=columns).out.splitlines() for columns in (40, 80, 160))

    assert [line.split()[0] for line in (narrow[1], usual[1], wide[1])] == [RUN] * 3
    assert narrow[1].split("  ")[1] == "a name that…"
    assert narrow[0].split() == ["run", "name", "status", "delivery"]
    assert usual[0].split() == ["run", "name", "project", "status", "age", "delivery"]
    assert max(map(len, usual)) <= 80
    assert wide[0].split() == ["run", "name", "project", "status", "started", "age", "delivery"]


def test_only_words_that_tracelet_says_have_a_colour(place: Path) -> None:
    new_run(place, name="refused", project="waiting")

    result = tracelet("ls", FORCE_COLOR="1", TERM="xterm")

    assert "\x1b[33mmemory: 2 behind" in result.out
    assert "\x1b[31m" not in result.out
    assert "\x1b[33mwaiting" not in result.out


def test_colours_are_left_out_where_nobody_wants_them(place: Path) -> None:
    delivered(new_run(place))

    coloured = tracelet("ls", FORCE_COLOR="1", TERM="xterm")
    plain = inside("ls", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1")

    assert "\x1b[32m" in coloured.out
    assert "\x1b[32m" not in plain.out
    assert "\x1b" not in inside("ls").out


def test_a_name_cannot_break_a_line_or_speak_to_the_terminal(place: Path) -> None:
    new_run(place, name="two\nlines \x1b[2J [bold]:boom:")

    result = inside("ls")

    assert len(result.out.splitlines()) == 2
    assert "two\\nlines \\x1b[2J [bold]:boom:" in result.out


def test_a_name_that_the_encoding_lacks_is_no_failure(place: Path) -> None:
    new_run(place, name="Übung 実験")

    result = tracelet("ls", PYTHONIOENCODING="ascii")

    assert result.code == 0
    assert "\\xdcbung" in result.out


def test_the_shelf_can_be_named(place: Path) -> None:
    new_run(place)

    by_itself = inside("ls", "--dir", place / ".tracelet", TRACELET_DIR="")
    by_its_parent = inside("ls", "--dir", place, TRACELET_DIR="")

    assert RUN in by_itself.out
    assert RUN in by_its_parent.out


# ------------------------------------------------------------------------------------------- status


def test_status_says_that_everything_is_delivered(place: Path) -> None:
    delivered(new_run(place))

    result = inside("status")

    assert result.code == 0
    assert result.out == "everything is delivered\n"


def test_status_reminds_of_rejects_in_delivered_runs(place: Path) -> None:
    directory = new_run(place)
    delivered(directory)
    rejected(directory)

    everything, named = inside("status"), inside("status", "first")

    assert everything.code == 0
    assert f"`tracelet show {RUN} --rejects`" in everything.err
    assert named.code == 1
    assert "! memory rejected 1" in named.out


def test_status_shows_how_far_each_backend_is_and_what_keeps_it(place: Path) -> None:
    directory = new_run(place, points=5, targets={"one": memory(place), "two": memory(place)})
    cursors.save(directory, "one", cursors.Cursor(delivered=7, merged=2, degraded=1, finished=True))
    said(directory, "one", state="finished", url="http://there/run/1")
    said(directory, "two", state="unavailable", error="nobody answers")

    result = inside("status")

    lines = [line.split() for line in result.out.splitlines()]
    assert result.code == 1
    assert lines[0][:4] == [RUN, "first", "(demo)", "FINISHED,"]
    assert lines[1] == [
        "backend", "state", "since", "pending", "delivered", "rejected", "merged", "degraded",
    ]  # fmt: skip
    assert lines[2][:2] + lines[2][4:] == ["one", "finished", "0", "7", "0", "2", "1"]
    assert lines[3][:2] + lines[3][4:] == ["two", "unavailable", "7", "0", "0", "0", "0"]
    assert "one page: http://there/run/1" in result.out
    assert "two error: nobody answers" in result.out
    assert "! two is unavailable" in result.out


def test_status_of_a_run_that_is_well_under_way_needs_no_attention(place: Path) -> None:
    said(running(place, points=3), state="idle")

    result = inside("status", "--json")

    assert result.code == 0
    assert result.json["attention"] is False
    assert result.json["runs"][0]["status"] == "RUNNING"


def test_status_of_a_run_that_ended_without_its_relays_needs_attention(place: Path) -> None:
    said(new_run(place, end=None), state="delivering")

    result = inside("status", "--json")

    (run,) = result.json["runs"]
    assert result.code == 1
    assert run["status"] == "KILLED"
    assert run["backends"][0]["state"] == "stopped"
    assert run["attention"] == ["memory does not have all of it; `tracelet sync` delivers it"]


# ---------------------------------------------------------------------------------------- one run


@pytest.mark.parametrize("wanted", [RUN, "20231114", "aaaaaa", "first"])
def test_a_run_is_found_by_its_id_an_end_of_it_or_its_name(place: Path, wanted: str) -> None:
    new_run(place)

    assert inside("show", wanted).out.startswith(f"{RUN}\n")


def test_an_ambiguous_id_is_a_mistake_that_lists_what_fits(place: Path) -> None:
    new_run(place)
    new_run(place, run_id=OTHER)

    result = inside("show", "20231114")

    assert result.code == 2
    assert RUN in result.err
    assert OTHER in result.err


def test_of_many_runs_that_fit_the_newest_are_listed(place: Path) -> None:
    for number in range(25):
        new_run(place, run_id=f"20231114-2213{number:02}-aaaaaa", trainer=this_process())

    result = inside("show", "aaaaaa")

    assert "25 runs fit 'aaaaaa': 20231114-221315-aaaaaa, 20231114-221316-aaaaaa, " in result.err
    assert result.err.count("-aaaaaa") == 10
    assert "and 15 older ones. Give more of the id" in result.err


# -------------------------------------------------------------------------------------- the command


def test_the_command_says_its_version() -> None:
    assert inside("--version").out == f"tracelet {package.__version__}\n"


def test_a_reader_that_goes_away_is_no_failure_of_ours(place: Path) -> None:
    new_run(place)
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        command("ls", "--json"), stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)

    assert done.stderr == b""


def test_starting_loads_no_tracker_and_no_training_library() -> None:
    heavy = "mlflow", "torch", "numpy", "wrapt", "rich.table"
    code = f"import sys, tracelet.cli; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59, "59s"), (90, "2m"), (7200, "2h"), (200_000, "2d")]
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert output.span(seconds) == text


@pytest.mark.parametrize("name", ["status", "sync"])
def test_where_there_are_no_runs_nothing_is_said_to_be_delivered(name: str) -> None:
    result = inside(name)

    assert (result.code, result.out) == (0, "")
    assert "no runs in " in result.err
