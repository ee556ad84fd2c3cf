"""The tracker of `tracelet.testing.memory` behind a server; and its clients with one mistake each."""

import contextlib
import dataclasses
import http.client
import itertools
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from tests.testing.broken import Everything
from tracelet.backend import Backend, BlobPath, Options, Remote, RunSummary, patience
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.events import Event, RunStarted
from tracelet.testing import memory

SLOW: Final = "test_a_slow_server_gets_everything_at_the_first_try"
AT_FIRST: Final = "test_a_server_that_fails_at_first_gets_everything_later"
MEANWHILE: Final = "test_a_server_that_fails_meanwhile_is_unavailable_and_misses_nothing"
LOST: Final = "test_whichever_answer_is_lost_nothing_is_doubled"
READ: Final = "test_a_server_that_fails_when_it_is_read_is_unavailable"
_CALLS: Final[dict[int, Callable[[], object]]] = {}
_ANSWERS: Final[dict[int, object]] = {}
_NUMBERS: Final = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    """Does the call whose number a request brings: in this process, and only if it arrives."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        number = int(self.rfile.read(int(self.headers["Content-Length"])))
        _ANSWERS[number] = _CALLS[number]()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base has it
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a connection that was cut."""


def serving() -> Iterator[int]:
    """Serve while this is used; give the port."""
    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class Client:
    """Has calls done by the server, and maps what goes wrong."""

    away: ClassVar[type[BackendError]] = Unavailable
    broken: ClassVar[type[BackendError]] = Unavailable
    longest: ClassVar[float | None] = 60.0

    def __init__(self, options: Options) -> None:
        self._uri = f"http://127.0.0.1:{options['port']}"
        self._seconds = self.longest and patience(options, self.longest) / 2

    def ask(self, call: Callable[[], Any]) -> Any:
        number = next(_NUMBERS)
        _CALLS[number] = call
        try:
            with urllib.request.urlopen(self._uri, str(number).encode(), self._seconds) as answer:  # noqa: S310  it is http
                answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise self.broken(f"{error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise self.away(f"{error!r}") from error
        return _ANSWERS.pop(number)


class ServedWriter(Client):
    def __init__(self, options: Options, blob: BlobPath) -> None:
        super().__init__(options)
        self._inner = memory.MemoryWriter(Path(options["path"]), blob)

    def open(self, run: RunStarted) -> Remote:
        return self.ask(lambda: self._inner.open(run))

    def write(self, batch: Sequence[Event]) -> None:
        self.ask(lambda: self._inner.write(batch))

    def acknowledged(self) -> int | None:
        return None

    def close(self) -> None:
        self._inner.close()


class ServedReader(Client):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._inner = self.tracker(options)

    def tracker(self, options: Options) -> memory.MemoryReader:
        return memory.MemoryReader(options)

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        yield from self.ask(lambda: [*self._inner.runs(project)])

    def events(self, run: str) -> Iterator[Event]:
        yield from self.ask(lambda: [*self._inner.events(run)])

    def download(self, run: str, path: str, to: Path) -> None:
        self.ask(lambda: self._inner.download(run, path, to))

    def close(self) -> None:
        pass


class HangingWriter(ServedWriter):
    longest = None


class HangingReader(ServedReader):
    longest = None


class HastyWriter(ServedWriter):
    longest = 0.4


class RefusingWriter(ServedWriter):
    away = Refused


class RejectingWriter(ServedWriter):
    broken = Rejected


class CarelessWriter(ServedWriter):
    def write(self, batch: Sequence[Event]) -> None:
        with contextlib.suppress(Unavailable):
            super().write(batch)


class EmptyReader(ServedReader):
    def runs(self, project: str | None) -> Iterator[RunSummary]:
        try:
            yield from super().runs(project)
        except Unavailable:
            return


class CountingReader(ServedReader):
    def tracker(self, options: Options) -> memory.MemoryReader:
        return Everything(options)


class Mistake(NamedTuple):
    """A backend, and the promises that it breaks, with the mode in which they are broken."""

    backend: Backend
    breaks: frozenset[str]


BACKEND: Final = dataclasses.replace(memory.BACKEND, name="served", writer=ServedWriter, reader=ServedReader)


def mistake(*breaks: str, writer: Any = ServedWriter, reader: Any = ServedReader) -> Mistake:
    return Mistake(dataclasses.replace(BACKEND, writer=writer, reader=reader), frozenset(breaks))


MISTAKES: Final[dict[str, Mistake]] = {
    "HANGS": mistake(f"{AT_FIRST}[black_hole]", f"{MEANWHILE}[black_hole]", writer=HangingWriter),
    "HANGS_WHEN_READ": mistake(f"{READ}[black_hole]", reader=HangingReader),
    "HASTY": mistake(SLOW, writer=HastyWriter),
    "REFUSES": mistake(
        *(f"{what}[{mode}]" for what in (AT_FIRST, MEANWHILE) for mode in ("refuse", "black_hole", "cut")),
        LOST,
        writer=RefusingWriter,
    ),
    "REJECTS": mistake(f"{AT_FIRST}[error]", f"{MEANWHILE}[error]", writer=RejectingWriter),
    "CARELESS": mistake(
        *(f"{MEANWHILE}[{mode}]" for mode in ("refuse", "error", "black_hole", "cut")), writer=CarelessWriter
    ),
    "EMPTY": mistake(
        *(f"{READ}[{mode}]" for mode in ("refuse", "error", "black_hole", "cut")), reader=EmptyReader
    ),
    "DOUBLES": mistake(LOST, f"{MEANWHILE}[cut]", reader=CountingReader),
}


def __getattr__(name: str) -> Backend:
    try:
        return MISTAKES[name].backend
    except KeyError:
        raise AttributeError(name) from None
