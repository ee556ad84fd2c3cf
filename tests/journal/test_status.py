"""What a run's small files say, also when some are missing, half written or of a newer version."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.support import HEAD_SIZE, small
from tracelet.errors import JournalCorrupt
from tracelet.events import Note, RunFinished
from tracelet.journal import cursors, status
from tracelet.journal.cursors import Cursor
from tracelet.journal.locks import Holder, this_process
from tracelet.journal.reader import Reader, segments
from tracelet.journal.status import DeliveryStatus, Reject, RunFile, Target
from tracelet.journal.writer import Writer

GONE = Holder(2**22 + 1, 1)  # no process has such a number


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def blocks() -> Iterator[None]:
    with small():
        yield


def run_of(trainer: Holder = GONE) -> RunFile:
    return RunFile(
        run_id="20260101-000000-aaaaaa",
        name="n\u00e4me",
        project="p",
        time=1.5,
        trainer=trainer,
        host=os.uname().nodename,
        directory="/work",
        python="/usr/bin/python",
        targets={"mlflow": Target("mlflow", {"tracking_uri": "http://h"}), "b": Target("x:BACKEND")},
    )


def reject(start: int = 0, key: str = "", reason: str = "no") -> Reject:
    return Reject("a.seg", start, key, "Metric a", reason, 1.0)


def end(journal: Path, role: str = "trainer", reason: str = "") -> RunFinished:
    """Append a run's end."""
    event = RunFinished(9.0, "FAILED", reason)
    writer = Writer(journal, role)
    writer.event(Note(1.0, "x"))
    assert writer.finish(event)
    return event


def test_a_run_file_comes_back_as_it_was_written(journal: Path) -> None:
    status.write_run(journal, run_of())

    assert status.read_run(journal) == run_of()
    assert [path.name for path in journal.iterdir()] == ["run.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b"\xff\xfe"])
def test_a_run_file_that_cannot_be_read_is_told(journal: Path, content: bytes | None) -> None:
    if content is not None:
        (journal / "run.json").write_bytes(content)

    with pytest.raises(JournalCorrupt, match=f"{journal} is not a run that this version"):
        status.read_run(journal)


def test_a_delivery_status_comes_back_and_is_fresh_where_there_is_none(journal: Path) -> None:
    said = DeliveryStatus(state="unavailable", since=1.0, beat=2.0, error="down", id="7", url="u", pid=3)
    status.write_delivery(journal, "mlflow", said)

    assert status.read_delivery(journal, "mlflow") == said
    assert status.read_delivery(journal, "wandb") == DeliveryStatus()
    (journal / "status.mlflow").write_bytes(b'{"state": "a state of the future"}')
    assert status.read_delivery(journal, "mlflow") == DeliveryStatus()


def test_a_reject_is_kept_once_however_often_it_was_tried(journal: Path) -> None:
    for one in (reject(1), reject(2), reject(1, reason="still no"), reject(1, key="param")):
        status.append_reject(journal, "mlflow", one)

    assert status.rejects(journal, "mlflow") == [
        reject(1, reason="still no"),
        reject(2),
        reject(1, key="param"),
    ]
    assert status.rejects(journal, "wandb") == []


def test_a_reject_that_a_kill_cut_short_costs_no_other(journal: Path) -> None:
    for start in range(3):
        status.append_reject(journal, "mlflow", reject(start))
    path = journal / "rejects.mlflow"
    content = path.read_bytes()

    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = (
            content[: cut + 1].count(b"\n") if content[cut : cut + 1] == b"\n" else content[:cut].count(b"\n")
        )
        assert status.rejects(journal, "mlflow") == [reject(start) for start in range(whole)], cut


def test_a_reject_written_behind_one_that_was_cut_short_is_not_lost(journal: Path) -> None:
    status.append_reject(journal, "mlflow", reject(1))
    path = journal / "rejects.mlflow"
    os.truncate(path, path.stat().st_size - 5)

    status.append_reject(journal, "mlflow", reject(2))

    assert status.rejects(journal, "mlflow") == [reject(2)]


@pytest.mark.parametrize("role", ["trainer", "keeper"])
def test_the_end_of_a_run_is_found_behind_everything_else(journal: Path, role: str) -> None:
    Writer(journal, "trainer").event(Note(1.0, "of a child"))
    assert status.ending(journal) is None

    event = end(journal, role)

    Writer(journal, "zz-worker").event(Note(1.0, "of a child"))
    assert status.ending(journal) == event


def test_a_run_that_goes_on_has_no_end(journal: Path) -> None:
    assert status.ending(journal) is None
    writer = Writer(journal)
    writer.scalar("a", 1.0, 1, 1.0)
    assert status.ending(journal) is None
    assert status.ending(journal / "gone") is None


def test_an_end_of_the_longest_reason_is_found(journal: Path) -> None:
    """The experiment cuts reasons to 1,000 characters, of up to four bytes each."""
    event = end(journal, reason="🙂" * 1000)

    assert status.ending(journal) == event


def test_an_end_with_torn_bytes_behind_it_is_found(journal: Path) -> None:
    event = end(journal)
    with (journal / segments(journal)[0]).open("ab") as file:
        file.write(b"\xa7\x54" * 30)

    assert status.ending(journal) == event


def test_an_end_that_is_torn_is_none(journal: Path) -> None:
    end(journal)
    path = journal / segments(journal)[0]
    content = path.read_bytes()

    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        assert status.ending(journal) is None, cut


def test_how_a_run_stands(journal: Path) -> None:
    assert status.run_status(journal, run_of(this_process())) == "RUNNING"
    assert status.run_status(journal, run_of(GONE)) == "KILLED"
    assert not status.has_ended(journal, run_of(this_process()))
    assert status.has_ended(journal, run_of(GONE))

    end(journal)

    assert status.run_status(journal, run_of(this_process())) == "FAILED"
    assert status.run_status(journal, run_of(GONE)) == "FAILED"
    assert status.has_ended(journal, run_of(this_process()))


def test_a_run_is_delivered_once_every_backend_has_its_end(journal: Path) -> None:
    cursors.save(journal, "mlflow", Cursor(finished=True))
    assert not status.is_delivered(journal, run_of())

    cursors.save(journal, "b", Cursor(finished=True))
    assert status.is_delivered(journal, run_of())


def test_what_a_child_logs_after_the_end_is_still_to_be_delivered(journal: Path) -> None:
    child = Writer(journal, "joined")
    child.event(Note(1.0, "before"))
    end(journal)
    sizes = status.sizes(journal)
    cursors.save(journal, "mlflow", Cursor(sizes, finished=True, sizes=sizes))
    assert status.is_complete(journal, "mlflow")

    child.event(Note(2.0, "after"))
    assert not status.is_complete(journal, "mlflow")

    cursors.save(journal, "mlflow", Cursor(finished=True))
    assert status.is_complete(journal, "mlflow"), "a cursor that does not know is taken at its word"


@pytest.mark.usefixtures("blocks")
def test_what_is_behind_is_counted_from_the_cursor(journal: Path) -> None:
    writer = Writer(journal, segment=600)
    for index in range(40):
        writer.scalar("a", 1.0, index, 1.0)
    sizes = {name: (journal / name).stat().st_size for name in segments(journal)}
    assert len(sizes) > 2
    reader, cursor = Reader(journal), Cursor()

    for left in range(40, -1, -1):
        assert status.lag(journal, "mlflow") == left
        assert status.backlog(journal, "mlflow") == sum(
            size - cursor.offsets.get(name, 0) for name, size in sizes.items()
        )
        assert status.last_records(journal, sizes, cursor.offsets) == (left == 0)
        for record in reader.read(1):
            cursor.offsets[record.segment] = record.end
        cursors.save(journal, "mlflow", cursor)


def test_a_cursor_beyond_the_end_is_not_behind(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "x"))
    cursors.save(journal, "mlflow", Cursor({writer.segment: 10_000}))

    assert status.lag(journal, "mlflow") == status.backlog(journal, "mlflow") == 0


def test_what_was_written_after_the_look_does_not_count(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "before"))
    ends = {writer.segment: (journal / writer.segment).stat().st_size}
    writer.event(Note(2.0, "after"))
    Writer(journal).event(Note(3.0, "in a new segment"))

    assert status.last_records(journal, ends, ends)
    assert not status.last_records(journal, ends, {})


def test_a_header_or_a_torn_tail_is_no_record_that_is_left(journal: Path) -> None:
    writer = Writer(journal)
    writer.event(Note(1.0, "x"))
    path = journal / writer.segment
    header = HEAD_SIZE + int.from_bytes(path.read_bytes()[2:6], "little")
    os.truncate(path, header + 7)

    assert status.last_records(journal, {writer.segment: header + 7}, {})
    assert status.lag(journal, "mlflow") == 0
