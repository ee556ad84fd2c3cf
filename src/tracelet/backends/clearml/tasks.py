"""The task that a run is at ClearML: found or made, changed, and ended.

A task is found by a system tag that holds our run id, with which it is made: no kill comes between.
Most of a task can be changed only while it is in progress, so one that has ended is set going again
for what arrives late, and ended again as it had.
"""

import re
from typing import Any, Final

from tracelet.backends.clearml import about as abouts
from tracelet.backends.clearml import titles
from tracelet.backends.clearml.about import About
from tracelet.backends.clearml.asked import Asked
from tracelet.backends.clearml.failures import Answered, Failed, Gone, is_locked, locked
from tracelet.backends.clearml.said import items, objects
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Event, RunFinished, RunStarted, Status

ENDS: Final[dict[Status, str]] = {
    "FINISHED": "tasks.completed",
    "FAILED": "tasks.failed",
    "KILLED": "tasks.stopped",
}
STATUSES: Final[dict[str, Status]] = {
    "completed": "FINISHED",
    "closed": "FINISHED",
    "publishing": "FINISHED",
    "published": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
"""What ClearML calls a task that has ended, and what that is to us."""
_REASON: Final = 255  # characters of a reason that ClearML shows
_FIELDS: Final = ("id", "name", "created", "status", "project", "tags")


class Tasks:
    """One task.

    Args:
        connection: A server.

    Attributes:
        id: ClearML's id of it.
        sample: An event that the server has taken.
    """

    def __init__(self, connection: Asked) -> None:
        self._connection = connection
        self._about = About({})
        self._labels: list[str] = []
        self._untold = self._ending = False
        self.id = ""
        self.sample: dict[str, Any] | None = None

    def opened(self, run: RunStarted) -> dict[str, Any]:
        """Find the task of a run, or make it; return all that ClearML knows of it.

        Raises:
            Refused: It is published.
        """
        self.id = self._found(run) or self._made(run)
        task = self._whole()
        if is_locked(str(task.get("status"))):
            raise locked(self.id)
        self._about = abouts.of(task)
        if not self._about.run_id:  # somebody has deleted it from the task's configuration
            self._about = abouts.begun(run)
        self._labels = abouts.labels(self._about.tags)
        ended = self._about.end is not None
        if not ended and task.get("status") != "in_progress":
            self._start()
        elif ended and task.get("status") in {"in_progress", "created"}:  # killed before it was ended again
            self._end()
        return task

    def status(self) -> str:
        """Ask for the status that the task has now."""
        return str(self._whole().get("status"))

    def edit(self, **changes: Any) -> None:
        """Change what can be changed at any time but when it is published."""
        try:
            self._change("tasks.edit", **changes)
        except Answered:
            if is_locked(self.status()):
                raise locked(self.id) from None
            raise

    def add_params(self, items: list[dict[str, str]]) -> None:
        """Set params."""
        self._going("tasks.edit_hyper_params", hyperparams=items, replace_hyperparams="none")

    def add_artifact(self, item: dict[str, Any]) -> None:
        """Set an artifact."""
        self._going("tasks.add_or_update_artifacts", artifacts=[item])

    def take(self, event: Event) -> None:
        """Note what ClearML has no place for; `settle` tells it."""
        self._untold = self._about.take(event) or self._untold
        self._ending = self._ending or isinstance(event, RunFinished)

    def settle(self) -> None:
        """Tell what was noted; end the task, if the run has ended."""
        if self._untold:
            self._say()
            self._label()
            self._untold = False
        if self._ending:
            self._end()
            self._ending = False

    def _say(self) -> None:
        items = [self._about.item()]
        self._going("tasks.edit_configuration", configuration=items, replace_configuration=False)

    def _label(self) -> None:
        """Set the tags that ClearML shows; those that somebody has added there stay."""
        wanted = abouts.labels(self._about.tags)
        if wanted == self._labels:
            return
        there = [str(label) for label in items(self._whole().get("tags"))]
        others = [label for label in there if label not in self._labels]
        self._labels = wanted
        self.edit(tags=list(dict.fromkeys([*others, *wanted])))

    def _end(self) -> None:
        """End the task as the run has ended."""
        end = self._about.end
        if end is not None:
            said = {"status_reason": end.reason[:_REASON], "status_message": end.reason}
            self._connection.call(ENDS[end.status], task=self.id, force=True, **said)

    def _going(self, name: str, **body: Any) -> None:
        """Change what can be changed only while the task is in progress."""
        try:
            self._change(name, **body)
        except Answered as error:
            if not error.of_status:
                raise
            if is_locked(self.status()):
                raise locked(self.id) from None
            self._start()
            self._ending = self._ending or self._about.end is not None
            self._change(name, **body)

    def _change(self, name: str, **body: Any) -> None:
        """Change the task.

        Raises:
            Rejected: The server fails on this, and not on other things.
        """
        asked = {"task": self.id, "force": True, **body}
        try:
            self._connection.call(name, **asked)
        except Failed:
            self._whole()  # or it fails on everything
            try:
                self._connection.call(name, **asked)
            except Failed as error:
                raise Rejected(str(error)) from None

    def _start(self) -> None:
        self._connection.call("tasks.started", task=self.id, force=True)

    def _whole(self) -> dict[str, Any]:
        return dict(self._connection.call("tasks.get_by_id", task=self.id)["task"])

    def _found(self, run: RunStarted) -> str:
        """Find the task of a run: the oldest, because somebody may have cloned it."""
        found = self._marked(run)
        return str(found[0]["id"]) if found else ""

    def _marked(self, run: RunStarted) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"system_tags": [abouts.mark(run.run_id)], "search_hidden": True}
        answer = self._connection.call(
            "tasks.get_all_ex", order_by=["created"], only_fields=list(_FIELDS), **asked
        )
        found = objects(answer.get("tasks"))
        return sorted(found, key=lambda task: (str(task.get("created")), str(task["id"])))

    def _made(self, run: RunStarted) -> str:
        fields = abouts.task_fields(run, abouts.begun(run))
        fields["project"] = project_id(self._connection, titles.project_of(run.project))
        try:
            made = self._connection.call(
                "tasks.create", **fields, **({"parent": run.parent} if run.parent else {})
            )
        except (Answered, Gone):
            if not run.parent:
                raise
            made = self._connection.call("tasks.create", **fields)  # no task of that id is here
        # A relay that was killed while it asked for one may have got it meanwhile.
        oldest = self._found(run) or str(made["id"])
        if oldest != made["id"]:
            self._connection.call("tasks.delete", task=made["id"], force=True)
        return oldest


def project_id(connection: Asked, name: str) -> str:
    """Find a project, or make it.

    Raises:
        Unavailable: Somebody makes it just now.
    """
    found = _project(connection, name)
    if found:
        return found
    try:
        return str(connection.call("projects.create", name=name, description="")["id"])
    except Answered as error:
        found = _project(connection, name)
        if found:
            return found
        if "already exists" in str(error):  # somebody makes it just now
            raise Unavailable(f"project {name!r}: {error}") from None
        raise


def _project(connection: Asked, name: str) -> str:
    asked = {"name": f"^{re.escape(name)}$", "only_fields": ["id", "name"], "search_hidden": True}
    found = objects(connection.call("projects.get_all", **asked).get("projects"))
    return next((str(one["id"]) for one in found if one.get("name") == name), "")
