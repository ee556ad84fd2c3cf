"""Appending: whole records only, losses counted and told, and never an exception of the disk's."""

import gc
import logging
import os
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import eventually
from tests.journal.support import (
    DEEP,
    HEAD_SIZE,
    POINT_SIZE,
    Book,
    FailingOs,
    damages,
    drained,
    events,
    failing_os,
    fill,
    key,
    read_all,
    small,
)
from tests.journal.test_codec import ANY_TEXT, FLOAT64, INT64
from tracelet.events import Lost, Metric, Note, Packed, Params, RunFinished
from tracelet.journal import codec
from tracelet.journal import writer as writing
from tracelet.journal.reader import Reader, header, segments
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


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say nothing of a full disk: logging makes hundreds of calls."""
    monkeypatch.setattr(writing._LOG, "disabled", True)


@settings(max_examples=1000 if DEEP else 100)
@given(name=ANY_TEXT.filter(bool), value=FLOAT64, step=INT64 | st.none(), time=FLOAT64)
def test_a_point_is_read_as_it_was_appended(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: float, step: int | None, time: float
) -> None:
    journal = tmp_path_factory.mktemp("run")
    writer = Writer(journal)

    for _ in range(2):  # by the way that introduces the name, and by the fast one
        if step is None:
            assert writer.stepless(name, value, time)
        else:
            assert writer.scalar(name, value, step, time)
    writer.close()

    ordinals = (0, 1) if step is None else (0, 0)
    assert [key(event) for event in events(journal)] == [
        key(Metric(name, value, step, time, ordinal)) for ordinal in ordinals
    ]


@pytest.mark.parametrize("name", ["x" * 10_000, "\ud800" * 10_000, "🙂" * 10_000, "\x00", "\n", " "])
def test_any_name_is_kept_as_it_is(journal: Path, name: str) -> None:
    Writer(journal).scalar(name, 1.0, 1, 1.0)

    assert events(journal) == [Metric(name, 1.0, 1, 1.0)]


def test_a_name_is_introduced_once_in_each_block_and_in_each_segment(journal: Path) -> None:
    with small(block=400):
        writer = Writer(journal, segment=1000)
        book = Book(journal)
        for index in range(60):
            book.scalar(writer, f"n{index % 2}", 1.0, index, 1.0)

    assert len(segments(journal)) == 3
    for pieces in book.pieces.values():
        blocks: dict[tuple[int, int], int] = {}
        for piece in pieces:
            place = (piece.start // 400, piece.number)
            if piece.type == codec.NAME:
                blocks[place] = blocks.get(place, 0) + 1
            elif piece.type == codec.SCALAR:
                assert blocks[place] == 1


def test_a_segment_that_is_full_is_followed_by_the_next(journal: Path) -> None:
    writer = Writer(journal, segment=500)
    for index in range(40):
        assert writer.scalar("a", 1.0, index, 1.0)

    names = segments(journal)
    headers = [header(journal, name) for name in names]
    assert len(names) > 2
    assert [found.index for found in headers if found] == list(range(len(names)))
    assert {found.writer for found in headers if found} == {names[0].rpartition("-")[0]}
    assert all(500 <= (journal / name).stat().st_size < 500 + POINT_SIZE for name in names[:-1])
    assert [event.step for event in events(journal) if isinstance(event, Metric)] == list(range(40))


def test_two_writers_of_one_process_have_segments_of_their_own(journal: Path) -> None:
    one, two = Writer(journal), Writer(journal)
    one.event(Note(1.0, "one"))
    two.event(Note(2.0, "two"))

    assert len({one.segment, two.segment}) == 2
    assert {record.segment for record in read_all(journal)} == {one.segment, two.segment}


def test_a_writer_that_never_appended_leaves_no_file(journal: Path) -> None:
    writer = Writer(journal)
    writer.close()

    assert writer.segment == ""
    assert list(journal.iterdir()) == []


def test_files_are_for_the_owner_only(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "x"))

    assert (journal / writer.segment).stat().st_mode & 0o777 == 0o600


def test_stepless_points_are_numbered_for_each_name(journal: Path) -> None:
    writer = Writer(journal, segment=300)
    for _ in range(20):
        writer.stepless("a", 1.0, 1.0)
        writer.scalar("a", 1.0, 5, 1.0)
        writer.stepless("b", 1.0, 1.0)

    found = [event for event in events(journal) if isinstance(event, Metric) and event.step is None]
    for name in ("a", "b"):
        assert [event.ordinal for event in found if event.name == name] == list(range(20))


@pytest.mark.parametrize("name", ["", None, 3, b"bytes", ("a",)])
def test_a_name_that_is_no_text_or_empty_is_refused(journal: Path, name: Any) -> None:
    writer = Writer(journal)

    with pytest.raises(ValueError, match="a metric's name is a text that is not empty"):
        writer.scalar(name, 1.0, 1, 1.0)
    with pytest.raises(ValueError, match="a metric's name is a text that is not empty"):
        writer.stepless(name, 1.0, 1.0)

    assert writer.scalar("a", 1.0, 1, 1.0)
    assert events(journal) == [Metric("a", 1.0, 1, 1.0)]


@pytest.mark.parametrize(
    ("value", "step"), [("1", 1), (1.0, 2**63), (1.0, -(2**63) - 1), (1.0, 1.5), (None, 1)]
)
def test_a_value_of_the_wrong_type_is_refused_and_leaves_nothing(
    journal: Path, value: Any, step: Any
) -> None:
    writer = Writer(journal)
    assert writer.scalar("known", 1.0, 1, 1.0)

    for name in ("known", "new"):
        with pytest.raises(struct.error):
            writer.scalar(name, value, step, 1.0)

    assert writer.scalar("new", 2.0, 2, 2.0)
    assert events(journal) == [Metric("known", 1.0, 1, 1.0), Metric("new", 2.0, 2, 2.0)]
    assert writer.lost == 0


def test_a_name_too_large_for_a_record_is_refused_each_time(journal: Path) -> None:
    writer = Writer(journal)
    name = "x" * (codec.PAYLOAD_MAX + 1)

    for _ in range(2):
        with pytest.raises(ValueError, match="more than the journal takes"):
            writer.scalar(name, 1.0, 1, 1.0)

    assert writer.scalar("a", 1.0, 1, 1.0)
    assert events(journal) == [Metric("a", 1.0, 1, 1.0)]


def test_an_event_too_large_for_a_record_is_refused_and_leaves_nothing(journal: Path) -> None:
    writer = Writer(journal)

    with pytest.raises(ValueError, match="more than the journal takes"):
        writer.event(Note(1.0, "x" * codec.PAYLOAD_MAX))

    assert writer.event(Note(2.0, "fits"))
    assert events(journal) == [Note(2.0, "fits")]
    assert writer.lost == 0


def test_after_close_nothing_is_appended(journal: Path) -> None:
    writer = Writer(journal)
    assert writer.scalar("a", 1.0, 1, 1.0)
    writer.close()

    assert not writer.scalar("a", 2.0, 2, 2.0)
    assert not writer.scalar("b", 2.0, 2, 2.0)
    assert not writer.stepless("a", 2.0, 2.0)
    assert not writer.event(Note(1.0, "x"))
    assert not writer.finish(RunFinished(1.0, "FINISHED"))
    writer.close()
    assert events(journal) == [Metric("a", 1.0, 1, 1.0)]
    assert writer.lost == writer.dropped == 0


def test_nothing_follows_the_end_of_a_run(journal: Path) -> None:
    writer = Writer(journal)
    assert writer.event(Note(1.0, "x"))
    assert writer.finish(RunFinished(2.0, "FINISHED"))

    assert not writer.event(Note(3.0, "late"))
    assert not writer.finish(RunFinished(4.0, "FAILED"))
    assert events(journal) == [Note(1.0, "x"), RunFinished(2.0, "FINISHED")]


def test_durability_record_asks_the_disk_after_each_append(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.fstat(fd).st_size), real(fd)))
    writer = Writer(journal, sync=True, segment=600)
    sizes: list[int] = []

    for index in range(10):
        assert writer.scalar("a", 1.0, index, 1.0)
        sizes.append((journal / writer.segment).stat().st_size)
        assert writer.stepless("b", 1.0, 1.0)
        sizes.append((journal / writer.segment).stat().st_size)
        assert writer.event(Note(1.0, "x"))
        sizes.append((journal / writer.segment).stat().st_size)

    assert synced == sizes
    assert len(segments(journal)) > 1
    assert len(events(journal)) == 30


def test_durability_process_asks_the_disk_for_nothing(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("training waited for the disk"))
    writer = Writer(journal, segment=400)

    for index in range(50):
        assert writer.scalar("a", 1.0, index, 1.0)


def test_a_directory_that_is_gone_costs_records_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "run"
    writer = Writer(journal)

    with caplog.at_level(logging.WARNING):
        assert not writer.scalar("a", 1.0, 1, 1.0)
        assert not writer.event(Note(1.0, "x"))
    journal.mkdir()
    assert writer.scalar("a", 2.0, 2, 2.0)

    assert writer.lost == 2
    assert len(caplog.records) == 1
    assert "cannot be written: [Errno 2] No such file" in caplog.text
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


def test_several_threads_append_at_once(journal: Path) -> None:
    with small(block=5000, chunk=3000):
        writer = Writer(journal, segment=20_000)
        threads = [threading.Thread(target=_append_many, args=(writer, f"thread/{n}", 500)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        found = [event for event in events(journal) if isinstance(event, Metric)]

    assert len(segments(journal)) > 3
    assert len(found) == 8 * 500 * 2
    for number in range(8):
        mine = [event for event in found if event.name == f"thread/{number}"]
        assert [event.step for event in mine if event.step is not None] == list(range(500))
        assert [event.ordinal for event in mine if event.step is None] == list(range(500))
    assert writer.lost == writer.dropped == 0


def _append_many(writer: Writer, name: str, times: int) -> None:
    for index in range(times):
        assert writer.scalar(name, 1.0, index, 1.0)
        assert writer.stepless(name, 1.0, 1.0)


class LogsWhenItDies:
    """Its `__del__` logs, and it can only be collected by the garbage collector."""

    def __init__(self, writer: Writer, outcomes: list[bool]) -> None:
        self.itself = self
        self.writer, self.outcomes = writer, outcomes

    def __del__(self) -> None:
        self.outcomes.append(self.writer.scalar("from __del__", 1.0, len(self.outcomes), 1.0))


def test_an_object_that_logs_while_it_is_collected_does_not_deadlock(journal: Path) -> None:
    writer = Writer(journal)
    outcomes: list[bool] = []
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for index in range(1500):
            LogsWhenItDies(writer, outcomes)
            assert writer.event(Params(1.0, {"a": [[index]]}))
            assert writer.stepless("main", 1.0, 1.0)
    finally:
        gc.set_threshold(*before)
    gc.collect()

    found = events(journal)
    assert len(outcomes) == 1500
    assert len([e for e in found if isinstance(e, Metric) and e.name == "from __del__"]) == sum(outcomes)
    assert len([e for e in found if isinstance(e, Metric) and e.name == "main"]) == 1500
    assert writer.dropped == outcomes.count(False)
    assert writer.lost == 0


class Interrupt(BaseException):
    """What a signal handler raises."""


def interrupted_after(calls: int, function: Callable[[], object]) -> bool:
    """Call `function`, and raise where Python would run a signal handler: at its `calls`-th call.

    Python looks for signals when a function begins and after each call into C.
    """
    left = calls

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event in {"call", "c_return"} and frame.f_code is not interrupted_after.__code__:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise Interrupt

    sys.setprofile(look)
    try:
        function()
    except Interrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


APPENDS: dict[str, Callable[[Writer], object]] = {
    "known": lambda writer: writer.scalar("known", -7.0, 7, 7.0),
    "new": lambda writer: writer.scalar("new", -7.0, 7, 7.0),
    "stepless": lambda writer: writer.stepless("known", -7.0, 7.0),
    "event": lambda writer: writer.event(Note(7.0, "interrupted")),
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("room", [None, 20])
@pytest.mark.parametrize("segment", [100_000, 150])
@pytest.mark.parametrize("kind", APPENDS)
def test_an_exception_of_a_signal_handler_at_any_point_harms_no_other_append(
    tmp_path: Path, disk: FailingOs, kind: str, segment: int, room: int | None
) -> None:
    """Ctrl-C inside an append: the lock is free, what was appended stays, appending goes on."""
    interrupted, calls = True, 0
    while interrupted:
        journal = tmp_path / str(calls)
        journal.mkdir()
        with small(block=200):
            writer = Writer(journal, segment=segment)
            writer.scalar("known", 0.0, 0, 0.0)
            disk.room = room
            interrupted = interrupted_after(calls, lambda writer=writer: APPENDS[kind](writer))
            disk.room = None
            later = [Metric(name, float(step), step, 1.0) for step, name in enumerate(["new", "known"] * 4)]

            _from_another_thread(writer, later)

            _check_after_interrupt(journal, writer, later)
        calls += 1
    assert calls > 3


def _from_another_thread(writer: Writer, points: list[Metric]) -> None:
    """Append from a thread that would wait forever if the lock were still held."""
    done: list[bool] = []
    thread = threading.Thread(
        target=lambda: done.extend(writer.scalar(p.name, p.value, p.step or 0, p.time) for p in points),
        daemon=True,
    )
    thread.start()
    eventually(lambda: not thread.is_alive())
    assert done == [True] * len(points)


def _check_after_interrupt(journal: Path, writer: Writer, later: list[Metric]) -> None:
    """Look at all segments, and at what the writer thinks of the last."""
    found = read_all(journal)
    assert not damages(found)
    points = [r.event for r in found if isinstance(r.event, Metric) and r.event.value != -7.0]
    assert points == [Metric("known", 0.0, 0, 0.0), *later]
    assert len([r for r in found if r.event not in points and not isinstance(r.event, Lost)]) <= 1
    if writer._fd >= 0:
        assert writer._size == (journal / writer.segment).stat().st_size


def test_recording_inside_recording_is_dropped_and_counted(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way in, from within every way in."""
    writer = Writer(journal)
    writer.scalar("known", 0.0, 0, 0.0)
    ways: list[Callable[[], object]] = [
        lambda: writer.scalar("known", 1.0, 1, 1.0),
        lambda: writer.scalar(f"new{len(outcomes)}", 1.0, 1, 1.0),
        lambda: writer.stepless("known", 1.0, 1.0),
        lambda: writer.event(Note(1.0, "x")),
    ]
    outcomes: list[object] = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if not inside:
            inside.append(True)
            outcomes.extend(way() for way in ways)
        return real(fd, data)

    inside: list[bool] = []
    monkeypatch.setattr(writing, "os", mock.Mock(wraps=os, write=write))
    for way in ways:
        inside.clear()
        assert way()

    assert outcomes == [False] * 16
    assert writer.dropped == 16
    assert len(events(journal)) == 5


def test_bytes_per_point_are_what_the_format_says(journal: Path) -> None:
    writer = Writer(journal)
    writer.scalar("a", 1.0, 1, 1.0)
    path = journal / writer.segment
    before = path.stat().st_size

    writer.scalar("a", 2.0, 2, 2.0)
    assert path.stat().st_size - before == POINT_SIZE

    writer.scalar("bb", 2.0, 2, 2.0)
    assert path.stat().st_size - before == 2 * POINT_SIZE + HEAD_SIZE + 4 + 2


def test_everything_survives_in_the_order_of_the_calls(journal: Path) -> None:
    book = Book(journal)
    writer = Writer(journal, segment=700)
    fill(book, writer, 30)
    packed: list[Packed] = [Params(1.0, {}), RunFinished(2.0, "KILLED", "why")]
    for event in packed:
        book.event(writer, event)

    appended = [entry for segment in segments(journal) for entry in book.all(segment)]
    assert [key(record.event) for record in read_all(journal, final=False)] == appended
