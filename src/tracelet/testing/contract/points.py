"""Points: the very same float64 at the very same step and time, and all of them."""

import math
import sys

from tracelet.events import Metric
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.scene import BEGAN, Scene, points

VALUES = [
    0.0,
    0.1,
    -1 / 3,
    math.pi,
    1e-9,
    123456789.123456789,
    float(2**53 - 1),
    sys.float_info.max,
    -sys.float_info.max,
    sys.float_info.min,
    5e-324,
    -0.0,
]
SEVERAL = 2_500  # points; more than any tracker gives that gives a sample


class Points(Contract):
    """What is promised of points."""

    def test_a_value_comes_back_as_the_same_float64(self, scene: Scene) -> None:
        run = scene.run(*points("loss", VALUES)).finish()

        run.deliver()

        assert run.problems() == []

    def test_nan_and_infinities_come_back_as_declared(self, scene: Scene) -> None:
        run = scene.run(*points("loss", [1.0, math.nan, math.inf, -math.inf, 2.0])).finish()

        run.deliver()

        assert run.problems() == []

    def test_the_whole_history_comes_back(self, scene: Scene) -> None:
        run = scene.run(*points("loss", [1 / (step + 1) for step in range(SEVERAL)])).finish()

        run.deliver()

        assert run.problems() == []

    def test_points_of_a_name_come_back_oldest_first(self, scene: Scene) -> None:
        steps = [7, 3, 5, 4, 9, 1]
        logged = [Metric("loss", float(step), step, BEGAN + at) for at, step in enumerate(steps)]
        run = scene.run(*logged).finish()

        run.deliver()

        back = [event for event in run.back() if isinstance(event, Metric)]
        assert [point.step for point in back] == steps
        assert run.problems() == []

    def test_steps_may_be_repeated_and_go_back(self, scene: Scene) -> None:
        steps = [0, 1, 2, 1, 1, 0, 10, 3]
        logged = [Metric("loss", float(at), step, BEGAN + at) for at, step in enumerate(steps)]
        run = scene.run(*logged).finish()

        run.deliver()

        assert run.problems() == []

    def test_a_step_is_any_int64(self, scene: Scene) -> None:
        steps = [0, -1, -(2**63), 2**31, 2**53 + 1, 2**63 - 1]
        run = scene.run(
            *(Metric(f"loss {at}", 0.5, step, BEGAN + at) for at, step in enumerate(steps))
        ).finish()

        run.deliver()

        assert run.problems() == []

    def test_a_point_without_a_step_has_none_or_is_numbered(self, scene: Scene) -> None:
        one = [Metric("loss", float(at), None, BEGAN + at) for at in range(3)]
        other = [Metric("accuracy", float(at), None, BEGAN + at) for at in range(2)]
        run = scene.run(*one, *other).finish()

        run.deliver()

        assert run.problems() == []

    def test_times_are_those_of_the_call(self, scene: Scene) -> None:
        times = [BEGAN, BEGAN + 0.001, BEGAN + 0.123456, BEGAN + 1e5, BEGAN + 2e5]
        run = scene.run(*(Metric("loss", 0.5, step, time) for step, time in enumerate(times))).finish()

        run.deliver()

        assert run.problems() == []

    def test_metrics_with_steps_of_their_own_do_not_touch_each_other(self, scene: Scene) -> None:
        logged = [
            Metric(name, step + 0.5, step, BEGAN + at)
            for at in range(40)
            for name, step in (("loss", at), ("loss/sub", at // 10), ("accuracy", 1000 - at))
            if name != "loss/sub" or at % 10 == 0
        ]
        run = scene.run(*logged).finish()

        run.deliver()

        assert run.problems() == []
