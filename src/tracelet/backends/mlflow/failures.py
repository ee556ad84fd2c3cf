"""What a failure of MLflow's client means: not now, never this, or never anything.

When in doubt it is "not now": then nothing is lost. What would be doubted for ever is `Baffling`:
the Writer finds out whether the tracker or the batch is at fault.
"""

import contextlib
import re
from collections.abc import Generator
from typing import Any, Final

from tracelet.backend import FORBIDDEN, UNFIT
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.scrub import without_userinfo_in

_LENGTH: Final = 800  # characters of a foreign message that are kept

_CREDENTIALS: Final = ("CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "UNAUTHENTICATED")
_MEANINGS: Final[dict[type[BackendError], tuple[str, ...]]] = {
    Refused: (
        *_CREDENTIALS,
        "FEATURE_DISABLED",
        "INVALID_STATE",
        "NOT_FOUND",
        "RESOURCE_DOES_NOT_EXIST",  # a run that was deleted for good
    ),
    Rejected: (
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "MALFORMED_REQUEST",
        "MAX_BLOCK_SIZE_EXCEEDED",
        "RESOURCE_ALREADY_EXISTS",
    ),
    Unavailable: (
        "ABORTED",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "ENDPOINT_NOT_FOUND",  # also what a proxy says whose server is not up
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_CONFLICT",
        "RESOURCE_EXHAUSTED",
        "TEMPORARILY_UNAVAILABLE",
    ),
}
_CODES: Final = {code: meaning for meaning, codes in _MEANINGS.items() for code in codes}
"""What MLflow's error codes mean. INTERNAL_ERROR is not among them: it is the code of all else."""

_STATUS: Final = re.compile(r"(?:too many|failed with error code) (\d{3})\b")
_DELETED: Final = "must be in the 'active' state"
_OUTDATED: Final = "out-of-date database schema"
# MLflow answers 400 to most of what its database raises, also to what passes.
_PASSES: Final = re.compile(
    r"OperationalError|InterfaceError|QueuePool limit|connection \S* ?closed|deadlock|lock wait timeout",
    re.IGNORECASE,
)
_NETWORK: Final = re.compile(r"^(requests|urllib3|http|socket|ssl)\b")
_UNREACHED: Final = re.compile(
    r"""HTTPS?ConnectionPool\(host='([^']+)', port=(\d+)\).*?"""
    r"""(\[Errno -?\d+\][^'")>]+|Read timed out|timed out|Remote end closed connection|SSLError[^)]*)"""
)
_DATABASE_REJECTS: Final = frozenset({"DataError", "IntegrityError", "StatementError"})


class Baffling(Unavailable):
    """A failure that may be the tracker's or the batch's: a bare 500, or an exception nobody knows."""


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
            meaning = Refused(
                f"{error.filename} cannot be written ({error.strerror}): allow it, then `tracelet sync`; or "
                "`tracelet sync RUN --backend-url URI` takes the run to another place"
            )
        if opening and isinstance(meaning, Rejected):
            meaning = Refused(str(meaning))
        # The original may hold a password, and a traceback would show it.
        raise meaning from None


def translated(error: BaseException) -> BackendError:
    """Return what a failure of the client means."""
    message = _message(error)
    code = getattr(error, "error_code", None)
    if isinstance(code, str):
        return _of_mlflow(error, code, message)
    response: Any = getattr(error, "response", None)
    if isinstance(getattr(response, "status_code", None), int):
        return _of_status(response.status_code, message, _retry_after(response))
    return _of_type(error)(message)


def _of_mlflow(error: BaseException, code: str, message: str) -> BackendError:
    if _DELETED in message:
        return Refused(f"the run or its experiment is deleted: restore it, then `tracelet sync`. {message}")
    if _OUTDATED in message:
        return Refused(f"`mlflow db upgrade` the database, then `tracelet sync`. {message}")
    meaning = _CODES.get(code)
    if meaning is None:
        return _of_internal_error(error, message)
    if meaning is Rejected and _PASSES.search(message):
        return Unavailable(message)
    return meaning(_denied(message) if code in _CREDENTIALS else message)


def _of_internal_error(error: BaseException, message: str) -> BackendError:
    """Look into an INTERNAL_ERROR: it may wrap a network's failure, a status or another exception."""
    if status := _STATUS.search(message):
        return _of_status(int(status[1]), message)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        return type(translated(cause))(message)
    return Unavailable(message) if "API request" in message else Baffling(message)


def _of_type(error: BaseException) -> type[BackendError]:
    module, name = type(error).__module__, type(error).__name__
    if _NETWORK.match(module):
        return Unavailable
    if module.startswith("sqlalchemy"):
        return Rejected if name in _DATABASE_REJECTS else Unavailable
    if isinstance(error, OSError):
        return Rejected if error.errno in UNFIT else Unavailable
    return Rejected if isinstance(error, (TypeError, ValueError, ArithmeticError, ImportError)) else Baffling


def _of_status(status: int, message: str, retry_after: float | None = None) -> BackendError:
    if status in {401, 403}:
        return Refused(_denied(message))
    if status in {404, 408, 409, 425, 429, 502, 503, 504}:
        return Unavailable(message, retry_after)
    if 400 <= status < 500:  # noqa: PLR2004  of HTTP: the request is at fault
        return Rejected(message)
    return Baffling(message)


def _denied(message: str) -> str:
    return (
        "credentials are missing or wrong; they are never stored: put MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment, then `tracelet sync`. "
        f"{message}"
    )


def _message(error: BaseException) -> str:
    text = without_userinfo_in(" ".join(str(error).split()))
    if found := _UNREACHED.search(text):  # what matters would stand behind 300 characters
        return f"no MLflow server answers at {found[1]}:{found[2]}: {found[3].strip(' .')}"
    return f"{type(error).__name__}: {text[:_LENGTH]}"


def _retry_after(response: Any) -> float | None:
    with contextlib.suppress(TypeError, ValueError):  # there is none, or it is a date
        return float(response.headers.get("Retry-After"))
    return None
