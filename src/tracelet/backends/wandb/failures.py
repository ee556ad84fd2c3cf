"""What a failure of W&B's client means: not now, never this, or never anything.

When in doubt it is "not now": then nothing is lost.
"""

import contextlib
import re
from collections.abc import Generator
from typing import Final

from tracelet.backend import FORBIDDEN, UNFIT
from tracelet.backends.wandb.reaching import ELSEWHERE, is_page
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.scrub import without_userinfo_in

LOGIN: Final = (
    "W&B has no credentials here: run `wandb login`, or set WANDB_API_KEY; then `tracelet sync` delivers it"
)
_LENGTH: Final = 800  # characters of a foreign message that are kept
_DATA: Final = (TypeError, ValueError, ArithmeticError, AssertionError, LookupError)
_PASSING: Final = re.compile(
    r"timed? ?out|deadline|retry|giving up|connection|did not respond|not running|\b(?:408|429|5\d\d)\b",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(
    r"\b(?:401|403)\b|unauthori[sz]ed|forbidden|permission|api key|credential|relogin", re.IGNORECASE
)
_VERIFYING: Final = re.compile(r"Failed to verify credentials with \S+: ")  # what comes then is why
DELETED: Final = (
    "the run was deleted at W&B, which takes no other of its id; undelete it on the overview of its project, "
    "then `tracelet sync`"
)
_DELETED: Final = re.compile(r"previously created and deleted", re.IGNORECASE)
_GONE: Final = re.compile(r"\b(?:404|409|410)\b|not found|deleted|could not find", re.IGNORECASE)


@contextlib.contextmanager
def mapped(*, opening: bool = False) -> Generator[None, None, None]:
    """Let only `BackendError` out.

    Args:
        opening: Nothing has been sent yet; what would be rejected is the run itself.
    """
    try:
        yield
    except BackendError:
        raise
    except Exception as error:  # noqa: BLE001  a client may raise anything, and the relay knows three outcomes
        meaning = translated(error)
        if opening and isinstance(error, OSError) and error.errno in FORBIDDEN:
            meaning = Refused(f"{error.filename} cannot be written ({error.strerror}); then `tracelet sync`")
        if opening and isinstance(meaning, Rejected):
            meaning = Refused(str(meaning))
        raise meaning from None  # the original's traceback may show a key


def translated(error: BaseException) -> BackendError:
    """Return what a failure of the client means."""
    text = without_userinfo_in(" ".join(str(error).split()))[:_LENGTH]
    message = f"{type(error).__name__}: {text}"
    if _is_clients(error):
        return _told(message, text)
    if isinstance(error, OSError) and not isinstance(error, (TimeoutError, ConnectionError)):
        # One without a number is no system's: a picture that Pillow cannot read.
        lasting = error.errno in UNFIT or error.errno is None or isinstance(error, FileNotFoundError)
        return Rejected(message) if lasting else Unavailable(message)
    return Rejected(message) if isinstance(error, _DATA) else Unavailable(message)


def _is_clients(error: BaseException) -> bool:
    """Tell whether W&B itself said so; what it says in words is all there is."""
    return any(kind.__module__.partition(".")[0] == "wandb" for kind in type(error).__mro__)


def _told(message: str, text: str) -> BackendError:
    if "No API key configured" in text:
        return Refused(LOGIN)
    if is_page(text):
        return Unavailable(f"W&B does not answer: {ELSEWHERE}")
    text = _VERIFYING.sub("", text)
    deleted = _DELETED.search(text)
    passing = _PASSING.search(text) and not deleted  # the client "gives up" on it, which is no outage
    if _DENIED.search(text) and not passing:
        return Refused(
            f"W&B lets nobody in with these credentials: {message}. Check them, then `tracelet sync`"
        )
    if passing:
        return Unavailable(f"W&B does not answer: {message}")
    if _GONE.search(text):
        why = DELETED if deleted else "W&B does not have what this run belongs to"
        return Refused(f"{why}: {message}")
    return Unavailable(message)
