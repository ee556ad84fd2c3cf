"""A training script that notes what it has logged: `trainer.py NOTES BACKEND ENDING SECONDS`.

It ends after so many seconds, or as soon as there is a file `enough` among the notes; while there is
one called `hold`, it logs nothing.

The main thread, a second thread and forked children log at once, each under names of its own, and
each notes in a file of its own what every call that returned had logged. Values are unique.
"""

import hashlib
import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Final

import tracelet

PAUSE: Final = 0.004  # seconds between two rounds of one writer
CHILD: Final = 40  # rounds of a forked child
FAILURE: Final = "the training fails"


class Notes:
    """What one thread or process has logged; a line is whole or absent, whatever is killed."""

    def __init__(self, directory: Path, label: str) -> None:
        self._fd = os.open(directory / f"{label}.notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, kind: str, name: str, value: object, step: int | None = None) -> None:
        """Note what a call that has returned had logged."""
        os.write(self._fd, json.dumps([kind, name, value, step]).encode() + b"\n")


class Labourer:
    """Logs and notes, under one label."""

    def __init__(self, experiment: tracelet.Experiment, directory: Path, label: str) -> None:
        self._experiment = experiment
        self._directory = directory
        self._label = label
        self._notes = Notes(directory, label)
        self._random = random.Random(label)
        self._pause = threading.Event()

    def round(self, number: int) -> None:
        """Log a point of each metric, and now and then something else."""
        for metric in ("loss", "accuracy"):
            self._metric(metric, number, number)
        self._metric("seconds", number, None)
        if number % 10 == 0:
            self._other(number)
        self._pause.wait(PAUSE)
        while (self._directory / "hold").exists():
            self._pause.wait(PAUSE)

    def _metric(self, metric: str, number: int, step: int | None) -> None:
        name, value = f"{self._label}/{metric}", number + self._random.random()
        self._experiment.log_metric(name, value, step)
        # A point without a step is numbered by its process.
        self._notes.add("metric", name, value.hex(), number if step is None else step)

    def _other(self, number: int) -> None:
        name = f"{self._label}-{number}"
        self._experiment.log_params({name: number})
        self._notes.add("param", name, number)
        self._experiment.set_tags({name: number})
        self._notes.add("tag", name, str(number))
        self._experiment.set_tags({f"{self._label}-latest": number})
        self._notes.add("latest", f"{self._label}-latest", number)
        if number % 50 == 0:
            self._artifact(name)

    def _artifact(self, name: str) -> None:
        content = self._random.randbytes(20_000)
        file = self._directory / f"{name}.bin"
        file.write_bytes(content)
        self._experiment.log_artifact(file, "files")
        file.write_bytes(b"something else")  # the run has what it was
        self._notes.add("artifact", f"files/{file.name}", hashlib.sha256(content).hexdigest())


def child(experiment: tracelet.Experiment, directory: Path, label: str) -> int:
    """Fork a child that logs for a short while, and ends with its parent."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        labourer = Labourer(experiment, directory, label)
        for number in range(CHILD):
            if os.getppid() != parent:
                break
            labourer.round(number)
    finally:
        os._exit(0)


def main(directory: Path, backend: str, ending: str, seconds: float) -> None:
    """Train."""
    notes = Notes(directory, "run")
    experiment = tracelet.start_logging("crash", "crashes", backend, stop_timeout=4.0)
    notes.add("run", experiment.run_id, str(experiment.directory))
    stop = threading.Event()

    def second() -> None:
        labourer, number = Labourer(experiment, directory, "thread"), 0
        while not stop.is_set():
            labourer.round(number)
            number += 1

    thread = threading.Thread(target=second)
    thread.start()
    labourer, number, children = Labourer(experiment, directory, "main"), 0, []
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (directory / "enough").exists():
        if number % 100 == 30:
            children.append(child(experiment, directory, f"child-{number}"))
        if number % 150 == 149:
            experiment.flush(0.3)
        labourer.round(number)
        number += 1
    stop.set()
    thread.join()
    for pid in children:
        os.waitpid(pid, 0)
    notes.add("ending", ending, "")
    if ending == "failed":
        raise RuntimeError(FAILURE)
    tracelet.stop_logging()
    notes.add("stopped", ending, "")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
