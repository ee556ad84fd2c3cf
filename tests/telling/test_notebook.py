"""In a notebook a run shows itself: where it goes, how it stands, and nothing that could be a script."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from IPython.core.formatters import DisplayFormatter

import tracelet
from tests.conftest import eventually
from tests.recording import MEMORY
from tracelet.experiment import Experiment
from tracelet.journal import status

pytestmark = pytest.mark.slow


def shown(value: object) -> Mapping[str, str]:
    """Show a cell's last expression as IPython does, in each of its forms."""
    forms, _ = DisplayFormatter().format(value)
    return forms


def words(html: str) -> str:
    """Take what a reader sees of a card."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_an_experiment_shows_itself_anew_each_time() -> None:
    exp = tracelet.start_logging("a run", "a project", MEMORY)

    before = shown(exp)
    exp.log_metric("loss", 0.5, 0)
    exp.log_params({"lr": 0.1})
    exp.flush(30)
    during = words(shown(exp)["text/html"])
    tracelet.stop_logging()
    after = words(shown(exp)["text/html"])

    assert before["text/plain"] == repr(exp).replace(" (ended)", "")
    assert words(before["text/html"]).startswith("a run in a project RUNNING memory ")
    place = f"cat {Path.cwd()}/memory"
    what = f"1 point of 1 metric, 1 param run {exp.run_id}, journal in {exp.directory}"
    assert during == f"a run in a project RUNNING memory up to date {place} {what}"
    assert after == f"a run in a project FINISHED memory delivered {place} {what}"
    assert repr(exp) == f"<tracelet.Experiment 'a run' {exp.run_id} (ended)>"


def test_a_summary_shows_itself(exp: Experiment) -> None:
    exp.log_metric("loss", 0.5, 0)

    summary = exp.stop()

    forms = shown(summary)
    assert forms["text/plain"] == str(summary)
    hint = f"recorded offline in {exp.directory}; `tracelet sync {exp.run_id}` delivers it"
    assert re.fullmatch(
        rf"a run in a project FINISHED 1 point of 1 metric in [\d.]+s {re.escape(hint)} "
        rf"run {exp.run_id}, journal in {re.escape(str(exp.directory))}",
        words(forms["text/html"]),
    )


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://host:5000/#/runs/1?a&b", 'href="http://host:5000/#/runs/1?a&amp;b"'),
        ("javascript:alert(1)", ""),
        ('http://host/"><script>alert(1)</script>', 'href="http://host/&quot;&gt;&lt;script&gt;'),
    ],
)
def test_a_page_is_a_link_and_nothing_else_is(url: str, link: str) -> None:
    with tracelet.start_experiment("a run", "a project", MEMORY, relay="thread") as exp:
        assert exp.flush(30)
    assert exp.directory is not None
    directory = exp.directory
    eventually(lambda: status.read_delivery(directory, "memory").state == "finished")  # it writes no more
    said = status.read_delivery(exp.directory, "memory")
    status.write_delivery(exp.directory, "memory", msgspec.structs.replace(said, url=url))

    html = shown(exp)["text/html"]

    assert link in html
    assert ("<a " in html) == bool(link)
    assert "<script>" not in html


def test_a_name_is_text() -> None:
    with tracelet.start_experiment("<b>x", "<script>", MEMORY, mode="offline") as exp:
        html = shown(exp)["text/html"]

    assert "<b>&lt;b&gt;x</b> in &lt;script&gt;" in html


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"TRACELET_MODE": "disabled"}, "mode='disabled' (TRACELET_MODE)"),
        ({"RANK": "3", "WORLD_SIZE": "4"}, "this is rank 3, and rank 0 records"),
    ],
)
def test_what_records_nothing_says_why(
    environ: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    exp = tracelet.start_logging("x", backend=MEMORY)

    forms = shown(exp)

    assert forms["text/plain"] == f"<tracelet.Experiment 'x' records nothing: {why}>"
    assert words(forms["text/html"]).replace("&#x27;", "'") == f"x {why}"
    assert words(shown(tracelet.stop_logging())["text/html"]) == "x nothing was recorded"


def test_a_run_whose_files_are_gone_is_shown_by_its_name(swallowed: list[BaseException]) -> None:
    with tracelet.start_experiment("x", backend=MEMORY, mode="offline") as exp:
        assert exp.directory is not None
    shutil.rmtree(exp.directory)

    forms = shown(exp)

    assert forms["text/plain"] == repr(exp)
    assert "text/html" not in forms
    assert swallowed


def test_in_ipython_an_error_in_a_cell_ends_nothing(tmp_path: Path) -> None:
    cells = f"""\
import tracelet
exp = tracelet.start_logging("x", "p", {MEMORY!r})
1 / 0
exp
import sys; print("IPython" in sys.modules, "ended" if exp.ended else "goes on")
exp.log_metric("m", 1.0, 0)
tracelet.stop_logging()
exit()
"""
    environ: dict[str, Any] = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]

    done = subprocess.run(
        command, input=cells, capture_output=True, text=True, timeout=60, env=environ, check=False
    )

    assert "ZeroDivisionError" in done.stdout
    assert re.search(r"Out\[4\]: <tracelet.Experiment 'x' \S+>\n", done.stdout)
    assert "True goes on" in done.stdout
    assert re.search(
        r"run x \(\S+\) FINISHED after \S+: 1 point of 1 metric\n  memory: delivered", done.stdout
    )
    ours = [line for line in done.stderr.splitlines() if line.startswith("tracelet: run ")]
    assert len(ours) == 2
