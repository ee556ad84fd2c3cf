"""What a failure of ClearML's client, or an answer of its server, means: not now, never this, never anything.

When in doubt it is "not now": then nothing is lost.
"""

import contextlib
import errno
import re
import urllib.parse
from collections.abc import Generator
from typing import Any, Final, TypeGuard

from tracelet.backend import UNFIT
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.scrub import without_userinfo, without_userinfo_in

LOGIN: Final = (
    "call `clearml-init`, or set CLEARML_API_HOST, CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY; "
    "then `tracelet sync`"
)
_THEN: Final = re.compile(r"[,;] then `tracelet sync`$")
_LENGTH: Final = 800  # characters of a foreign message that are kept
_LASTING: Final = UNFIT | {errno.ENOENT}
_DATA: Final = (TypeError, ValueError, ArithmeticError, LookupError, AssertionError)
_NETWORK: Final = frozenset({"requests", "urllib3", "http", "socket", "ssl"})
_NO_ADDRESS: Final = frozenset({
    "MissingSchema", "InvalidSchema", "InvalidURL", "LocationParseError", "LocationValueError",
})  # fmt: skip
_ELSEWHERE: Final = 300
_BAD: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_FAILED: Final = 500
_OF_DATA: Final = frozenset({400, 413, 422, _FAILED})
_LATER: Final = frozenset({408, 425, 429, 502, 503, 504})
_NO_TASK: Final = frozenset({100, 101})
_WRONG_STATUS: Final = 110
_PUBLISHED: Final = ("published", "publishing")


class Answered(Rejected):
    """The server has said no; `code` and `subcode` are its own."""

    def __init__(self, message: str, code: int, subcode: int) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode

    @property
    def failed(self) -> bool:
        """Whether the server has failed, which may be the data's fault."""
        return self.code >= _FAILED

    @property
    def of_status(self) -> bool:
        """Whether the task's status does not allow what was asked for."""
        return self.subcode == _WRONG_STATUS


class Failed(Unavailable):
    """The server has failed, which may pass, or be the fault of what it was given."""


class Gone(Refused):
    """A task that was named is not there."""


@contextlib.contextmanager
def mapped(*, opening: bool = False) -> Generator[None, None, None]:
    """Let only `BackendError` out.

    Args:
        opening: Nothing has been sent yet; what would be rejected is the run itself.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  a client may raise anything, and the relay knows three outcomes
        meaning = translated(error)
        if opening and isinstance(meaning, Answered) and meaning.failed:
            meaning = Unavailable(str(meaning))
        elif opening and isinstance(meaning, Rejected):
            meaning = Refused(str(meaning))
        raise meaning from None  # the original's traceback may show a password


@contextlib.contextmanager
def asking() -> Generator[None, None, None]:
    """Let only `Unavailable` and `Refused` out, where something is read: no delivery waits for anything."""
    try:
        with mapped(opening=True):
            yield
    except Refused as error:
        raise Refused(_THEN.sub("", str(error))) from None


def translated(error: BaseException) -> BackendError:
    """Return what a failure means."""
    seen: BaseException | None = error
    while seen is not None:  # the client wraps what a login raises
        if isinstance(seen, BackendError):
            return seen
        seen = seen.__context__
    message = f"{type(error).__name__}: {_shown(error)}"
    kind = type(error)
    if kind.__name__ == "MissingConfigError":
        return Refused(f"ClearML finds no credentials: {LOGIN}")
    if kind.__name__ == "ConfigurationError" or kind.__module__.startswith("pyparsing"):
        return Refused(f"ClearML cannot read its configuration, such as ~/clearml.conf: {message}")
    if kind.__module__.partition(".")[0] in _NETWORK:  # first: some of them are ValueErrors too
        return Unavailable(f"the ClearML server does not answer: {message}")
    if isinstance(error, OSError):
        return Rejected(message) if error.errno in _LASTING else Unavailable(message)
    return Rejected(message) if isinstance(error, _DATA) else Unavailable(message)


def unanswered(url: str, error: Exception) -> BackendError:
    """Return what it means that a request got no answer: in a line, without the client's way there."""
    cause = _innermost(error)
    if type(cause).__name__ in _NO_ADDRESS:
        return Refused(
            f"{without_userinfo(url)!r} is no address of ClearML's; it takes one such as "
            "'http://localhost:8008', in CLEARML_API_HOST or ~/clearml.conf, then `tracelet sync`"
        )
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    said = getattr(cause, "strerror", None) or _shown(cause) or type(cause).__name__
    return Unavailable(f"no ClearML server answers at {parts.hostname}:{port}: {said}")


def _innermost(error: BaseException) -> BaseException:
    """Find the failure that others are made of, as urllib3 and requests do."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        inside = (getattr(found, "reason", None), *found.args, found.__cause__, found.__context__)
        found = next((one for one in inside if _is_networks(one)), None)
    return seen[-1]


def _is_networks(error: object) -> TypeGuard[BaseException]:
    kind = type(error)
    return isinstance(error, BaseException) and (
        isinstance(error, OSError) or kind.__module__.partition(".")[0] in _NETWORK
    )


def check(answer: Any, what: str) -> None:
    """Raise what an answer of the API means, unless it is a good one.

    Args:
        answer: A `requests.Response`.
        what: What was asked for, in words.

    Raises:
        Answered: The server said no, to this alone; or it failed, with a code from 500 on.
    """
    code = int(answer.status_code)
    if code < _ELSEWHERE:
        return
    meta = _meta(answer)
    said = _shown(meta.get("result_msg") or answer.reason or answer.text)
    message = f"{what}: {said} ({code})"
    _check_code(answer, code, message)
    subcode = int(meta.get("result_subcode") or 0)
    if not meta and code not in _OF_DATA:
        raise Unavailable(message)  # what a proxy says
    if subcode in _NO_TASK:
        raise Gone(f"the task is not at ClearML any more, {message}")
    raise Answered(message, code, subcode)


def check_file(answer: Any, what: str) -> None:
    """Raise what an answer of a file server means, unless it is a good one."""
    code = int(answer.status_code)
    if code < _ELSEWHERE:
        return
    message = f"{what}: {_shown(answer.reason or answer.text)} ({code})"
    if code == _UNAUTHORIZED:
        raise Refused(
            f"ClearML's file server does not take these credentials, {message}: if it has its own, set "
            "CLEARML_FILES_HOST=https://USER:PASSWORD@HOST, then `tracelet sync`"
        )
    _check_code(answer, code, message)
    raise Unavailable(message) if code >= _FAILED else Rejected(message)


def _check_code(answer: Any, code: int, message: str) -> None:
    if code < _BAD:
        place = without_userinfo(str(answer.headers.get("Location")))
        raise Refused(f"{message}: it sends to {place}; give that address, then `tracelet sync`")
    if code in _LATER:
        raise Unavailable(message, _seconds(answer.headers.get("Retry-After")))
    if code == _UNAUTHORIZED:
        raise Refused(f"ClearML does not take these credentials, {message}: {LOGIN}")
    if code == _FORBIDDEN:
        raise Refused(f"ClearML does not allow it, {message}: ask who runs the server, then `tracelet sync`")


def locked(task: str) -> Refused:
    """Return what is said of a task that nobody may change."""
    return Refused(
        f"task {task} is published, and ClearML lets nobody change it: unpublish it, then `tracelet sync`"
    )


def is_locked(status: str) -> bool:
    """Tell whether a task of this status may not be changed."""
    return status in _PUBLISHED


def _meta(answer: Any) -> dict[str, Any]:
    try:
        return dict(answer.json()["meta"])
    except (ValueError, TypeError, KeyError):  # a proxy's page
        return {}


def _shown(said: object) -> str:
    return without_userinfo_in(" ".join(str(said).split()))[:_LENGTH]


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # a date
        return None
