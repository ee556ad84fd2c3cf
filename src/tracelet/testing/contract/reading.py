"""Reading: every run is listed, whole, and stays as it is."""

import contextlib
from pathlib import Path

import msgspec
import pytest

from tracelet.errors import Refused, Unavailable
from tracelet.events import Params, RunFinished, RunStarted
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.comparing import held
from tracelet.testing.contract.kinds import all_samples
from tracelet.testing.contract.scene import BEGAN, Scene, points


class Reading(Contract):
    """What is promised of a Reader."""

    def test_a_run_begins_with_its_start_and_ends_with_its_end(self, scene: Scene) -> None:
        run = scene.run(
            *points("loss", range(3)), Params(BEGAN, {"lr": 0.1}), tags={"team": "vision"}
        ).finish()

        run.deliver()

        back = run.back()
        assert [type(event) for event in back].count(RunStarted) == 1
        assert isinstance(back[0], RunStarted)
        if held(run.events[-1], self.backend) is not None:
            assert [type(event) for event in back].count(RunFinished) == 1
            assert isinstance(back[-1], RunFinished)

    def test_runs_are_listed_by_their_project(self, scene: Scene) -> None:
        runs = [scene.run(*points("loss", range(at + 1))).finish() for at in range(2)]

        for run in runs:
            run.deliver()

        reader = scene.reader()
        listed = {found.id: found for found in reader.runs(scene.project)}
        assert set(listed) == {run.id for run in runs}
        for run in runs:
            found, start = listed[run.id], held(run.started, self.backend)
            assert isinstance(start, RunStarted)
            assert (found.name, found.project, found.started) == (start.name, start.project, start.time)
        assert set(listed) <= {found.id for found in reader.runs(None)}
        with contextlib.suppress(Refused):  # it may tell that there is no such project
            assert [*reader.runs("a project that nobody has")] == []
        assert [problem for run in runs for problem in run.problems()] == []

    def test_reading_changes_nothing(self, scene: Scene, tmp_path: Path) -> None:
        run, _ = all_samples(scene)
        run.deliver()
        reader = scene.reader()

        times: list[object] = []
        for _ in range(2):
            runs = [*reader.runs(None)]
            events = [msgspec.json.encode(event) for event in reader.events(run.id)]
            times.append((runs, events))
            with pytest.raises(Refused):
                reader.download(run.id, "no/such/file", tmp_path / "back")

        assert times[0] == times[1]

    def test_a_run_that_is_not_there_is_refused(self, scene: Scene) -> None:
        scene.run(*points("loss", range(3))).finish().deliver()

        with pytest.raises((Refused, Unavailable)) as raised:
            list(scene.reader().events("20010101-000000-abcdef"))

        assert str(raised.value)
