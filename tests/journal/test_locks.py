"""A lock turns the second away, names the first, and is free once its holder is dead."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.journal.test_processes import forked, waited_for
from tracelet.errors import JournalError, JournalLocked
from tracelet.journal import locks
from tracelet.journal.locks import Holder

HOLDS = """
import sys
from pathlib import Path
from tracelet.journal import locks
lock = locks.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
lock.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keeper.lock"


@contextmanager
def holding(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Let another process hold the lock until its stdin is closed."""
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_the_second_is_turned_away_and_told_who_holds_it(path: Path) -> None:
    with holding(path) as process:
        with pytest.raises(JournalLocked, match=rf"{path} is held by process {process.pid}; wait for it"):
            locks.take(path)

        assert locks.holder(path) == Holder(process.pid, locks.process_started(process.pid))
        assert locks.held(path)
        assert json.loads(path.read_bytes())["pid"] == process.pid, "turned away, it left the file alone"


def test_a_lock_that_was_let_go_is_free(path: Path) -> None:
    with holding(path) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0

        assert not locks.held(path)
        locks.take(path).close()


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    with holding(path) as process:
        process.kill()
        process.wait(60)

        assert locks.holder(path).pid == process.pid
        assert not locks.held(path)
        lock = locks.take(path)

    assert locks.holder(path) == locks.this_process()
    lock.close()


def test_a_killed_process_that_nobody_waited_for_holds_nothing(path: Path) -> None:
    """A zombie still has its number, and even its place in `/proc`."""
    with holding(path) as process:
        process.kill()

        eventually(lambda: not locks.held(path))
        assert Path(f"/proc/{process.pid}").exists()
        locks.take(path).close()


def test_in_one_process_too_only_one_holds_it(path: Path) -> None:
    lock = locks.take(path)

    with pytest.raises(JournalLocked, match=f"held by process {os.getpid()}"):
        locks.take(path)
    lock.close()
    lock.close()
    locks.take(path).close()


def test_of_many_threads_one_gets_it(path: Path) -> None:
    taken: list[locks.Lock] = []
    turned_away: list[JournalError] = []

    def take() -> None:
        try:
            taken.append(locks.take(path))
        except JournalLocked as error:
            turned_away.append(error)

    threads = [threading.Thread(target=take) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (len(taken), len(turned_away)) == (1, 19)
    taken[0].close()


def test_a_lock_is_for_the_owner_only_and_not_inherited(path: Path) -> None:
    lock = locks.take(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert os.get_inheritable(lock._fd) is False  # pyright: ignore[reportAttributeAccessIssue]
    lock.close()


def test_a_lock_in_a_directory_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        locks.take(tmp_path / "gone" / "keeper.lock")


FAILS_TO_NAME_ITSELF = """
import resource, sys
from pathlib import Path
from tracelet.journal import locks
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
try:
    locks.take(Path(sys.argv[1]))
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
locks.take(Path(sys.argv[1]))
print("taken")
"""


def test_a_lock_that_could_not_be_taken_for_lack_of_room_can_be_taken_later(path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FAILS_TO_NAME_ITSELF, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (result.stdout.split(), result.stderr) == (["refused", "taken"], "")


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}', b"\xff", b"[]"])
def test_a_lock_file_that_names_nobody_is_held_by_nobody(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert locks.holder(path) == Holder(0)
    assert not locks.held(path)
    locks.take(path).close()


def test_nobody_holds_a_lock_that_is_not_there(path: Path) -> None:
    assert locks.holder(path) == Holder(0)
    assert not locks.held(path)
    assert not path.exists(), "asking makes no file"


def test_a_number_that_another_process_has_by_now_is_not_the_holder(path: Path) -> None:
    me = locks.this_process()
    path.write_text(json.dumps({"pid": me.pid, "started": me.started - 1}))

    assert not locks.held(path)
    assert not Holder(me.pid, me.started + 1).alive
    assert me.alive
    assert Holder(me.pid).alive, "0: whenever it began"


def test_a_process_lives_until_it_ends() -> None:
    reading, writing = os.pipe()
    pid = forked(lambda: os.read(reading, 1))
    started = locks.process_started(pid)

    assert started >= locks.process_started(os.getpid()) > 0
    assert locks.process_lives(pid, started)
    os.write(writing, b"x")
    assert waited_for(pid) == 0
    assert not locks.process_lives(pid, started)
    assert not locks.process_lives(pid, 0)
    assert locks.process_started(pid) == 0
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_a_process_with_a_strange_name_is_understood() -> None:
    name = b") R 1 (x"

    def child() -> None:
        Path("/proc/self/comm").write_bytes(name)
        assert locks.process_lives(os.getpid(), locks.process_started(os.getpid()))
        assert abs(locks.process_started(os.getpid()) - mine) < 10**7

    mine = locks.process_started(os.getpid())
    assert waited_for(forked(child)) == 0


def test_where_the_file_system_has_no_locks_the_living_holder_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with holding(path) as process:
        with pytest.raises(JournalLocked, match=str(process.pid)):
            locks.take(path)

        process.kill()
        process.wait(60)
        lock = locks.take(path)

    assert locks.holder(path) == locks.this_process()
    lock.close()
