"""Threads, forked and spawned children and signal handlers log at once, and a reader follows."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.journal.support import damages, events, read_all
from tracelet.events import Event, Metric, Note, RunFinished
from tracelet.journal import writer as writing
from tracelet.journal.reader import Damage, Reader, Record, header, segments
from tracelet.journal.writer import Writer

pytestmark = pytest.mark.slow

POINTS = 300


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


def log_many(writer: Writer, name: str, times: int = POINTS) -> None:
    for index in range(times):
        assert writer.scalar(name, float(index), index, 1.0)
        assert writer.stepless(name, float(index), 1.0)


def log_from_a_fork(writer: Writer, name: str) -> None:
    """Log with the parent's writer, as a forked data loader would."""
    log_many(writer, name)


def log_from_a_spawn(directory: str, name: str) -> None:
    """Log with a writer of this process's own."""
    log_many(Writer(Path(directory), "joined", segment=5000), name)


def forked(function: Callable[[], object]) -> int:
    """Run `function` in a forked child; return its pid. It leaves with 0 if nothing was raised."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return pid


def waited_for(pid: int) -> int:
    """Wait until a child has ended; return what it exited with."""
    found: list[int] = []

    def ended() -> bool:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            found.append(os.waitstatus_to_exitcode(status))
        return bool(done)

    eventually(ended, 60)
    return found[0]


def complete(records: list[Record], names: set[str]) -> None:
    """Check that each name has each of its points once, in order, written by one process."""
    points: dict[str, list[Metric]] = defaultdict(list)
    writers: dict[str, set[str]] = defaultdict(set)
    for record in records:
        assert isinstance(record.event, Metric)
        points[record.event.name].append(record.event)
        writers[record.event.name].add(record.segment.rpartition("-")[0])
    assert set(points) == names
    for name, found in points.items():
        assert [event.step for event in found if event.step is not None] == list(range(POINTS))
        assert [event.ordinal for event in found if event.step is None] == list(range(POINTS))
        assert len(writers[name]) == 1


def test_threads_forks_and_spawns_log_at_once_and_each_record_is_read_once(journal: Path) -> None:
    writer = Writer(journal, segment=7000)
    fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
    spawned = [
        spawn.Process(target=log_from_a_spawn, args=(str(journal), f"spawn/{number}")) for number in range(2)
    ]
    for process in spawned:
        process.start()
    threads = [threading.Thread(target=log_many, args=(writer, f"thread/{number}")) for number in range(3)]
    for thread in threads:
        thread.start()
    forks = [
        fork.Process(target=log_from_a_fork, args=(writer, f"fork/{number}"), daemon=True)
        for number in range(3)
    ]
    for process in forks:
        process.start()
    for worker in [*threads, *forks, *spawned]:
        worker.join(60)

    assert [process.exitcode for process in [*forks, *spawned]] == [0] * 5
    names = {
        f"{kind}/{number}"
        for kind, many in (("thread", 3), ("fork", 3), ("spawn", 2))
        for number in range(many)
    }
    complete(read_all(journal, limit=97), names)
    owners: dict[str, set[int]] = defaultdict(set)
    for segment in segments(journal):
        found = header(journal, segment)
        assert found is not None
        owners[found.writer].add(found.pid)
    assert all(len(pids) == 1 for pids in owners.values())
    assert len(set.union(*owners.values())) == len(owners) == 6


def test_a_child_that_forks_again_has_a_segment_of_its_own_too(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(0.0, "parent"))

    def child() -> None:
        assert writer.event(Note(1.0, "child"))
        assert waited_for(forked(lambda: writer.event(Note(2.0, "grandchild")))) == 0
        assert writer.event(Note(3.0, "child"))

    assert waited_for(forked(child)) == 0
    writer.event(Note(4.0, "parent"))

    texts = [(record.segment, record.event) for record in read_all(journal)]
    by_segment: dict[str, list[Event | Damage]] = defaultdict(list)
    for segment, event in texts:
        by_segment[segment].append(event)
    assert sorted(by_segment.values(), key=repr) == [
        [Note(0.0, "parent"), Note(4.0, "parent")],
        [Note(1.0, "child"), Note(3.0, "child")],
        [Note(2.0, "grandchild")],
    ]


def test_a_child_that_only_lives_leaves_no_segment(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(0.0, "parent"))

    assert waited_for(forked(lambda: None)) == 0

    assert len(segments(journal)) == 1


def test_a_child_counts_its_own_losses_only(journal: Path, tmp_path: Path) -> None:
    gone = Writer(tmp_path / "gone")
    assert not gone.event(Note(1.0, "lost"))

    def child() -> None:
        assert (gone.lost, gone.dropped, gone.unreported) == (0, 0, 0)

    assert waited_for(forked(child)) == 0
    assert gone.lost == 1
    assert events(journal) == []


def test_a_fork_while_another_thread_is_inside_an_append_deadlocks_nobody(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(journal)
    writer.scalar("parent", 0.0, 0, 0.0)
    inside, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    class Gate:
        """The module `os`, in which the parent's second thread stops before it writes."""

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def write(self, fd: int, data: bytes) -> int:
            if os.getpid() == parent and threading.current_thread() is thread:
                inside.set()
                assert go_on.wait(60)
            return os.write(fd, data)

    monkeypatch.setattr(writing, "os", Gate())
    thread = threading.Thread(target=lambda: writer.scalar("parent", 1.0, 1, 1.0))
    thread.start()
    assert inside.wait(60)

    code = waited_for(forked(lambda: log_many(writer, "child")))
    go_on.set()
    thread.join(60)

    assert code == 0
    assert writer.scalar("parent", 2.0, 2, 2.0)
    records = read_all(journal)
    complete([record for record in records if getattr(record.event, "name", "") == "child"], {"child"})
    mine = [record.event for record in records if getattr(record.event, "name", "") == "parent"]
    assert mine == [Metric("parent", float(index), index, float(index)) for index in range(3)]


def test_many_forks_while_a_thread_appends_lose_nothing(journal: Path) -> None:
    writer = Writer(journal, segment=20_000)
    stop = threading.Event()
    written: list[int] = []

    def spin() -> None:
        while not stop.is_set():
            assert writer.scalar("thread", 1.0, len(written), 1.0)
            written.append(len(written))

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        children = [forked(lambda: log_many(writer, "child", 20)) for _ in range(30)]
        codes = [waited_for(child) for child in children]
    finally:
        stop.set()
        thread.join(60)

    assert codes == [0] * 30
    points = [event for event in events(journal) if isinstance(event, Metric)]
    assert [event.step for event in points if event.name == "thread"] == written
    assert len([event for event in points if event.name == "child"]) == 30 * 20 * 2


RUNS_AND_WRITES = """
import sys
from pathlib import Path
from tracelet.events import Note, RunFinished
from tracelet.journal.writer import Writer

writer = Writer(Path(sys.argv[1]), segment=30_000)
for index in range(int(sys.argv[2])):
    assert writer.scalar(f"name/{index % 7}", float(index), index, 1.0)
    if index % 50 == 0:
        assert writer.event(Note(float(index), "x" * (index % 6000)))
assert writer.finish(RunFinished(2.0, "FINISHED"))
"""


def run(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_follows_a_live_writer_to_its_end_sees_everything_in_order(journal: Path) -> None:
    times = 20_000
    records: list[Record] = []
    source = Reader(journal)

    with run(RUNS_AND_WRITES, journal, times) as process:
        try:
            ended = lambda: bool(records) and isinstance(records[-1].event, RunFinished)
            eventually(lambda: (records.extend(source.read(1000)), ended())[1], 60)
        finally:
            process.kill()

    assert not damages(records)
    points = [record.event for record in records if isinstance(record.event, Metric)]
    assert points == [Metric(f"name/{index % 7}", float(index), index, 1.0) for index in range(times)]
    notes = [record.event.time for record in records if isinstance(record.event, Note)]
    assert notes == [float(index) for index in range(0, times, 50)]


TELLS_WHAT_RETURNED = """
import os, sys
from pathlib import Path
from tracelet.journal.writer import Writer

writer = Writer(Path(sys.argv[1]), segment=30_000)
index = 0
while True:
    assert writer.scalar(f"name/{index % 7}", float(index), index, 1.0)
    index += 1
    os.write(1, b"%d\\n" % index)
"""


@pytest.mark.crash
def test_what_a_killed_process_had_appended_is_all_there(journal: Path) -> None:
    for number in range(5):
        directory = journal / str(number)
        directory.mkdir()
        with run(TELLS_WHAT_RETURNED, directory) as process:
            assert process.stdout is not None
            for _ in range(200 + 150 * number):
                process.stdout.readline()
            process.kill()
            told = sum(1 for line in process.stdout if line.endswith("\n")) + 200 + 150 * number

        points = events(directory)

        assert len(points) in {told, told + 1}
        assert points == [
            Metric(f"name/{index % 7}", float(index), index, 1.0) for index in range(len(points))
        ]


LOGS_WITHOUT_STDERR = """
import os, sys
from pathlib import Path
from tracelet.journal.writer import Writer

os.closerange(0, 3)
writer = Writer(Path(sys.argv[1]))
assert writer.scalar("m", 1.0, 0, 1.0)
for fd in range(3):
    try:
        os.write(fd, b"a library complains")
    except OSError:
        pass
assert writer.scalar("m", 1.0, 1, 1.0)
"""


def test_a_journal_never_stands_where_stderr_was(journal: Path) -> None:
    with run(LOGS_WITHOUT_STDERR, journal) as process:
        assert process.wait(60) == 0

    found = read_all(journal)
    assert [record.event.step for record in found if isinstance(record.event, Metric)] == [0, 1]
    assert damages(found) == []
