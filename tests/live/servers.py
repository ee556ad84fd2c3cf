"""Real servers on loopback. None outlives its test run by more than an hour, whatever becomes of that."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.conftest import eventually
from tracelet.testing.proxy import free_port

STARTING: Final = 120.0  # seconds; alone the slowest takes six
STOPPING: Final = 15.0  # seconds before it is killed
LONGEST: Final = 3600  # seconds that one may live
_PLACES: Final = "/usr/lib/postgresql"


class Program:
    """A program that serves, with all its processes.

    Args:
        directory: Where it works, and its output is.
        command: What starts it.
        answers: Tells whether it serves.
        environ: Its environment.
        user: Whose it is; ours if empty.
        ending: What it is asked to end by.
    """

    def __init__(
        self,
        directory: Path,
        command: Sequence[str],
        answers: Callable[[], bool],
        *,
        environ: Mapping[str, str] = os.environ,
        user: str = "",
        ending: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._directory = directory
        self._command = ["timeout", "-k", "10", str(LONGEST), *command]
        self._answers = answers
        self._environ = environ
        self._user = user or None
        self._ending = ending
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environ,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it has children, and ends with all of them
            )
        try:
            eventually(self._serves, STARTING)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, with all its processes."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, self._ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _serves(self) -> bool:
        if not self.running:
            raise AssertionError((self._directory / "server.log").read_text()[-3000:])
        return self._answers()


class MlflowServer:
    """`mlflow server` on loopback: its database and artifacts stay when it stops, and so does its port.

    Args:
        directory: Where it works.
        store: The URI of its database; a file in the directory if empty.
        artifacts: Where it keeps artifacts; a directory there if empty.
        environ: What its environment has besides.
    """

    def __init__(
        self, directory: Path, store: str = "", artifacts: str = "", environ: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", store or f"sqlite:///{directory}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", artifacts or str(directory / "artifacts")]
        foreign = ("MLFLOW_", "TRACELET_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # Its job workers take 570 MB, and nothing here needs them.
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._program = Program(
            directory,
            command,
            lambda: answers(f"{self.uri}/health"),
            environ={**inherited, **quiet, **(environ or {})},
        )

    @property
    def running(self) -> bool:
        return self._program.running

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._program.start()

    def stop(self) -> None:
        """End it, with all its processes."""
        self._program.stop()

    def restart(self) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start()


class AimServer:
    """`aim server` on loopback: its repository stays when it stops, and so does its port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.options = {"repo": f"aim://127.0.0.1:{self.port}", "artifacts_uri": ""}
        command = [sys.executable, "-c", "from aim.cli.cli import cli_entry_point as main; main()"]
        command += ["server", "--host", "127.0.0.1", "--port", str(self.port), "--repo", str(directory), "-y"]
        address = f"http://127.0.0.1:{self.port}/status/"
        # As a machine does that loses power.
        self._program = Program(directory, command, lambda: answers(address), ending=signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self._program.running

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._program.start()

    def stop(self) -> None:
        """End it, with all its processes."""
        self._program.stop()


class Postgres:
    """A cluster of PostgreSQL's of its own, empty, on loopback.

    Its server refuses to be root's, so it is another user's then, in a directory that this one can reach.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.uri = f"postgresql+psycopg2://tracelet@127.0.0.1:{self.port}/postgres"
        self._user = "postgres" if os.geteuid() == 0 else ""
        self._directory = Path(tempfile.mkdtemp(prefix="tracelet-postgres-"))
        self._programs = programs()
        data = self._directory / "data"
        unsafe = ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]  # and fast
        where = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self._directory}"]
        self._program = Program(
            self._directory,
            [
                str(self._programs / "postgres"), "-D", str(data), "-p", str(self.port),
                *(word for setting in (*unsafe, *where) for word in ("-c", setting)),
            ],
            self._accepts,
            user=self._user,
            ending=signal.SIGINT,  # without waiting for whoever is connected
        )  # fmt: skip

    def start(self) -> None:
        """Make the cluster, start it, and wait until it accepts connections."""
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._directory, account.pw_uid, account.pw_gid)
        command = [str(self._programs / "initdb"), "-D", str(self._directory / "data"), "-U", "tracelet"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            command,
            cwd=self._directory,
            user=self._user or None,
            stdout=subprocess.DEVNULL,
            timeout=STARTING,
            check=True,
        )
        self._program.start()

    def stop(self) -> None:
        """End it, and take it away."""
        self._program.stop()
        shutil.rmtree(self._directory)

    def _accepts(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, timeout=STOPPING, check=False).returncode == 0


class S3:
    """An S3 on loopback, which keeps everything in memory, with one bucket."""

    bucket = "s3://tracked"

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.uri = f"http://127.0.0.1:{port}"
        self.environ = {
            "MLFLOW_S3_ENDPOINT_URL": self.uri,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._program = Program(directory, command, lambda: answers(f"{self.uri}/moto-api/"))

    def start(self) -> None:
        """Start it, and make the bucket."""
        self._program.start()
        address = f"{self.uri}/{self.bucket.rpartition('/')[2]}"
        request = urllib.request.Request(address, method="PUT")  # noqa: S310  it is http
        urllib.request.urlopen(request, timeout=STOPPING).close()  # noqa: S310

    def stop(self) -> None:
        """End it; nothing is left."""
        self._program.stop()


def programs() -> Path:
    """Tell where PostgreSQL's programs are; an empty path if they are nowhere."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path(_PLACES).glob("*/bin"), reverse=True)
    needed = ("initdb", "postgres", "pg_isready")
    return next((place for place in places if all((place / name).exists() for name in needed)), Path())


def has_postgres() -> bool:
    """Tell whether a cluster can be made here."""
    with contextlib.suppress(KeyError):  # there is no user for it
        return programs() != Path() and bool(os.geteuid() or pwd.getpwnam("postgres"))
    return False


def answers(address: str) -> bool:
    """Tell whether a server answers 200."""
    try:
        with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310  it is http
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False
