"""A run is read whole in one pass, also where its journal is damaged or of a newer version."""

from pathlib import Path

import pytest

from tests.cli.making import FINISHED, STARTED, new_run
from tests.journal.support import POINT_SIZE
from tracelet.errors import JournalCorrupt
from tracelet.events import Metric, RunFinished, RunStarted
from tracelet.journal import codec, history
from tracelet.journal.writer import Writer


def test_a_run_whose_beginning_is_damaged_begins_with_what_its_file_says(place: Path) -> None:
    directory = new_run(place, points=3)
    (segment,) = directory.glob("*.seg")
    content = segment.read_bytes()
    segment.write_bytes(content.replace(b"first", b"worst", 1))
    damages: list[object] = []

    first, *others = history.whole(directory, damages.append)

    assert first == RunStarted(time=STARTED, run_id=directory.name, name="first", project="demo")
    assert len(others) == 4
    assert len(damages) == 1


def test_what_is_written_after_the_reading_began_is_not_read(place: Path) -> None:
    directory = new_run(place, end=None)
    writer = Writer(directory)
    for step in range(10):
        writer.scalar("loss", 0.5, step, STARTED)

    events = history.whole(directory, print)
    next(events)
    next(events)
    for step in range(10, 30):
        writer.scalar("loss", 0.5, step, STARTED)
    writer.finish(FINISHED)

    assert [event.step for event in events if isinstance(event, Metric)] == list(range(1, 10))


def test_of_two_ends_the_trainer_s_is_the_run_s(place: Path) -> None:
    directory = new_run(place)
    Writer(directory, "keeper").finish(RunFinished(STARTED + 1, "KILLED"))

    ends = [event for event in history.whole(directory, print) if isinstance(event, RunFinished)]

    assert ends == [FINISHED]


def test_a_torn_end_is_no_damage(place: Path) -> None:
    directory = new_run(place, points=3, end=None)
    (segment,) = directory.glob("*.seg")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - POINT_SIZE // 2)
    damages: list[object] = []

    events = list(history.whole(directory, damages.append))

    assert sum(isinstance(event, Metric) for event in events) == 2
    assert damages == []


def test_a_journal_of_a_newer_version_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(codec, "VERSION", 2)
        directory = new_run(place, points=3)

    with pytest.raises(JournalCorrupt, match=r"has journal format 2; .*Upgrade tracelet"):
        list(history.whole(directory, print))
