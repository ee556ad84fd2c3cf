"""The tracker on a bad day fails as it is told to, and always in the same way."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import tracelet
from tests.relay.trackers import STARTED, faulty_target
from tracelet.backend import Configuration
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.events import Metric, RunFinished
from tracelet.journal import status
from tracelet.relay.thread import deliver
from tracelet.testing import faulty, memory

TIMEOUT = 60.0  # seconds; only a test that fails waits so long
POINT = Metric("loss", 1.0, 1, 5.0)


def writer_of(place: Path, **options: object) -> faulty.FaultyWriter:
    """Begin to write to the tracker in the file `place / "tracked"`."""
    return faulty.FaultyWriter(faulty_target(place, **options).options, Path)


def outcomes(place: Path, **options: object) -> list[str]:
    """Write fifty points, each alone; tell what came of each."""
    writer = writer_of(place)
    writer.open(STARTED)
    writer._options = faulty_target(place, **options).options
    writer._day = faulty._Day(writer._options)
    return [outcome(writer, Metric("loss", 1.0, step, 5.0)) for step in range(50)]


def outcome(writer: faulty.FaultyWriter, point: Metric) -> str:
    """Write a point; name what was raised."""
    try:
        writer.write([point])
    except (BackendError, faulty.StrangeError) as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize(
    ("fault", "error", "effect"),
    [
        ("unavailable", Unavailable, False),
        ("unanswered", Unavailable, True),
        ("strange", faulty.StrangeError, False),
        ("refused", Refused, False),
        ("rejected", Rejected, False),
    ],
)
def test_a_fault_has_its_effect_or_none(
    place: Path, fault: str, error: type[Exception], effect: bool
) -> None:
    writer_of(place).open(STARTED)
    writer = writer_of(place, **{fault: 1})
    writer._tracker.open(STARTED)

    with pytest.raises(error):
        writer.write([POINT])

    assert (POINT in memory.received(place / "tracked")) == effect


@pytest.mark.parametrize(("fault", "effect"), [("killed", False), ("killed_late", True)])
def test_a_kill_has_its_effect_or_none(place: Path, fault: str, effect: bool) -> None:
    options = faulty_target(place, **{fault: 1}).options
    code = f"""
from pathlib import Path
from tracelet.events import Metric
from tests.relay.trackers import STARTED
from tracelet.testing.faulty import FaultyWriter
writer = FaultyWriter({dict(options)!r}, Path)
writer._tracker.open(STARTED)
writer.write([Metric("loss", 1.0, 1, 5.0)])
"""
    root = Path(__file__).parents[2]

    done = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=TIMEOUT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert (POINT in memory.received(place / "tracked")) == effect


def test_a_call_that_hangs_never_returns(place: Path) -> None:
    writer = writer_of(place, hanging=1)
    thread = threading.Thread(target=writer.open, args=(STARTED,), daemon=True)
    thread.start()

    thread.join(0.2)

    assert thread.is_alive()


def test_a_seed_always_gives_the_same_day(place: Path) -> None:
    days: list[list[str]] = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (place / name).mkdir()
        days.append(outcomes(place / name, seed=seed, unavailable=0.2, strange=0.1, rejected=0.1))

    assert days[0] == days[1] != days[2]
    assert set(days[0]) == {"", "Unavailable", "StrangeError", "Rejected"}


def test_an_event_that_is_rejected_once_always_is(place: Path) -> None:
    options = faulty_target(place, rejected=0.3).options
    taken = [faulty.takes(options, Metric("loss", 1.0, step, 5.0)) for step in range(1000)]

    assert 600 < sum(taken) < 800
    assert faulty.takes({**options, "rejected": "1"}, RunFinished(1.0, "FINISHED"))


def test_variables_say_how_bad_the_day_is(place: Path) -> None:
    environ = {"FAULTY_BACKEND_FILE": "/here", "FAULTY_BACKEND_SEED": "7", "FAULTY_BACKEND_HANGING": "0.5"}
    configuration = Configuration(
        settings={}, environ=environ, project="p", directory=place, script_directory=place
    )

    options = faulty.configure(configuration)

    assert {name: text for name, text in options.items() if text != "0"} == {
        "path": "/here",
        "seed": "7",
        "hanging": "0.5",
    }


@pytest.mark.parametrize("begin", [tracelet.start_logging, tracelet.start_experiment])
def test_a_bad_day_is_a_backend_like_any_other(
    place: Path, begin: Callable[..., tracelet.Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTY_BACKEND_FILE", str(place / "tracked"))
    monkeypatch.setenv("FAULTY_BACKEND_UNANSWERED", "0.3")

    experiment = begin("a run", backend="tracelet.testing.faulty:BACKEND", mode="offline")
    experiment.log_metric("loss", 1.0, 1)
    experiment.stop()

    assert experiment.directory is not None
    assert deliver(experiment.directory, "faulty", threading.Event()) == "finished"
    assert status.rejects(experiment.directory, "faulty") == []
    assert [event.value for event in memory.stored(place / "tracked") if isinstance(event, Metric)] == [1.0]
