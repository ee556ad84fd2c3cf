"""One run is watched over from its start until nothing is left to do, whoever dies."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.keeper import trainers
from tests.keeper.trainers import TIMEOUT, Trainers, ends, ends_in_journal, keep, kill, living, points, run_of
from tests.relay.trackers import FINISHED, directory_of, faulty_target, log, new_run
from tracelet.events import Metric, RunFinished
from tracelet.journal import blobs, cursors, status
from tracelet.journal.locks import Holder
from tracelet.journal.status import Target
from tracelet.keeper.keeping import Keeper
from tracelet.testing import memory

pytestmark = pytest.mark.slow

LOGGED = "open('logged', 'w').close()"


def everything_ends(place: Path) -> None:
    """Wait until neither keeper nor relay lives."""
    eventually(lambda: not living(place, "keeper") and not living(place, "relay"), TIMEOUT)


@pytest.mark.parametrize(
    ("ending", "right"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "KILLED"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "KILLED"),
        ("os._exit(0)", "KILLED"),
        ("tracelet.stop_logging()", "FINISHED"),
        ("pass", "FINISHED"),
        ("sys.exit(0)", "FINISHED"),
        ("sys.exit(3)", "FAILED"),
        ("raise ValueError('the training fails')", "FAILED"),
        ("raise KeyboardInterrupt", "KILLED"),
    ],
)
def test_a_run_ends_once_with_the_right_status(place: Path, train: Trainers, ending: str, right: str) -> None:
    trainers.tracker_is_there(place)

    train(ending).wait(TIMEOUT)

    eventually(lambda: ends(place), TIMEOUT)
    everything_ends(place)
    assert ends(place) == ends_in_journal(run_of(place)) == [right]
    assert points(place) == list(range(50))
    assert isinstance(trainers.received(place)[-1], RunFinished)


def test_of_two_keepers_one_ends_at_once_and_one_ends_the_run(place: Path) -> None:
    directory = directory_of(place)
    # A short linger: this process has logged, lives, and is not the trainer, so it might log again.
    log(new_run(place, trainer=Holder(0), linger=2.0), 20)
    command = [sys.executable, "-m", "tracelet.keeper", str(directory)]
    environ = {**os.environ, **trainers.tracked(place)}

    both = [subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) for _ in range(2)]

    assert [process.wait(TIMEOUT) for process in both] == [0, 0]
    assert ends_in_journal(directory) == ["KILLED"]
    assert len(memory.received(place / "tracked")) == 22


def test_a_keeper_after_a_keeper_ends_a_run_no_second_time(place: Path) -> None:
    log(new_run(place, trainer=Holder(0)), 20)

    for _ in range(2):
        Keeper(directory_of(place)).run(threading.Event())

    assert ends_in_journal(directory_of(place)) == ["KILLED"]
    assert len(memory.received(place / "tracked")) == 22


def test_the_end_of_a_trainer_that_died_unseen_is_when_it_wrote_last(place: Path) -> None:
    writer = new_run(place, trainer=Holder(0))
    os.utime(directory_of(place) / writer.segment, (5000.0, 5000.0))

    Keeper(directory_of(place)).run(threading.Event())

    assert [event.time for event in memory.received(place / "tracked")][-1] == 5000.0


def test_a_keeper_that_is_killed_is_brought_back_by_whoever_waits(place: Path, train: Trainers) -> None:
    trainers.tracker_is_there(place)
    process = train("while not os.path.exists('go'): threading.Event().wait(0.01)\nexperiment.stop()")
    eventually(lambda: 49 in points(place), TIMEOUT)
    kill(place, "keeper")
    kill(place, "relay")
    (place / "go").touch()

    code = process.wait(TIMEOUT)

    everything_ends(place)
    assert code == 0
    assert ends(place) == ["FINISHED"]


def test_keeper_and_trainer_die_together_and_the_next_keeper_ends_the_run(
    place: Path, train: Trainers
) -> None:
    process = train("threading.Event().wait()")
    eventually(lambda: living(place, "relay"), TIMEOUT)
    kill(place, "keeper")
    process.kill()
    process.wait()
    everything_ends(place)  # the relay sees that it is alone
    trainers.tracker_is_there(place)
    assert ends_in_journal(run_of(place)) == []

    keep(run_of(place))

    eventually(lambda: ends(place), TIMEOUT)
    everything_ends(place)
    assert ends(place) == ["KILLED"]
    assert points(place) == list(range(50))


def test_a_pipe_behind_the_trainer_ends_with_it(place: Path) -> None:
    script = trainers.script_of(place, "print('done', flush=True)\nos._exit(0)")
    environ = {**os.environ, **trainers.tracked(place)}

    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} {script} 2>&1 | cat"],
        env=environ,
        cwd=place,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )

    assert done.stdout.endswith(b"done\n")  # what tracelet says on stderr comes before
    eventually(lambda: living(place, "relay"), TIMEOUT)  # it goes on: the tracker is away
    trainers.tracker_is_there(place)
    everything_ends(place)
    assert ends(place) == ["KILLED"]


@pytest.mark.parametrize("away", [False, True])
def test_a_run_that_is_deleted_ends_keeper_and_relay(place: Path, train: Trainers, away: bool) -> None:
    if not away:
        trainers.tracker_is_there(place)
    process = train("threading.Event().wait()")
    eventually(lambda: living(place, "relay") and living(place, "keeper"), TIMEOUT)
    watched = [os.pidfd_open(pid) for role in ("keeper", "relay") for pid in living(place, role)]

    run_of(place).rename(place / "gone")

    eventually(lambda: not living(place, "keeper") and not living(place, "relay"), TIMEOUT)
    assert len(watched) == 2
    for descriptor in watched:
        os.close(descriptor)
    process.kill()


def test_a_keeper_does_not_wait_for_a_tracker_for_ever(place: Path, train: Trainers) -> None:
    train("os._exit(0)", {"TRACELET_LINGER": "1"}).wait(TIMEOUT)

    directory = run_of(place)
    eventually(lambda: status.ending(directory), TIMEOUT)
    everything_ends(place)
    assert status.lag(directory, "memory") == 52
    trainers.tracker_is_there(place)
    assert Keeper(directory).run(threading.Event())
    assert points(place) == list(range(50))
    assert ends(place) == ["KILLED"]


def test_a_keeper_does_not_wait_for_a_tracker_that_refuses(place: Path) -> None:
    targets = {"faulty": faulty_target(place, refused=1)}
    new_run(place, targets=targets).finish(FINISHED)
    keeper = Keeper(directory_of(place))

    delivered = keeper.run(threading.Event())

    assert not delivered
    assert [relay.given_up for relay in keeper.relays] == [True]


def test_one_backend_that_is_away_does_not_hold_up_another(place: Path) -> None:
    (place / "away").mkdir()
    targets = {
        "memory": Target("tracelet.testing.memory:BACKEND", {"path": str(place / "tracked")}),
        "faulty": faulty_target(place / "away", unavailable=1),
    }
    writer = new_run(place, targets=targets, linger=5.0)  # the other has to start in this time
    log(writer, 20)
    writer.finish(FINISHED)

    delivered = Keeper(directory_of(place)).run(threading.Event())

    assert not delivered
    assert cursors.load(directory_of(place), "memory").finished
    assert len(memory.received(place / "tracked")) == 22


def test_offline_a_run_has_its_keeper_and_no_relay(place: Path, train: Trainers) -> None:
    trainers.tracker_is_there(place)
    process = train(f"{LOGGED}; threading.Event().wait()", {"TRACELET_MODE": "offline"})
    eventually(lambda: (place / "logged").exists() and living(place, "keeper"), TIMEOUT)
    process.send_signal(signal.SIGKILL)

    process.wait(TIMEOUT)
    everything_ends(place)

    directory = run_of(place)
    assert ends_in_journal(directory) == ["KILLED"]
    assert not list(directory.glob("relay.*"))
    assert not list(directory.glob("cursor.*"))
    assert trainers.received(place) == []
    assert Keeper(directory, deliver_offline=True).run(threading.Event())
    assert points(place) == list(range(50))


def test_a_run_that_stays_here_has_its_keeper_and_no_relay(place: Path, train: Trainers) -> None:
    beginning = trainers.BEGINNING.replace("tracelet.testing.memory:BACKEND", "local")
    process = train(f"{LOGGED}; threading.Event().wait()", beginning=beginning)
    eventually(lambda: (place / "logged").exists() and living(place, "keeper"), TIMEOUT)
    process.send_signal(signal.SIGKILL)

    process.wait(TIMEOUT)
    everything_ends(place)

    directory = run_of(place)
    assert ends_in_journal(directory) == ["KILLED"]
    assert not list(directory.glob("relay.*"))
    assert status.is_delivered(directory, status.read_run(directory))


def test_only_the_backends_that_were_asked_for_are_delivered_to(place: Path) -> None:
    targets = {name: faulty_target(place / name) for name in ("one", "two")}
    for name in targets:
        (place / name).mkdir()
    writer = new_run(place, targets=targets)
    writer.finish(FINISHED)

    assert Keeper(directory_of(place), only=["two"]).run(threading.Event())

    assert memory.received(place / "one" / "tracked") == []
    assert FINISHED in memory.received(place / "two" / "tracked")


@pytest.mark.parametrize(("durability", "asked"), [("second", True), ("process", False)])
def test_what_has_grown_is_brought_to_disk_only_with_durability_second(
    place: Path, durability: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_run(place, durability=durability, mode="offline")
    synced: list[str] = []
    stop = threading.Event()
    looks = iter(range(1000))

    def fdatasync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    def look(_: Keeper) -> None:
        number = next(looks)
        if number == 1:
            log(writer, 1)
        if number == 4:
            stop.set()

    monkeypatch.setattr(os, "fdatasync", fdatasync)

    Keeper(directory_of(place), watch=look).run(stop)

    assert synced == ([writer.segment] * 2 if asked else [])  # when it was new, and when it had grown


def test_with_durability_second_blobs_are_brought_to_disk_before_the_records_that_name_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_run(place, durability="second", mode="offline")
    directory = directory_of(place)
    synced: list[str] = []
    files = iter([b"one", b"another", b""])
    digests: list[str] = []
    stop = threading.Event()

    def keep(_: Keeper) -> None:
        if content := next(files):
            digests.append(blobs.keep_bytes(directory, [content])[0])
            log(writer, 1)
        else:
            stop.set()

    def noted(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", noted)
    monkeypatch.setattr(os, "fsync", noted)

    Keeper(directory, watch=keep).run(stop)

    first, other = synced.index(writer.segment), len(synced) - synced[::-1].index(writer.segment) - 1
    assert {digests[0], digests[0][:2], "blobs"} <= {*synced[:first]}
    assert {digests[1], digests[1][:2]} <= {*synced[:other]}


def test_blobs_go_once_every_backend_has_the_run(place: Path) -> None:
    file = place / "model.bin"
    file.write_bytes(b"weights")
    writer = new_run(place)
    for artifact in blobs.artifacts(directory_of(place), file, None):
        writer.event(artifact)
    writer.finish(FINISHED)
    keeper = Keeper(directory_of(place))

    keeper.tidy(0.0)
    assert (directory_of(place) / "blobs").exists()  # nobody has it yet
    keeper.run(threading.Event())
    keeper.tidy(0.0)

    assert not (directory_of(place) / "blobs").exists()
    assert (memory.artifacts_of(place / "tracked") / "model.bin").read_bytes() == b"weights"


def test_blobs_stay_while_a_process_that_has_logged_may_log_another(place: Path) -> None:
    """A blob is there before its record is."""
    file = place / "model.bin"
    file.write_bytes(b"weights")
    writer = new_run(place)
    child = subprocess.Popen([sys.executable, "-c", LATE_CHILD, str(directory_of(place))], stdin=-1)
    eventually(lambda: len(list(directory_of(place).glob("*.seg"))) == 2, TIMEOUT)
    blobs.keep(directory_of(place), file)
    writer.finish(FINISHED)
    keeper = Keeper(directory_of(place), patience=60.0)  # in the foreground: children are not waited for
    assert keeper.run(threading.Event())

    keeper.tidy(0.0)
    kept = list(directory_of(place).glob("blobs/*/*"))
    child.kill()
    child.communicate()
    keeper.tidy(0.0)

    assert len(kept) == 1
    assert not list(directory_of(place).glob("blobs/*/*"))


def test_blobs_stay_where_the_journal_is_a_store_too(place: Path) -> None:
    file = place / "model.bin"
    file.write_bytes(b"weights")
    delivered = Target("tracelet.testing.memory:BACKEND", {"path": str(place / "tracked")})
    writer = new_run(place, targets={"memory": delivered, "local": Target("local", relayed=False)})
    for artifact in blobs.artifacts(directory_of(place), file, None):
        writer.event(artifact)
    writer.finish(FINISHED)
    keeper = Keeper(directory_of(place))

    assert keeper.run(threading.Event())
    keeper.tidy(1e12)

    assert [relay.name for relay in keeper.relays] == ["memory"]
    assert list(directory_of(place).glob("blobs/*/*"))
    assert cursors.load(directory_of(place), "local").delivered == 3


def test_blobs_stay_while_something_is_rejected(place: Path) -> None:
    file = place / "model.bin"
    file.write_bytes(b"weights")
    writer = new_run(place)
    for artifact in blobs.artifacts(directory_of(place), file, None):
        writer.event(artifact)
    log(writer, 1, memory.POISON)
    writer.finish(FINISHED)
    keeper = Keeper(directory_of(place))

    assert keeper.run(threading.Event())
    keeper.tidy(0.0)

    assert len(status.rejects(directory_of(place), "memory")) == 1
    assert (directory_of(place) / "blobs").exists()


def test_a_delivered_run_goes_after_its_retention_and_no_other(place: Path) -> None:
    new_run(place, trainer=Holder(0), retention=100.0).finish(FINISHED)
    keeper = Keeper(directory_of(place))
    keeper.run(threading.Event())
    delivered = status.read_delivery(directory_of(place), "memory").progressed
    new_run(place / "x", retention=0.0, trainer=Holder(0)).finish(FINISHED)
    undelivered = place / ".tracelet" / "20260102-000000-abcdef"
    directory_of(place / "x").rename(undelivered)

    keeper.tidy(delivered + 99.0)
    assert directory_of(place).exists()
    keeper.tidy(delivered + 101.0)

    assert not directory_of(place).exists()
    assert undelivered.exists()


def test_a_keeper_waits_for_a_child_that_may_still_log(place: Path) -> None:
    writer = new_run(place)
    child = subprocess.Popen([sys.executable, "-c", LATE_CHILD, str(directory_of(place))], stdin=-1)
    eventually(lambda: len(list(directory_of(place).glob("*.seg"))) == 2, TIMEOUT)
    writer.finish(FINISHED)
    keeping = threading.Thread(target=Keeper(directory_of(place)).run, args=(threading.Event(),))
    keeping.start()
    eventually(lambda: status.is_complete(directory_of(place), "memory"), TIMEOUT)

    child.communicate(b"go on")
    keeping.join(TIMEOUT)

    assert not keeping.is_alive()
    logged = [event for event in memory.received(place / "tracked") if isinstance(event, Metric)]
    assert [point.value for point in logged] == [1.0, 2.0]
    assert status.is_complete(directory_of(place), "memory")


LATE_CHILD = """
import sys
from pathlib import Path
from tracelet.journal.writer import Writer

writer = Writer(Path(sys.argv[1]), "joined")
writer.scalar("late", 1.0, 1, 1.0)
sys.stdin.read()
writer.scalar("late", 2.0, 2, 2.0)
"""
