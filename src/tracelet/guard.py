"""Keep training safe from us, and us from ourselves.

`contained` is the one place that swallows exceptions: what a user calls while training goes
through it. An error is logged once per place with its traceback; the call then returns None.
`once` keeps a warning from repeating at every step of a training loop.
"""

import functools
import logging
import os
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LOG: Final = logging.getLogger("tracelet")
_said: set[tuple[object, ...]] = set()

errors: Final[list[BaseException]] = []
"""What `contained` swallowed, the first 100; our own tests fail when it is not empty."""


def contained(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make `function` return None instead of raising; log the first error of each kind."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  the promise: no logging call raises
            report(error, function.__qualname__)
            return None

    return inside


def report(error: BaseException, where: str) -> None:
    """Log an error of ours that must not reach the user's code, once per place and kind."""
    if len(errors) < 100:  # noqa: PLR2004  enough to see; an endless loop must not fill memory
        errors.append(error)
    if first(where, type(error)):
        LOG.error("tracelet failed in %s; training is not affected", where, exc_info=error)


def first(*key: object) -> bool:
    """Tell whether this is the first time in this process that `key` is asked for."""
    if key in _said:
        return False
    _said.add(key)
    return True


def warn_once(message: str, *args: object, key: object = None) -> None:
    """Log a warning, once for each `key` (by default once for each message and its arguments)."""
    if first("warn", message, key if key is not None else args):
        LOG.warning(message, *args)


def forget() -> None:
    """Let every warning be said again: a new run begins."""
    _said.clear()


def own_process(pid: int) -> bool:
    """Tell whether this is still process `pid`, and not a fork of it."""
    return os.getpid() == pid
