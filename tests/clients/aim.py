"""What Aim has: WHERE is the directory of a repository."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.clients import Picture, Point, Run, digest, main, pixels


def read(where: str, project: str) -> list[Run]:
    """Ask `aim.Repo`, once it has indexed what is there: it gives no run that it has not."""
    from aim import Repo
    from aim.sdk.index_manager import RepoIndexManager

    repository: Any = Repo(where)
    index = RepoIndexManager.get_index_manager(repository)
    for run in repository.list_all_runs():
        index.index(run)
    repository.container_pool.clear()
    found = [repository.get_run(run) for run in repository.list_all_runs()]
    found.sort(key=lambda run: run.creation_time)
    return [_run(run) for run in found if run.experiment == project]


def _run(run: Any) -> Run:
    params = run[...]
    own = params.pop("__tracelet", {})
    made = Run(
        uid=own.get("uid", ""),
        name=run.name,
        status=own.get("status", "RUNNING"),
        params={name: value for name, value in params.items() if not name.startswith("__")},
        tags=own.get("tags", {}),
    )
    for metric in run.metrics():
        steps, (values, _, times) = metric.data.items_list()
        for step, value, time in zip(steps, values, times, strict=True):
            made.points.append(Point(metric.name, step, value, time))
    for path, artifact in run.artifacts.items():
        made.artifacts[path] = digest(Path(artifact.uri.removeprefix("file://")).read_bytes())
    made.images += _pictures(run)
    return made


def _pictures(run: Any) -> Iterator[Picture]:
    from aim.storage.context import Context

    for series in run.collect_sequence_info("images")["images"]:
        found = run.get_image_sequence(series["name"], Context(series["context"])).data
        for step, (entry, *_) in found.items():
            for image in entry if isinstance(entry, list) else [entry]:
                yield Picture(series["name"], step, pixels(image.to_pil_image()))


if __name__ == "__main__":
    main(read)
