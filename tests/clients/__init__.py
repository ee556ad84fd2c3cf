"""What each tracker has of a project, read with that tracker's own client in a process of its own.

One file for each tracker. `python -m tests.clients.<tracker> WHERE PROJECT` prints what `asked` returns.
WHERE is what the client itself is told: a tracking URI, a directory, a server's address.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

REPOSITORY: Final = Path(__file__).parents[2]
PATIENCE: Final = 280.0  # seconds
_BEGIN: Final = "what there is: "  # clients print, too


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One value of a metric."""

    name: str
    step: int
    value: float
    time: float


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """One image: where it stands, and the digest of its pixels as RGB."""

    name: str
    step: int
    digest: str


class Run(msgspec.Struct, kw_only=True):
    """One run; `uid` is our own id of it, as the tracker has it; artifacts are digests by path."""

    uid: str
    name: str
    status: str
    points: list[Point] = []
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    artifacts: dict[str, str] = {}
    images: list[Picture] = []

    def series(self, name: str) -> list[tuple[int, float]]:
        """Return the steps and values of a metric, by step."""
        return sorted((point.step, point.value) for point in self.points if point.name == name)


def asked(tracker: str, where: str, project: str, environ: Mapping[str, str] | None = None) -> list[Run]:
    """Ask a tracker's client for all runs of a project, in the order in which they began.

    Args:
        tracker: Whose.
        where: See the module.
        project: Which.
        environ: Variables besides those of this process, such as a key.
    """
    command = [sys.executable, "-W", "ignore", "-m", f"tests.clients.{tracker}", where, project]
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        command,
        env={**os.environ, **(environ or {}), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(_BEGIN)]
    assert said, f"{done.stdout}\n{done.stderr}"
    return msgspec.convert(json.loads(said[-1].removeprefix(_BEGIN)), list[Run])  # msgspec's own has no NaN


def main(read: Callable[[str, str], list[Run]]) -> None:
    """Answer `asked`, in the process of a client."""
    where, project = sys.argv[1:]
    print(_BEGIN + json.dumps(msgspec.to_builtins(read(where, project))), flush=True)  # noqa: T201
    sys.stderr.flush()
    os._exit(0)  # without what a client would still do at its end


def digest(content: bytes) -> str:
    """Return what stands for bytes."""
    return hashlib.sha256(content).hexdigest()


def pixels(picture: Any) -> str:
    """Return what stands for a picture of Pillow's."""
    return digest(picture.convert("RGB").tobytes())
