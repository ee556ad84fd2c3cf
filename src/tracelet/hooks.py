"""Notice how the training process ends: by itself, by an error, by Ctrl-C, or by `sys.exit`.

No signal handler is installed. What none of these hooks sees (SIGTERM, SIGKILL, `os._exit`, loss of
power) is found by the keeper. `raise SystemExit(3)` without `sys.exit` cannot be told from a clean
end. Hooks act only in the process that installed them: a forked child runs its parent's exit handlers.
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from tracelet import guard
from tracelet.ends import how_it_ends
from tracelet.events import Status


class EndHooks:
    """Tells `at_end` once, when the process ends, how.

    Args:
        at_end: Called with the status, and the reason in a few words.
    """

    def __init__(self, at_end: Callable[[Status, str], None]) -> None:
        self._at_end = at_end
        self._pid = os.getpid()
        self._how: tuple[Status, str] = ("FINISHED", "")
        self._excepthook = sys.excepthook
        self._exit = sys.exit
        self._last: object = None
        self._own_excepthook = self._except
        self._own_exit = self._leave

    def install(self) -> None:
        """Begin to listen."""
        self._excepthook = sys.excepthook
        self._exit = sys.exit
        self._last = getattr(sys, "last_value", None)
        sys.excepthook = self._own_excepthook
        sys.exit = self._own_exit
        atexit.register(self._end)

    def uninstall(self) -> None:
        """Leave the very same objects behind; a hook that somebody set after ours stays theirs."""
        atexit.unregister(self._end)
        if sys.excepthook is self._own_excepthook:
            sys.excepthook = self._excepthook
        if sys.exit is self._own_exit:
            sys.exit = self._exit

    def _except(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        # An interpreter that goes on after an error (IPython, -i) has ended nothing.
        if not hasattr(sys, "ps1"):
            self._how = how_it_ends(kind, error)
        self._excepthook(kind, error, traceback)

    def _leave(self, status: object = None, /) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            leaving = SystemExit(status)
            leaving.__context__ = sys.exc_info()[1]
            self._how = how_it_ends(SystemExit, leaving)
        self._exit(status)  # pyright: ignore[reportArgumentType]  as the user gave it

    def _end(self) -> None:
        if not guard.own_process(self._pid):
            return
        last = getattr(sys, "last_value", None)
        if isinstance(last, BaseException) and last is not self._last and self._how[0] == "FINISHED":
            # Somebody set an excepthook of theirs after ours; Python itself notes the error too.
            self._how = how_it_ends(type(last), last)
        guard.contained(self._at_end)(*self._how)
