"""Servers: one that is slow, hangs, refuses, fails, or whose answers are lost, costs time and nothing else.

The backend's client talks to its server through a `FaultProxy`, and the Reader that looks at what has
arrived past it.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tracelet.backend import Options, Reader, Remote, Writer
from tracelet.errors import Unavailable
from tracelet.events import Artifact, Event, Params, RunStarted
from tracelet.journal import status
from tracelet.relay.delivery import Delivery
from tracelet.testing.contract.base import Contract, needs_writer
from tracelet.testing.contract.comparing import held
from tracelet.testing.contract.repetition import of_all_kinds
from tracelet.testing.contract.scene import BEGAN, Run, Scene, points, watched
from tracelet.testing.proxy import DELAY, FaultProxy, Mode, ever_seldomer

FAILING: Final[tuple[Mode, ...]] = ("refuse", "error", "black_hole", "cut")
RELAYS: Final = 100  # that may be needed to deliver a run whose answers are lost
_LOOK: Final = 0.02  # seconds between two looks at a relay


class Server(NamedTuple):
    """A tracker's server on this machine, as a test class tells of it.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        through: Makes the options of the test's own store, by way of another port of 127.0.0.1.
        patience: Seconds that a call of the client may take there. They are the option `patience` too;
            see `tracelet.backend.patience`.
        grace: Seconds beyond them before a call counts as one that never returns.
        delay: Seconds that each answer of a slow server takes; a client that asks many small questions
            in one call needs few.
    """

    port: int
    through: Callable[[int], Options]
    patience: float = 3.0
    grace: float = 20.0
    delay: float = DELAY


class Relay:
    """A relay on a thread, which is looked at from outside, as its keeper does."""

    def __init__(self, run: Run, seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._stop = threading.Event()
        scene = run.scene
        delivery = Delivery(run.directory, scene.backend.name, scene.backend, scene.options)
        self._thread = threading.Thread(target=lambda: delivery.run(self._stop), daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """End it, if it can be ended."""
        self._stop.set()
        self._thread.join(self._seconds)

    def comes_to(self, *states: status.State) -> None:
        """Wait until it says that it is in one of some states; fail where it ends, or says nothing."""
        end = time.monotonic() + self._seconds
        while (said := self._said()).state not in states:
            assert self._thread.is_alive(), f"it should be {states}, and has ended: {said}"
            assert time.monotonic() < end, f"it is not {states} within {self._seconds} s: {said}"
            self._stop.wait(_LOOK)

    def _said(self) -> status.DeliveryStatus:
        return status.read_delivery(self._run.directory, self._run.scene.backend.name)


class Servers(Contract):
    """What is promised of a server's bad days.

    A class whose tracker has a server says where it is:

        @pytest.fixture
        def server(self, emulator, options) -> Server:
            return Server(emulator.port, lambda port: {**options, "url": f"http://127.0.0.1:{port}"})

    `options` lead to the server itself, and what `through` makes of them to the same store through the
    port of a proxy. Where the client's patience is not an option, the fixture sets what it is.
    """

    @pytest.fixture
    def server(self) -> Server:
        """Return the tracker's server."""
        pytest.skip(self.reason("server", "it has none"))

    @pytest.fixture
    def proxy(self, server: Server) -> Iterator[FaultProxy]:
        """Return a proxy before the server, which hands everything on until it is told otherwise."""
        proxy = FaultProxy(server.port)
        proxy.mode = "pass"
        yield proxy
        proxy.stop()

    @pytest.fixture
    def behind(self, scene: Scene, server: Server, proxy: FaultProxy) -> Scene:
        """Return where a test makes its runs, whose Writers go through the proxy."""
        scene.options = {**server.through(proxy.port), "patience": str(server.patience)}
        return scene

    @pytest.fixture
    def relay(self, server: Server, proxy: FaultProxy) -> Iterator[Callable[[Run], Relay]]:
        """Return what starts a relay on a thread."""
        with contextlib.ExitStack() as ending:

            def start(run: Run) -> Relay:
                relay = Relay(run, server.patience + server.grace)
                ending.callback(relay.stop)
                ending.callback(proxy.stop)  # first: whoever waits for an answer waits no longer
                relay.start()
                return relay

            yield start

    @needs_writer
    def test_a_slow_server_gets_everything_at_the_first_try(
        self, behind: Scene, proxy: FaultProxy, server: Server
    ) -> None:
        proxy.mode, proxy.delay = "slow", server.delay
        run = behind.run(*points("loss", range(10)), Params(BEGAN, {"lr": 0.1}))
        run.finish()
        raised: list[BaseException] = []

        run.deliver(watched(self.backend, lambda writer: _Noting(writer, raised)))

        assert raised == []
        assert run.problems() == []

    @needs_writer
    @pytest.mark.parametrize("mode", FAILING)
    def test_a_server_that_fails_at_first_gets_everything_later(
        self, behind: Scene, proxy: FaultProxy, relay: Callable[[Run], Relay], mode: Mode
    ) -> None:
        proxy.mode = mode
        run = behind.run(*points("loss", range(5)))

        started = relay(run)
        started.comes_to("unavailable")
        run.log(*points("loss", range(5, 10), 5))
        proxy.mode = "pass"
        run.finish()
        started.comes_to("finished")

        assert [found.id for found in behind.reader().runs(behind.project)] == [run.remote]
        assert run.problems() == []

    @needs_writer
    @pytest.mark.parametrize("mode", FAILING)
    def test_a_server_that_fails_meanwhile_is_unavailable_and_misses_nothing(
        self, behind: Scene, proxy: FaultProxy, relay: Callable[[Run], Relay], mode: Mode
    ) -> None:
        run = behind.run(*points("loss", range(5)))

        started = relay(run)
        started.comes_to("idle")
        proxy.mode = mode
        run.log(*points("loss", range(5, 10), 5), Params(BEGAN, {"lr": 0.1}))
        started.comes_to("unavailable")
        proxy.mode = "pass"
        run.log(*points("loss", range(10, 15), 10))
        run.finish()
        started.comes_to("finished")

        assert [found.id for found in behind.reader().runs(behind.project)] == [run.remote]
        assert run.problems() == []

    @needs_writer
    def test_whichever_answer_is_lost_nothing_is_doubled(self, behind: Scene, proxy: FaultProxy) -> None:
        """A lost one is often followed by a new relay, which loses another one."""
        run = of_all_kinds(behind, 10)
        proxy.lose(ever_seldomer())

        for left in reversed(range(RELAYS)):
            try:
                run.deliver()
                break
            except Unavailable:
                assert left, "nothing is left to lose, and it is not delivered"

        assert proxy.lost > 0
        assert [found.id for found in behind.reader().runs(behind.project)] == [run.remote]
        assert run.problems() == []

    @pytest.mark.parametrize("mode", FAILING)
    def test_a_server_that_fails_when_it_is_read_is_unavailable(
        self, behind: Scene, proxy: FaultProxy, server: Server, tmp_path: Path, mode: Mode
    ) -> None:
        make = self.backend.reader
        if make is None:
            pytest.skip(self.reason("reader", "it cannot be read"))
        run = behind.run(*points("loss", range(5)))
        artifact = run.keep(Artifact(time=BEGAN, path="model/weights.bin", size=0), b"weights")
        run.log(artifact)
        run.finish().deliver()
        asking: list[Callable[[Reader], object]] = [
            lambda reader: [*reader.runs(behind.project)],
            lambda reader: [*reader.events(run.id)],
        ]
        if held(artifact, self.backend) is not None:
            asking.append(lambda reader: reader.download(run.id, "model/weights.bin", tmp_path / "weights"))

        proxy.mode = mode
        for ask in asking:
            with _in_time(proxy, server), pytest.raises(Unavailable):
                _read(make(behind.options), ask)
        proxy.mode = "pass"

        for ask in asking:
            _read(make(behind.options), ask)


class _Noting:
    """See `tracelet.backend.Writer`: notes what the Writer behind it raises."""

    def __init__(self, writer: Writer, raised: list[BaseException]) -> None:
        self._writer = writer
        self._raised = raised

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        with self._noted():
            return self._writer.open(run)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        with self._noted():
            self._writer.write(batch)

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        with self._noted():
            return self._writer.acknowledged()

    def close(self) -> None:
        """See `Writer.close`."""
        with self._noted():
            self._writer.close()

    @contextlib.contextmanager
    def _noted(self) -> Generator[None, None, None]:
        try:
            yield
        except BaseException as error:  # noted, and raised again
            self._raised.append(error)
            raise


def _read(reader: Reader, ask: Callable[[Reader], object]) -> None:
    try:
        ask(reader)
    finally:
        reader.close()


@contextlib.contextmanager
def _in_time(proxy: FaultProxy, server: Server) -> Generator[None, None, None]:
    """Fail where what is done takes too long; it is cut short by ending its connections."""
    late: list[str] = []

    def end() -> None:
        late.append(f"not within {server.patience} s")
        proxy.stop()

    watch = threading.Timer(server.patience + server.grace, end)
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
    assert late == []
