"""The base of the emulators fails as it is told to, and its state outlives a stop."""

import base64
import contextlib
import gzip
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.emulators.serving import Answer, EmulatedServer, Kind, Request
from tests.emulators.wandb import KEY, WandbServer

UPSERT = b'{"query": "mutation UpsertBucket {}", "variables": {"name": "a", "project": "p"}}'
LOGIN = {"Authorization": f"Basic {base64.b64encode(f'api:{KEY}'.encode()).decode()}"}


class Counter(EmulatedServer):
    """Counts what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[bytes] = []

    def answer(self, request: Request) -> Answer:
        if request.path == "/broken":
            raise ValueError(request.path)
        self.received.append(request.body)
        return Answer({"received": len(self.received)})


@pytest.fixture
def server() -> Iterator[Counter]:
    server = Counter()
    server.start()
    yield server
    server.close()


def ask(
    port: int, path: str = "/", body: bytes | Iterator[bytes] = b"", **headers: str
) -> tuple[int, http.client.HTTPMessage, Any]:
    """Send one request; give status, headers and what the JSON of the answer says."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())


@pytest.mark.parametrize(
    ("kind", "status"), [("error", 500), ("unauthorized", 401), ("forbidden", 403), ("rate_limit", 429)]
)
def test_a_server_that_refuses_does_nothing(server: Counter, kind: Kind, status: int) -> None:
    with server.failing(kind, seconds=7):
        refused, headers, _ = ask(server.port)

    assert refused == status
    assert headers.get("Retry-After") == ("7" if status == 429 else None)
    assert server.received == []
    assert ask(server.port)[2] == {"received": 1}


def test_a_cut_answer_leaves_the_effect(server: Counter) -> None:
    with server.failing("cut", times=1):
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server.port, body=b"first")
        ask(server.port, body=b"second")

    assert server.received == [b"first", b"second"]


def wait_for(server: Counter) -> tuple[threading.Thread, list[object]]:
    """Ask in a thread; what comes of it, answer or error, is in the list."""
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(ask(server.port)[0])
        except OSError as error:
            outcome.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: server.requests)
    return thread, outcome


@pytest.mark.parametrize(
    ("kind", "comes", "received"), [("black_hole", http.client.RemoteDisconnected, []), ("slow", 200, [b""])]
)
def test_who_waits_is_let_go_when_the_fault_is_over(
    server: Counter, kind: Kind, comes: object, received: list[bytes]
) -> None:
    server.fail(kind, seconds=60)
    waiting, outcome = wait_for(server)
    assert waiting.is_alive()

    server.heal()
    waiting.join(5)

    assert outcome == [comes]
    assert server.received == received


def test_a_closed_port_refuses_and_keeps_its_number_and_its_state(server: Counter) -> None:
    ask(server.port)
    port = server.port

    with server.failing("refuse"), pytest.raises(ConnectionRefusedError):
        ask(server.port)

    assert ask(server.port)[2] == {"received": 2}
    assert server.port == port


def test_a_stop_ends_connections_that_are_kept_alive(server: Counter) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)

    def send() -> bytes:
        connection.request("POST", "/", b"x")
        return connection.getresponse().read()

    assert (send(), send()) == (b'{"received": 1}', b'{"received": 2}')
    server.stop()

    with pytest.raises(ConnectionError):
        send()
    connection.close()
    assert server.received == [b"x", b"x"]


def test_only_what_matches_fails_and_only_so_often(server: Counter) -> None:
    with server.failing("error", "^POST /files|poison", times=2):
        ask(server.port, "/graphql")
        for path, body in (("/files/a", b""), ("/other", b"poison")):
            assert ask(server.port, path, body)[0] == 500
        ask(server.port, "/files/a")

    assert [request.path for request in server.seen("^POST /files")] == ["/files/a", "/files/a"]
    assert len(server.received) == 2


def test_packed_and_chunked_bodies_are_unpacked(server: Counter) -> None:
    ask(server.port, body=gzip.compress(b"packed"), **{"Content-Encoding": "gzip"})
    ask(server.port, body=iter([b"in ", b"chunks"]))

    assert server.received == [b"packed", b"in chunks"]


def test_a_fault_of_the_emulator_itself_is_kept(server: Counter) -> None:
    assert ask(server.port, "/broken")[0] == 500
    assert "ValueError: /broken" in server.errors[0]


def test_the_command_keeps_what_it_was_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.emulators.wandb", "--directory", str(tmp_path), "--seconds", "60"]
    inserted: list[bool] = []
    for _ in range(2):
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(b":")[2])
            inserted.append(ask(port, "/graphql", UPSERT, **LOGIN)[2]["data"]["upsertBucket"]["inserted"])
            process.terminate()

    assert inserted == [True, False]
    store = json.loads((tmp_path / "state.json").read_bytes())
    assert [run["name"] for run in store["runs"]] == ["a"]


def test_lines_take_the_place_of_those_at_their_offset() -> None:
    server = WandbServer()
    server.start()
    try:
        assert ask(server.port, "/graphql", UPSERT)[0] == 401
        ask(server.port, "/graphql", UPSERT, **LOGIN)
        for offset, lines in ((0, ["{}", "{}"]), (1, ['{"x": 1}', "{}"])):
            chunk = {"files": {"wandb-history.jsonl": {"offset": offset, "content": lines}}}
            ask(server.port, "/files/tester/p/a/file_stream", json.dumps(chunk).encode(), **LOGIN)
    finally:
        server.close()

    run = server.run("a")
    assert run.lines() == ["{}", '{"x": 1}', "{}"]
    assert [(each.offset, each.before, each.after) for each in run.overwritten] == [(1, "{}", '{"x": 1}')]
