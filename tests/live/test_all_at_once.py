"""One run to all trackers at once, also when one of them never answers; each is read with its own client.

TRACELET_TESTS_DEEP=1 logs 100,000 points, 200 images and 20 artifacts instead of a tenth or less of it.
"""

import contextlib
import json
import os
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients import asked
from tests.conftest import eventually
from tests.emulators.clearml import ClearML
from tests.emulators.wandb import WandbServer
from tracelet.journal import cursors, progress
from tracelet.testing.proxy import FaultProxy

SCRIPT: Final = Path(__file__).with_name("all_at_once.py")
DEEP: Final = bool(os.environ.get("TRACELET_TESTS_DEEP"))
SIZE: Final = (100_000, 200, 20) if DEEP else (5_000, 10, 5)
PATIENCE: Final = 900.0 if DEEP else 200.0  # seconds
CLOCK: Final = 0.001  # seconds; MLflow and ClearML keep whole milliseconds
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(3 * PATIENCE),
    pytest.mark.xdist_group("mlflow-server"),
]


@dataclass(frozen=True)
class Place:
    """Where a tracker's client looks, what a training script is told of it, and what the client needs."""

    where: str
    told: dict[str, str]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """W&B and ClearML, whose servers can not be had."""
    with contextlib.ExitStack() as running:
        servers = {"wandb": WandbServer(), "clearml": ClearML()}
        for server in servers.values():
            running.callback(server.close)
            server.start()
        environs = (
            servers["wandb"].environment,
            servers["clearml"].environment(tmp_path_factory.mktemp("clearml")),
        )
        yield {
            name: Place(server.url, environ)
            for (name, server), environ in zip(servers.items(), environs, strict=True)
        }


@pytest.fixture
def places(tmp_path: Path, fault_proxy: FaultProxy, emulated: dict[str, Place]) -> dict[str, Place]:
    """Every tracker, with nothing in it; MLflow behind a proxy that can fail."""
    return {
        **emulated,
        "mlflow": Place(fault_proxy.uri, {"MLFLOW_TRACKING_URI": fault_proxy.uri}),
        "aim": Place(str(tmp_path / "aim"), {"TRACELET_AIM_REPO": str(tmp_path / "aim")}),
        "trackio": Place(str(tmp_path / "trackio"), {"TRACKIO_DIR": str(tmp_path / "trackio")}),
        "tensorboard": Place(str(tmp_path / "runs"), {}),
    }


@pytest.fixture
def environ(places: dict[str, Place]) -> dict[str, str]:
    told = {name: text for place in places.values() for name, text in place.told.items()}
    return {**os.environ, **told, "TRACELET_STOP_TIMEOUT": "5"}


def trained(tmp_path: Path, environ: dict[str, str], backends: list[str]) -> dict[str, Any]:
    """Run the script to its end, which is its own; return what it logged."""
    notes = tmp_path / "notes.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(notes), ",".join(backends), *map(str, SIZE)],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(notes.read_bytes())


def complete(name: str, place: Place, noted: dict[str, Any]) -> None:
    """Wait until a tracker has everything, and compare what its client reads with what was logged."""
    eventually(lambda: progress.everything(Path(noted["directory"]))(name), PATIENCE)

    runs = [run for run in asked(name, place.where, "together", place.told) if run.uid == noted["run_id"]]

    (run,) = runs
    assert (run.name, run.status) == ("all at once", "FINISHED")
    values = Counter((point.name, point.step, point.value.hex()) for point in run.points)
    single = name == "tensorboard"  # whose values are float32
    logged = Counter((metric, step, shown(value, single=single)) for metric, step, value in noted["points"])
    assert values == logged
    assert all(noted["began"] - CLOCK <= point.time <= noted["ended"] + CLOCK for point in run.points)
    assert sorted([one.name, one.step, one.digest] for one in run.images) == sorted(noted["images"])
    assert run.artifacts == noted["artifacts"]
    assert {key: float(value) for key, value in run.params.items()} == noted["params"]
    assert run.tags == {"team": "vision"}


def shown(value: float, *, single: bool) -> str:
    return (struct.unpack("f", struct.pack("f", value))[0] if single else value).hex()


@pytest.mark.skipif(not DEEP, reason="the next one looks at all of them, too: TRACELET_TESTS_DEEP=1 runs it")
def test_all_trackers_have_the_same_run(
    tmp_path: Path, places: dict[str, Place], environ: dict[str, str]
) -> None:
    noted = trained(tmp_path, environ, [*places])

    assert len(noted["points"]) == SIZE[0]
    for name, place in places.items():
        complete(name, place, noted)


def test_one_that_never_answers_touches_none_of_the_others(
    tmp_path: Path, places: dict[str, Place], environ: dict[str, str], fault_proxy: FaultProxy
) -> None:
    fault_proxy.mode = "black_hole"

    noted = trained(tmp_path, environ, [*places])

    directory = Path(noted["directory"])
    for name, place in places.items():
        if name != "mlflow":
            complete(name, place, noted)
    assert cursors.load(directory, "mlflow") == cursors.Cursor()

    fault_proxy.mode = "pass"
    done = subprocess.run(
        [sys.executable, "-m", "tracelet", "sync"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    complete("mlflow", places["mlflow"], noted)
