"""A loopback HTTP server for emulators, with faults that are switched on and off at any time.

A subclass answers requests; its state is its own, so it survives `stop` and `start`, which keep the port.
"""

import contextlib
import gzip
import json
import re
import socket
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "refuse",  # the port is closed
    "black_hole",  # requests are taken, and never answered
    "slow",  # each answer comes `seconds` late
    "error",  # 500
    "unauthorized",  # 401
    "forbidden",  # 403
    "rate_limit",  # 429, to come again after `seconds`
    "cut",  # what was asked for happens, but the connection ends before the answer
]

STATUS: Final = {"error": 500, "unauthorized": 401, "forbidden": 403, "rate_limit": 429}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body unpacked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body or b"null")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: bytes as they are, anything else as JSON."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def packed(self) -> tuple[bytes, dict[str, str]]:
        if isinstance(self.body, bytes):
            return self.body, self.headers
        return json.dumps(self.body).encode(), {"Content-Type": "application/json"} | self.headers


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail, until it is over."""

    kind: Kind
    when: Callable[[Request], bool]
    seconds: float
    left: list[None] | None  # one entry for each request that is still to fail; None: all of them
    over: threading.Event = field(default_factory=threading.Event)

    def strikes(self, request: Request) -> bool:
        """Tell whether this request fails, and count it."""
        if self.over.is_set() or not self.when(request):
            return False
        if self.left is None:
            return True
        with contextlib.suppress(IndexError):  # two threads may ask for the last one
            self.left.pop()
            return True
        return False

    def answer(self) -> Answer | None:
        """Give the answer of a server that fails so, if it gives one at once."""
        if self.kind not in STATUS:
            return None
        status = STATUS[self.kind]
        headers = {"Retry-After": f"{self.seconds:g}"} if status == 429 else {}
        return Answer({"errors": [{"message": self.kind}], "error": self.kind}, status, headers)


class EmulatedServer:
    """A server on 127.0.0.1, in threads of this process; a subclass says what it answers."""

    def __init__(self, port: int = 0) -> None:
        # Bound but never listening: it keeps the port for this server while it is stopped.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", port))
        self.port: int = self._reservation.getsockname()[1]
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.requests: list[Request] = []
        self.errors: list[str] = []
        """Tracebacks of requests that the emulator could not answer: each is a fault of its own."""
        self._faults: list[Fault] = []
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None

    def answer(self, request: Request) -> Answer:
        """Answer one request; called from many threads at once."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        return self._http is not None

    def start(self) -> None:
        if self._http is not None:
            return
        self._http = _Http(self)
        # A short poll, so that a test which stops the server does not wait half a second.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; requests that wait for a fault to end are given up."""
        http, self._http = self._http, None
        if http is None or self._thread is None:
            return
        http.shutdown()
        self._thread.join()
        http.server_close()
        http.cut_connections()

    def close(self) -> None:
        """Stop for good, and give the port back."""
        self.heal()
        self.stop()
        self._reservation.close()

    def fail(
        self,
        kind: Kind,
        matching: str = "",
        *,
        when: Callable[[Request], bool] | None = None,
        times: int | None = None,
        seconds: float = 2.0,
    ) -> None:
        """Fail from now on, until `heal`.

        Args:
            kind: How, see `Kind`.
            matching: A regular expression; only requests whose method, path or body it is found in fail.
            when: The same as a function.
            times: How many requests fail; None for all.
            seconds: By how much "slow" is late, and what "rate_limit" asks to wait.
        """
        pattern = re.compile(matching.encode())
        told = when or (lambda request: bool(pattern.search(_text(request))))
        self._faults.append(Fault(kind, told, seconds, None if times is None else [None] * times))
        if kind == "refuse":
            self.stop()

    def heal(self) -> None:
        """Be well again; what waited in a black hole is cut, what was slow is answered."""
        faults, self._faults = self._faults, []
        for fault in faults:
            fault.over.set()
        if any(fault.kind == "refuse" for fault in faults):
            self.start()

    @contextlib.contextmanager
    def failing(self, kind: Kind, matching: str = "", **options: Any) -> Iterator[None]:
        """Fail inside of the block."""
        self.fail(kind, matching, **options)
        try:
            yield
        finally:
            self.heal()

    def seen(self, matching: str) -> list[Request]:
        """List the requests whose method, path or body holds what this expression describes."""
        pattern = re.compile(matching.encode())
        return [request for request in list(self.requests) if pattern.search(_text(request))]

    def handle(self, request: Request) -> Answer | None:
        """Answer a request as the faults of now would have it; None cuts the connection."""
        self.requests.append(request)
        fault = next((fault for fault in self._faults if fault.strikes(request)), None)
        if fault is not None:
            if (failed := fault.answer()) is not None:
                return failed
            if fault.kind == "black_hole":
                fault.over.wait()
                return None
            if fault.kind == "slow":
                fault.over.wait(fault.seconds)
        try:
            answered = self.answer(request)
        except Exception:  # noqa: BLE001  a thread of the server would die in silence
            self.errors.append(traceback.format_exc())
            return Answer({"error": traceback.format_exc()}, 500)
        return None if fault is not None and fault.kind == "cut" else answered


def _text(request: Request) -> bytes:
    return f"{request.method} {request.path}\n".encode() + request.body


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, emulated: EmulatedServer) -> None:
        super().__init__(("127.0.0.1", emulated.port), _Handler)
        self.emulated = emulated
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is what tests are about."""

    def cut_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http  # pyright: ignore[reportIncompatibleVariableOverride]

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's own word
        """Say nothing: `EmulatedServer.requests` remembers."""

    def do_GET(self) -> None:
        split = urllib.parse.urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        body = self._body(headers)
        path = urllib.parse.unquote(split.path)
        answer = self.server.emulated.handle(Request(self.command, path, query, headers, body))
        # A server that was stopped meanwhile answers nobody.
        if answer is None or not self.server.emulated.running:
            self.close_connection = True
            return
        content, extra = answer.packed()
        self.send_response(answer.status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815  the base class's words

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(headers.get("content-length") or 0))
        return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
