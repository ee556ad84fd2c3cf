"""What ClearML has: WHERE is its API server's address; keys and files' host are in the environment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.clients import Picture, Point, Run, digest, main, pixels

PAGE: Final = 10_000  # events
DASH: Final = "_0x2d_"  # how a title has one
MARK: Final = "tracelet:"  # what the system tag begins with that names our run
STATUSES: Final = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def read(where: str, project: str) -> list[Run]:
    """Ask `Task` and `APIClient`, for all events and no sample."""
    import os

    os.environ["CLEARML_API_HOST"] = where
    from clearml import Task
    from clearml.backend_api.session.client import APIClient

    tasks = Task.get_tasks(project_name=project, task_filter={"order_by": ["created"]})
    return [_run(APIClient(), task) for task in tasks]


def _run(client: Any, task: Any) -> Run:
    marks = [tag.removeprefix(MARK) for tag in task.data.system_tags or () if tag.startswith(MARK)]
    made = Run(
        uid="".join(marks),
        name=task.name,
        status=STATUSES.get(str(task.get_status()), str(task.get_status())),
        params={name.removeprefix("General/"): text for name, text in _params(task)},
        tags=dict(tag.split("=", 1) for tag in task.get_tags() or ()),
    )
    for event in _events(client, task.id, "training_stats_scalar"):
        point = Point(_name(event), event["iter"], float(event["value"]), event["timestamp"] / 1000)
        made.points.append(point)
    for event in _events(client, task.id, "training_debug_image"):
        made.images += _picture(event)
    for path, artifact in task.artifacts.items():
        made.artifacts[path] = digest(Path(str(artifact.get_local_copy())).read_bytes())
    return made


def _params(task: Any) -> Iterator[tuple[str, str]]:
    for name, text in task.get_parameters().items():
        if not name.startswith("properties/"):
            yield name, text


def _events(client: Any, task: str, kind: str) -> Iterator[dict[str, Any]]:
    scroll = None
    while True:
        page = client.events.get_task_events(
            task=task, event_type=kind, batch_size=PAGE, scroll_id=scroll, order="asc"
        )
        yield from page.events
        scroll = page.scroll_id
        if len(page.events) < PAGE:
            return


def _name(event: dict[str, Any]) -> str:
    title, series = event["metric"].replace(DASH, "-"), event["variant"]
    return title if title == series else f"{title}/{series}"


def _picture(event: dict[str, Any]) -> Iterator[Picture]:
    import PIL.Image
    from clearml import StorageManager

    with PIL.Image.open(str(StorageManager.get_local_copy(event["url"]))) as picture:
        yield Picture(_name(event), event["iter"], pixels(picture))


if __name__ == "__main__":
    main(read)
