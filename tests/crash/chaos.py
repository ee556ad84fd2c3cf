"""One trainer, what is killed meanwhile, and what `tracelet sync` makes of it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from tests.conftest import FOREIGN, ROLE, alive, end_what_lives, holders
from tests.crash.trackers import Tracker
from tests.crash.verdict import Lived, Noted, Verdict, judged

TRAINER: Final = Path(__file__).with_name("trainer.py")
AGAIN: Final = ("relay", "relay", "keeper")  # who may be started again, and so is killed several times
LAST: Final = ("trainer", "all", "nobody")
ENDINGS: Final = ("finished", "failed")
EARLY: Final = 0.2  # seconds; nobody lives before
LATER: Final = 1.0  # seconds after the end of training in which something may still be killed
PATIENCE: Final = 250.0  # seconds; only what hangs takes so long
ENDS: Final = 15.0  # seconds that keeper and relay have to end once everything is delivered

Trainer: TypeAlias = "subprocess.Popen[bytes]"
Dealing: TypeAlias = Callable[[Trainer, Mapping[str, str]], Iterable[str]]
"""Kill, while the trainer trains; tell who it was. Given the trainer, and its variables."""


class Kill(NamedTuple):
    """Who is killed, and when: in seconds since the trainer's start."""

    victim: str
    moment: float


@dataclass(frozen=True)
class Plan:
    """What a seed says."""

    seed: int
    ending: str
    kills: tuple[Kill, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one run; what stands in brackets in `dealt` has met nobody."""

    seed: int
    tracker: str
    dealt: tuple[str, ...]
    verdict: Verdict

    @property
    def kills(self) -> int:
        """How many have met somebody."""
        return sum(not said.startswith("(") for said in self.dealt)


def plan_of(seed: int, seconds: float) -> Plan:
    """Choose, from the seed alone, how the training would end, who is killed, and when."""
    dice = random.Random(seed)
    ending = dice.choice(ENDINGS)
    kills = [
        Kill(dice.choice(AGAIN), dice.uniform(EARLY, seconds + LATER)) for _ in range(dice.randrange(1, 4))
    ]
    last = dice.choice(LAST)
    if last != "nobody":
        kills.append(Kill(last, dice.uniform(EARLY, seconds + LATER)))
    return Plan(seed, ending, tuple(sorted(kills, key=lambda kill: kill.moment)))


def endure(plan: Plan, tracker: Tracker, place: Path) -> Outcome:
    """Train with keeper and relay, kill what the plan says, sync and compare; nothing lives afterwards.

    Args:
        plan: Who is killed, and when.
        tracker: Where the run goes.
        place: An empty directory.
    """
    return lived(
        plan.seed, tracker, place, lambda trainer, _: _deal(plan, trainer, place), ending=plan.ending
    )


def lived(
    seed: int,
    tracker: Tracker,
    place: Path,
    deal: Dealing,
    *,
    ending: str,
    seconds: float | None = None,
    more: Mapping[str, str] | None = None,
) -> Outcome:
    """Train, let `deal` kill, sync and compare; nothing lives afterwards.

    Args:
        seed: What the outcome is to be known by.
        tracker: Where the run goes.
        place: An empty directory.
        deal: Who kills.
        ending: How the training would end.
        seconds: How long it may last; usually as long as the tracker says.
        more: Variables for the trainer besides.
    """
    notes = place / "notes"
    notes.mkdir()
    environ = _environment(place) | tracker.environment(place)
    began = time.time()
    with (place / "trainer.log").open("wb") as log:
        command = [
            *(sys.executable, str(TRAINER), str(notes)),
            *(tracker.backend, ending, str(seconds or tracker.seconds)),
        ]
        trainer = subprocess.Popen(command, env=environ | dict(more or {}), cwd=place, stdout=log, stderr=log)
    try:
        dealt = tuple(deal(trainer, environ))
        code = trainer.wait(PATIENCE)
        when = began, time.time()
        synced = _sync(place, environ)
        # A keeper that delivered while `tracelet sync` looked on ends a moment later, by itself.
        left = [holder.lock.name for holder in end_what_lives(place, grace=ENDS)]
        noted = Noted.read(notes, single=tracker.single)
        arrived = tracker.read(place, noted.run_id)
        verdict = judged(noted, arrived, Lived(ending, code, *when), synced, left)
    finally:
        trainer.kill()
        trainer.wait()
        end_what_lives(place, grace=0.0)
    return Outcome(seed, tracker.name, dealt, verdict)


def _environment(place: Path) -> dict[str, str]:
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(FOREIGN) and name not in ROLE
    }
    return kept | {"TRACELET_DIR": str(place / ".tracelet"), "HOME": str(place)}


def _deal(plan: Plan, trainer: Trainer, place: Path) -> Iterator[str]:
    """Kill who is due; tell who it was, in brackets if there was nobody at that moment."""
    began = time.monotonic()
    pause = threading.Event()
    for victim, moment in plan.kills:
        pause.wait(max(0.0, began + moment - time.monotonic()))
        wanted = ("trainer", "keeper", "relay") if victim == "all" else (victim,)
        pids = [pid for name in wanted for pid in _pids(name, trainer, place)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        said = f"{victim}@{moment:.2f}"
        yield said if pids else f"({said})"


def _pids(victim: str, trainer: Trainer, place: Path) -> list[int]:
    if victim == "trainer":
        return [trainer.pid] if trainer.poll() is None else []
    return [holder.pid for holder in holders(place) if holder.lock.name.startswith(victim) and alive(holder)]


def _sync(place: Path, environ: dict[str, str]) -> int:
    """Let `tracelet sync` deliver what is left; return its exit code."""
    command = [sys.executable, "-m", "tracelet", "sync"]
    with (place / "sync.log").open("wb") as log:
        done = subprocess.run(
            command, env=environ, cwd=place, stdout=log, stderr=log, timeout=PATIENCE, check=False
        )
    return done.returncode
