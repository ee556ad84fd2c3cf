"""A real MLflow server, and a proxy before it that can be told to fail."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tests.conftest import eventually

Mode: TypeAlias = Literal["pass", "refuse", "error", "black_hole"]

STARTING: Final = 120.0  # seconds; alone it takes six
STOPPING: Final = 15.0  # seconds before it is killed
PIECE: Final = 65536  # bytes
ANSWER: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 6\r\nConnection: close\r\n\r\nbroken"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """`mlflow server` on loopback: its database and artifacts stay when it stops, and so does its port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.directory}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.directory / "artifacts")]
        foreign = ("MLFLOW_", "TRACELET_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # Its job workers take 570 MB, and nothing here needs them.
        environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it has children, and ends with all of them
            )
        try:
            eventually(self._answers, STARTING)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, with all its processes."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError((self.directory / "server.log").read_text()[-3000:])
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as response:  # noqa: S310  it is http
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False


class FaultProxy:
    """A loopback proxy before a server, which can be told, at any time, how to fail.

    Attributes:
        mode: "pass" hands everything on; "refuse" closes the port; "error" answers 500 to
            everything; "black_hole" accepts and never answers. Setting it ends what is connected.
        poison: In mode "pass", a request with these bytes is answered 500, and not handed on.
    """

    def __init__(self, upstream_port: int) -> None:
        self.poison = b""
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._upstream = upstream_port
        self._mode: Mode = "refuse"
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "refuse":
            self._close_port()
        self._hang_up()
        if mode != "refuse" and self._listening is None:
            self._listen()

    def stop(self) -> None:
        """Close the port and everything that is connected."""
        self.mode = "refuse"

    def _listen(self) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(64)
        self._listening = listening
        self._thread(lambda: self._accept(listening))

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
                connection, _ = listening.accept()
                self._thread(lambda client=connection: self._serve(client))

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), self._known(client):
            if self._mode == "pass":
                with socket.create_connection(("127.0.0.1", self._upstream)) as server, self._known(server):
                    self._relay(client, server)
            elif self._mode == "error":
                _read_request(client)
                client.sendall(ANSWER)
            else:
                while client.recv(PIECE):  # until either side hangs up
                    pass

    @contextlib.contextmanager
    def _known(self, connection: socket.socket):  # noqa: ANN202
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for side in select.select([client, server], [], [])[0]:
                piece = side.recv(PIECE)
                if not piece:
                    return
                if side is client and self.poison and self.poison in piece:
                    client.sendall(ANSWER)
                    client.shutdown(socket.SHUT_WR)
                    return
                (server if side is client else client).sendall(piece)

    @staticmethod
    def _thread(target: Callable[[], None]) -> None:
        threading.Thread(target=target, daemon=True).start()


def _read_request(client: socket.socket) -> None:
    """Read one whole request: an answer before its end may never be seen."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(PIECE)
        if not piece:
            return
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"
    ]
    left = int(lengths[0]) - len(body) if lengths else 0
    while left > 0 and (piece := client.recv(PIECE)):
        left -= len(piece)
