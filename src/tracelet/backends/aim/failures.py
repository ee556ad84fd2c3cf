"""What a failure of Aim's client means: not now, never this, or never anything.

When in doubt it is "not now": then nothing is lost.
"""

import contextlib
import traceback
from collections.abc import Generator
from typing import Final

from tracelet.backend import FORBIDDEN, UNFIT
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.scrub import without_userinfo_in

_LENGTH: Final = 800  # characters of a foreign message that are kept
_NETWORK: Final = frozenset({"requests", "urllib3", "websockets", "http", "socket", "ssl"})
_DATA: Final = (TypeError, ValueError, ArithmeticError, AssertionError)


@contextlib.contextmanager
def mapped(*, opening: bool = False) -> Generator[None, None, None]:
    """Let only `BackendError` out, and let go of the run that what failed was at work on.

    Args:
        opening: Nothing has been sent yet; what would be rejected is the run itself.
    """
    try:
        yield
    except BackendError as error:
        _release(error)
        raise
    except Exception as error:  # noqa: BLE001  a client may raise anything, and the relay knows three outcomes
        meaning = translated(error)
        if opening and isinstance(error, OSError) and error.errno in FORBIDDEN:
            meaning = Refused(
                f"{error.filename} cannot be written ({error.strerror}): allow it, then `tracelet sync`"
            )
        if opening and isinstance(meaning, Rejected):
            meaning = Refused(str(meaning))
        _release(error)
        raise meaning from None  # the original's traceback may show a password


def translated(error: BaseException) -> BackendError:
    """Return what a failure of the client means."""
    message = f"{type(error).__name__}: {without_userinfo_in(' '.join(str(error).split()))[:_LENGTH]}"
    kind = type(error)
    if is_networks(error):  # first: some of them are ValueErrors too
        return Unavailable(f"the Aim server does not answer: {message}")
    if kind.__name__ == "Corruption":
        return Refused(f"Aim's files are damaged: {message}")
    if kind.__name__ == "RocksIOError" and "lock" in str(error).lower():
        return Unavailable(f"another process writes to this run, and Aim takes one at a time: {message}")
    if isinstance(error, OSError) and error.errno in UNFIT:
        return Rejected(message)
    return Rejected(message) if isinstance(error, _DATA) else Unavailable(message)


def is_networks(error: BaseException | None) -> bool:
    """Tell whether something on the way to a server has failed."""
    return type(error).__module__.partition(".")[0] in _NETWORK


def _release(error: BaseException) -> None:
    """Have tracebacks hold nothing: a run stays locked, and cannot be opened again, while anything does."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:  # a chain may come back to where it began
        seen.add(id(found))
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__
