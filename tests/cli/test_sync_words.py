"""What `sync` and `status` say of a delivery is of this attempt, and can be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.inside import inside
from tests.cli.making import memory, new_run, switched, tracelet
from tests.conftest import eventually
from tracelet.cli.delivering import Job, _prepare
from tracelet.cli.interrupting import Interrupt
from tracelet.cli.progress import Lines, Silent
from tracelet.cli.sync import _reason
from tracelet.journal import cursors, overview, status
from tracelet.journal.status import DeliveryStatus, Target

PAGE = "<html>" + "a page of an error " * 100


@pytest.fixture
def refused(place: Path) -> Path:
    """Make a run that a tracker refused an hour ago, with a page of reasons."""
    directory = new_run(place, points=3, targets={"switched": switched(place)})
    status.write_delivery(directory, "switched", DeliveryStatus(state="refused", error=PAGE, beat=1.0, pid=1))
    return directory


def test_what_an_earlier_attempt_left_is_not_said_of_this_one(
    refused: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = status.read_run(refused)
    lines = Lines(60.0)
    lines.begin(Job(directory=refused, run=run, backends=("switched",)))
    capsys.readouterr()

    said: list[str] = []
    for now in (
        DeliveryStatus(state="starting", error=PAGE, beat=2.0, pid=2),
        DeliveryStatus(state="delivering", error=PAGE, beat=3.0, pid=2),
        DeliveryStatus(state="refused", error="the key is wrong", beat=4.0, pid=2),
    ):
        lines.look()
        status.write_delivery(refused, "switched", now)
        lines.look()
        said.append(capsys.readouterr().out)

    assert said == ["", "  switched: delivering\n", "  switched: refused: the key is wrong\n"]


def test_an_attempt_without_an_answer_does_not_pass_the_last_error_off_as_its_own(refused: Path) -> None:
    before = status.read_delivery(refused, "switched")
    unchanged = _reason(refused, overview.overview(refused).backends[0], before)
    status.write_delivery(refused, "switched", DeliveryStatus(state="refused", error=PAGE, beat=2.0, pid=2))
    again = _reason(refused, overview.overview(refused).backends[0], before)

    assert unchanged.startswith("there was no answer this time, see ")
    assert unchanged.endswith(f"the error before was: {PAGE}")
    assert again == PAGE


def test_a_long_error_is_cut_unless_all_of_it_is_asked_for(refused: Path) -> None:
    brief, whole, document = (inside("status", *more) for more in ((), ("--verbose",), ("--json",)))

    assert PAGE not in brief.out
    assert "… (--verbose shows all of it)" in brief.out
    assert f"  switched error: {PAGE}".rstrip() in whole.out
    assert document.json["runs"][0]["backends"][0]["error"] == PAGE
    assert f"mend the cause, then `tracelet sync {refused.name}` tries again" in brief.out


@pytest.mark.slow
def test_one_that_refused_is_asked_again_while_the_runs_own_keeper_waits_for_another(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(place))
    away = Target("tracelet.testing.faulty:BACKEND", {"path": str(place / "away"), "unavailable": "1"})
    directory = new_run(place, points=3, targets={"switched": switched(place), "faulty": away})
    (place / "closed").touch()
    keeper = subprocess.Popen([sys.executable, "-m", "tracelet.keeper", directory])
    try:
        eventually(lambda: status.read_delivery(directory, "switched").state == "refused", 30)
        eventually(lambda: status.read_delivery(directory, "faulty").state == "unavailable", 30)

        (place / "closed").unlink()
        asked = tracelet("sync", "first", "--backend", "switched")
    finally:
        keeper.terminate()
        keeper.wait(30)

    assert asked.code == 0, asked
    assert "switched: delivered, 5 records" in asked.out
    assert f"is still to go to faulty; `tracelet sync {directory.name}` delivers it there" in asked.err


def test_a_relay_that_outlived_its_keeper_does_not_go_on_to_the_old_place(place: Path) -> None:
    directory = new_run(place, points=3, targets={"memory": memory(place, "old")})
    lock, cursor = directory / "relay.memory.lock", cursors.path_of(directory, "memory")
    code = f"""
import signal, threading
from pathlib import Path
from tracelet.journal.locks import take
lock, stop = take(Path({str(lock)!r})), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
while not stop.wait(0.01):
    Path({str(cursor)!r}).write_text("{{}}")
"""
    relay = subprocess.Popen([sys.executable, "-c", code, "tracelet.relay"])
    try:
        eventually(cursor.exists, 30)
        moved = {"memory": memory(place, "new")}
        job = Job(
            directory=directory,
            run=status.read_run(directory),
            backends=("memory",),
            added=moved,
            moved=frozenset(moved),
        )

        with Interrupt().listening() as interrupt:
            prepared = _prepare(job, 30.0, interrupt, Silent())

        assert relay.wait(30) == 0
    finally:
        relay.kill()
        relay.wait()
    assert prepared
    assert not cursor.exists()
    assert status.read_run(directory).targets == moved
