"""Aim's server, for real: what goes there comes back, and what happens when it dies or hangs."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.backends import aims
from tests.backends.aims import BACKEND, NOW, read, writer
from tests.journal.support import DEEP
from tests.live.servers import AimServer
from tracelet.backend import Options
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Artifact, Metric, Params, RunFinished, RunStarted, Tags, Text
from tracelet.testing import Server, ServerContract
from tracelet.testing.proxy import FaultProxy, free_port

pytestmark = [pytest.mark.live, pytest.mark.slow]

DYING = """
import os, sys
from pathlib import Path
import msgspec
from tracelet import backends
from tracelet.events import Metric, RunStarted

options, run, count = sys.argv[1:]
writer = backends.load("aim").writer({"repo": options}, Path)
started = msgspec.json.decode(run, type=RunStarted)
writer.open(started)
writer.write([Metric("loss", float(step), step, started.time + step) for step in range(int(count))])
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def server(aim_server: AimServer) -> AimServer:
    return aim_server


@pytest.fixture
def black_hole() -> Iterator[FaultProxy]:
    proxy = FaultProxy(9)
    proxy.mode = "black_hole"
    yield proxy
    proxy.stop()


# What Aim's own threads say where their server is lost, and its use of websockets.
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:ssl_context was renamed to ssl:DeprecationWarning",
)
@pytest.mark.skipif(not DEEP, reason="it takes minutes: TRACELET_TESTS_DEEP=1 runs it")
class TestAimServer(ServerContract):
    backend = BACKEND

    @pytest.fixture
    def options(self, aim_server: AimServer, tmp_path: Path) -> Options:
        self.project = f"project {uuid.uuid4()}"  # the server is shared, and this is empty
        return {**aim_server.options, "artifacts_uri": f"file://{tmp_path}/artifacts"}

    @pytest.fixture
    def server(self, aim_server: AimServer, options: Options) -> Server:
        def through(port: int) -> Options:
            return {**options, "repo": f"aim://127.0.0.1:{port}"}

        return Server(aim_server.port, through, delay=0.02)


def run(number: int) -> RunStarted:
    return msgspec.structs.replace(aims.RUN, run_id=f"20261120-093000-{number:06x}")


def points(count: int) -> list[Metric]:
    return [Metric("loss", float(step), step, NOW + step) for step in range(count)]


def test_what_a_server_was_sent_comes_back(server: AimServer) -> None:
    texts = [Text(time=NOW, name="sample", text=text, step=3) for text in ("one", "two")]
    params = Params(NOW, {"model.lr": 0.1, "layers": [1, 2]})
    end = RunFinished(NOW + 1000, "FAILED", "an error")
    delivered = writer(server.options)
    found = delivered.open(run(1)).id
    for batch in ([*points(105), params, Tags(NOW, {"team": "speech"})], texts[:1], texts[1:], [end]):
        delivered.write(batch)
    delivered.close()

    back = read(server.options, found)

    assert [event for event in back if isinstance(event, Metric)] == points(105)
    assert [event for event in back if isinstance(event, Text)] == texts
    assert params in back
    assert (back[0].time, back[0].note, back[0].tags["team"]) == (NOW, "what it is", "speech")
    assert back[-1] == end


def test_a_run_that_was_deleted_at_a_server_is_made_anew(server: AimServer) -> None:
    delivered = writer(server.options)
    found = delivered.open(run(12)).id
    delivered.write(points(3))
    delivered.close()
    aims.deleted(server.options, found)

    remote = delivered.open(run(12))
    delivered.write(points(2))
    delivered.close()

    assert remote.anew
    assert remote.id == found
    assert [event for event in read(server.options, found) if isinstance(event, Metric)] == points(2)


def test_a_writer_that_died_is_followed_by_one_that_doubles_nothing(server: AimServer) -> None:
    started = msgspec.json.encode(run(2)).decode()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", DYING, server.options["repo"], started, "12"]
    died = subprocess.run(command, env=environ, timeout=120, check=False)

    delivered = writer(server.options)
    found = delivered.open(run(2)).id
    delivered.write(points(20))
    delivered.close()

    assert died.returncode == -signal.SIGKILL
    assert [event for event in read(server.options, found) if isinstance(event, Metric)] == points(20)


def test_a_writer_that_lost_its_server_is_followed_by_one_that_waits_for_no_lock(server: AimServer) -> None:
    lost = writer(server.options)
    lost.open(run(7))
    lost.write(points(5))

    following = writer({**server.options, "patience": "8"})  # a server waits ten seconds for a lock
    found = following.open(run(7)).id
    following.write(points(10))
    following.close()
    lost.close()

    assert [event for event in read(server.options, found) if isinstance(event, Metric)] == points(10)


def test_a_server_that_dies_is_unavailable_and_has_everything_once_it_is_back(server: AimServer) -> None:
    delivered = writer(server.options)
    delivered.open(run(3))
    delivered.write(points(20))

    server.stop()
    with pytest.raises(Unavailable):
        delivered.write(points(40)[20:])
    delivered.close()
    server.start()
    delivered = writer(server.options)
    found = delivered.open(run(3)).id
    delivered.write(points(40))
    delivered.close()

    assert [event for event in read(server.options, found) if isinstance(event, Metric)] == points(40)


def test_an_artifact_without_a_place_is_rejected_and_what_follows_is_not(
    server: AimServer, tmp_path: Path
) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"abc")
    delivered = writer(server.options)
    found = delivered.open(run(4)).id

    with pytest.raises(Rejected, match="Set aim_artifacts_uri"):
        delivered.write([Artifact(time=NOW, path="model.bin", size=3, digest=str(file))])
    delivered.write(points(3))
    delivered.close()

    assert [event for event in read(server.options, found) if isinstance(event, Metric)] == points(3)


def test_a_server_that_never_answers_is_given_up(black_hole: FaultProxy) -> None:
    delivered = writer({"repo": f"aim://127.0.0.1:{black_hole.port}", "patience": "1"})

    with pytest.raises(Unavailable, match=r"no answer from aim://127\.0\.0\.1"):
        delivered.open(run(5))

    delivered.close()


def test_a_port_without_a_server_says_so() -> None:
    with pytest.raises(Unavailable, match=r"Aim [Ss]erver"):
        writer({"repo": f"aim://127.0.0.1:{free_port()}"}).open(run(6))
