"""Compare what a trainer noted with what its tracker has."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.crash.trackers import Arrived, Key

CLOCK: Final = 0.001  # seconds; MLflow keeps whole milliseconds


@dataclass
class Noted:
    """What a trainer had logged, by its own notes.

    Each thread or process may have logged one thing that it was killed before it could note.
    """

    run_id: str = ""
    records: set[Key] = field(default_factory=set[Key])
    latest: dict[str, int] = field(default_factory=dict[str, int])
    ended: bool = False
    stopped: bool = False
    directory: str = ""

    @classmethod
    def read(cls, directory: Path, *, single: bool = False) -> "Noted":
        """Read a trainer's notes; with `single`, values as they are as float32."""
        noted = cls()
        for path in directory.glob("*.notes"):
            for line in path.read_bytes().splitlines():
                noted._take(*json.loads(line), single=single)
        return noted

    def _take(self, kind: str, name: str, value: object, step: int | None, *, single: bool) -> None:
        if kind == "run":
            self.run_id, self.directory = name, str(value)
        elif kind == "ending":
            self.ended = True
        elif kind == "stopped":
            self.stopped = True
        elif kind == "latest":
            assert isinstance(value, int)
            self.latest[name] = max(value, self.latest.get(name, 0))
        else:
            if kind == "metric" and single:
                (rounded,) = struct.unpack("f", struct.pack("f", float.fromhex(str(value))))
                value = float(rounded).hex()
            self.records.add((kind, name, value, step))


class Lived(NamedTuple):
    """How a trainer lived: how it would end by itself, its exit code, and from when to when it ran."""

    ending: str
    code: int
    began: float
    ended: float


@dataclass(frozen=True)
class Verdict:
    """How the comparison came out; `problems` is empty when nothing is lost, doubled or wrong."""

    noted: int
    arrived: int
    missing: int
    doubled: int
    extra: int
    status: str
    problems: tuple[str, ...]


def judged(noted: Noted, arrived: Arrived, lived: Lived, synced: int, left: Sequence[str]) -> Verdict:
    """Compare.

    Args:
        noted: What the trainer had logged.
        arrived: What the tracker has.
        lived: How the trainer lived.
        synced: The exit code of `tracelet sync`.
        left: Processes that still live.
    """
    there = set(arrived.records)
    missing = noted.records - there
    extra = there - noted.records
    doubled = [key for key, count in arrived.records.items() if count > 1]
    problems = [f"missing {key}" for key in sorted(missing, key=repr)]
    problems += [f"doubled {key}" for key in doubled]
    problems += [f"nobody logged {key}" for key in _strange(extra)]
    problems += _outdated(noted, arrived)
    untimely = [time for time in arrived.times if not lived.began - CLOCK <= time <= lived.ended + CLOCK]
    problems += [f"{len(untimely)} points were logged before or after the run"] if untimely else []
    problems += [f"sync exits with {synced}"] if synced else []
    problems += [f"{name} still lives" for name in left]
    if not noted.run_id and not arrived.runs:  # killed before the run had begun
        return Verdict(0, len(there), 0, 0, 0, "none", tuple(problems))
    if arrived.runs != 1:
        problems.append(f"{arrived.runs} runs in the tracker")
    status = ",".join(arrived.statuses)
    if status not in _right(noted, lived):
        problems.append(f"status {status} after {lived}, {noted.ended=}, {noted.stopped=}")
    counts = (len(noted.records), len(there), len(missing), len(doubled), len(extra))
    return Verdict(*counts, status, tuple(problems))


def _strange(extra: set[Key]) -> list[Key]:
    """Find what was not noted and cannot be a call that was killed before its note."""
    seen: set[str] = set()
    strange: list[Key] = []
    for key in sorted(extra, key=repr):
        label = _label(key[1])
        if label in seen:
            strange.append(key)
        seen.add(label)
    return strange


def _label(name: str) -> str:
    """Name the thread or process that logged under `name`."""
    parts = name.removeprefix("files/").partition("/")[0].split("-")
    return "-".join(parts[:2]) if parts[0] == "child" else parts[0]


def _outdated(noted: Noted, arrived: Arrived) -> list[str]:
    """Find tags that were set anew and are not what they were last."""
    return [
        f"{name} is {arrived.latest.get(name)}, was {value}"
        for name, value in noted.latest.items()
        if arrived.latest.get(name) not in {value, value + 10}
    ]


def _right(noted: Noted, lived: Lived) -> set[str]:
    """Tell which statuses are right: its own if it came to its end, KILLED if it was killed before."""
    own = lived.ending.upper()
    if lived.code >= 0 or noted.stopped:
        return {own}
    return {own, "KILLED"} if noted.ended else {"KILLED"}
