"""Endings: what a run is, how it ended, and that it can be gone on with."""

import pytest

from tracelet.events import Metric, RunFinished, Status, Tags
from tracelet.testing.contract.base import Contract, needs_writer
from tracelet.testing.contract.comparing import held
from tracelet.testing.contract.scene import BEGAN, Scene, points


class Endings(Contract):
    """What is promised of a run as a whole."""

    def test_a_run_comes_back_with_all_that_is_said_of_it(self, scene: Scene) -> None:
        run = scene.run(
            name="a name, größer",
            tags={"team": "vision", "empty": ""},
            note="what it is\n\n*and* why",
            group="sweep 7",
            job_type="train",
        ).finish()

        run.deliver()

        assert run.problems() == []

    @pytest.mark.parametrize("how", ["FINISHED", "FAILED", "KILLED"])
    def test_a_run_ends_as_it_ended(self, scene: Scene, how: Status) -> None:
        end = RunFinished(BEGAN + 100, how, "a reason")
        run = scene.run(*points("loss", range(3))).finish(end)

        run.deliver()

        kept = held(end, self.backend)
        assert run.problems() == []
        if isinstance(kept, RunFinished):
            assert [found.status for found in scene.reader().runs(scene.project)] == [kept.status]

    def test_a_run_that_goes_on_has_no_end(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(3)))

        run.deliver()

        assert run.problems() == []

    @needs_writer
    def test_a_run_that_goes_on_is_continued_by_its_id(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(3)))
        first = run.deliver()
        run.log(*points("loss", range(3, 6), 3), Tags(BEGAN, {"stage": "last"}))

        second = run.finish().deliver()

        assert second == first
        assert [found.id for found in scene.reader().runs(scene.project)] == [first]
        assert run.problems() == []

    def test_what_is_logged_after_the_end_arrives_too(self, scene: Scene) -> None:
        """A process that the trainer has left behind may go on logging."""
        run = scene.run(*points("loss", range(3))).finish()
        run.deliver()
        run.go_on(*(Metric("child/loss", float(at), at, BEGAN + at) for at in range(3)))

        run.deliver()

        assert run.problems() == []
