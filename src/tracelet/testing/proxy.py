"""A proxy before a tracker's server, on loopback, which fails as servers do, from one moment to the next.

    mode         what it does
    pass         hands everything on
    slow         hands everything on; each answer comes late
    refuse       closes its port
    error        answers 500 to everything, and hands nothing on
    black_hole   accepts, and never answers
    cut          hands requests on, and ends the connection when their answer comes

It speaks no protocol but to say 500: an answer is what comes from the server after the client has said
something. So it stands before any server that answers when it is asked, by HTTP or by a web socket.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final, Literal, TypeAlias

Mode: TypeAlias = Literal["pass", "slow", "refuse", "error", "black_hole", "cut"]

HOST: Final = "127.0.0.1"
DELAY: Final = 0.3  # seconds
_PIECE: Final = 65536  # bytes
_WAITING: Final = 64  # connections that nobody has accepted yet
_ANSWER: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 6\r\nConnection: close\r\n\r\nbroken"
)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def ever_seldomer() -> Iterator[int]:
    """Give numbers whose distances grow, so that more and more gets done between two of them."""
    number, distance = 0, 1
    while True:
        number += distance
        yield number
        distance += max(1, distance // 4)


class FaultProxy:
    """A proxy that can be told, at any time, how to fail. It begins in the mode "refuse".

    Args:
        upstream: The server's port.

    Attributes:
        port: Its own port; it keeps it when it closes it.
        uri: `http://127.0.0.1:PORT`.
        delay: Seconds that each answer comes late in the mode "slow".
        poison: In the mode "pass", a request with these bytes is answered 500, and not handed on.
        lost: How many answers have been lost.
    """

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self.uri = f"http://{HOST}:{self.port}"
        self.delay = DELAY
        self.poison = b""
        self.lost = 0
        self._upstream = upstream
        self._mode: Mode = "refuse"
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._answers = 0
        self._losing: Iterator[int] = iter(())
        self._next_lost = 0

    @property
    def mode(self) -> Mode:
        """What it does. Setting it ends what is connected."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "refuse":
            self._close_port()
        self._hang_up()
        if mode != "refuse" and self._listening is None:
            self._listen()

    def lose(self, numbers: Iterable[int]) -> None:
        """Lose some answers in the mode "pass": those of these numbers, which grow; the next is 1."""
        with self._lock:
            self._losing = iter(numbers)
            self._next_lost = next(self._losing, 0)
            self._answers = 0

    def stop(self) -> None:
        """Close the port, and all that is connected."""
        self.mode = "refuse"

    def _listen(self) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, self.port))
        listening.listen(_WAITING)
        self._listening = listening
        _on_a_thread(lambda: self._accept(listening))

    def _close_port(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listening.close()

    def _hang_up(self) -> None:
        with self._lock:
            connected, self._open = self._open, set()
        for connection in connected:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # whoever reads it closes it

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the port was closed
            while True:
                client, _ = listening.accept()
                _on_a_thread(lambda client=client: self._serve(client))

    def _serve(self, client: socket.socket) -> None:
        mode = self._mode
        with client, contextlib.suppress(OSError), self._known(client):
            if mode == "error":
                _read_request(client)
                client.sendall(_ANSWER)
            elif mode == "black_hole":
                while client.recv(_PIECE):  # until either side hangs up
                    pass
            elif mode != "refuse":
                with socket.create_connection((HOST, self._upstream)) as server, self._known(server):
                    self._relay(client, server, mode)

    @contextlib.contextmanager
    def _known(self, connection: socket.socket) -> Generator[None, None, None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def _relay(self, client: socket.socket, server: socket.socket, mode: Mode) -> None:
        asked = False  # whether what comes from the server next begins an answer
        while True:
            for side in select.select([client, server], [], [])[0]:
                piece = side.recv(_PIECE)
                if not piece:
                    return
                if side is client:
                    if mode == "pass" and self.poison and self.poison in piece:
                        client.sendall(_ANSWER)
                        client.shutdown(socket.SHUT_WR)
                        return
                    asked = True
                    server.sendall(piece)
                    continue
                if asked and self._is_lost(mode):
                    return
                if asked and mode == "slow":
                    threading.Event().wait(self.delay)
                asked = False
                client.sendall(piece)

    def _is_lost(self, mode: Mode) -> bool:
        """Count an answer that begins, and tell whether it is to be lost."""
        with self._lock:
            self._answers += 1
            lost = mode == "cut"
            if mode == "pass" and self._answers == self._next_lost:
                self._next_lost = next(self._losing, 0)
                lost = True
            self.lost += lost
            return lost


def _on_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="fault-proxy", daemon=True).start()


def _read_request(client: socket.socket) -> None:
    """Read one whole request: an answer before its end may never be seen."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(_PIECE)
        if not piece:
            return
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    fields = {name.strip(): value.strip() for name, _, value in map(_parted, head.lower().split(b"\r\n"))}
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        while not body.endswith(b"0\r\n\r\n") and (piece := client.recv(_PIECE)):
            body = body[-4:] + piece
        return
    left = int(fields.get(b"content-length", b"0")) - len(body)
    while left > 0 and (piece := client.recv(_PIECE)):
        left -= len(piece)


def _parted(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")
