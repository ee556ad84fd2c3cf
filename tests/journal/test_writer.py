"""Appending: whole records only, losses counted and told, and never an exception of the disk's."""

import os
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journal.support import (
    DEEP,
    HEAD_SIZE,
    POINT_SIZE,
    Book,
    events,
    fill,
    key,
    read_all,
    small,
)
from tests.journal.test_codec import ANY_TEXT, FLOAT64, INT64
from tracelet.events import Metric, Note, Packed, Params, RunFinished
from tracelet.journal import codec
from tracelet.journal.reader import header, segments
from tracelet.journal.writer import Writer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


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
    assert [key(record.event) for record in read_all(journal)] == appended
