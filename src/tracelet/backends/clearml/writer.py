"""Writing a run to ClearML: a task, its events by `events.add_batch`, and its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracelet import media
from tracelet.backend import BlobPath, Options, Remote
from tracelet.backends.clearml import records
from tracelet.backends.clearml.artifacts import Artifacts
from tracelet.backends.clearml.asked import Sink
from tracelet.backends.clearml.failures import Answered, is_locked, locked, mapped
from tracelet.backends.clearml.files import safe
from tracelet.backends.clearml.options import OFFLINE
from tracelet.backends.clearml.said import objects
from tracelet.backends.clearml.shown import Showing
from tracelet.backends.clearml.tasks import Tasks
from tracelet.errors import Rejected, Unavailable
from tracelet.events import (
    SERIES,
    Artifact,
    Bundle,
    Event,
    Metric,
    Note,
    Params,
    Plain,
    RunStarted,
)

WORKER: Final = "tracelet"


class Writer:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._blob = blob
        self._image_bytes = media.most(options)
        self._connection = _asked(options)
        self._opened: _Opened | None = None

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        with mapped(opening=True):
            self._connection.open()
            tasks = Tasks(self._connection)
            task = tasks.opened(run)
            place = f"{safe(run.project)}/{safe(run.name)}.{task['id']}"
            files = self._connection.store(place)
            self._opened = _Opened(
                tasks,
                Showing(files, self._blob, self._image_bytes),
                Artifacts(self._connection, files, self._blob, task),
            )
        web, project = self._connection.web, task.get("project") or "*"
        url = f"{web}/projects/{project}/experiments/{task['id']}/output/log" if web else ""
        made = self._connection
        return Remote(id=str(task["id"]), url=url, view=made.view, anew=made.anew)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        assert self._opened is not None  # noqa: S101  `write` comes after `open`
        with mapped():
            self._write(self._opened, batch)

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        self._opened = None
        self._connection.close()

    def _write(self, opened: "_Opened", batch: Sequence[Event]) -> None:
        points: dict[tuple[str, str, int], dict[str, Any]] = {}
        params: dict[str, Plain] = {}
        others: list[Event] = []
        for event in batch:
            if isinstance(event, Metric):
                made = records.scalar(event)
                points[made["metric"], made["variant"], made["iter"]] = made
            elif isinstance(event, Params):
                params |= event.params
            else:
                others.append(event)
        if points:
            self._add(opened.tasks, [*points.values()])
        if params:
            opened.tasks.add_params([records.param(name, value) for name, value in params.items()])
        for event in others:
            self._write_one(opened, event)
        opened.tasks.settle()

    def _write_one(self, opened: "_Opened", event: Event) -> None:
        tasks = opened.tasks
        if isinstance(event, Note):
            tasks.edit(comment=event.text)
        elif isinstance(event, SERIES):
            self._add(tasks, [opened.showing.document(event)])
        elif isinstance(event, Artifact):
            tasks.add_artifact(opened.artifacts.put(event))
        elif isinstance(event, Bundle):
            tasks.add_artifact(opened.artifacts.put_bundle(event))
        else:
            tasks.take(event)

    def _add(self, tasks: Tasks, documents: list[dict[str, Any]]) -> None:
        """Add events.

        Raises:
            Rejected: One of them, or more, cannot be taken; the others were.
            Unavailable: The server has failed, and not because of them.
        """
        for document in documents:
            document["task"], document["worker"] = tasks.id, WORKER
        try:
            answer = self._connection.add(documents)
        except Answered as error:
            if error.failed and len(documents) == 1 and not self._takes_others(tasks):
                raise Unavailable(str(error)) from None
            self._check_lock(tasks)
            if not error.failed or len(documents) > 1:
                raise
            answer = self._connection.add(documents)  # it may have been a bad moment
        if answer.get("errors"):
            self._check_lock(tasks)
            raise Rejected(f"ClearML does not take {answer['errors']} of {len(documents)}: {_said(answer)}")
        tasks.sample = documents[-1]

    def _takes_others(self, tasks: Tasks) -> bool:
        """Tell whether the server takes again what it has taken before, so that it works."""
        known = tasks.sample
        if known is None:
            asked = {"task": tasks.id, "event_type": records.SCALAR, "batch_size": 1}
            there = objects(self._connection.call("events.get_task_events", **asked).get("events"))
            known = there[0] if there else None
        if known is None:
            return False
        try:
            self._connection.add([known])
        except Answered:
            return False
        return True

    def _check_lock(self, tasks: Tasks) -> None:
        """Raise `Refused` if the reason is that somebody has published the task."""
        if is_locked(tasks.status()):
            raise locked(tasks.id)


def _asked(options: Options) -> Sink:
    if options.get(OFFLINE):
        from tracelet.backends.clearml.offline import Offline

        return Offline(Path(options[OFFLINE]))
    from tracelet.backends.clearml.session import Connection

    return Connection(options)


class _Opened(NamedTuple):
    """What there is while a run is open."""

    tasks: Tasks
    showing: Showing
    artifacts: Artifacts


def _said(answer: dict[str, Any]) -> str:
    found: Any = answer.get("errors_info") or answer["errors"]
    return str(found)[:800]
