"""Runs as a training leaves them, a tracker that files switch off, and the command as a user runs it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tracelet.events import Artifact, Note, Packed, Params, RunFinished, RunStarted, Tags
from tracelet.journal import shelf, status
from tracelet.journal.locks import Holder, process_started, this_host, this_process
from tracelet.journal.status import RunFile, Target
from tracelet.journal.writer import Writer

MEMORY: Final = "tracelet.testing.memory:BACKEND"
STARTED: Final = 1_700_000_000.0
FINISHED: Final = RunFinished(STARTED + 100, "FINISHED")

SWITCHED: Final = '''
"""The tracker in memory; files beside its own make it fail: "down", "closed", "full"."""

import dataclasses
from pathlib import Path

from tracelet.errors import Refused, Unavailable
from tracelet.testing import memory


class Writer:
    def __init__(self, options, blob):
        self._inner = memory.BACKEND.writer(options, blob)
        self._place = Path(options["path"]).parent
        self.acknowledged, self.close = self._inner.acknowledged, self._inner.close

    def open(self, run):
        self._look()
        return self._inner.open(run)

    def write(self, batch):
        self._look()
        if (self._place / "full").exists():
            raise Unavailable("there is no room")
        self._inner.write(batch)

    def _look(self):
        if (self._place / "down").exists():
            raise Unavailable("nobody answers")
        if (self._place / "closed").exists():
            raise Refused("the key is wrong")


BACKEND = dataclasses.replace(memory.BACKEND, name="switched", writer=Writer)
'''


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, all of it, as JSON."""
        return json.loads(self.out)


def tracelet(*arguments: str | Path, **environ: str) -> Result:
    """Run the command as a user does, in a process of its own and without a terminal."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environ},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tracelet", *map(str, arguments)]


def the_dead() -> Holder:
    """Name a process that lived, and is gone."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        return Holder(process.pid, process_started(process.pid))


def switched(place: Path) -> Target:
    """Make the tracker with switches importable, and its target."""
    (place / "switched_tracker.py").write_text(SWITCHED)
    return Target("switched_tracker:BACKEND", {"path": str(place / "switched")})


def memory(place: Path, name: str = "memory") -> Target:
    return Target(MEMORY, {"path": str(place / name)})


def new_run(
    place: Path,
    *events: Packed,
    run_id: str = "20231114-221320-aaaaaa",
    name: str = "first",
    project: str = "demo",
    points: int = 0,
    end: RunFinished | None = FINISHED,
    trainer: Holder | None = None,
    targets: dict[str, Target] | None = None,
    mode: status.Mode = "online",
    python: str = sys.executable,
) -> Path:
    """Make a run whose trainer is dead, or this process; return its directory."""
    directory = shelf.create(place / ".tracelet", run_id)
    status.write_run(
        directory,
        RunFile(
            run_id=run_id,
            name=name,
            project=project,
            time=STARTED,
            trainer=trainer or the_dead(),
            host=this_host(),
            directory=str(place),
            python=python,
            targets={"memory": memory(place)} if targets is None else targets,
            mode=mode,
        ),
    )
    writer = Writer(directory)
    assert writer.event(RunStarted(time=STARTED, run_id=run_id, name=name, project=project))
    for event in events:
        assert writer.event(event)
    for step in range(points):
        assert writer.scalar("loss", 1.0 / (step + 1), step, STARTED + step)
    if end is not None:
        assert writer.finish(end)
    writer.close()
    return directory


def running(place: Path, **more: Any) -> Path:
    """Make a run that this process trains."""
    return new_run(place, end=None, trainer=this_process(), **more)


EVENTS: Final[tuple[Packed, ...]] = (
    Params(STARTED + 1, {"lr": 0.1, "layers": [1, 2]}),
    Params(STARTED + 2, {"lr": 0.2}),
    Tags(STARTED + 1, {"team": "vision"}),
    Note(STARTED + 1, "what it is"),
    Artifact(time=STARTED + 3, path="model/weights.bin", size=12_345, digest="ab" * 32),
)
