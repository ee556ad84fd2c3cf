"""Repetition: whoever dies, and whatever is sent again, nothing is doubled and nothing is missing."""

import signal
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from tracelet.backend import Remote, Writer
from tracelet.errors import Refused, Unavailable
from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Metric,
    Note,
    Params,
    RunFinished,
    RunStarted,
    Tags,
    Text,
)
from tracelet.testing.contract.base import Contract, needs_writer
from tracelet.testing.contract.scene import BEGAN, Run, Scene, points, watched

BATCH: Final = 20  # events in one call of a relay that is to be killed
DONE: Final = 0  # a relay's exit code
KILLED: Final = -signal.SIGKILL


class Repeating:
    """See `tracelet.backend.Writer`: gives the Writer behind it everything twice."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        return self.writer.open(run)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        self.writer.write(batch)
        if not isinstance(batch[-1], RunFinished):
            self.writer.write(batch)

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`; of a repetition the first half counts."""
        confirmed = self.writer.acknowledged()
        return confirmed and (confirmed + 1) // 2  # the end came once

    def close(self) -> None:
        """See `Writer.close`."""
        self.writer.close()


class Unanswered(Repeating):
    """See `tracelet.backend.Writer`: the answer to one call is lost."""

    def __init__(self, writer: Writer, lost: list[int]) -> None:
        super().__init__(writer)
        self._lost = lost

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        self.writer.write(batch)
        if self._lost:
            self._lost.pop()
            raise Unavailable("the answer was lost")

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return self.writer.acknowledged()


def of_all_kinds(scene: Scene, count: int = 50) -> Run:
    """Make a run that has some of everything that could be doubled."""
    half = count // 2
    run = scene.run(tags={"team": "vision"}, note="a note")
    run.log(Params(BEGAN, {"lr": 0.1, "epochs": 3}), *points("loss", range(half)))
    run.log(Tags(BEGAN, {"stage": "first"}), Text(time=BEGAN, name="sample", text="a text", step=1))
    run.log(*(Metric("accuracy", float(at), None, BEGAN + at) for at in range(half)))
    run.log(run.keep(Artifact(time=BEGAN, path="model/weights.bin", size=0), b"weights"))
    counts, limits = (1.0, 2.0), (0.0, 0.5, 1.0)
    run.log(Histogram(time=BEGAN, name="weights", step=1, counts=counts, limits=limits))
    run.log(Note(BEGAN + 1, "another note"))
    run.log(*points("loss", range(half, count), half), Tags(BEGAN + 1, {"stage": "last"}))
    return run.finish()


class Repetition(Contract):
    """What is promised of what is sent again."""

    @needs_writer
    def test_opening_twice_makes_one_run(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(3)))
        first, second = scene.writer(run), scene.writer(run)

        one = first.open(run.started)
        first.close()
        other = second.open(run.started)
        second.close()
        run.finish().deliver()

        assert one.id == other.id == run.remote
        assert [found.id for found in scene.reader().runs(scene.project)] == [run.remote]
        assert run.problems() == []

    @needs_writer
    def test_a_batch_that_is_written_twice_is_there_once(self, scene: Scene) -> None:
        run = of_all_kinds(scene)

        run.deliver(watched(self.backend, Repeating))

        assert run.problems() == []

    @needs_writer
    def test_a_batch_whose_answer_was_lost_is_there_once(self, scene: Scene) -> None:
        run = of_all_kinds(scene)
        lost = [1]

        run.deliver(watched(self.backend, lambda writer: Unanswered(writer, lost)))

        assert lost == []
        assert [found.id for found in scene.reader().runs(scene.project)] == [run.remote]
        assert run.problems() == []

    @needs_writer
    def test_a_run_that_is_delivered_again_from_the_start_is_there_once(self, scene: Scene) -> None:
        run = of_all_kinds(scene)
        run.deliver()

        again = run.deliver_anew()

        assert [found.id for found in scene.reader().runs(scene.project)] == [again]
        assert run.problems() == []

    @needs_writer
    def test_a_run_that_was_deleted_at_the_tracker_is_delivered_whole_again(
        self, scene: Scene, forget: Callable[[str], object]
    ) -> None:
        """Also where a relay has made the run again, and died before it wrote anything."""
        run = scene.run(Params(BEGAN, {"lr": 0.1}), *points("loss", range(20)), tags={"team": "vision"})
        run.log(run.keep(Artifact(time=BEGAN, path="weights.bin", size=0), b"weights"))
        run.deliver()
        forget(run.remote)
        run.log(*points("loss", range(20, 25), 20))
        run.finish()

        if self.never_again:
            with pytest.raises(Refused, match=self.never_again):
                run.deliver()
            return
        dying = scene.writer(run)
        dying.open(run.started)
        dying.close()
        run.deliver()

        assert [found.id for found in scene.reader().runs(scene.project)] == [run.remote]
        assert run.problems() == []

    @needs_writer
    @pytest.mark.slow
    def test_a_process_that_is_killed_halfway_is_continued_by_the_next(self, scene: Scene) -> None:
        run = of_all_kinds(scene)

        code = run.relay(kill=2, late=True, batch=BATCH)
        first = run.remote
        run.deliver()

        assert code == KILLED
        assert run.remote == first
        assert [found.id for found in scene.reader().runs(scene.project)] == [first]
        assert run.problems() == []

    @needs_writer
    @pytest.mark.slow
    def test_a_relay_that_is_killed_three_times_delivers_everything_once(self, scene: Scene) -> None:
        run = of_all_kinds(scene, 200)

        codes = [
            run.relay(kill=3, late=True, batch=BATCH),
            run.relay(kill=2, batch=BATCH),
            run.relay(kill=4, late=True, batch=BATCH),
            run.relay(batch=BATCH),
        ]

        assert codes == [KILLED, KILLED, KILLED, DONE]
        assert [found.id for found in scene.reader().runs(scene.project)] == [run.remote]
        assert run.problems() == []
