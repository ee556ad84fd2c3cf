"""Waiting grows, is spread, and begins anew after a success."""

import pytest

from tracelet.relay.retry import FIRST, LONGEST, PATIENT, SOON, Backoff


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    backoff = Backoff(first=1.0, longest=4.0)

    waits = [backoff.failed() for _ in range(5)]

    for wait, most in zip(waits, [1.0, 2.0, 4.0, 4.0, 4.0], strict=True):
        assert most / 2 <= wait <= most


def test_two_relays_do_not_come_back_at_once() -> None:
    assert len({Backoff().failed() for _ in range(20)}) > 1


def test_a_success_begins_with_the_shortest_wait_again() -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.failed()

    backoff.succeeded()

    assert backoff.failed() <= FIRST


@pytest.mark.parametrize("asked", [0.0, 5.0, 1000.0])
def test_it_is_never_less_than_the_tracker_asked_for(asked: float) -> None:
    assert Backoff().failed(asked) >= asked


def test_a_tracker_that_is_back_is_noticed_within_the_longest_wait() -> None:
    backoff = Backoff()

    assert max(backoff.failed() for _ in range(50)) <= LONGEST


def test_a_tracker_that_is_back_within_a_minute_is_noticed_soon_and_one_away_for_long_is_let_alone() -> None:
    backoff = Backoff()
    waits: list[float] = []
    while sum(waits) < PATIENT:
        waits.append(backoff.failed())

    assert max(waits) <= SOON
    assert len(waits) < 40
    assert min([backoff.failed() for _ in range(10)][-5:]) >= LONGEST / 2
    backoff.succeeded()
    assert max(backoff.failed() for _ in range(8)) <= SOON
