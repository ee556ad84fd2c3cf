"""A shell completes runs, backends and settings, quickly and without a tracker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.inside import delivered, inside
from tests.cli.making import new_run
from tracelet.settings.table import SETTINGS

RUN = "20231114-221320-aaaaaa"
OTHER = "20231114-221321-bbbbbb"


def asked(shell: str, words: str) -> str:
    """Ask as a shell does for what fits at the end of a line."""
    result = inside(columns=0, **line(shell, words))
    assert result.err == ""
    return result.out


def line(shell: str, words: str) -> dict[str, str]:
    """Name the variables by which a shell asks."""
    return {
        "_TRACELET_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }


def offered(words: str) -> list[str]:
    return asked("bash", words).split()


def test_runs_are_offered_by_id_and_name_the_newest_first(place: Path) -> None:
    new_run(place)
    delivered(new_run(place, run_id=OTHER, name="second"))

    assert offered("tracelet rm ") == [OTHER, RUN, "second", "first"]
    assert offered("tracelet rm 20231114-22132") == [OTHER, RUN]
    assert offered("tracelet status first sec") == ["second"]
    assert offered(f"tracelet sync --dir {place} f") == ["first"]
    assert offered("tracelet show --from mlflow:http://localhost:5000 f") == []


@pytest.mark.parametrize("name", ["show", "compare", "export", "status", "sync", "rm"])
def test_every_command_that_takes_a_run_completes_it(place: Path, name: str) -> None:
    new_run(place)

    assert offered(f"tracelet {name} fir") == ["first"]


def test_backends_statuses_and_settings_are_offered(place: Path) -> None:
    assert place.is_dir()
    assert offered("tracelet sync --backend ml") == ["mlflow"]
    assert offered("tracelet ls --status F") == ["FINISHED", "FAILED"]
    assert offered("tracelet config ") == list(SETTINGS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_name_that_a_shell_could_run_is_not_offered(place: Path, shell: str) -> None:
    new_run(place, name="$(touch pwned)", project="`touch pwned`; [bold]'\"")

    said = asked(shell, "tracelet rm ")

    assert RUN in said
    assert not set(said.replace("'*: :((", "").rstrip("')\n")) & set("$`;[")


@pytest.mark.parametrize("content", [None, "a file", "a run that cannot be read"])
def test_where_there_are_no_runs_nothing_is_offered_and_nothing_fails(
    place: Path, content: str | None
) -> None:
    shelf = place / ".tracelet"
    if content == "a file":
        shelf.write_text("")
    elif content:
        new_run(place).joinpath("run.json").write_text("{")

    assert offered("tracelet rm ") == ([RUN] if content and content != "a file" else [])


def test_completing_loads_no_tracker_and_nothing_that_takes_long(place: Path) -> None:
    new_run(place)
    heavy = "mlflow", "torch", "numpy", "pandas", "pyarrow", "rich.console"
    code = (
        "import atexit, sys; from tracelet.cli import main; "
        f"atexit.register(lambda: print([m for m in {heavy} if m in sys.modules])); main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **line("bash", "tracelet rm first")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout.split(), done.stderr) == (["first", "[]"], "")


@pytest.mark.slow
def test_bash_completes_with_the_script_that_it_is_given(place: Path) -> None:
    new_run(place)
    tools = place / "bin"
    tools.mkdir()
    (tools / "tracelet").write_text(f'#!/bin/sh\nexec {sys.executable} -m tracelet "$@"\n')
    (tools / "tracelet").chmod(0o755)
    script = (
        'eval "$(_TRACELET_COMPLETE=source_bash tracelet)"; COMP_WORDS=(tracelet show fir); COMP_CWORD=2; '
        '_tracelet_completion tracelet; echo "${COMPREPLY[@]}"; complete -p tracelet'
    )

    done = subprocess.run(
        ["/bin/bash", "-c", script],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.splitlines()[0] == "first"
    assert "-F _tracelet_completion tracelet" in done.stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_too(shell: str) -> None:
    assert f"_TRACELET_COMPLETE=complete_{shell}" in inside(_TRACELET_COMPLETE=f"source_{shell}").out
