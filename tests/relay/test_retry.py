"""Waiting grows, is spread, and begins anew after a success."""

import pytest

from tracelet.relay.retry import FIRST, LONGEST, Backoff


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    backoff = Backoff(first=1.0, longest=8.0)

    waits = [backoff.failed() for _ in range(6)]

    for wait, most in zip(waits, [1.0, 2.0, 4.0, 8.0, 8.0, 8.0], strict=True):
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
