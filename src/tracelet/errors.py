"""Every exception that tracelet raises.

    TraceletError
    ├── ConfigError               a setting, name or argument is certainly a mistake
    │   └── MissingDependency     the client of a backend is not installed
    ├── JournalError              the journal cannot do what was asked
    │   ├── JournalCorrupt        bytes on disk are not what was written
    │   ├── JournalLocked         another process holds the lock
    │   └── JournalFull           the file system has no room
    └── BackendError              a tracker did not take what it was given
        ├── Unavailable           not now; the relay backs off and tries again
        ├── Rejected              never this; the relay keeps it among the rejects and goes on
        └── Refused               never anything; the relay stops, the journal waits for `tracelet sync`

Users meet these from `start_logging` and from the command line, never from a logging call.
A message says what, the value, and what to do.
"""

import difflib
from collections.abc import Iterable


class TraceletError(Exception):
    """The root: catch it to catch everything of ours."""


class ConfigError(TraceletError, ValueError):
    """A setting, a name or an argument is certainly a mistake."""


class MissingDependency(ConfigError, ImportError):
    """A backend's client is not installed."""


class JournalError(TraceletError):
    """The journal cannot do what was asked."""


class JournalCorrupt(JournalError):
    """Bytes on disk are not what was written, or were written by a newer version."""


class JournalLocked(JournalError):
    """Another process holds the lock."""


class JournalFull(JournalError):
    """The file system has no room for what should be written."""


class BackendError(TraceletError):
    """A tracker did not take what it was given."""


class Unavailable(BackendError):
    """The tracker cannot be reached or cannot answer now.

    Args:
        message: What happened, and where.
        retry_after: Seconds the tracker asked us to wait; None if it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rejected(BackendError):
    """The tracker will never take something in this batch; the rest of it may be fine.

    Args:
        message: What it will not take, and why.
        at: Which of the batch's events it is, if that is known; then nothing of the batch was taken.
    """

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at


class Refused(BackendError):
    """The tracker will take nothing of this run: wrong credentials, a deleted run, no permission."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'mlflow'?"`, or an empty string when nothing known is close to `word`."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
