"""One training script for all trackers: `all_at_once.py NOTES BACKENDS POINTS IMAGES ARTIFACTS [WORK]`.

It notes, in one JSON file, what it logged and how long it took; WORK is how many matrices it multiplies
in each step. Values, pictures and files are the same each time.
"""

import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

import tracelet

METRICS: Final = 50


def main(notes: Path, backends: list[str], points: int, images: int, artifacts: int, work: int) -> None:
    """Train."""
    draw, matrix = random.Random(0), np.ones((64, 64))
    steps = points // METRICS
    said: dict[str, Any] = {"points": [], "images": [], "artifacts": {}, "params": {"lr": 0.1, "layers": 3}}
    began = time.time()
    experiment = tracelet.start_logging("all at once", "together", backends)
    experiment.log_params(said["params"])
    experiment.set_tags({"team": "vision"})
    before, cpu = time.perf_counter(), time.process_time()
    for step in range(steps):
        for _ in range(work):
            matrix.dot(matrix)
        for number in range(METRICS):
            name, value = f"group-{number % 5}/metric-{number:02}", draw.gauss(0.0, 10.0)
            experiment.log_metric(name, value, step)
            said["points"].append([name, step, value])
        if step * images // steps < (step + 1) * images // steps:
            picture = np.frombuffer(draw.randbytes(32 * 32 * 3), np.uint8).reshape(32, 32, 3)
            experiment.log_image("samples/one", picture, step)
            said["images"].append(["samples/one", step, hashlib.sha256(picture.tobytes()).hexdigest()])
        if step * artifacts // steps < (step + 1) * artifacts // steps:
            file = notes.with_name(f"weights-{step:05}.bin")
            file.write_bytes(draw.randbytes(100_000))
            experiment.log_artifact(file, "checkpoints")
            said["artifacts"][f"checkpoints/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    said |= {"loop": time.perf_counter() - before, "cpu": time.process_time() - cpu}
    said |= {"run_id": experiment.run_id, "directory": str(experiment.directory), "began": began}
    said["ended"] = time.time()
    notes.write_text(json.dumps(said), encoding="utf-8")
    tracelet.stop_logging()


if __name__ == "__main__":
    PLACE, BACKENDS, *NUMBERS = sys.argv[1:]
    POINTS, IMAGES, ARTIFACTS, WORK = (int(number) for number in (*NUMBERS, "0")[:4])
    main(Path(PLACE), BACKENDS.split(","), POINTS, IMAGES, ARTIFACTS, WORK)
