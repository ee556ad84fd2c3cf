"""What holds for every command: `--json`, help, exit codes, its place in the documentation, bad shelves."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from tests.cli.inside import delivered, inside
from tests.cli.making import Result, new_run, running
from tracelet.cli import app
from tracelet.journal import shelf

COMMANDS: Final[dict[str, Any]] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
PAGE: Final = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
RUN: Final = "20231114-221320-aaaaaa"
OTHER: Final = "20231114-221321-bbbbbb"
OF_RUNS: Final = {
    "show": [RUN],
    "compare": [RUN, OTHER],
    "export": [RUN, "-o", "run.jsonl"],
    "rm": [RUN, "--yes"],
}
SHELFLESS: Final = {"config", "init"}


def ran(name: str, *arguments: str) -> Result:
    """Run a command, on the runs that it needs."""
    return inside(name, *OF_RUNS.get(name, []), *arguments)


names = pytest.mark.parametrize("name", COMMANDS)
shelved = pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SHELFLESS])


@pytest.fixture(autouse=True)
def no_backend_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACELET_BACKEND", "local")


@names
def test_it_gives_programs_json(name: str) -> None:
    assert "--json" in {option for parameter in COMMANDS[name].params for option in parameter.opts}


@names
def test_its_help_is_whole_sentences(name: str) -> None:
    command = COMMANDS[name]

    texts = [command.help, *(parameter.help for parameter in command.params)]

    assert [text for text in texts if not text or not text.strip().endswith(".")] == []


@names
def test_it_stands_in_the_documentation_with_its_options_and_exit_codes(name: str) -> None:
    overview, _, rest = PAGE.partition("## Exit codes")
    codes = rest.partition("\n## ")[0]
    section = re.search(rf"^## `tracelet {name}`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)

    assert re.search(rf"^\| `tracelet {name}\b", overview, re.MULTILINE)
    assert re.search(rf"^\| `{name}` \|", codes, re.MULTILINE)
    assert section is not None
    told = {*re.findall(r"(?<![\w-])--?[a-z][a-z-]*", section[1]), "--json", "--dir", "--from", "--help"}
    options = [parameter.opts for parameter in COMMANDS[name].params if parameter.opts[0].startswith("-")]
    assert [names for names in options if not told & {*names}] == []


@shelved
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_shelf_that_is_missing_or_empty_is_no_failure_of_ours(
    place: Path, name: str, as_json: list[str]
) -> None:
    missing = ran(name, *as_json)
    (place / ".tracelet").mkdir(exist_ok=True)
    empty = ran(name, *as_json)

    expected = 2 if name in OF_RUNS else 0
    assert (missing.code, empty.code) == (expected, expected)
    assert bool(missing.out) == (
        name not in OF_RUNS and (name not in {"ls", "status", "sync"} or bool(as_json))
    )
    if name in OF_RUNS:
        assert f"no run {RUN!r}" in missing.err
    elif as_json:
        assert missing.json


@shelved
def test_a_shelf_that_is_a_file_is_a_mistake(place: Path, name: str) -> None:
    (place / ".tracelet").write_text("")

    result = ran(name)

    assert result.code == (1 if name == "doctor" else 2)
    assert "is no directory" in (result.out if name == "doctor" else result.err)


@shelved
def test_a_run_that_cannot_be_read_is_named(place: Path, name: str) -> None:
    (delivered(new_run(place)) / "run.json").write_text('{"version": 2}')
    delivered(new_run(place, run_id=OTHER))

    result = ran(name)

    attentive = {"ls": 0, "gc": 0, "doctor": 0}
    assert result.code == attentive.get(name, 1)
    assert RUN in result.out + result.err
    assert re.search(r"cannot (be )?read|can read", result.out + result.err)


@names
def test_it_fits_a_narrow_terminal(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running(place, name="a name that is much longer than what fits", points=3)
    delivered(new_run(place, run_id=OTHER))
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")

    result = ran(name)

    assert result.code in {0, 1}
    assert "Traceback" not in result.err


def test_the_help_says_in_one_line_what_each_command_does_and_what_exit_codes_mean() -> None:
    said = inside("--help").out

    assert "Exit codes: 0 " in said
    assert "..." not in said.replace("[ARGS]...", "")


@names
def test_its_help_shows_no_type_of_python_where_a_user_gives_an_option(name: str) -> None:
    options = inside(name, "--help").out.partition("Options:")[2]

    assert re.findall(r"<(?:str|int|float|list)\b|default: \d+\.0", options) == []


@pytest.mark.parametrize("name", ["ls", "status", "gc"])
def test_a_run_that_is_deleted_meanwhile_is_left_out(
    place: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = delivered(new_run(place))
    monkeypatch.setattr(shelf, "runs", lambda _: [there.with_name("gone"), there])

    result = inside(name)

    assert (result.code, result.err) == (0, "")
    assert "gone" not in result.out


def test_ls_can_be_limited_to_a_status(place: Path) -> None:
    running(place)
    new_run(place, run_id=OTHER)
    new_run(place, run_id="killed", end=None)

    several = inside("ls", "--status", "running", "-s", "KILLED", "--json")
    wrong = inside("ls", "--status", "FINISHES")

    assert [run["run_id"] for run in several.json["runs"]] == [RUN, "killed"]
    assert wrong.code == 2
    assert "Did you mean 'FINISHED'?" in wrong.err
