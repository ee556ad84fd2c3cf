"""What cannot be written is counted and told, and only whole records stay."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journal.support import (
    DEEP,
    HEAD_SIZE,
    Book,
    FailingOs,
    damages,
    drained,
    events,
    failing_os,
    key,
    read_all,
)
from tracelet.events import Lost, Metric, Note, Params, RunFinished
from tracelet.journal.reader import Reader, segments
from tracelet.journal.writer import Writer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def disk() -> Iterator[FailingOs]:
    with failing_os() as fake:
        yield fake


def test_a_directory_that_is_gone_costs_records_and_nothing_else(tmp_path: Path) -> None:
    journal = tmp_path / "run"
    writer = Writer(journal)

    assert not writer.scalar("a", 1.0, 1, 1.0)
    assert not writer.event(Note(1.0, "x"))
    journal.mkdir()
    assert writer.scalar("a", 2.0, 2, 2.0)

    assert writer.lost == 2
    assert "[Errno 2] No such file" in writer.reason
    lost, point = events(journal)
    assert isinstance(lost, Lost)
    assert lost.count == 2
    assert point == Metric("a", 2.0, 2, 2.0)


@pytest.mark.parametrize("truncates", [True, False])
@pytest.mark.parametrize("kind", ["known", "new", "stepless", "event"])
def test_wherever_a_write_stops_only_whole_records_stay(
    tmp_path: Path, disk: FailingOs, kind: str, truncates: bool
) -> None:
    for room in range(180):
        journal = tmp_path / str(room)
        journal.mkdir()
        book = Book(journal)
        writer = Writer(journal)
        book.scalar(writer, "known", 0.0, 0, 0.0)
        before = len(book.original[writer.segment])
        first = writer.segment

        disk.room, disk.truncates = room, truncates
        written = _append_one(book, writer, kind)
        disk.room, disk.truncates = None, True
        torn = not written and not truncates
        size_after = (journal / first).stat().st_size
        assert book.scalar(writer, "known", 9.0, 9, 9.0)

        expected = [Metric("known", 0.0, 0, 0.0), Metric("known", 9.0, 9, 9.0)]
        found = read_all(journal)
        if written:
            assert len(found) == 3
            assert writer.lost == 0
        else:
            assert size_after == (before + room if torn else before + _whole(kind, room))
            assert [r.event for r in found if not isinstance(r.event, Lost)] == expected
            (lost,) = (r.event for r in found if isinstance(r.event, Lost))
            assert (lost.count, writer.lost) == (1, 1)
        assert not damages(found)
        assert len(segments(journal)) == (2 if torn else 1)


def _whole(kind: str, room: int) -> int:
    """Tell how much of a torn write stays: the record of a new name, once it is whole."""
    name = HEAD_SIZE + 4 + len(kind)
    return name if kind in {"new", "stepless"} and room >= name else 0


def _append_one(book: Book, writer: Writer, kind: str) -> bool:
    if kind == "event":
        return book.event(writer, Params(1.0, {"a": "b" * 40}))
    return book.scalar(writer, kind, 1.0, None if kind == "stepless" else 1, 1.0)


def test_after_many_losses_one_record_tells_how_many(journal: Path, disk: FailingOs) -> None:
    writer = Writer(journal)
    writer.scalar("a", 1.0, 1, 1.0)
    disk.room = 10
    for index in range(25):
        assert not writer.scalar("a", 1.0, index, 1.0)
    disk.room = None

    assert writer.scalar("a", 2.0, 2, 2.0)
    assert writer.scalar("a", 3.0, 3, 3.0)

    assert (writer.lost, writer.unreported) == (25, 0)
    _, lost, *points = events(journal)
    assert isinstance(lost, Lost)
    assert lost.count == 25
    assert "No space left" in lost.reason
    assert points == [Metric("a", 2.0, 2, 2.0), Metric("a", 3.0, 3, 3.0)]


def test_the_end_of_a_run_is_written_once_there_is_room(journal: Path, disk: FailingOs) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "x"))
    disk.room = 5
    assert not writer.finish(RunFinished(2.0, "FINISHED"))
    disk.room = None

    assert writer.finish(RunFinished(3.0, "FINISHED"))

    note, lost, end = events(journal)
    assert (note, end) == (Note(1.0, "x"), RunFinished(3.0, "FINISHED"))
    assert isinstance(lost, Lost)


def test_a_header_that_could_not_be_written_leaves_no_file(journal: Path, disk: FailingOs) -> None:
    writer = Writer(journal)
    for room in range(80):
        disk.room = room
        assert not writer.scalar("a", 1.0, 1, 1.0)
        assert segments(journal) == []
    disk.room = None

    assert writer.scalar("a", 1.0, 1, 1.0)

    assert [name.rpartition("-")[2] for name in segments(journal)] == ["0000.seg"]


@settings(max_examples=1500 if DEEP else 150)
@given(seed=st.integers(0, 2**32), room=st.integers(0, 400))
def test_a_reader_that_looks_before_a_torn_write_is_taken_back_misses_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, room: int
) -> None:
    """It may have read whole records of the write that failed: these must stay where they are."""
    journal = tmp_path_factory.mktemp("run")
    chance = random.Random(seed)
    names = ["a", "longer/name", "ü"]
    writer, source = Writer(journal), Reader(journal)
    appended: list[Metric] = []
    with failing_os() as disk:
        found = []
        disk.before_truncating = lambda: found.extend(source.read(1000))
        writer.scalar(names[0], -1.0, 0, 0.0)
        for index in range(30):
            disk.room = None if chance.random() < 0.5 else room % (1 + chance.randrange(400))
            point = Metric(chance.choice(names), float(index), index, 1.0)
            if writer.scalar(point.name, point.value, index, 1.0):
                appended.append(point)
        disk.room = None
        writer.scalar("last", 1.0, 1, 1.0)
    found += drained(source)

    assert not damages(found)
    assert [r.event for r in found if isinstance(r.event, Metric)][1:-1] == appended
    assert sum(r.event.count for r in found if isinstance(r.event, Lost)) == writer.lost
    assert [key(r.event) for r in found] == [key(r.event) for r in read_all(journal)]
