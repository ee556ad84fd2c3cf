"""Points that become one in the tracker are counted, however far apart they come."""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from tests.relay.trackers import Tracker
from tracelet import backends
from tracelet.events import Metric
from tracelet.relay import merges
from tracelet.relay.merges import Merges


def counted(backend: Any, steps: Iterable[int], name: str = "loss") -> int:
    """Count what merges of points, each of a time of its own."""
    known = Merges(backend)
    return sum(known.merges(Metric(name, 0.5, step, float(at))) for at, step in enumerate(steps))


@pytest.mark.parametrize("backend", ["aim", "clearml"])
@pytest.mark.parametrize("every", [1, 50, 4_000_000])
def test_steps_that_come_again_are_counted_however_many_lie_between(backend: str, every: int) -> None:
    steps = range(0, 30_000 * every, every)

    merged = counted(backends.load(backend), [*steps, *steps])

    assert merged == len(steps)


def test_steps_between_those_that_grew_are_new_once() -> None:
    grown, between = [0, 1, 2, 10, 20, 30, 31, 35], [5, 15, 25, 33, -1, 34]

    assert counted(backends.load("aim"), grown + between) == 0
    assert counted(backends.load("aim"), [*grown, *between, *between, *grown, 36]) == len(between + grown)


def test_series_are_apart_and_so_is_what_is_no_number() -> None:
    known = Merges(backends.load("clearml"))
    points = [Metric(*point, 0.0) for point in itertools.product(["loss", "acc"], [0.5, float("nan")], [1])]

    assert [known.merges(point) for point in [*points, *points]] == [False] * 4 + [True] * 4


def test_where_a_time_tells_points_apart_they_are_apart() -> None:
    known = Merges(backends.load("mlflow"))
    points = [Metric("loss", 0.5, 1, time) for time in (1.0, 2.0, 1.0)]

    assert [known.merges(point) for point in points] == [False, False, True]


def test_what_is_forgotten_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merges, "RANGES", 8)
    uneven = [step * step for step in range(40)]

    assert 0 < counted(backends.load("aim"), [*uneven, *uneven]) <= len(uneven)
    known = Merges(backends.load("aim"))
    names = [f"metric {number}" for number in range(20)]
    assert not any(known.merges(Metric(name, 0.5, 0, 0.0)) for name in names)


def test_an_identity_that_is_no_name_and_step_is_remembered_as_it_is() -> None:
    def wild(event: Any) -> str:
        return f"{event.name} {event.step}"

    assert counted(Tracker(identity=wild).backend, [1, 2, 1, 3, 2]) == 2
