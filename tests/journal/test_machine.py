"""Whatever happens to a journal's bytes, and in whatever order, the four invariants hold.

The invariants stand in `tracelet.journal`. The machine appends with real writers, lets the disk
fill up, crashes, flips bits, overwrites and cuts, while a reader follows in steps of any size
and starts again from saved cursors. The book says what must come back.
"""

import contextlib
import itertools
import logging
import os
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.journal.support import DEEP, NAME_LOST, Book, drained, failing_os, key, keys, small
from tracelet.events import Lost, Note
from tracelet.journal import codec, cursors
from tracelet.journal import writer as writing
from tracelet.journal.reader import Damage, Reader, Record, segments
from tracelet.journal.writer import Writer

NAMES = ["a", "train/loss", "ü🙂", "\ud800", "x" * 120]
VALUES = st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -1e308])
PLACES = st.tuples(st.integers(0, 20), st.integers(0, 5000))
ONLY = st.just(()) | st.sampled_from([("wandb",), ("mlflow", "ä🙂")])
STEPS = st.none() | st.integers(0, 5) | st.sampled_from([-(2**63), 2**63 - 1])


class Journal(RuleBasedStateMachine):
    """A journal, its writers, and a reader with a cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.directory = directory
        self.os = self.stack.enter_context(failing_os())
        log = logging.getLogger("tracelet.journal.writer")
        log.disabled = True  # it says that the disk is full
        self.stack.callback(setattr, log, "disabled", False)
        # Names must not differ from one try of an example to the next.
        count = itertools.count()
        tokens = SimpleNamespace(token_hex=lambda _: f"{next(count):08x}")
        self.stack.enter_context(mock.patch.object(writing, "secrets", tokens))
        self.book = Book(directory)
        self.writers: list[Writer] = []
        self.all_writers: list[Writer] = []
        self.missed: Counter[Writer] = Counter()
        self.reader = Reader(directory)
        self.cursor = cursors.Cursor()
        self.consumed: list[Record] = []
        self.clock = 0.0  # makes every record one of its own

    @initialize(
        block=st.sampled_from([150, 400, 5000]),
        chunk=st.sampled_from([64, 256, 10_000]),
        segment=st.sampled_from([1, 500, 1200, 100_000]),
    )
    def begin(self, block: int, chunk: int, segment: int) -> None:
        """Choose how often blocks and segments turn."""
        self.stack.enter_context(small(block, chunk))
        self.segment = segment
        self.open()

    def now(self) -> float:
        self.clock += 1.0
        return self.clock

    @rule()
    @precondition(lambda self: len(self.writers) < 3)
    def open(self) -> None:
        """Let another process begin to write, or the same one after a crash."""
        self.writers.append(Writer(self.directory, "trainer", segment=self.segment))
        self.all_writers.append(self.writers[-1])

    @rule(
        which=st.integers(0, 2),
        name=st.sampled_from(NAMES),
        value=VALUES,
        step=STEPS,
        times=st.integers(1, 6),
        only=ONLY,
    )
    @precondition(lambda self: self.writers)
    def log_points(
        self, which: int, name: str, value: float, step: int | None, times: int, only: tuple[str, ...]
    ) -> None:
        """Append points, for all backends or for some."""
        writer = self.writers[which % len(self.writers)]
        for _ in range(times):
            self.count(writer, written=self.book.scalar(writer, name, value, step, self.now(), only))

    @rule(which=st.integers(0, 2), size=st.integers(0, 40) | st.integers(0, 1500), only=ONLY)
    @precondition(lambda self: self.writers)
    def log_event(self, which: int, size: int, only: tuple[str, ...]) -> None:
        """Append an event; it may be larger than what is read at once, and than a block."""
        writer = self.writers[which % len(self.writers)]
        self.count(writer, written=self.book.event(writer, Note(self.now(), "t" * size), only))

    def count(self, writer: Writer, *, written: bool) -> None:
        self.missed[writer] += not written
        assert writer.lost == self.missed[writer]
        assert writer.unreported == 0 or not written

    @rule(room=st.integers(0, 400), truncates=st.booleans())
    def disk_fills_up(self, room: int, truncates: bool) -> None:
        """Leave room for a few bytes only."""
        self.os.room, self.os.truncates = room, truncates

    @rule()
    @precondition(lambda self: self.os.room is not None)
    def disk_has_room_again(self) -> None:
        """Let writes succeed again."""
        self.os.room, self.os.truncates = None, True

    @rule(which=st.integers(0, 2), torn=st.integers(0, 200))
    @precondition(lambda self: self.writers)
    def crash(self, which: int, torn: int) -> None:
        """End a writer, as a kill or a power failure does: the last bytes may be missing."""
        writer = self.writers.pop(which % len(self.writers))
        writer.close()
        if writer.segment in self.book.pieces:
            size = (self.directory / writer.segment).stat().st_size
            os.truncate(self.directory / writer.segment, max(0, size - torn))
            self.book.look()

    @rule(where=PLACES, bit=st.integers(0, 7))
    @precondition(lambda self: self.book.pieces)
    def flip_a_bit(self, where: tuple[int, int], bit: int) -> None:
        """Change one bit anywhere."""
        segment, offset = self.place(list(self.book.pieces), where)
        content = bytearray(self.book.disk(segment))
        if content:
            content[offset % len(content)] ^= 1 << bit
            self.change(segment, content)

    @rule(where=PLACES, junk=st.binary(min_size=1, max_size=150) | st.integers(1, 150).map(bytes))
    @precondition(lambda self: self.book.pieces)
    def overwrite_a_stretch(self, where: tuple[int, int], junk: bytes) -> None:
        """Put other bytes in the place of some."""
        segment, offset = self.place(list(self.book.pieces), where)
        content = bytearray(self.book.disk(segment))
        content[offset : offset + len(junk)] = junk[: len(content) - offset]
        self.change(segment, content)

    @rule(where=PLACES)
    @precondition(lambda self: self.dead())
    def cut(self, where: tuple[int, int]) -> None:
        """Cut a segment that nobody writes any more, at any offset."""
        segment, offset = self.place(self.dead(), where)
        os.truncate(self.directory / segment, offset)
        self.book.look()

    def place(self, among: list[str], where: tuple[int, int]) -> tuple[str, int]:
        """Make a segment and an offset in it of any two numbers."""
        segment = among[where[0] % len(among)]
        return segment, where[1] % (len(self.book.disk(segment)) + 1)

    def change(self, segment: str, content: bytes | bytearray) -> None:
        """Put bytes in the place of a segment's, in the same file: its writer has it open."""
        with (self.directory / segment).open("r+b") as file:
            file.write(content)
        self.book.look()

    def dead(self) -> list[str]:
        """List the segments that nobody writes any more."""
        written = {writer.segment for writer in self.writers}
        return [segment for segment in self.book.pieces if segment not in written]

    @rule(limit=st.integers(1, 30))
    def read(self, limit: int) -> None:
        """Read on, and move the cursor."""
        records = self.reader.read(limit)
        assert len(records) <= limit
        self.take(records)

    def take(self, records: list[Record]) -> None:
        for record in records:
            assert self.cursor.offsets.get(record.segment, 0) <= record.start < record.end
            self.cursor.offsets[record.segment] = record.end
        self.consumed += records

    @rule()
    def restart_the_reader(self) -> None:
        """Save the cursor, and begin again from what was saved."""
        cursors.save(self.directory, "memory", self.cursor)
        self.cursor = cursors.load(self.directory, "memory")
        self.reader = Reader(self.directory, self.cursor.offsets)

    @rule()
    def read_from_the_beginning(self) -> None:
        """Invariants 1, 2 and 3: all that is whole comes back, in order, and nothing else."""
        records = drained(Reader(self.directory))
        for segment in segments(self.directory):
            found = [record for record in records if record.segment == segment]
            assert keys(found) == (self.book.expected(segment) if segment in self.book.pieces else [])
            self.damage_is_told(segment, found)

    def damage_is_told(self, segment: str, found: list[Record]) -> None:
        """What is passed over lies between records, and an undamaged segment has none of it."""
        assert all(one.end <= two.start for one, two in itertools.pairwise(found))
        whole = segment in self.book.pieces and self.book.disk(segment) == self.book.original[segment]
        assert not (whole and any(isinstance(record.event, Damage) for record in found))

    def teardown(self) -> None:
        """Invariants 1 and 4: the reader that went in steps gave each record once, and missed none."""
        try:
            if hasattr(self, "segment"):
                for writer in self.writers:
                    writer.close()
                self.os.room, self.os.truncates = None, True
                self.read_from_the_beginning()
                self.take(drained(self.reader, limit=7))
                self.nothing_is_missed_or_doubled()
                self.losses_are_told()
        finally:
            self.stack.close()

    def nothing_is_missed_or_doubled(self) -> None:
        for segment in self.book.pieces:
            read = keys([record for record in self.consumed if record.segment == segment])
            found = [entry for entry in read if entry != (NAME_LOST,)]
            appended = self.book.all(segment)
            positions = [appended.index(entry) for entry in found]
            assert positions == sorted(set(positions))
            missing = set(self.book.untouched(segment)) - set(found)
            assert not missing

    def losses_are_told(self) -> None:
        """Each record that could not be written is in one `Lost`, or still to be told."""
        told = sum(record.event.count for record in self.consumed if isinstance(record.event, Lost))
        missed = sum(writer.lost - writer.unreported for writer in self.all_writers)
        assert told == missed or self.book.touched


TestJournal = Journal.TestCase
TestJournal.settings = settings(
    max_examples=1500 if DEEP else 60, stateful_step_count=80, deadline=None, print_blob=True
)


def test_the_book_knows_what_it_is_about(tmp_path: Path) -> None:
    """The model itself is looked at: it must tell a damaged record from a whole one."""
    book = Book(tmp_path)
    writer = Writer(tmp_path)
    book.scalar(writer, "a", 1.0, 1, 1.0)
    book.scalar(writer, "a", 2.0, 2, 2.0)
    segment = writer.segment
    kinds = [piece.type for piece in book.pieces[segment]]
    content = bytearray(book.disk(segment))
    content[-1] ^= 1
    (tmp_path / segment).write_bytes(content)
    book.look()

    assert kinds == [codec.HEADER, codec.NAME, codec.SCALAR, codec.SCALAR]
    first, second = book.all(segment)
    assert first != second
    assert book.expected(segment) == book.untouched(segment) == [first]
    assert key(book.pieces[segment][2].event) == first
