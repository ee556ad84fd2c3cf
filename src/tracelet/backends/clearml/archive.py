"""Reading archives of offline sessions: tracelet's own, and those that ClearML's client has made.

An archive is a ZIP, or the directory that it was or will be made of; `offline` says what is in it. What a
client was killed in is read as far as it goes. The address of a file in it begins with `offline:`.
"""

import contextlib
import json
import logging
import shutil
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, cast
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

from tracelet.backends.clearml.records import LOG, SAMPLE
from tracelet.backends.clearml.said import objects
from tracelet.errors import Refused

_LOG: Final = logging.getLogger(__name__)
TASK: Final = "task.json"
EVENTS: Final = "metrics.jsonl"
LOGGED: Final = "log.jsonl"
DATA: Final = "data"
SAID: Final = "tracelet"
"""The field of a debug sample that holds what stands behind the `#` of its key elsewhere."""
SCHEME: Final = "offline:"
_NAME: Final = "offline-"
_ZIP: Final = ".zip"
_KEY: Final = ("type", "iter", "metric", "variant", "key")


class Session(AbstractContextManager["Session"]):
    """One archive.

    Args:
        place: A ZIP, or a directory.

    Raises:
        Refused: It is none.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        try:
            self._zip = None if place.is_dir() else ZipFile(place)
        except (BadZipFile, FileNotFoundError) as error:
            raise Refused(f"{place} is no archive of an offline session: {error}") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the archive."""
        if self._zip is not None:
            self._zip.close()

    def told(self) -> dict[str, Any]:
        """Return the task, as it is written.

        Raises:
            Refused: There is none.
        """
        try:
            with self.open(TASK) as file:
                found = json.loads(file.read())
        except (KeyError, OSError, ValueError) as error:
            raise Refused(f"{self._place} is no archive of an offline session: {error}") from None
        if not isinstance(found, dict) or "id" not in found:
            raise Refused(f"{self._place} is no archive of an offline session: its {TASK} tells of no task")
        return cast("dict[str, Any]", found)

    def task(self) -> dict[str, Any]:
        """Return the task as the API would tell of it."""
        found = self.told()
        own = str(found["id"])
        status = "completed" if self._zip is not None else "in_progress"
        base = f"{found.get('offline_folder', '')}/{DATA}/"
        execution: dict[str, Any] = found.get("execution") or {}
        artifacts: list[dict[str, Any]] = execution.get("artifacts") or []
        for artifact in artifacts:
            if str(artifact.get("uri", "")).startswith(base):
                artifact["uri"] = self._address(own, artifact["uri"].removeprefix(base))
        project = str(found.get("project_name") or "")
        began = found.get("started") or found.get("created") or self._began()
        return {"status": status, "created": began, **found, "project": project, "started": began}

    def events(self, kind: str) -> Iterator[dict[str, Any]]:
        """Give the events of one type, the oldest first."""
        found = self.told()
        own, base = str(found["id"]), f"{found.get('offline_folder', '')}/{DATA}/"
        documents = self.documents(LOGGED if kind == LOG else EVENTS, kind).values()
        chosen = (event for event in documents if event.get("task") == own)
        for event in sorted(chosen, key=lambda event: event.get("timestamp", 0)):
            if kind == SAMPLE and event.get("key"):
                path, said = str(event["key"]), event.pop(SAID, "")
                event["url"] = self._address(own, path)
                event["key"] = f"{path}#{said}" if said else path
            elif "plot_str" in event:  # a picture in it, or the file of a large table
                address = self._address(own, "")
                event["plot_str"] = str(event["plot_str"]).replace(_quoted(base), _quoted(address))
            yield event

    def documents(self, name: str = EVENTS, kind: str = "") -> dict[object, dict[str, Any]]:
        """Return events by what makes two of them one: the later takes the place of the earlier.

        Args:
            name: The file.
            kind: Their type; empty for all.
        """
        found: dict[object, dict[str, Any]] = {}
        for number, event in enumerate(self._lines(name)):
            if kind in {"", event.get("type")}:
                found[number if event.get("type") == LOG else key_of(event)] = event
        return found

    def has(self, member: str, size: int, checksum: int) -> bool:
        """Tell whether these bytes are in a ZIP."""
        if self._zip is None or member not in self._zip.NameToInfo:
            return False
        info = self._zip.NameToInfo[member]
        return (info.file_size, info.CRC) == (size, checksum)

    def size(self, member: str) -> int:
        """Tell how long a file of the archive is; 0 if there is none."""
        if self._zip is not None:
            return self._zip.NameToInfo[member].file_size if member in self._zip.NameToInfo else 0
        file = self._place / member
        return file.stat().st_size if file.is_file() else 0

    def open(self, member: str) -> IO[bytes]:
        """Open a file of the archive.

        Raises:
            KeyError, OSError: There is none.
        """
        return (self._place / member).open("rb") if self._zip is None else self._zip.open(member)

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        try:
            file = self.open(name)
        except (KeyError, FileNotFoundError):
            return
        with file:
            for line in file:
                with contextlib.suppress(ValueError):  # one in whose middle a process was killed
                    yield from objects(json.loads(line))

    def _began(self) -> str:
        """Tell when the first thing was reported; when the file was written, if nothing was."""
        heads = (next(self._lines(name), None) for name in (LOGGED, EVENTS))
        times = [float(event["timestamp"]) / 1000 for event in heads if event and event.get("timestamp")]
        first = min(times, default=self._place.stat().st_mtime)
        return datetime.fromtimestamp(first, timezone.utc).isoformat(timespec="milliseconds")

    @staticmethod
    def _address(own: str, path: str) -> str:
        return f"{SCHEME}{own}/{DATA}/{path}"


class Archives:
    """All archives of a place; answers a Reader as `Connection` does.

    Args:
        place: An archive, or a directory of them.
    """

    def __init__(self, place: Path) -> None:
        self.web = self.files = ""
        self.shown = str(place)
        self._place = place
        self._places: dict[str, Path] = {}

    def open(self) -> None:
        """Look which there are."""
        found = ((self._id(place), place) for place in self._found())
        self._places = {own: place for own, place in found if own}

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """See `Connection.call`."""
        if name == "tasks.get_by_id":
            return {"task": self._told(body["task"])}
        if name == "projects.get_by_id":
            return {"project": _project(body["project"])}
        what = {"tasks.get_all_ex": "tasks", "projects.get_all": "projects"}.get(name, "models")
        return {what: [*self.pages(name, what, **body)]}

    def pages(self, _: str, what: str, /, **asked: Any) -> Iterator[dict[str, Any]]:
        """See `Connection.pages`."""
        self.open()
        tasks = [self._told(own) for own in self._places] if what in {"tasks", "projects"} else []
        if what == "projects":
            yield from map(_project, sorted({task["project"] for task in tasks}))
            return
        joined = "project.name" in (asked.get("only_fields") or ())
        for task in sorted(tasks, key=lambda task: str(task["created"])):
            if all(_fits(task.get(key), asked.get(key)) for key in ("id", "project", "system_tags")):
                yield task | {"project": _project(task["project"])} if joined else task

    def events(self, task: str, kind: str) -> Iterator[dict[str, Any]]:
        """See `Connection.events`."""
        with self._session(task) as session:
            yield from session.events(kind)

    def download(self, url: str, to: Path) -> None:
        """Write the bytes at an address to a file.

        Raises:
            Refused: There are none.
        """
        own, _, member = url.removeprefix(SCHEME).partition("/")
        with self._session(own) as session:
            for name in dict.fromkeys((member, unquote(member))):
                try:
                    file = session.open(name)
                except (KeyError, FileNotFoundError):
                    continue
                to.parent.mkdir(parents=True, exist_ok=True)
                with file, to.open("wb") as made:
                    shutil.copyfileobj(file, made)
                return
        raise Refused(f"{self._places[own]} has no file {member!r}")

    def close(self) -> None:
        """Do nothing: each archive is open only while it is read."""

    def _told(self, own: str) -> dict[str, Any]:
        with self._session(own) as session:
            return session.task()

    def _session(self, own: str) -> Session:
        if own not in self._places:
            self.open()
        if own not in self._places:
            raise Refused(f"{self._place} has no offline session {own!r}")
        return Session(self._places[own])

    def _found(self) -> Iterator[Path]:
        """List archives."""
        if self._place.is_file() or (self._place / TASK).is_file():
            yield self._place
            return
        there = sorted(one.name for one in self._place.iterdir()) if self._place.is_dir() else []
        for name in dict.fromkeys(one.removesuffix(_ZIP) for one in there if one.startswith(_NAME)):
            folder, archive = self._place / name, self._place / f"{name}{_ZIP}"
            if archive.is_file() and _length(archive) >= _length(folder):
                yield archive
            elif (
                folder / TASK
            ).is_file():  # ClearML's client zips what a failing script has reported too early
                yield folder

    def _id(self, place: Path) -> str:
        """Return whose archive this is; empty if it is none, which others may be."""
        try:
            with Session(place) as session:
                return str(session.told()["id"])
        except Refused as error:
            if place == self._place:
                raise
            _LOG.warning("%s", error)
            return ""


def key_of(event: Mapping[str, Any]) -> Hashable:
    """Return what makes two events one."""
    return tuple(event.get(name) for name in _KEY)


def _length(place: Path) -> int:
    """Tell how many bytes of events there are."""
    try:
        with Session(place) as session:
            return session.size(EVENTS)
    except Refused:
        return -1


def _project(name: str) -> dict[str, str]:
    return {"id": name, "name": name}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _fits(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, list):
        return wanted is None or value == wanted
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    return not wanted or any(one in wanted for one in values)
