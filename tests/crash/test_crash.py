"""A few seeds of the crash harness, and a check that it would notice a loss."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.chaos import endure, plan_of
from tests.crash.relays import wear
from tests.crash.trackers import TRACKERS, Arrived, Key, Tracker
from tests.crash.verdict import Lived, Noted, judged

POINT: Key = ("metric", "main/loss", "0x1.0p+0", 1)
OTHER: Key = ("metric", "main/loss", "0x1.8p+0", 2)
THIRD: Key = ("metric", "main/accuracy", "0x1.8p+1", 3)
KILLED = Lived("finished", -signal.SIGKILL, 100.0, 200.0)


@pytest.fixture
def tracker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    with TRACKERS[request.param](tmp_path_factory.getbasetemp()) as made:
        yield made


@pytest.mark.crash
@pytest.mark.parametrize("tracker", ["memory"], indirect=True)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_doubled_when_processes_are_killed(
    tracker: Tracker, place: Path, seed: int
) -> None:
    outcome = endure(plan_of(seed, tracker.seconds), tracker, place)

    assert outcome.verdict.problems == ()


@pytest.mark.crash
@pytest.mark.parametrize(("tracker", "seed"), [("mlflow", 3)], indirect=["tracker"])
def test_a_real_tracker_has_everything_once_when_processes_are_killed(
    tracker: Tracker, place: Path, seed: int
) -> None:
    outcome = endure(plan_of(seed, tracker.seconds), tracker, place)

    assert outcome.verdict.problems == ()


@pytest.mark.crash
@pytest.mark.parametrize("tracker", [name for name in TRACKERS if name != "memory"], indirect=True)
def test_everything_is_there_once_when_relays_are_killed_while_they_deliver(
    tracker: Tracker, place: Path
) -> None:
    outcome = wear(0, tracker, place, kills=2)

    assert outcome.kills >= 2
    assert outcome.verdict.problems == ()


def test_a_seed_always_says_the_same() -> None:
    assert plan_of(7, 2.0) == plan_of(7, 2.0)
    assert len({plan_of(seed, 2.0).kills for seed in range(20)}) == 20


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({POINT: 1, OTHER: 1}, ""),
        ({POINT: 1, OTHER: 1, THIRD: 1}, ""),  # logged, and killed before it was noted
        ({POINT: 1}, "missing"),
        ({POINT: 1, OTHER: 2}, "doubled"),
        ({POINT: 1, OTHER: 1, THIRD: 1, ("tag", "main-10", "10", None): 1}, "nobody logged"),
    ],
)
def test_the_comparison_notices(there: dict[Key, int], told: str) -> None:
    noted = Noted(run_id="run", records={POINT, OTHER})
    arrived = Arrived(records=Counter(there), runs=1, statuses=["KILLED"])

    verdict = judged(noted, arrived, KILLED, 0, [])

    assert all(problem.startswith(told) for problem in verdict.problems)
    assert bool(verdict.problems) == bool(told)


@pytest.mark.parametrize(
    ("noted", "lived", "right"),
    [
        (Noted("run"), KILLED, {"KILLED"}),
        (Noted("run", ended=True), KILLED, {"KILLED", "FINISHED"}),
        (Noted("run", ended=True, stopped=True), KILLED, {"FINISHED"}),
        (Noted("run", ended=True), Lived("failed", 1, 100.0, 200.0), {"FAILED"}),
    ],
)
def test_the_comparison_knows_the_right_status(noted: Noted, lived: Lived, right: set[str]) -> None:
    found = {
        status
        for status in ("FINISHED", "FAILED", "KILLED", "RUNNING")
        if not judged(noted, Arrived(runs=1, statuses=[status]), lived, 0, []).problems
    }

    assert found == right


@pytest.mark.parametrize(
    "arrived",
    [
        Arrived(runs=2, statuses=["KILLED"]),
        Arrived(runs=1, statuses=["KILLED", "KILLED"]),
        Arrived(runs=1, statuses=["KILLED"], times=[99.0]),
        Arrived(runs=1, statuses=["KILLED"], latest={"main-latest": 10}),
    ],
)
def test_the_comparison_notices_what_is_wrong_with_the_run(arrived: Arrived) -> None:
    noted = Noted(run_id="run", latest={"main-latest": 30} if arrived.latest else {})

    assert judged(noted, arrived, KILLED, 0, []).problems
    assert judged(Noted("run"), Arrived(runs=1, statuses=["KILLED"]), KILLED, 1, []).problems
    assert judged(Noted("run"), Arrived(runs=1, statuses=["KILLED"]), KILLED, 0, ["keeper.lock"]).problems
