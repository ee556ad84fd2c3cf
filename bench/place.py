"""Where the bench works: a temporary directory, servers on loopback, and an end to all of it."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from tracelet.journal.locks import holder

REPOSITORY: Final = Path(__file__).parents[1]
_FOREIGN: Final = ("MLFLOW_", "WANDB_", "CLEARML_", "TRACELET_", "SLURM_", "OMPI_", "WORLD_SIZE", "RANK")
_RESULT: Final = "result: "
_pause: Final = threading.Event().wait  # nothing sets it


class Place:
    """A new directory with a shelf of its own, and servers that are started when they are asked for."""

    def __init__(self) -> None:
        self.root: Final = Path(tempfile.mkdtemp(prefix="tracelet-bench-"))
        kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
        self.environ: Final = kept | {
            "TRACELET_DIR": str(self.root / "shelf"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), kept.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        self._cleanup: Final = contextlib.ExitStack()
        self._uris: Final[dict[str, str]] = {}

    def close(self) -> None:
        """End all processes and delete everything."""
        end_runs(self.root)
        self._cleanup.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def child(self, module: str, *, seconds: float = 600, **given: object) -> Any:
        """Run a module of the bench in a process of its own, and return what it `answer`s.

        Args:
            module: Which one.
            seconds: How long it may take.
            given: What it is `given`.
        """
        line = [sys.executable, "-m", module, json.dumps({"root": str(self.root), **given})]
        done = subprocess.run(
            line,
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        for said in reversed(done.stdout.splitlines()):
            if said.startswith(_RESULT):
                return json.loads(said.removeprefix(_RESULT))
        message = f"{module} ended with {done.returncode}:\n{done.stderr[-4000:]}"
        raise RuntimeError(message)

    def uri(self, state: str) -> str:
        """Return the URI of a tracking server: of MLflow's "good", "refusing", "silent" or "failing".

        Those of "wandb" and "clearml" are emulators; every child is told where they are.
        """
        if state not in self._uris:
            starts = {"good": _good, "refusing": _refusing, "silent": _silent, "failing": _failing}
            starts |= {"wandb": _wandb, "clearml": _clearml}
            self._uris[state] = self._cleanup.enter_context(starts[state](self))
        return self._uris[state]


def answer(result: object) -> None:
    """Hand a result from a child to the bench."""
    print(_RESULT + json.dumps(result), flush=True)


def given() -> dict[str, Any]:
    """Return what the bench gave to this child."""
    return json.loads(sys.argv[1])


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something.

    Raises:
        TimeoutError: It does not come within so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            message = f"not within {seconds:g} s: {what}"
            raise TimeoutError(message)
        _pause(0.02)


def workers(directory: Path) -> dict[str, psutil.Process]:
    """Find a run's keeper and relays, by the lock files that they hold."""
    found: dict[str, psutil.Process] = {}
    for lock in [*directory.glob("keeper.lock"), *directory.glob("relay.*.lock")]:
        name, who = lock.name.removesuffix(".lock"), holder(lock)
        if who.alive:
            with contextlib.suppress(psutil.Error):
                found[name] = psutil.Process(who.pid)
    return found


def end_run(directory: Path) -> None:
    """Kill a run's keeper, and what it has started."""
    processes = list(workers(directory).values())
    for process in tuple(processes):
        with contextlib.suppress(psutil.Error):
            process.suspend()  # so that it starts nothing more while its children are listed
            processes += process.children(recursive=True)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def end_runs(root: Path) -> None:
    """Kill the keepers and relays of every run below a directory."""
    for lock in root.rglob("keeper.lock"):
        end_run(lock.parent)


@contextlib.contextmanager
def _good(place: Place) -> Iterator[str]:
    """A real MLflow server, on SQLite."""
    directory = place.root / "server"
    directory.mkdir()
    port = _free_port()
    options = f"--host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///{directory}/a.db"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options.split()],
            cwd=directory,
            env=place.environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: _healthy(f"http://127.0.0.1:{port}/health"), 90, "the MLflow server answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: the server and its workers only
        process.wait()


@contextlib.contextmanager
def _wandb(place: Place) -> Iterator[str]:
    """W&B's, emulated."""
    with _emulated(place, "wandb") as said:
        told = dict(line.removeprefix("export ").split("=", 1) for line in said)
        place.environ.update(told)
        yield told["WANDB_BASE_URL"]


@contextlib.contextmanager
def _clearml(place: Place) -> Iterator[str]:
    """ClearML's, emulated."""
    empty = place.root / "clearml.conf"
    empty.touch()
    with _emulated(place, "clearml") as said:
        url, _, keys = said[0].partition(" with the keys ")
        access, _, secret = keys.partition(" and ")
        told = {f"CLEARML_{which}_HOST": url for which in ("API", "WEB", "FILES")}
        told |= {"CLEARML_API_ACCESS_KEY": access, "CLEARML_API_SECRET_KEY": secret.strip()}
        told |= {"CLEARML_CONFIG_FILE": str(empty), "CLEARML_CACHE_DIR": str(place.root / "clearml-cache")}
        place.environ.update(told)
        yield url


@contextlib.contextmanager
def _emulated(place: Place, name: str) -> Iterator[list[str]]:
    """Run an emulator of the tests; give what it says of itself."""
    directory = place.root / f"{name}-server"
    directory.mkdir()
    said = directory / "said"
    with said.open("wb") as out, (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.emulators.{name}", "--directory", str(directory)],
            cwd=directory,
            env=place.environ,
            stdout=out,
            stderr=log,
        )
    lines = {"wandb": 2}.get(name, 1)
    try:
        until(lambda: said.read_text().count("\n") >= lines, 60, f"the emulator of {name} answers")
        yield said.read_text().splitlines()
    finally:
        process.kill()
        process.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  our own, on loopback
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def _refusing(_: Place) -> Iterator[str]:
    """A port that nobody listens at, and that nobody else is given."""
    with socket.socket() as holding:
        holding.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holding.getsockname()[1]}"


@contextlib.contextmanager
def _silent(_: Place) -> Iterator[str]:
    """A listener that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:  # the kernel accepts
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class _Failing(http.server.BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def _fail(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(500)

    do_GET = do_POST = do_PATCH = do_PUT = _fail  # noqa: N815  the standard library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        """Say nothing."""


@contextlib.contextmanager
def _failing(_: Place) -> Iterator[str]:
    """A server that answers 500 to everything."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Failing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
