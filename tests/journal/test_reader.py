"""What a reader gives back is what was appended, whatever has happened to the bytes since."""

import os
import struct
from pathlib import Path

import msgspec
import pytest

from tests.journal.support import (
    HEAD_SIZE,
    POINT_SIZE,
    Book,
    drained,
    events,
    fill,
    key,
    keys,
    read_all,
    small,
)
from tracelet.errors import JournalCorrupt
from tracelet.events import Metric, Note
from tracelet.journal import codec, reader
from tracelet.journal.reader import Damage, Reader, header, segments
from tracelet.journal.writer import Writer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


def recorded(directory: Path, rounds: int = 12, segment: int = 1 << 20) -> Book:
    """Record a journal of one writer."""
    book = Book(directory)
    writer = Writer(directory, segment=segment)
    fill(book, writer, rounds)
    writer.close()
    return book


def appended(directory: Path, name: str, *records: bytes) -> None:
    """Put records behind a segment that is already there."""
    with (directory / name).open("ab") as file:
        file.write(b"".join(records))


def test_an_undamaged_journal_is_returned_whole_and_in_order(journal: Path) -> None:
    book = recorded(journal)
    (segment,) = segments(journal)

    records = read_all(journal)

    assert [key(record.event) for record in records] == book.all(segment)
    assert all(record.segment == segment for record in records)
    assert records[-1].end == len(book.original[segment])


def test_a_tail_that_is_not_whole_yet_is_left_for_later(journal: Path) -> None:
    book = recorded(journal)
    (segment,) = segments(journal)
    content = bytes(book.original[segment])
    (journal / segment).write_bytes(content[:-1])
    source = Reader(journal)

    before = drained(source)
    appended(journal, segment, content[-1:])
    after = drained(source)

    assert [key(r.event) for r in before + after] == book.all(segment)
    assert len(after) == 1


def test_damage_is_told_as_soon_as_something_sound_follows_it(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "one"))
    path = journal / writer.segment
    size = path.stat().st_size
    writer.event(Note(2.0, "two"))
    content = bytearray(path.read_bytes())
    content[size + HEAD_SIZE] ^= 1
    path.write_bytes(content)
    source = Reader(journal)

    first = [record.event for record in drained(source)]
    writer.event(Note(3.0, "three"))
    second = [record.event for record in drained(source)]

    assert first == [Note(1.0, "one")]
    assert second == [Damage("bytes that are no record", len(content) - size), Note(3.0, "three")]


def test_a_damaged_header_costs_no_record(journal: Path) -> None:
    book = recorded(journal)
    (segment,) = segments(journal)
    content = bytearray(book.original[segment])
    content[0] ^= 1
    (journal / segment).write_bytes(content)

    records = read_all(journal)

    assert isinstance(records[0].event, Damage)
    assert keys(records) == book.all(segment)
    assert header(journal, segment) is None


def test_a_cursor_beyond_the_end_means_delivered(journal: Path) -> None:
    book = recorded(journal, segment=2000)
    first, *others = segments(journal)

    records = drained(Reader(journal, {first: len(book.original[first]) + 1000}))

    assert keys(records) == [entry for segment in others for entry in book.all(segment)]


def test_a_segment_that_lost_its_tail_to_a_power_failure_is_not_delivered_again(journal: Path) -> None:
    book = recorded(journal)
    (segment,) = segments(journal)
    os.truncate(journal / segment, 200)

    assert drained(Reader(journal, {segment: len(book.original[segment])})) == []


def test_a_record_of_an_unknown_type_is_skipped_and_told(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "before"))
    salt = codec.salt_of(writer.segment)
    unknown = codec.frame(77, b"from the future", salt)
    known_type = codec.frame(codec.SCALAR, b"longer than a scalar of this version is", salt)
    appended(journal, writer.segment, unknown, known_type)
    writer.event(Note(2.0, "after"))

    assert events(journal) == [
        Note(1.0, "before"),
        Damage("a record of the unknown type 77", 15),
        Damage("a record of the unknown type 3", 39),
        Note(2.0, "after"),
    ]


def test_an_event_of_an_unknown_class_is_skipped_and_told(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "before"))
    salt = codec.salt_of(writer.segment)
    payloads = [msgspec.msgpack.encode({"type": "Hologram", "time": 1.0}), b"", b"\xc1", b"\x93\x01"]
    appended(journal, writer.segment, *(codec.frame(codec.EVENT, payload, salt) for payload in payloads))
    writer.event(Note(2.0, "after"))

    before, *unknown, after = events(journal)

    assert (before, after) == (Note(1.0, "before"), Note(2.0, "after"))
    assert len(unknown) == len(payloads)
    for event in unknown:
        assert isinstance(event, Damage)
        assert event.reason.startswith("an event that this version does not know")


@pytest.mark.parametrize("payload", [b"", b"\x01\x00", struct.pack("<I", 0) + b"\xff\xfe"])
def test_a_name_that_cannot_be_understood_is_told(journal: Path, payload: bytes) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "before"))
    appended(journal, writer.segment, codec.frame(codec.NAME, payload, codec.salt_of(writer.segment)))
    writer.event(Note(2.0, "after"))

    before, damage, after = events(journal)

    assert (before, after) == (Note(1.0, "before"), Note(2.0, "after"))
    assert damage == Damage("a name that this version does not understand", len(payload))


def test_a_scalar_whose_name_was_lost_is_never_guessed(journal: Path) -> None:
    writer = Writer(journal)
    writer.scalar("kept", 1.0, 1, 1.0)
    salt = codec.salt_of(writer.segment)
    appended(journal, writer.segment, codec.point_frame(codec.SCALAR, 9, 1, 1.0, 1.0, salt))
    writer.scalar("kept", 2.0, 2, 2.0)

    assert events(journal) == [
        Metric("kept", 1.0, 1, 1.0),
        Damage("a scalar whose name was lost", POINT_SIZE),
        Metric("kept", 2.0, 2, 2.0),
    ]


@pytest.mark.parametrize("cursor", [False, True])
def test_a_newer_version_s_segment_is_refused(journal: Path, cursor: bool) -> None:
    name = "trainer-00000000-0000.seg"
    salt = codec.salt_of(name)
    newer = codec.header_frame(codec.SegmentHeader(2, "trainer-00000000", 0, 1, 1, 1.0), salt)
    appended(journal, name, newer, codec.event_frame(Note(1.0, "x"), salt))

    with pytest.raises(JournalCorrupt, match=f"{name} has journal format 2.*Upgrade tracelet"):
        Reader(journal, {name: len(newer)} if cursor else {}).read(10)
    with pytest.raises(JournalCorrupt, match="format 2"):
        header(journal, name)


def test_a_header_names_the_process_that_wrote(journal: Path) -> None:
    writer = Writer(journal, "keeper")
    writer.event(Note(1.0, "x"))

    found = header(journal, writer.segment)

    assert found is not None
    assert (found.version, found.index, found.pid) == (1, 0, os.getpid())
    assert writer.segment == f"{found.writer}-0000.seg"
    assert writer.segment.startswith("keeper-")


@pytest.mark.parametrize("kept", [0, 5, 11, 40])
def test_a_header_that_is_not_whole_is_none(journal: Path, kept: int) -> None:
    recorded(journal, rounds=1)
    (segment,) = segments(journal)
    os.truncate(journal / segment, kept)

    assert header(journal, segment) is None


def test_a_copied_segment_is_not_mistaken_for_records(journal: Path) -> None:
    recorded(journal)
    (segment,) = segments(journal)
    (journal / "trainer-ffffffff-0000.seg").write_bytes((journal / segment).read_bytes())

    assert {record.segment for record in read_all(journal)} == {segment}


def test_a_journal_inside_a_record_is_not_mistaken_for_records(journal: Path) -> None:
    """Even right behind damage, where a reader looks for the next marker."""
    other = journal.with_name("other")
    other.mkdir()
    recorded(other)
    copied = (other / segments(other)[0]).read_bytes()
    writer = Writer(journal)
    writer.event(Note(1.0, "before"))
    path = journal / writer.segment
    size = path.stat().st_size
    appended(journal, writer.segment, codec.frame(codec.EVENT, copied, codec.salt_of(writer.segment)))
    writer.event(Note(2.0, "after"))
    content = bytearray(path.read_bytes())
    content[size] ^= 1
    path.write_bytes(content)

    before, damage, after = events(journal)

    assert (before, after) == (Note(1.0, "before"), Note(2.0, "after"))
    assert damage == Damage("bytes that are no record", len(copied) + HEAD_SIZE)


@pytest.mark.parametrize("before", [*range(1, 14), *range(40, 66)])
def test_right_behind_damage_the_largest_record_is_found(journal: Path, before: int) -> None:
    name = "trainer-00000000-0000.seg"
    with small(payload=300, chunk=64):
        largest = codec.event_frame(Note(1.0, "x" * (300 - 33)), codec.salt_of(name))
        assert len(largest) == HEAD_SIZE + 300
        appended(journal, name, bytes(before), largest)

        assert events(journal) == [
            Damage("bytes that are no record", before),
            Note(1.0, "x" * (300 - 33)),
        ]


def test_a_record_larger_than_what_is_read_at_once_is_returned(journal: Path) -> None:
    writer = Writer(journal)
    texts = ["x" * (3 * reader.CHUNK), "y", "z" * (reader.CHUNK - 20), "ü" * reader.CHUNK]
    for text in texts:
        writer.event(Note(1.0, text))

    assert events(journal) == [Note(1.0, text) for text in texts]


def test_a_busy_writer_does_not_starve_the_others(journal: Path) -> None:
    writers = [Writer(journal, role) for role in ("busy", "keeper", "worker")]
    for index in range(1000):
        writers[0].scalar("busy", 0.0, index, 0.0)
    for writer in writers[1:]:
        writer.event(Note(1.0, "quiet"))
    source = Reader(journal)

    first = [record.segment.partition("-")[0] for _ in range(3) for record in source.read(10)]

    assert {"busy", "keeper", "worker"} == set(first)


def test_segments_are_read_in_the_order_of_their_index_beyond_ten_thousand(journal: Path) -> None:
    names = [f"trainer-00000000-{index:04d}.seg" for index in (9_998, 9_999, 10_000, 10_001)]
    for index, name in enumerate(names):
        salt = codec.salt_of(name)
        written = codec.SegmentHeader(1, "trainer-00000000", 9_998 + index, 1, 1, 1.0)
        appended(
            journal,
            name,
            codec.header_frame(written, salt),
            codec.event_frame(Note(float(index), "x"), salt),
        )

    assert segments(journal) == names
    assert events(journal) == [Note(float(index), "x") for index in range(4)]


def test_a_new_segment_of_a_writer_is_noticed_while_reading(journal: Path) -> None:
    source = Reader(journal)
    assert source.read(10) == []
    writer = Writer(journal, segment=1)
    found: list[object] = []

    for index in range(5):
        writer.event(Note(float(index), "x"))
        found += [record.event for record in source.read(10)]

    assert found == [Note(float(index), "x") for index in range(5)]
    assert len(segments(journal)) == 5


def test_a_directory_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert Reader(tmp_path / "gone").read(10) == []
    assert segments(tmp_path / "gone") == []


def test_a_segment_that_vanishes_ends_quietly(journal: Path) -> None:
    recorded(journal)
    source = Reader(journal)
    assert len(source.read(3)) == 3
    (journal / segments(journal)[0]).unlink()

    assert source.read(10) == []
