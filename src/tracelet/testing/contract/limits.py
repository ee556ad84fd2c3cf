"""Limits: a backend takes as much as it says, and what is cut is what is too long."""

from pathlib import Path
from typing import Final

import pytest

from tracelet.events import Artifact, Metric, Note, Params, Plain, Tags
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.scene import BEGAN, Scene

LONGEST: Final = 100_000  # characters, of a tracker that sets no limit
POINTS: Final = 100_000
METRICS: Final = 20
PARAMS: Final = 10_000
LARGE: Final = 16 * 1024 * 1024  # bytes of an artifact
CHARACTERS: Final = "a long value, größer und höher, 漢字 😀 "


def text_of(length: int) -> str:
    """Make a text of so many characters."""
    return (CHARACTERS * (length // len(CHARACTERS) + 1))[:length]


class Limited(Contract):
    """What is promised of what is much, and large."""

    def test_values_as_long_as_the_limits_come_back_whole(self, scene: Scene) -> None:
        limits = self.backend.limits
        param, tag, note = (
            text_of(min(length, LONGEST)) for length in (limits.param_value, limits.tag_value, limits.note)
        )
        run = scene.run(
            Params(BEGAN, {"long": param}), Tags(BEGAN, {"long": tag}), Note(BEGAN, note)
        ).finish()

        run.deliver()

        assert run.problems() == []

    def test_values_that_are_longer_come_back_cut(self, scene: Scene) -> None:
        limits = self.backend.limits
        param, tag, note = (
            text_of(min(length, LONGEST) + 1)
            for length in (limits.param_value, limits.tag_value, limits.note)
        )
        run = scene.run(
            Params(BEGAN, {"long": param}), Tags(BEGAN, {"long": tag}), Note(BEGAN, note)
        ).finish()

        run.deliver()

        assert run.problems() == []

    def test_a_call_as_full_as_the_limits_allow_is_taken(self, scene: Scene) -> None:
        limits = self.backend.limits
        tags = {f"tag {at}": str(at) for at in range(min(limits.tags, 200) + 1)}
        params: dict[str, Plain] = {f"param {at}": at for at in range(min(limits.params, 200) + 1)}
        logged = [
            Metric(f"loss {at % 7}", float(at), at, BEGAN + at) for at in range(min(limits.batch, 2000))
        ]
        run = scene.run(Tags(BEGAN, tags), Params(BEGAN, params), *logged).finish()

        run.deliver()

        assert run.problems() == []

    @pytest.mark.slow
    def test_a_hundred_thousand_points_come_back(self, scene: Scene) -> None:
        run = scene.run(
            *(Metric(f"loss/{at % METRICS}", 1 / (at + 1), at // METRICS, BEGAN + at) for at in range(POINTS))
        ).finish()

        run.deliver()

        assert run.problems() == []

    @pytest.mark.slow
    def test_ten_thousand_params_come_back(self, scene: Scene) -> None:
        params: dict[str, Plain] = {f"layer.{at}.weight": f"value {at}" for at in range(PARAMS)}
        run = scene.run(Params(BEGAN, params)).finish()

        run.deliver()

        assert run.problems() == []

    @pytest.mark.slow
    def test_a_large_artifact_comes_back_byte_for_byte(self, scene: Scene, tmp_path: Path) -> None:
        self.needs_artifacts()
        content = bytes(range(251)) * (LARGE // 251)
        run = scene.run()
        run.log(run.keep(Artifact(time=BEGAN, path="large.bin", size=0), content))
        run.finish()

        run.deliver()

        scene.reader().download(run.id, "large.bin", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
