"""Waiting for deliveries ends when they are there, when it is hopeless, or when time is up."""

import time
from pathlib import Path

import pytest

from tracelet.events import Note
from tracelet.journal import cursors, progress, status
from tracelet.journal.cursors import Cursor
from tracelet.journal.reader import segments
from tracelet.journal.status import DeliveryStatus
from tracelet.journal.writer import Writer

LONG = 60.0  # seconds that no test here waits for


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    writer = Writer(directory)
    writer.event(Note(1.0, "x"))
    writer.close()
    return directory


def size(journal: Path) -> dict[str, int]:
    return {name: (journal / name).stat().st_size for name in segments(journal)}


def test_what_is_there_is_not_waited_for(journal: Path) -> None:
    assert progress.wait_for(journal, ["a", "b"], lambda _: True, LONG) == []
    assert progress.wait_for(journal, [], lambda _: False, LONG) == []
    assert progress.wait_for(journal, ["a"], lambda _: True, 0.0) == []


def test_when_time_is_up_those_that_are_missing_are_told(journal: Path) -> None:
    assert progress.wait_for(journal, ["a", "b", "c"], lambda name: name == "b", 0.0) == ["a", "c"]


def test_waiting_ends_as_soon_as_all_are_there(journal: Path) -> None:
    def deliver() -> None:
        looks.append(True)
        if len(looks) == 3:
            cursors.save(journal, "a", Cursor(finished=True))

    looks: list[bool] = []
    missed = progress.wait_for(journal, ["a"], progress.everything(journal), LONG, deliver)

    assert missed == []
    assert len(looks) == 3


def test_a_backend_that_refuses_is_not_waited_for(journal: Path) -> None:
    status.write_delivery(journal, "a", DeliveryStatus(state="refused"))
    cursors.save(journal, "b", Cursor(finished=True))

    assert progress.wait_for(journal, ["a", "b"], progress.everything(journal), LONG) == ["a"]


def test_a_backend_that_has_been_away_for_long_is_not_waited_for(journal: Path) -> None:
    status.write_delivery(
        journal, "a", DeliveryStatus(state="unavailable", since=time.time() - progress.UNAVAILABLE - 1)
    )

    assert progress.wait_for(journal, ["a"], progress.everything(journal), LONG) == ["a"]


def test_a_backend_that_is_away_for_a_moment_is_waited_for(journal: Path) -> None:
    def comes_back() -> None:
        cursors.save(journal, "a", Cursor(finished=True))

    status.write_delivery(journal, "a", DeliveryStatus(state="unavailable", since=time.time()))

    assert progress.wait_for(journal, ["a"], progress.everything(journal), LONG, comes_back) == []


def test_a_backend_that_comes_back_while_another_is_waited_for_is_waited_for_again(journal: Path) -> None:
    away = DeliveryStatus(state="unavailable", since=time.time() - progress.UNAVAILABLE - 1)
    status.write_delivery(journal, "a", away)
    steps = iter(
        [
            lambda: None,
            lambda: None,  # until here it has been seen to be away
            lambda: status.write_delivery(journal, "a", DeliveryStatus(state="delivering")),
            lambda: cursors.save(journal, "b", Cursor(finished=True)),
            lambda: None,
            lambda: cursors.save(journal, "a", Cursor(finished=True)),
        ]
    )

    def look() -> None:
        next(steps)()

    missed = progress.wait_for(journal, ["a", "b"], progress.everything(journal), LONG, look)

    assert missed == []
    assert next(steps, None) is None


def test_ctrl_c_ends_the_waiting(journal: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        progress.wait_for(journal, ["a"], progress.everything(journal), LONG, interrupt)


def test_until_now_asks_for_nothing_that_comes_later(journal: Path) -> None:
    before = size(journal)
    reached = progress.until_now(journal)
    Writer(journal).event(Note(2.0, "later"))

    assert not reached("a")
    cursors.save(journal, "a", Cursor(before))
    assert reached("a")


def test_everything_is_there_once_the_run_s_end_is(journal: Path) -> None:
    reached = progress.everything(journal)
    cursors.save(journal, "a", Cursor(size(journal)))
    assert not reached("a")

    cursors.save(journal, "a", Cursor(size(journal), finished=True))
    assert reached("a")


def test_deliveries_stall_when_neither_a_cursor_nor_the_journal_moves(journal: Path) -> None:
    movement = progress.Movement(journal, ["a"], patience=0.0)
    movement.stalled()

    assert movement.stalled()
    cursors.save(journal, "a", Cursor(size(journal)))
    assert not movement.stalled()
    assert movement.stalled()
    Writer(journal).event(Note(2.0, "grows"))
    assert not movement.stalled()
    assert not progress.Movement(journal, ["a"], patience=LONG).stalled()
