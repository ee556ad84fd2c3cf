"""A run of another host: its processes cannot be seen, only that it writes."""

import os
from pathlib import Path

import pytest

from tracelet.events import RunStarted
from tracelet.journal import shelf, status
from tracelet.journal.locks import Holder
from tracelet.journal.writer import Writer


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = shelf.create(tmp_path / ".tracelet", "20261120-093000-3f2a1c")
    writer = Writer(directory)
    writer.event(RunStarted(time=1.0, run_id=directory.name, name="x", project="p"))
    writer.close()
    run = status.RunFile(
        run_id=directory.name,
        name="x",
        project="p",
        time=1.0,
        trainer=Holder(2**22 + 1, 1),  # no process of this host
        host="another host",
        directory=str(tmp_path),
        python="python",
        targets={"memory": status.Target("tracelet.testing.memory:BACKEND")},
    )
    status.write_run(directory, run)
    return directory


def age(directory: Path, seconds: float) -> None:
    for path in directory.iterdir():
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


def test_it_is_running_for_as_long_as_it_writes(directory: Path) -> None:
    assert status.run_status(directory, status.read_run(directory)) == "RUNNING"
    assert shelf.undelivered([directory]) == []


def test_it_is_running_for_as_long_as_its_keeper_says_so(directory: Path) -> None:
    age(directory, 2 * status.ELSEWHERE)
    (directory / status.BEAT).touch()

    assert status.run_status(directory, status.read_run(directory)) == "RUNNING"


def test_it_has_ended_once_nothing_of_it_has_moved_for_long(directory: Path) -> None:
    age(directory, 2 * status.ELSEWHERE)

    assert status.run_status(directory, status.read_run(directory)) == "KILLED"
    assert shelf.undelivered([directory]) == [directory]
