"""The check for what a test leaves behind is itself a promise."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import alive, end_what_lives, eventually, holders

pytestmark = pytest.mark.slow

WAITS_FOR_STDIN = "import sys; sys.stdin.read()"


def start_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])


def write_lock(directory: Path, pid: int, started: float) -> Path:
    lock = directory / ".tracelet" / "run" / "keeper.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(json.dumps({"pid": pid, "started": started}))
    return lock


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", WAITS_FOR_STDIN], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def test_a_process_that_a_lock_file_names_is_found_and_ended(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    write_lock(tmp_path, process.pid, float(start_of(process.pid)))

    killed = end_what_lives(tmp_path, grace=0.0)

    assert [holder.pid for holder in killed] == [process.pid]
    assert process.wait(10) == -9
    assert holders(tmp_path) == []


def test_a_process_that_ends_in_time_is_not_reported(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    write_lock(tmp_path, process.pid, start_of(process.pid))
    assert process.stdin is not None
    process.stdin.close()

    assert end_what_lives(tmp_path, grace=60.0) == []


def test_a_number_that_belongs_to_another_process_now_is_left_alone(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    write_lock(tmp_path, process.pid, start_of(process.pid) - 1)

    assert end_what_lives(tmp_path, grace=0.0) == []
    assert process.poll() is None


def test_a_process_that_ended_but_was_not_waited_for_does_not_count(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    write_lock(tmp_path, process.pid, start_of(process.pid))
    assert [alive(holder) for holder in holders(tmp_path)] == [True]

    process.kill()

    eventually(lambda: holders(tmp_path) == [])


def test_our_own_process_and_other_libraries_locks_do_not_count(tmp_path: Path) -> None:
    write_lock(tmp_path, os.getpid(), start_of(os.getpid()))
    (tmp_path / "mlflow.db.lock").touch()
    (tmp_path / "poetry.lock").write_text("[[package]]")
    (tmp_path / "list.lock").write_text("[1]")

    assert holders(tmp_path) == []


def test_eventually_fails_at_its_deadline() -> None:
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: False, deadline=0.0)


LEAVES_SOMETHING = """
    import json, subprocess, sys
    from pathlib import Path
    from tests.conftest import *
    from tests.test_conftest import WAITS_FOR_STDIN, start_of, write_lock

    def test_leaves_a_process(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", WAITS_FOR_STDIN], stdin=subprocess.PIPE)
        write_lock(tmp_path, process.pid, start_of(process.pid))
        Path({pid!r}).write_text(str(process.pid))
        globals()["kept"] = process  # or its pipe would be closed, and the process would end

    def test_leaves_a_swallowed_error():
        from tracelet import guard
        guard.contained(lambda: 1 / 0)()

    def test_expects_a_swallowed_error(swallowed):
        from tracelet import guard
        guard.contained(lambda: 1 / 0)()
        assert len(swallowed) == 1

    def test_leaves_nothing():
        pass
"""


def test_the_fixture_fails_the_test_that_left_something(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    pid = tmp_path / "pid"
    inner = tmp_path / "test_inner.py"
    inner.write_text("\n".join(line[4:] for line in LEAVES_SOMETHING.format(pid=str(pid)).splitlines()))

    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "-q"),
            *("-o", "markers=slow: this module bears it", inner),
        ],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "4 passed, 2 errors" in result.stdout
    assert "still alive, now killed: keeper.lock" in result.stdout
    assert "ZeroDivisionError" in result.stdout
    assert not Path(f"/proc/{pid.read_text()}").exists()
