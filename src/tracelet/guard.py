"""Keep training safe from us, and us from ourselves.

`contained` is the one place that swallows exceptions: what a user calls while training goes
through it. An error is logged once per place with its traceback; the call then returns None.
`once` keeps a warning from repeating at every step of a training loop.
"""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Hashable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LOG: Final = logging.getLogger("tracelet")
MOST: Final = 10_000  # different warnings; a run with more has been warned
_said: set[tuple[Hashable, ...]] = set()

errors: Final[list[BaseException]] = []
"""What `contained` swallowed, the first 100; our own tests fail when it is not empty."""


def contained(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make `function` return None instead of raising; log the first error of each kind."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  the promise: no logging call raises
            report(error, getattr(function, "__qualname__", type(function).__name__))
            return None
        except BaseException as error:  # a panic; what ends a program goes on
            if not is_panic(error):
                raise
            report(error, getattr(function, "__qualname__", type(function).__name__))
            return None

    return inside


def is_panic(error: BaseException) -> bool:
    """Tell whether a library of Rust's has failed, such as polars: pyo3 lets it pass `except Exception`."""
    return type(error).__name__ == "PanicException"


def report(error: BaseException, where: str) -> None:
    """Log an error of ours that must not reach the user's code, once per place and kind."""
    if first(where, type(error)):
        say(logging.ERROR, "tracelet failed in %s; training is not affected", where, error=error)
    if len(errors) < 100:  # noqa: PLR2004  enough to see; an endless loop must not fill memory
        errors.append(_bare(error))


def _bare(error: BaseException) -> BaseException:
    """Take the tracebacks off an error: their frames would keep the user's tensors alive."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def first(*key: Hashable) -> bool:
    """Tell whether this is the first time in this run that `key` is asked for."""
    if key in _said or len(_said) > MOST:
        return False
    _said.add(key)
    return True


def warn_once(message: str, *args: object, key: Hashable = None) -> None:
    """Log a warning, once for each message and `key`; `args` are the message's, whatever they are."""
    if first("warn", message, key):
        say(logging.WARNING, message, *args)


def say(level: int, message: str, *args: object, error: BaseException | None = None) -> None:
    """Log something, also where a handler of the user's raises: that must not reach training."""
    with contextlib.suppress(Exception):  # there is nobody left to tell
        LOG.log(level, message, *args, exc_info=error)


def forget() -> None:
    """Let every warning be said again: a new run begins."""
    _said.clear()


def own_process(pid: int) -> bool:
    """Tell whether this is still process `pid`, and not a fork of it."""
    return os.getpid() == pid
