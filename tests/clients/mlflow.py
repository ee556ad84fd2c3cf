"""What MLflow has: WHERE is a tracking URI."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.clients import Picture, Point, Run, digest, main, pixels

OWN: Final = ("mlflow.", "tracelet.")  # tags that nobody has logged


def read(where: str, project: str) -> list[Run]:
    """Ask `MlflowClient`."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=where)
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        return []
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [_run(client, run) for run in found]


def _run(client: Any, run: Any) -> Run:
    made = Run(
        uid=run.data.tags.get("tracelet.uid", ""),
        name=run.info.run_name,
        status=run.info.status,
        params=run.data.params,
        tags={name: text for name, text in run.data.tags.items() if not name.startswith(OWN)},
    )
    for name in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, name):
            made.points.append(Point(name, point.step, point.value, point.timestamp / 1000))
    root = Path(client.download_artifacts(run.info.run_id, "")) if _artifacts(client, run) else None
    for file in sorted(root.rglob("*")) if root else ():
        path = file.relative_to(root).as_posix() if root else ""
        if file.is_dir():
            continue
        if path.startswith("images/"):
            made.images += _pictures(file)
        else:
            made.artifacts[path] = digest(file.read_bytes())
    return made


def _artifacts(client: Any, run: Any) -> bool:
    return bool(client.list_artifacts(run.info.run_id))


def _pictures(file: Path) -> Iterator[Picture]:
    """Read an image by the name that MLflow's own page goes by."""
    import PIL.Image

    if file.suffix != ".png":
        return  # the small one that its page shows first
    name, _, rest = file.name.partition("+step+")
    with PIL.Image.open(file) as picture:
        yield Picture(name.replace("~", "/"), int(rest.partition("+")[0]), pixels(picture))


if __name__ == "__main__":
    main(read)
