"""Runs of W&B's own users are read from the files that its client leaves, whole ones and torn ones."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

from tests.backends import wandbs
from tests.cli.inside import inside
from tests.conftest import eventually
from tracelet import backends
from tracelet.backend import Reader
from tracelet.errors import Refused
from tracelet.events import Metric, RunFinished

# It is killed while it waits.
WAITING: Final = """
    import pathlib, signal
    import wandb

    run = wandb.init(project="vision", name="killed", id="killed", mode="offline")
    for at in range(3000):
        run.log({"loss": 1.0 / (at + 1)})
    pathlib.Path("ready").touch()
    signal.pause()
"""
# The directories are called by the second in which they were made.
RESUMED: Final = """
    import os, pathlib
    import wandb

    for number, rows in enumerate(((0, 1), (2,))):
        run = wandb.init(project="vision", id="again", mode="offline")
        for row in rows:
            run.log({"loss": float(row)}, step=row, commit=True)
        run.finish(exit_code=1 - number)
        for made in pathlib.Path("wandb").glob("offline-run-*-again"):
            if not made.name.startswith("offline-run-2001"):
                made.rename(made.with_name(f"offline-run-2001010{number + 1}_000000-again"))
"""
HOURS: Final = 7200.0  # seconds; a file that is not written for so long is nobody's any more
BLOCK: Final = 32 * 1024


def losses(reader: Reader, run: str) -> list[float]:
    return [one.value for one in reader.events(run) if isinstance(one, Metric) and one.name == "loss"]


def ends(reader: Reader, run: str) -> list[tuple[str, str]]:
    return [(one.status, one.reason) for one in reader.events(run) if isinstance(one, RunFinished)]


def opened(place: Path) -> Reader:
    return backends.reader(f"wandb:{place}")


def killed(place: Path) -> Path:
    """Run a script, look at it while it runs, and kill it; return its file."""
    place.mkdir()
    command = [sys.executable, "-c", textwrap.dedent(WAITING)]
    with subprocess.Popen(command, env=wandbs.environment(place), cwd=place) as script:
        eventually((place / "ready").exists, 60.0)
        (file,) = (place / "wandb").glob("offline-run-*/run-killed.wandb")
        eventually(lambda: len(losses(opened(place), "killed")) > 1000)
        assert ends(opened(place), "killed") == []
        script.send_signal(signal.SIGKILL)
    return file


@pytest.mark.slow
def test_a_run_comes_back_as_the_script_has_logged_it(tmp_path: Path) -> None:
    place = tmp_path / "somebody"
    place.mkdir()
    wandbs.train(place, WANDB_MODE="offline")
    (directory,) = (place / "wandb").glob("offline-run-*")
    before = {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}
    reader = opened(place / "wandb")

    (summary,) = reader.runs(None)
    wandbs.check(reader, summary.id, tmp_path / "back")
    listed = inside("ls", "--from", f"wandb:{place}")
    shown = inside("show", "baseline", "--from", f"wandb:{place}", "--json")

    assert (summary.id, summary.name, summary.status) == (wandbs.RUN, "baseline", "FAILED")
    assert ("baseline" in listed.out, shown.json["status"]) == (True, "FAILED")
    for one in (place, directory, directory / f"run-{wandbs.RUN}.wandb"):
        assert [*opened(one).runs("vision")] == [summary]
    assert [*reader.runs("another")] == []
    assert {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()} == before
    for path in ("no/such/file", "../run-abc123.wandb", "/etc/passwd", "lists//nothing.json"):
        with pytest.raises(Refused, match="no file"):
            reader.download(summary.id, path, tmp_path / "back")


@pytest.mark.crash
@pytest.mark.slow
def test_of_a_run_that_was_killed_or_of_a_file_that_is_damaged_what_is_whole_comes_back(
    tmp_path: Path,
) -> None:
    file = killed(tmp_path / "somebody")
    logged = [1.0 / (at + 1) for at in range(3000)]
    content = file.read_bytes()
    torn, damaged = tmp_path / "run-torn.wandb", tmp_path / "run-damaged.wandb"
    torn.write_bytes(content[: len(content) // 2 + 13])
    damaged.write_bytes(content[: BLOCK + 99] + bytes([content[BLOCK + 99] ^ 1]) + content[BLOCK + 100 :])

    found = losses(opened(file), "killed")
    (running,) = opened(file).runs(None)
    long_ago = file.stat().st_mtime - HOURS
    os.utime(file, (long_ago, long_ago))
    (gone,) = opened(file).runs(None)

    assert 1000 < len(found) <= len(logged)
    assert found == logged[: len(found)]
    assert (running.name, running.status, gone.status) == ("killed", "RUNNING", "KILLED")
    assert ends(opened(file), "killed") == [("KILLED", "crashed")]
    half = losses(opened(torn), "torn")
    assert half == logged[: len(half)]
    assert len(half) > len(found) // 3
    rest = losses(opened(damaged), "damaged")  # what one block holds is missing
    assert rest[-1] == found[-1]
    assert set(rest) < set(found)
    assert len(rest) > len(found) - 200


def test_what_is_no_file_of_wandbs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run-other.wandb").write_bytes(b"something else")
    (tmp_path / "run-empty.wandb").touch()

    with pytest.raises(Refused, match="is not a file of W&B's"):
        list(opened(tmp_path / "run-other.wandb").runs(None))

    assert [one.name for one in opened(tmp_path / "run-empty.wandb").runs(None)] == ["empty"]


def test_directories_of_one_id_are_one_run(tmp_path: Path) -> None:
    """As when a run is resumed: what is in the later one comes after, and says how it ended."""
    wandbs.train(tmp_path, RESUMED)

    found = losses(opened(tmp_path), "again")

    assert found == [0.0, 1.0, 2.0]
    assert ends(opened(tmp_path), "again") == [("FINISHED", "")]
