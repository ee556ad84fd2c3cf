"""A script that logs to ClearML, whose relay is killed on the way: its client finds everything, once."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.backends.clearmls import asked, serving
from tests.conftest import eventually
from tests.emulators.clearml import ClearML
from tracelet.journal import status

TRAIN: Final = """
    import pathlib, threading
    import tracelet

    exp = tracelet.start_logging("baseline", "vision", "clearml", config={"lr": 0.1})
    for step in range(100):
        exp.log_metric("train/loss", 1.0 / (step + 1), step)
    while not pathlib.Path("go on").exists():
        threading.Event().wait(0.02)
    for step in range(100, 200):
        exp.log_metric("train/loss", 1.0 / (step + 1), step)
    pathlib.Path("notes.txt").write_text("a note")
    exp.log_artifact("notes.txt", "notes")
    tracelet.stop_logging()
"""
ASK: Final = """
    import json
    from clearml import Task

    (task,) = Task.get_tasks(project_name="vision")
    curve = task.get_all_reported_scalars()["train"]["loss"]
    print(json.dumps([task.name, task.get_status(), task.get_parameters(cast=True)["General/lr"],
                      curve["x"], curve["y"], list(task.artifacts)]))
"""


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearML]:
    with serving(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.slow
@pytest.mark.crash
def test_a_relay_that_is_killed_loses_and_doubles_nothing(emulator: ClearML, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(textwrap.dedent(TRAIN), "utf-8")
    environ = {**os.environ, "TRACELET_DIR": str(tmp_path / ".tracelet")}
    script = subprocess.Popen([sys.executable, "train.py"], cwd=tmp_path, env=environ)
    try:
        eventually(lambda: len(emulator.seen("events.add_batch")) > 0, 60.0)
        (run,) = (place for place in (tmp_path / ".tracelet").iterdir() if (place / "run.json").exists())
        relay = status.read_delivery(run, "clearml").pid

        os.kill(relay, signal.SIGKILL)
        (tmp_path / "go on").touch()

        assert script.wait(90) == 0
        eventually(lambda: status.read_delivery(run, "clearml").state == "finished", 60.0)
    finally:
        script.kill()

    name, how, lr, steps, values, artifacts = asked(ASK, tmp_path)
    assert (name, how, lr, artifacts) == ("baseline", "completed", 0.1, ["notes/notes.txt"])
    assert steps == [*range(200)]
    assert values == [1.0 / (step + 1) for step in range(200)]
    assert len(emulator.tasks.by_id) == 1
