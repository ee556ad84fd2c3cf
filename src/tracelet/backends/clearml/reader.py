"""Reading runs from ClearML's server or from archives: all of a task, never a sample; see `found`."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tracelet.backend import Options, RunSummary
from tracelet.backends.clearml.asked import Source
from tracelet.backends.clearml.failures import asking
from tracelet.backends.clearml.found import CONSOLE, History, Recent
from tracelet.backends.clearml.options import ARCHIVE, OFFLINE, PROJECT
from tracelet.backends.clearml.said import mapping, objects
from tracelet.backends.clearml.tasks import STATUSES
from tracelet.backends.clearml.titles import project_of
from tracelet.errors import Refused, suggestion
from tracelet.events import Event

_SUMMARY: Final = (
    "id", "name", "type", "status", "started", "created", "tags", "comment", "parent", "project.name",
    "configuration.tracelet",
)  # fmt: skip

LISTED: Final = 20  # projects that an error names


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._connection = _asked(options)
        self._only = options.get(PROJECT, "")
        self._recent = "", Recent()  # a run, and its plots

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest comes first."""
        wanted = project or self._only or None
        if project and self._only and project != self._only:
            return
        with asking():
            self._connection.open()
            asked: dict[str, Any] = {
                "order_by": ["created"],
                "only_fields": list(_SUMMARY),
                "search_hidden": True,
            }
            if wanted is not None:
                asked["project"] = self._projects(wanted)
            listed = [*self._connection.pages("tasks.get_all_ex", "tasks", **asked)]
        for task in listed:
            summary = self._summary(task)
            if wanted in {None, summary.project, _project_name(task)}:
                yield summary

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        with asking():
            found = self._history(run).events()
        while True:
            with asking():
                event = next(found, None)
            if event is None:
                return
            yield event

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`.

        Raises:
            Refused: The run has no such file.
        """
        with asking():
            history = self._history(run)
            content = history.content(path)
            if content is None and path == CONSOLE:
                content = b"".join(history.console())
            if content is not None:
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(content)
                return
            url = history.address(path)
            if not url:
                raise Refused(f"task {run} has no file {path!r}")
            self._connection.download(url, to)

    def close(self) -> None:
        """See `Reader.close`."""
        self._connection.close()

    def _history(self, run: str) -> History:
        self._connection.open()
        task = dict(self._connection.call("tasks.get_by_id", task=run)["task"])
        project: Any = task.get("project")
        if project:
            answer = self._connection.call("projects.get_by_id", project=project)
            task["project"] = answer["project"]["name"]
        if self._recent[0] != run:
            self._recent = run, Recent()
        return History(
            task,
            lambda kind: self._connection.events(run, kind),
            lambda: self._models(task),
            self._bytes,
            self._recent[1],
        )

    def _models(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        listed = objects(mapping(task.get("models")).get("output"))
        ids = [str(item["model"]) for item in listed if item.get("model")]
        found = [*self._connection.pages("models.get_all", "models", id=ids)] if ids else []
        return sorted(found, key=lambda model: ids.index(str(model["id"])))

    def _bytes(self, url: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
            self._connection.download(url, Path(place, "file"))
            return Path(place, "file").read_bytes()

    def _projects(self, wanted: str) -> list[str]:
        """Find a project by its name.

        Raises:
            Refused: There is none.
        """
        listed = self._connection.pages(
            "projects.get_all", "projects", only_fields=["id", "name"], search_hidden=True
        )
        names = {str(one["id"]): str(one.get("name") or "") for one in listed}
        found = [own for own, name in names.items() if name in {project_of(wanted), wanted}]
        if not found:
            raise Refused(unknown_project(wanted, self._connection.shown, names.values()))
        return found

    def _summary(self, task: dict[str, Any]) -> RunSummary:
        told = {**task, "project": _project_name(task)}
        history = History(told, lambda _: iter(()), list, lambda _: b"")
        started = history.started()
        status = str(task.get("status") or "")
        end = history.ended(started.time)
        shown = STATUSES.get(status, "RUNNING" if status == "in_progress" else status.upper())
        return RunSummary(
            id=str(task["id"]),
            name=started.name,
            project=started.project,
            status=shown if end is None else end.status,
            started=started.time,
        )


def _asked(options: Options) -> Source:
    if place := options.get(ARCHIVE) or options.get(OFFLINE):
        from tracelet.backends.clearml.archive import Archives

        return Archives(Path(place))
    from tracelet.backends.clearml.session import Connection

    return Connection(options)


def unknown_project(project: str, place: str, known: Iterable[str]) -> str:
    """Say that there is no project of a name."""
    names = sorted(filter(None, known))
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    there = f"there are {', '.join(names[:LISTED])}{more}" if names else "it has none"
    return f"{place} has no project called {project!r}; {there}.{suggestion(project, names)}"


def _project_name(task: dict[str, Any]) -> str:
    return str(mapping(task.get("project")).get("name") or "")
