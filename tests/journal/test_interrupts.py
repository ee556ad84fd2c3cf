"""Whatever runs in the middle of an append, and whatever it raises, harms no other append."""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from unittest import mock

import pytest

from tests.conftest import eventually
from tests.journal.support import (
    FailingOs,
    damages,
    events,
    failing_os,
    read_all,
    small,
)
from tracelet.events import Lost, Metric, Note, Params
from tracelet.journal import writer as writing
from tracelet.journal.writer import Writer

pytestmark = pytest.mark.slow


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def disk() -> Iterator[FailingOs]:
    with failing_os() as fake:
        yield fake


class LogsWhenItDies:
    """Its `__del__` logs, and it can only be collected by the garbage collector."""

    def __init__(self, writer: Writer, outcomes: list[bool]) -> None:
        self.itself = self
        self.writer, self.outcomes = writer, outcomes

    def __del__(self) -> None:
        self.outcomes.append(self.writer.scalar("from __del__", 1.0, len(self.outcomes), 1.0))


@pytest.mark.slow
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
