"""Runs that stay here: taken to a tracker, and kept although a tracker has them."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.inside import inside
from tests.cli.making import FINISHED, memory, new_run, running
from tracelet.events import Artifact, Histogram, Image, Params, Payload
from tracelet.journal import blobs, cursors, status
from tracelet.journal.locks import take
from tracelet.journal.status import Target
from tracelet.journal.writer import Writer
from tracelet.testing.memory import stored

KILLED: Final = """
import os, signal
import matplotlib.figure, numpy as np, torch
import tracelet

exp = tracelet.start_logging("killed", "demo", "local")
drawn = matplotlib.figure.Figure()
drawn.add_subplot().plot([1, 2])
exp.define_metric("loss", summary="min")
exp.log_metric("loss", 0.5, 1)
exp.log_metric("loss", 0.25, 2)
exp.log_image("i", np.zeros((3, 4), "u1"), 1)
exp.log_figure("f", drawn, 1)
exp.log_histogram("h", torch.ones(5), 1)
exp.log_audio("a", torch.zeros(100), 1, rate=8000)
exp.log_video("v", torch.zeros(1, 3, 3, 4, 4), 1)
exp.log_html("p", "<b>p</b>", 1)
exp.log_confusion_matrix("t", [0, 1], [0, 0], 1)
exp.log_model("m", torch.nn.Linear(1, 1), 1, aliases=["best"])
os.kill(os.getpid(), signal.SIGKILL)
"""
LOCAL: Final = {"local": Target("local", relayed=False)}


def logged(place: Path, **more: Target) -> Path:
    """Make a run with one artifact."""
    directory = new_run(place, end=None, points=3, targets=more or LOCAL)
    file = place / "weights.bin"
    file.write_bytes(b"weights")
    writer = Writer(directory)
    for artifact in blobs.artifacts(directory, file, "model"):
        writer.event(artifact)
    writer.finish(FINISHED)
    return directory


def test_a_run_that_is_only_here_needs_nothing(place: Path) -> None:
    directory = logged(place)

    assert inside("sync").out == inside("status").out == "everything is delivered\n"
    assert "first  demo     FINISHED" in (listed := inside("ls").out)
    assert "local: kept" in listed
    assert inside("sync", "first").out == f"{directory.name}  local: kept here, 6 records\n"
    (run,) = inside("status", "first", "--json").json["runs"]
    (backend,) = run["backends"]
    assert (backend["state"], backend["delivered"], backend["pending"]) == ("finished", 6, 0)
    assert (run["delivered"], run["attention"]) == (True, [])
    assert not list(directory.glob("*relay*"))


def test_a_killed_run_that_is_only_here_gets_its_end_when_it_is_named(place: Path) -> None:
    directory = new_run(place, end=None, targets=LOCAL)

    result = inside("sync", "first")

    assert (result.code, status.ending(directory) is not None) == (0, True)
    assert result.out == f"{directory.name}  local: kept here, 2 records\n"


def test_a_run_that_is_here_is_taken_to_a_tracker_and_stays_here(place: Path) -> None:
    directory = logged(place)
    file = str(place / "memory")

    result = inside("sync", "first", "--backend", "tracelet.testing.memory:BACKEND", MEMORY_BACKEND_FILE=file)

    assert result.code == 0, result.err
    assert any(isinstance(event, Artifact) for event in stored(place / "memory"))
    run = status.read_run(directory)
    assert list(run.targets) == ["local", "memory"]
    assert status.is_delivered(directory, run)
    assert list(directory.glob("blobs/*/*"))


def test_a_run_that_a_tracker_has_is_kept_from_then_on(place: Path) -> None:
    directory = new_run(place, Params(1.0, {"lr": 0.1}), points=3)

    result = inside("sync", "first", "--backend", "local")

    assert (result.code, result.err) == (0, "")
    assert "local: kept here, 6 records" in result.out
    run = status.read_run(directory)
    assert list(run.targets) == ["memory", "local"]
    assert run.kept
    assert not status.is_complete(directory, "memory")  # only what was asked for
    assert cursors.load(directory, "memory").delivered == 0
    assert inside("sync").code == 0
    assert len(stored(place / "memory")) == 6


def test_artifacts_that_are_gone_are_named_when_a_run_is_to_be_kept(place: Path) -> None:
    directory = logged(place, memory=memory(place))
    assert inside("sync").code == 0
    blobs.delete(directory)  # as a keeper does once nobody that has logged to it lives

    result = inside("sync", "first", "--backend", "local")

    assert result.code == 1
    assert "the bytes of 1 file are gone, deleted once the other backends had them: model/weights.bin" in (
        result.out
    )
    assert status.read_run(directory).kept
    assert inside("sync", "first").code == 0


def test_images_and_histograms_that_are_gone_are_named_too(place: Path) -> None:
    data = Payload("ab" * 32, 6, "uint8", (2, 3))
    new_run(
        place,
        Image(time=1.0, name="samples", data=data),
        Histogram(time=1.0, name="weights", data=data),
        Histogram(time=1.0, name="counted", counts=(1.0,), limits=(0.0, 1.0)),
    )

    result = inside("sync", "first", "--backend", "local")

    assert result.code == 1
    assert "the bytes of 2 files are gone" in result.out
    assert "samples (image abababab), weights (histogram abababab)" in result.out


@pytest.mark.slow
def test_what_has_bytes_is_here_although_its_process_was_killed_after_the_call(place: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED], cwd=place, timeout=120, check=False)

    shown = inside("show", "killed", "--json").json
    copied = inside("export", "killed", "--artifacts", "files", "--json")

    assert ended.returncode == -9
    assert shown["status"] == "KILLED"
    kinds = ("images", "figures", "histograms", "audio", "videos", "html", "tables")
    assert {kind: sum(one["count"] for one in shown[kind].values()) for kind in kinds} == dict.fromkeys(
        kinds, 1
    )
    assert [(one["name"], one["kind"], one["aliases"]) for one in shown["bundles"]] == [
        ("m", "model", ["best"])
    ]
    assert shown["metrics"]["loss"]["summary"] == {"min": {"value": 0.25, "step": 2}}
    assert (copied.code, copied.json["runs"][0]["artifacts"]) == (0, 9)
    files = [path for path in Path("files").rglob("*") if path.is_file()]
    endings = [".png", ".png", ".npy", ".wav", ".gif", ".html", ".json", ".json", ".pt"]
    assert sorted(path.suffix for path in files) == sorted(endings)


def test_a_run_that_goes_on_is_kept_later(place: Path) -> None:
    directory = running(place)

    result = inside("sync", "first", "--backend", "local")

    assert result.code == 1
    assert "it is running; local can be added when it has ended" in result.out
    assert not status.read_run(directory).kept


def test_a_run_that_its_own_keeper_holds_is_not_said_to_be_kept(place: Path) -> None:
    directory = new_run(place)
    lock = take(directory / "keeper.lock")
    try:
        result = inside("sync", "first", "--backend", "local", "--patience", "0.1")
    finally:
        lock.close()

    assert result.code == 1
    assert "local: not added, since the run's own keeper is at work" in result.out
