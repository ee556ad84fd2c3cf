"""`python -m tracelet.cli.asking`: ask one tracker whether it answers, for `tracelet doctor`.

The question comes from the standard input, as JSON, `{"load": …, "options": {…}}`; the answers are
lines of JSON on the standard output, a `Finding` each. Whoever started this process ends it when it
takes too long, and tells of an error that ends it.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Final

import msgspec

from tracelet import backends
from tracelet.backend import Backend, Options
from tracelet.cli.findings import Finding, ok, problem
from tracelet.errors import BackendError, TraceletError, Unavailable

KNOCKING: Final = 5.0  # seconds
_NOBODY: Final = frozenset({502, 503, 504})  # a proxy answers, and not the server behind it
_REFUSED: Final = "mend that: until then it takes nothing, and runs wait in the journal for `tracelet sync`"
_WAITING: Final = "records wait in the journal until it does; is it started, and is the address right?"


class Question(msgspec.Struct, frozen=True):
    """What loads the backend, and the options it has chosen."""

    load: str
    options: dict[str, str]


def main() -> int:
    """Answer a question."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a client may print what it likes
    for finding in _asked(question):
        answers.write(msgspec.json.encode(finding) + b"\n")
    return 0


def _asked(question: Question) -> Iterator[Finding]:
    for uri in question.options.values():
        if uri.startswith(("http://", "https://")):
            reason = _knock(uri)
            if reason:
                yield problem(f"{uri} does not answer: {reason}", _WAITING)
                return
            yield ok(f"{uri} answers")
    backend = backends.load(question.load)
    if backend.reader is not None:
        yield _read(backend, question.options)


def _knock(uri: str) -> str:
    """Say why a server does not answer; empty if it does, whatever it says.

    Before its client is asked, which may take minutes to find out that nobody is there.
    """
    request = urllib.request.Request(uri, headers={"User-Agent": "tracelet-doctor"})  # noqa: S310  http(s)
    try:
        urllib.request.urlopen(request, timeout=KNOCKING).close()  # noqa: S310  through the user's proxies
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}" if error.code in _NOBODY else ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return "" if "CERTIFICATE" in str(reason).upper() else str(reason)  # the client may be told to trust
    return ""


def _read(backend: Backend, options: Options) -> Finding:
    """Ask the tracker's own client for a run, any run."""
    make = backend.reader
    if make is None:
        return ok("it cannot be read, and so was not asked")
    began = time.monotonic()
    try:
        reader = make(options)
        try:
            first = next(iter(reader.runs(None)), None)
        finally:
            reader.close()
    except Unavailable as error:
        return problem(str(error), _WAITING)
    except BackendError as error:
        return problem(str(error), _REFUSED)
    except TraceletError as error:
        return problem(str(error))
    what = "has no runs yet" if first is None else "gave a run back"
    return ok(f"its client {what}, in {time.monotonic() - began:.1f} s, loading it included")


if __name__ == "__main__":
    sys.exit(main())
