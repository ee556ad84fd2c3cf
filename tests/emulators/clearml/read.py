"""A script as a user of ClearML writes it: prints in JSON what tasks hold, as the client reads it."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from clearml import StorageManager, Task


def digest(file: Any) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def read(task: Any) -> dict[str, Any]:
    samples = [*task.get_debug_samples("picture", "one"), *task.get_debug_samples("sound", "one")]
    plots = task.get_reported_plots(max_iterations=100)
    models = task.models["output"]
    return {
        "name": task.name,
        "project": task.get_project_name(),
        "status": task.get_status(),
        "tags": sorted(task.get_tags()),
        "parameters": task.get_parameters(cast=True),
        "configuration": task.get_configuration_object("a configuration"),
        "scalars": task.get_all_reported_scalars(),
        "sampled": task.get_reported_scalars(max_samples=10),
        "single": task.get_reported_single_values(),
        "samples": {
            f"{one['metric']} {one['iter']}": digest(StorageManager.get_local_copy(one["url"]))
            for one in samples
        },
        "plots": {
            f"{one['metric']} {one['iter']}": len(json.loads(one["plot_str"])["data"]) for one in plots
        },
        "artifacts": {name: digest(one.get_local_copy()) for name, one in task.artifacts.items()},
        "models": {one.name: digest(one.get_local_copy()) for one in models},
        "log": "\n".join(task.get_reported_console_output(100)),
    }


if __name__ == "__main__":
    found = {id_: read(Task.get_task(task_id=id_)) for id_ in sys.argv[1:]}
    sys.stdout.write(f"\nSAID {json.dumps(found)}\n")
