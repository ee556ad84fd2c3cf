"""One relay, killed again and again while it delivers, with nobody else hurt.

The run is recorded offline, so no keeper starts the relay, and none makes it wait longer after each
death: a new one is started at once. Training goes on until enough of them were met while they delivered.
"""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.crash.chaos import Outcome, Trainer, lived
from tests.crash.trackers import Tracker
from tests.crash.verdict import Noted
from tracelet.journal import cursors, status

PATIENCE: Final = 60.0  # seconds in which a relay must have begun to deliver
EARLY: Final = 1.5  # seconds after its start, in which it imports and connects
LOOK: Final = 0.005  # seconds between two looks
LARGE: Final = 100_000  # bytes that are not delivered; training waits then, so that trackers can follow
TRIES: Final = 5  # relays for each one that is to be met while it delivers
_pause: Final = threading.Event().wait  # nothing sets it


def wear(seed: int, tracker: Tracker, place: Path, kills: int) -> Outcome:
    """Kill a run's relays until so many were met while they delivered; sync and compare.

    Args:
        seed: Decides the moments.
        tracker: Where the run goes.
        place: An empty directory.
        kills: How many.
    """

    def deal(trainer: Trainer, environ: Mapping[str, str]) -> Iterator[str]:
        try:
            yield from _Wearing(tracker.name, place, environ, random.Random(seed)).deal(trainer, kills)
        finally:
            (place / "notes" / "enough").touch()
            (place / "notes" / "hold").unlink(missing_ok=True)

    return lived(
        seed,
        tracker,
        place,
        deal,
        ending="finished",
        seconds=kills * PATIENCE,  # unless it is told before that it is enough
        more={"TRACELET_MODE": "offline"},
    )


class _Wearing:
    def __init__(self, name: str, place: Path, environ: Mapping[str, str], dice: random.Random) -> None:
        self._place = place
        self._environ = dict(environ)
        self._dice = dice
        self._reach = 0.2  # seconds in which it has probably not delivered everything yet
        self._name = name
        self._directory = place

    def deal(self, trainer: Trainer, kills: int) -> Iterator[str]:
        """Start relays and kill them; tell when each was killed."""
        self._directory = self._found(trainer)
        met = 0
        for _ in range(TRIES * kills):
            began = time.monotonic()
            hit, when = self._one()
            said = f"{when}@{time.monotonic() - began:.2f}"
            yield said if hit else f"({said})"
            met += hit
            if met >= kills or trainer.poll() is not None:
                return

    def _found(self, trainer: Trainer) -> Path:
        """Wait until the run has begun; return its directory."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and trainer.poll() is None:
            if found := Noted.read(self._place / "notes").directory:
                return Path(found)
            _pause(LOOK)
        raise AssertionError((self._place / "trainer.log").read_text())

    def _one(self) -> tuple[bool, str]:
        """Start a relay and kill it; tell whether it was delivering then, and which moment it was."""
        self._pace()
        moment = self._dice.choices(["early", "opened", "moved"], [2, 5, 5])[0]
        before = self._moved()
        with (self._place / "relays.log").open("ab") as log:
            command = [sys.executable, "-m", "tracelet.relay", str(self._directory), self._name]
            relay = subprocess.Popen(command, env=self._environ, cwd=self._place, stdout=log, stderr=log)
        try:
            if moment == "early":
                _pause(self._dice.uniform(0.0, EARLY))
                return False, moment
            beats = self._watched(relay, moment, before)
            _pause(self._dice.uniform(0.0, self._reach))
            hit = relay.poll() is None and beats >= 2 and self._delivers(relay)
            self._reach = min(1.0, max(LOOK, self._reach * (1.2 if hit else 0.5)))
            return hit, moment
        finally:
            relay.kill()
            relay.wait()

    def _pace(self) -> None:
        """Let training wait for the tracker, or go on."""
        hold = self._place / "notes" / "hold"
        if status.backlog(self._directory, self._name) > LARGE:
            hold.touch()
        else:
            hold.unlink(missing_ok=True)

    def _watched(self, relay: Trainer, moment: str, before: int) -> int:
        """Wait until the relay has opened the run, or has moved its cursor; count its beats."""
        beats: set[float] = set()
        end = time.monotonic() + PATIENCE
        while relay.poll() is None and time.monotonic() < end:
            said = status.read_delivery(self._directory, self._name)
            if said.pid == relay.pid:
                beats.add(said.beat)  # the first when it begins, the second when it has opened the run
            moved = self._moved() > before
            if moved or (moment == "opened" and len(beats) >= 2):
                return 2
            self._pace()
            _pause(LOOK)
        return 0

    def _delivers(self, relay: Trainer) -> bool:
        said = status.read_delivery(self._directory, self._name)
        there = said.pid == relay.pid and said.state == "delivering"
        return there and status.backlog(self._directory, self._name) > 0

    def _moved(self) -> int:
        return sum(cursors.load(self._directory, self._name).offsets.values())
