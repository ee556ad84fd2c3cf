"""Training is safe from us: errors are kept and told once, and warnings are not repeated."""

import logging
import os

import polars as pl
import pytest

from tests.journal.test_processes import forked, waited_for
from tracelet import guard


@guard.contained
def divide(one: float, two: float = 1.0) -> float:
    """Divide."""
    return one / two


def test_what_works_returns_what_it_returns(caplog: pytest.LogCaptureFixture) -> None:
    assert divide(1.0, two=2.0) == 0.5
    assert divide.__name__ == "divide"
    assert divide.__doc__ == "Divide."
    assert not caplog.records


def test_an_error_becomes_none_and_is_told_once_with_its_traceback(
    swallowed: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    assert [divide(1.0, 0.0) for _ in range(5)] == [None] * 5

    assert [type(error) for error in swallowed] == [ZeroDivisionError] * 5
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "tracelet failed in divide; training is not affected"
    assert record.exc_info is not None
    assert record.exc_info[1] is swallowed[0]


def test_each_kind_of_error_in_each_place_is_told(
    swallowed: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    divide(1.0, 0.0)
    divide("x")  # pyright: ignore[reportArgumentType]
    guard.report(ZeroDivisionError(), "elsewhere")

    assert len(caplog.records) == len(swallowed) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_is_not_held_up(error: type[BaseException]) -> None:
    @guard.contained
    def end() -> None:
        raise error

    with pytest.raises(error):
        end()


def test_a_panic_of_a_librarys_rust_is_an_error_like_others(swallowed: list[BaseException]) -> None:
    @guard.contained
    def listed() -> list[object]:
        return pl.Series([2**62], dtype=pl.Datetime("ms")).to_list()  # polars has no word for the year

    assert listed() is None
    assert not isinstance(swallowed[0], Exception)


def test_an_endless_loop_of_errors_does_not_fill_memory(swallowed: list[BaseException]) -> None:
    for _ in range(1000):
        divide(1.0, 0.0)

    assert len(swallowed) == 100


def test_a_warning_is_said_once_for_each_message_and_key(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        for name in ("a", "b"):
            guard.warn_once("metric %r is odd", name, key=name)
            guard.warn_once("%r is odd too", name)

    assert [record.getMessage() for record in caplog.records] == [
        "metric 'a' is odd",
        "'a' is odd too",
        "metric 'b' is odd",
    ]


def test_a_warning_may_speak_of_anything(caplog: pytest.LogCaptureFixture) -> None:
    guard.warn_once("got %r", {"a": [1]})

    assert caplog.messages == ["got {'a': [1]}"]


def test_a_new_run_is_warned_anew(caplog: pytest.LogCaptureFixture) -> None:
    guard.warn_once("odd")
    guard.forget()
    guard.warn_once("odd")

    assert len(caplog.records) == 2


def test_endless_different_warnings_do_not_fill_memory() -> None:
    for number in range(guard.MOST + 1000):
        guard.first("number", number)

    assert len(guard._said) <= guard.MOST + 1
    assert not guard.first("one more")


def test_a_fork_is_not_its_parent() -> None:
    pid = os.getpid()

    def child() -> None:
        assert not guard.own_process(pid)

    assert guard.own_process(pid)
    assert waited_for(forked(child)) == 0
