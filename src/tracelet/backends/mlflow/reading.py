"""How MLflow is asked when a run is read: for a moment impatient, and failing in two ways only."""

import contextlib
import os
import threading
from collections.abc import Generator
from typing import Final

from tracelet.backends.mlflow.failures import mapped
from tracelet.backends.mlflow.stores import LONGEST, TIMEOUT
from tracelet.errors import Refused, Unavailable

WORKING: Final = 60  # seconds that a server may take for one answer, once it has given any

_TIMEOUT: Final = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_DELIVERING: Final = "then `tracelet sync`"  # as a failed delivery ends its advice
_READING: Final = "then try again"


class _Lent:
    """Lends the environment what `asking` needs, and gives back what it held before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._before: dict[str, str | None] = {}

    def take(self, seconds: int) -> None:
        with self._lock:
            if not self._asking:
                self._before = {name: os.environ.get(name) for name in (*_ENVIRONMENT, _TIMEOUT)}
                os.environ.update(_ENVIRONMENT)
                os.environ[_TIMEOUT] = "1"
            self._asking += 1
            with contextlib.suppress(ValueError):
                seconds = int(self._before[_TIMEOUT] or "")
            longest = max(int(os.environ[_TIMEOUT]), min(seconds, LONGEST))  # several may be asking
            os.environ[_TIMEOUT] = str(longest)

    def give_back(self) -> None:
        with self._lock:
            self._asking -= 1
            if self._asking:
                return
            for name, value in self._before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


_LENT: Final = _Lent()


@contextlib.contextmanager
def asking(seconds: int = TIMEOUT) -> Generator[None, None, None]:
    """Wait at most `seconds` for a silent server, and let only `Unavailable` and `Refused` out.

    MLflow's client takes its patience from the environment alone: 16 minutes, unless it is told
    otherwise. This process may be a user's own, so it is told for the length of one call.
    A timeout that the user has set holds instead of `seconds`.
    """
    try:
        _LENT.take(seconds)
        try:
            with mapped(opening=True):
                yield
        finally:
            _LENT.give_back()
    except Unavailable as error:
        raise Unavailable(_advised(error), error.retry_after) from None
    except Refused as error:
        raise Refused(_advised(error)) from None


def _advised(error: Exception) -> str:
    return str(error).replace(_DELIVERING, _READING)
