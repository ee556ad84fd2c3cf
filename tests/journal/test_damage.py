"""Cut, flipped, overwritten, half visible: what is whole comes back, and nothing else."""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journal.support import (
    DEEP,
    POINT_SIZE,
    Book,
    damages,
    drained,
    fill,
    key,
    keys,
    read_all,
    small,
)
from tests.journal.test_reader import recorded
from tracelet.events import Note
from tracelet.journal import codec, reader
from tracelet.journal.reader import Reader, segments
from tracelet.journal.writer import Writer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def blocks() -> Iterator[None]:
    with small():
        yield


@pytest.mark.usefixtures("blocks")
def test_cut_at_every_offset_what_stands_before_the_cut_is_returned(journal: Path) -> None:
    book = recorded(journal)
    (segment,) = segments(journal)
    content = bytes(book.original[segment])
    path = journal / segment
    assert len(content) > 4 * codec.BLOCK

    for cut in range(len(content), -1, -1):
        os.truncate(path, cut)
        expected = book.expected(segment)

        records = read_all(journal)

        assert [key(r.event) for r in records] == expected, cut


@pytest.mark.usefixtures("blocks")
def test_cut_at_every_offset_the_next_segment_is_read_all_the_same(journal: Path) -> None:
    book = Book(journal)
    writer = Writer(journal, segment=700)
    fill(book, writer, 6)
    writer.close()
    first, *others = segments(journal)
    assert others
    rest = [entry for segment in others for entry in book.all(segment)]

    for cut in range(len(book.original[first]), -1, -1):
        os.truncate(journal / first, cut)

        records = read_all(journal)

        assert [key(r.event) for r in records] == book.expected(first) + rest, cut


@pytest.mark.usefixtures("blocks")
def test_with_a_bit_flipped_in_any_byte_all_other_records_are_returned(journal: Path) -> None:
    """Only what overlaps the bit is lost, and points that lose their name with it."""
    book = recorded(journal, rounds=6)
    (segment,) = segments(journal)
    content = bytes(book.original[segment])
    assert len(content) > 2 * codec.BLOCK

    for offset in range(len(content)):
        for bit in range(8) if DEEP else [offset % 8]:
            changed = bytearray(content)
            changed[offset] ^= 1 << bit
            (journal / segment).write_bytes(changed)

            records = read_all(journal)

            assert keys(records) == book.expected(segment), (offset, bit)
            assert len([d for d in damages(records) if d.reason == "bytes that are no record"]) <= 1


@pytest.mark.usefixtures("blocks")
@settings(max_examples=2000 if DEEP else 100)
@given(data=st.data())
def test_with_any_stretch_overwritten_all_other_records_are_returned(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    journal = tmp_path_factory.mktemp("run")
    book = recorded(journal)
    (segment,) = segments(journal)
    content = bytes(book.original[segment])
    begin = data.draw(st.integers(0, len(content) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=200) | st.integers(1, 200).map(bytes))
    changed = content[:begin] + junk + content[begin + len(junk) :]
    (journal / segment).write_bytes(changed[: len(content)])

    records = read_all(journal)

    assert keys(records) == book.expected(segment)
    for one, two in itertools.pairwise(records):
        assert one.end <= two.start


@pytest.mark.usefixtures("blocks")
def test_from_every_cursor_the_rest_is_returned(journal: Path) -> None:
    recorded(journal, segment=1500)
    assert len(segments(journal)) > 1
    records = read_all(journal)

    cursor: dict[str, int] = {}
    for index, record in enumerate(records):
        cursor[record.segment] = record.end

        rest = drained(Reader(journal, cursor))

        assert [key(r.event) for r in rest] == [key(r.event) for r in records[index + 1 :]]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("padding", range(POINT_SIZE))
def test_from_every_cursor_beside_a_block_s_beginning_the_rest_is_returned(
    journal: Path, padding: int
) -> None:
    """A record may begin, or end, at any distance from it."""
    writer = Writer(journal)
    writer.event(Note(1.0, "x" * padding))
    for index in range(20):
        writer.scalar("a", 1.0, index, 1.0)
    records = read_all(journal)

    for index, record in enumerate(records):
        assert drained(Reader(journal, {record.segment: record.end})) == records[index + 1 :]


@pytest.mark.usefixtures("blocks")
def test_after_any_damage_a_restarted_reader_finds_every_name_of_its_block(journal: Path) -> None:
    book = recorded(journal)
    (segment,) = segments(journal)
    records = read_all(journal)
    flipped = bytearray(book.original[segment])
    flipped[codec.BLOCK * 2 - 60] ^= 1
    (journal / segment).write_bytes(flipped)
    book.look()
    untouched = set(book.untouched(segment))

    for index, record in enumerate(records):
        rest = drained(Reader(journal, {segment: record.end}))

        wanted = [key(r.event) for r in records[index + 1 :] if key(r.event) in untouched]
        assert [found for found in keys(rest) if found in untouched] == wanted


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_many_small_steps_give_the_same_as_one_large_one(journal: Path, limit: int) -> None:
    recorded(journal, segment=1500)

    assert read_all(journal, limit=limit) == read_all(journal)


class GrowingOs:
    """The module `os`, for a file that grows between any two looks at it."""

    def __init__(self, total: int, seed: int) -> None:
        self.visible = 0
        self._total = total
        self._random = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _grow(self) -> int:
        if self._random.random() < 0.6:
            self.visible = min(self._total, self.visible + self._random.randint(1, 90))
        return self.visible

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read what is there by now."""
        return os.pread(fd, max(0, min(size, self._grow() - offset)), offset)

    def fstat(self, _: int) -> SimpleNamespace:
        """Tell how much is there by now."""
        return SimpleNamespace(st_size=self._grow())


@pytest.mark.usefixtures("blocks")
@settings(max_examples=5000 if DEEP else 300)
@given(
    seed=st.integers(0, 2**32), limit=st.sampled_from([1, 3, 1000]), chunk=st.sampled_from([64, 256, 5000])
)
def test_a_segment_may_grow_between_any_two_looks_at_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, limit: int, chunk: int
) -> None:
    """A write that crosses a page becomes visible in two steps; a reader may look between them."""
    journal = tmp_path_factory.mktemp("run")
    book = recorded(journal, rounds=6)
    (segment,) = segments(journal)
    growing = GrowingOs(len(book.original[segment]), seed)
    records: list[reader.Record] = []

    with mock.patch.object(reader, "os", growing), mock.patch.object(reader, "CHUNK", chunk):
        source = Reader(journal)
        restarts = random.Random(seed)
        while growing.visible < len(book.original[segment]) or len(records) < len(book.all(segment)):
            records += source.read(limit)
            if records and restarts.random() < 0.1:
                source = Reader(journal, {segment: records[-1].end})
            assert not damages(records)

    assert [key(record.event) for record in records] == book.all(segment)
