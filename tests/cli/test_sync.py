"""What no tracker has yet arrives there once, and what is left is said, with its reason."""

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import making
from tests.cli.inside import inside
from tests.cli.making import MEMORY, command, memory, new_run, running, switched, tracelet
from tests.conftest import eventually, holders
from tracelet import start_experiment
from tracelet.events import Event, Metric, RunFinished, RunStarted
from tracelet.journal import cursors, status
from tracelet.journal.status import Target
from tracelet.journal.writer import Writer
from tracelet.testing.memory import received, stored

pytestmark = pytest.mark.slow

OTHER = "20231114-221321-bbbbbb"


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Metric) and event.step is not None]


def ends(events: list[Event]) -> list[str]:
    return [event.status for event in events if isinstance(event, RunFinished)]


@pytest.fixture
def importable(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let relays import what lies in the test's directory."""
    monkeypatch.setenv("PYTHONPATH", str(place))
    return place


def test_a_run_whose_trainer_was_killed_arrives_once_and_is_killed(place: Path) -> None:
    directory = new_run(place, points=250, end=None)

    result = inside("sync")

    assert result.code == 0
    assert "delivered, 252 records" in result.out
    assert steps(received(place / "memory")) == list(range(250))
    assert ends(received(place / "memory")) == ["KILLED"]
    assert status.run_status(directory, status.read_run(directory)) == "KILLED"
    assert inside("sync").out == "everything is delivered\n"
    assert ends(received(place / "memory")) == ["KILLED"]


def test_what_is_rejected_is_told_with_its_reason_and_the_rest_is_delivered(place: Path) -> None:
    directory = new_run(place, points=20, end=None)
    writer = Writer(directory)
    writer.scalar("poison", 1.0, 1, 1.0)
    writer.scalar("accuracy", 1.0, 1, 1.0)
    writer.finish(making.FINISHED)

    result = inside("sync")

    assert result.code == 1
    assert "1 rejected: Metric poison: the tracker does not take poison" in result.out
    assert "1 of 1 run not delivered whole" in result.err
    assert sorted(steps(stored(place / "memory"))) == sorted([*range(20), 1])  # two writers, in either order
    assert inside("sync", "first").code == 1


def test_the_oldest_run_goes_first(place: Path) -> None:
    new_run(place, run_id=OTHER, targets={"memory": memory(place)})
    new_run(place)

    result = inside("sync")

    assert result.code == 0
    assert [event.run_id for event in stored(place / "memory") if isinstance(event, RunStarted)] == [
        "20231114-221320-aaaaaa",
        OTHER,
    ]


def test_a_run_can_go_to_a_backend_that_it_did_not_have(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = new_run(place, points=3, targets={})
    monkeypatch.setenv("MEMORY_BACKEND_FILE", str(place / "elsewhere"))

    result = tracelet("sync", "first", "--backend", MEMORY)

    assert result.code == 0
    assert steps(stored(place / "elsewhere")) == [0, 1, 2]
    assert status.read_run(directory).targets["memory"].options == {"path": str(place / "elsewhere")}


def test_a_new_backend_is_configured_from_the_env_file_here(place: Path) -> None:
    new_run(place, targets={})
    (place / ".env").write_text(f"MEMORY_BACKEND_FILE={place / 'from-env'}\n")

    result = inside("sync", "--backend", MEMORY)

    assert result.code == 0
    assert ends(stored(place / "from-env")) == ["FINISHED"]


def test_only_the_backend_that_is_asked_for_is_delivered_to(place: Path) -> None:
    directory = new_run(place, targets={"one": memory(place, "one"), "two": memory(place, "two")})

    result = inside("sync", "--backend", "two")

    assert result.code == 0
    assert received(place / "one") == []
    assert ends(stored(place / "two")) == ["FINISHED"]
    assert not cursors.load(directory, "one").finished


@pytest.mark.slow
def test_a_backend_that_one_run_calls_by_its_name_is_known_for_the_others(place: Path) -> None:
    new_run(place)
    other = new_run(place, run_id=OTHER, targets={})

    result = inside("sync", "--backend", "memory")

    assert result.code == 0
    assert status.read_run(other).targets["memory"].load == MEMORY
    assert len(ends(stored(place / "memory"))) == 1  # two equal ends are one in this tracker
    assert len(ends(received(place / "memory"))) == 2


def test_an_unknown_backend_is_a_mistake_also_without_a_run() -> None:
    result = inside("sync", "--backend", "mlfow")

    assert result.code == 2
    assert "no backend called 'mlfow'" in result.err


def test_runs_that_were_delivered_are_not_taken_to_a_new_backend_without_being_named(place: Path) -> None:
    new_run(place)
    assert inside("sync").code == 0

    result = inside("sync", "--backend", "mlflow")

    assert result.code == 0
    assert result.out == "everything is delivered\n"


def test_a_refused_backend_is_tried_again(importable: Path) -> None:
    new_run(importable, points=3, targets={"switched": switched(importable)})
    closed = importable / "closed"
    closed.touch()

    refused = inside("sync")
    closed.unlink()
    again = inside("sync")

    assert refused.code == 1
    assert "switched: refused, 5 records left: the key is wrong" in refused.out
    assert again.code == 0
    assert steps(stored(importable / "switched")) == [0, 1, 2]


@pytest.mark.slow
def test_a_backend_that_stays_away_is_left_after_the_patience(importable: Path) -> None:
    new_run(importable, points=3, targets={"switched": switched(importable)})
    down = importable / "down"
    down.touch()

    # Long enough for a relay to begin on a busy machine; nothing asserts how long it took.
    left = inside("sync", "--patience", "4s")
    down.unlink()
    again = inside("sync")

    assert left.code == 1
    assert "5 records left: nobody answers" in left.out
    assert again.code == 0
    assert ends(received(importable / "switched")) == ["FINISHED"]


@pytest.mark.slow
def test_a_backend_that_answers_and_takes_nothing_is_left_after_the_patience(importable: Path) -> None:
    new_run(importable, points=3, targets={"switched": switched(importable)})
    (importable / "full").touch()

    left = inside("sync", "--patience", "4s")

    assert left.code == 1
    assert "records left: there is no room" in left.out


@pytest.mark.slow
def test_it_waits_for_the_runs_own_keeper(importable: Path) -> None:
    directory = new_run(importable, points=3, targets={"switched": switched(importable)})
    down = importable / "down"
    down.touch()
    keeper = subprocess.Popen([sys.executable, "-m", "tracelet.keeper", directory])
    try:
        eventually(lambda: status.read_delivery(directory, "switched").state == "unavailable", 30)
        sync = subprocess.Popen(command("sync", "first"), stdout=subprocess.PIPE, text=True)
        assert sync.stdout is not None
        assert sync.stdout.readline().strip() == "20231114-221320-aaaaaa  first: 5 records to switched"

        down.unlink()
        out, _ = sync.communicate(timeout=60)
    finally:
        keeper.terminate()
        keeper.wait(30)

    assert sync.returncode == 0
    assert "switched: delivered, 5 records" in out
    assert steps(received(importable / "switched")) == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_when_it_is_interrupted(importable: Path, number: signal.Signals) -> None:
    directory = new_run(importable, points=3, targets={"switched": switched(importable)})
    down = importable / "down"
    down.touch()
    sync = subprocess.Popen(command("sync"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: status.read_delivery(directory, "switched").state == "unavailable", 30)

    sync.send_signal(number)
    out, err = sync.communicate(timeout=60)

    assert sync.returncode == 128 + number
    assert "5 records left" in out
    assert "Traceback" not in err
    assert holders(directory) == []
    down.unlink()
    assert inside("sync").code == 0
    assert ends(received(importable / "switched")) == ["FINISHED"]


def test_a_running_run_is_left_to_its_keeper(place: Path) -> None:
    running(place, points=3)

    named, unnamed = inside("sync", "first"), inside("sync")

    assert named.code == 0
    assert "it is running, and delivered as it goes" in named.out
    assert unnamed.out == "everything is delivered\n"
    assert received(place / "memory") == []


def test_a_running_run_takes_no_new_backend(place: Path) -> None:
    running(place, targets={})

    result = tracelet("sync", "first", "--backend", MEMORY)

    assert result.code == 1
    assert "it is running; memory can be added when it has ended" in result.out


def test_a_run_that_ended_is_delivered_while_its_process_goes_on(place: Path) -> None:
    new_run(place, points=3, trainer=making.this_process())

    result = inside("sync")

    assert result.code == 0
    assert ends(stored(place / "memory")) == ["FINISHED"]


def test_an_offline_run_is_delivered(place: Path) -> None:
    new_run(place, points=3, mode="offline")

    result = inside("sync")

    assert result.code == 0
    assert ends(stored(place / "memory")) == ["FINISHED"]


def test_an_interpreter_that_is_gone_is_replaced_by_this_one(place: Path) -> None:
    new_run(place, python=str(place / "gone" / "bin" / "python"))

    result = inside("sync")

    assert result.code == 0
    assert ends(stored(place / "memory")) == ["FINISHED"]


def test_one_json_document_is_printed_and_nothing_else(place: Path) -> None:
    new_run(place, points=3)

    result = inside("sync", "--json")

    assert result.err == ""
    assert result.json["fine"] is True
    assert result.json["interrupted"] is False
    (run,) = result.json["runs"]
    assert (run["run_id"], run["asked"], run["fine"]) == ("20231114-221320-aaaaaa", ["memory"], True)
    assert (run["backends"][0]["state"], run["backends"][0]["delivered"]) == ("finished", 5)


def test_the_shelf_can_be_named_from_where_one_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_run(place, points=3)
    (place / "below").mkdir()
    monkeypatch.chdir(place / "below")

    result = inside("sync", "--dir", "../.tracelet", TRACELET_DIR="")

    assert result.code == 0
    assert ends(stored(place / "memory")) == ["FINISHED"]


def test_a_run_that_cannot_be_read_does_not_keep_the_others(place: Path) -> None:
    new_run(place)
    broken = place / ".tracelet" / "20231114-000000-cccccc"
    broken.mkdir()
    (broken / "run.json").write_text("{")

    result = inside("sync")

    assert result.code == 1
    assert "is not a run that this version of tracelet can read" in result.out
    assert ends(stored(place / "memory")) == ["FINISHED"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["firsd"], "no run 'firsd' in"),
        (["firsd"], "Did you mean 'first'?"),
        (["first", "--backend", "mlfow"], "no backend called 'mlfow'"),
        (["first", "--backend", "mlfow"], "Did you mean 'mlflow'?"),
        (["--patience", "soon"], "'soon' is no duration"),
        (["--dir", "nowhere"], "there is no directory nowhere"),
        (["--unknown"], "No such option: --unknown"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_ends_with_2(place: Path, arguments: list[str], said: str) -> None:
    new_run(place)

    result = inside("sync", *arguments)

    assert result.code == 2
    assert result.out == ""
    assert said in result.err
    assert received(place / "memory") == []


def test_a_backend_without_its_client_is_a_mistake(importable: Path) -> None:
    (importable / "clientless.py").write_text(
        "import dataclasses\n"
        "from tracelet.testing import memory\n"
        "BACKEND = dataclasses.replace(\n"
        "    memory.BACKEND, name='other', client='no_such_client', install='pip it'\n"
        ")\n"
    )
    new_run(importable)

    result = tracelet("sync", "first", "--backend", "clientless:BACKEND")

    assert result.code == 2
    assert "needs 'no_such_client', which is not installed: pip it" in result.err


@pytest.mark.slow
def test_a_terminal_sees_a_bar(place: Path) -> None:
    new_run(place, points=2000)
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    sync = subprocess.Popen(command("sync"), stdout=subprocess.PIPE, stderr=slave, env=environ)
    os.close(slave)

    seen = b""
    while select.select([master], [], [], 60)[0]:
        try:
            more = os.read(master, 65536)
        except OSError:  # the last one who had it open is gone
            break
        if not more:
            break
        seen += more
    out, _ = sync.communicate(timeout=60)
    os.close(master)

    assert sync.returncode == 0
    assert b"20231114-221320-aaaaaa memory" in seen
    assert b"100%" in seen
    assert out == b"20231114-221320-aaaaaa  memory: delivered, 2,002 records\n"


@pytest.mark.slow
def test_a_run_with_a_wrong_address_is_taken_to_another(place: Path) -> None:
    """Its own keeper is still trying when that is asked for."""
    from mlflow import MlflowClient

    with start_experiment("r", "p", "mlflow", mlflow_tracking_uri="http://127.0.0.1:9") as exp:
        exp.log_metric("loss", 0.5, 1)
    there = f"sqlite:///{place}/there.db"

    refused = tracelet("sync", exp.run_id, "--patience", "1s")
    moved = tracelet("sync", exp.run_id, "--backend-url", there)
    again = tracelet("sync", exp.run_id, "--backend-url", there)

    assert (refused.code, moved.code, again.code) == (1, 0, 0), (refused, moved, again)
    (run,) = MlflowClient(there).search_runs(["1"])
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 0.5})


def test_an_address_is_for_named_runs_and_one_backend(place: Path) -> None:
    new_run(place)

    everything = tracelet("sync", "--backend-url", "http://127.0.0.1:9")
    nobody = tracelet("sync", "first", "--backend-url", "http://127.0.0.1:9")

    assert (everything.code, nobody.code) == (2, 2)
    assert "name them" in everything.err
    assert "no backend of this run would take it" in nobody.err


def test_a_backend_that_is_added_keeps_to_the_runs_size_of_images(place: Path) -> None:
    target = Target(MEMORY, {"path": str(place / "memory"), "max_image_size": "300"})
    directory = new_run(place, targets={"memory": target})

    assert tracelet("sync", "first", "--backend", "local").code == 0

    assert status.read_run(directory).targets["local"].options == {"max_image_size": "300"}
