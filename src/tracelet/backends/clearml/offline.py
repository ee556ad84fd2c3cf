"""Writing the archive of an offline session, as `clearml-task --import-offline-session` takes it.

    offline-<id>/            while the run goes on
        task.json            the task, with its params, tags and artifacts
        metrics.jsonl        lists of events, one on a line
        data/PLACE.<id>/…    the files that they name
    offline-<id>.zip         all of it, once the run's end is delivered; then the directory is gone

The id is made of the run's. A directory is a projection of the journal: one that a relay has left is
removed, and written anew. A ZIP is not touched again, unless something new is delivered, such as what a
child logs after the end; then another takes its place.

`Offline` answers a Writer as a server does, as far as it asks. What the importer wants decides the rest:
it finds a file by the key of an event, or below `offline_folder`, and puts the new task's id where ours
stands; it knows nothing of what lies beside a file, so that is put into the event. A parent would have to
be at the server, and is left out. So is a model: the importer finds no file of one in a ZIP, and what it
made of an address would not be known for ours; it stays the artifact that it is too.
"""

import base64
import contextlib
import filecmp
import hashlib
import json
import os
import shlex
import shutil
import time
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from tracelet.backends.clearml.archive import DATA, EVENTS, LOGGED, SAID, TASK, Session, key_of
from tracelet.backends.clearml.records import LOG, SAMPLE
from tracelet.backends.clearml.shown import BESIDE, FILE
from tracelet.errors import Refused, Unavailable

_PART: Final = ".part"  # what the name of a ZIP ends in that is not whole yet
_LINE: Final = 500  # events on a line; the importer sends each line as one request
_PAUSE: Final = 1.0  # seconds between two times that the task is written
_PIECE: Final = 1 << 20  # bytes
_ENDS: Final = {"tasks.completed": "completed", "tasks.failed": "failed", "tasks.stopped": "stopped"}
_OWN: Final = frozenset({"parent", "project"})  # of `tasks.create`, and not of what is imported


class Offline:
    """The session of one run; answers as `Connection` does.

    Args:
        directory: Where sessions are.

    Attributes:
        web: See `Connection.web`.
        finished: Whether the session is a ZIP.
    """

    def __init__(self, directory: Path) -> None:
        self.web = ""
        self.finished = False
        self._directory = directory
        self._task: dict[str, Any] = {}
        self._zip: ZipFile | None = None
        self._stale = False  # a file has been replaced that is in the ZIP already
        self._saved = ""
        self._saved_at = 0.0
        self._known: dict[object, dict[str, Any]] | None = None

    @property
    def anew(self) -> bool:
        """See `Remote.anew`."""
        return not self.finished

    @property
    def view(self) -> str:
        """See `Remote.view`."""
        archive = shlex.quote(str(self._archive))
        return f"CLEARML_OFFLINE_MODE=0 clearml-task --import-offline-session {archive}"

    def open(self) -> None:
        """Make the directory of sessions."""
        self._directory.mkdir(parents=True, exist_ok=True)

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """See `Connection.call`."""
        self._check()
        if name in _ENDS:
            return self._end(_ENDS[name], body)
        change = getattr(self, f"_{name.replace('.', '_')}", None)
        if change is None:
            raise Refused(f"a session of ClearML that is offline cannot be asked for {name!r}")
        return cast("dict[str, Any]", change(body))

    def add(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """See `Connection.add`."""
        self._check()
        made = [self._event(event) for event in events]
        if not self.finished or not self._has(made):
            self._thaw()
            self._append(EVENTS, [event for event in made if event.get("type") != LOG])
            self._append(LOGGED, [event for event in made if event.get("type") == LOG])
            self._freeze()
        self._changed()
        return {"added": len(made), "errors": 0}

    def store(self, place: str) -> "Stored":
        """Return where files go.

        Args:
            place: What their paths begin with, such as `PROJECT/NAME.<id>`.
        """
        return Stored(self, place)

    def keep(self, path: str, source: Path | bytes) -> str:
        """Keep a file; return its address.

        Args:
            path: Where it goes, below `data`.
            source: Its bytes.
        """
        self._check()
        if self.finished:
            with Session(self._archive) as session:
                if session.has(f"{DATA}/{path}", *_measured(source)):
                    return f"{self._base}{path}"
        self._thaw()
        to = self._folder / DATA / path
        if not _is_same(to, source):
            self._stale = self._stale or to.exists()
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(source) if isinstance(source, bytes) else shutil.copyfile(source, to)
            if self._zip is not None and not self._stale:  # now, so that the end does not take long
                self._zip.write(to, f"{DATA}/{path}")
        return f"{self._base}{path}"  # whatever names it is written next, and freezes it

    def close(self) -> None:
        """Write what is not written yet."""
        if self._task and not self.finished:
            with contextlib.suppress(FileNotFoundError):  # another relay has begun it anew
                self._save()
        self._let_go()
        if self.finished and self._archive.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._task = {}

    @property
    def _folder(self) -> Path:
        return self._directory / str(self._task["id"])

    @property
    def _archive(self) -> Path:
        return self._directory / f"{self._task['id']}.zip"

    @property
    def _base(self) -> str:
        """What the addresses of files begin with."""
        return f"{self._folder.as_posix()}/{DATA}/"

    def _check(self) -> None:
        """See that nobody has taken away what this writes.

        Raises:
            Unavailable: Somebody has; it is written anew when it is opened again.
        """
        if self._task:
            place = self._archive if self.finished else self._folder
            if not place.exists():
                raise Unavailable(f"{place} is gone")

    def _tasks_get_all_ex(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Find the session of a run if it is a ZIP, or if it was made by this very object."""
        own = _id_of(asked["system_tags"])
        if self._task.get("id") != own:
            archive = self._directory / f"{own}.zip"
            if not archive.exists():
                return {"tasks": []}
            with Session(archive) as session:
                self._task = session.told()
            self.finished, self._saved, self._known = True, _text(self._task), None
            shutil.rmtree(self._folder, ignore_errors=True)  # of a relay that was killed when all was done
        return {"tasks": [self._task]}

    def _tasks_get_by_id(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"task": self._task}

    def _projects_get_all(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"projects": []}

    def _projects_create(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": said["name"]}

    def _models_get_all(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"models": []}

    def _models_create(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": self._task["id"]}

    def _models_add_or_update_metadata(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def _tasks_add_or_update_model(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def _tasks_create(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the session anew."""
        self._let_go()
        self._task = {key: value for key, value in said.items() if key not in _OWN} | {
            "id": _id_of(said["system_tags"]),
            "status": "in_progress",
            "created": _now(),
            "project_name": said["project"],
            "execution": {"artifacts": []},
            "offline_output_models": [],
        }
        self._task["offline_folder"] = self._folder.as_posix()
        if self._folder.exists():
            shutil.rmtree(self._folder)
        (self._folder / DATA).mkdir(parents=True)
        self._zip = ZipFile(self._part, "w", ZIP_STORED, strict_timestamps=False)
        self.finished = self._stale = False
        self._save()
        return {"id": self._task["id"]}

    def _tasks_started(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def _tasks_edit(self, said: Mapping[str, Any]) -> dict[str, Any]:
        self._task |= {key: value for key, value in said.items() if key not in {"task", "force"}}
        return self._changed()

    def _tasks_edit_hyper_params(self, said: Mapping[str, Any]) -> dict[str, Any]:
        sections: dict[str, dict[str, Any]] = self._task.setdefault("hyperparams", {})
        for item in said["hyperparams"]:
            sections.setdefault(item["section"], {})[item["name"]] = item
        return self._changed()

    def _tasks_edit_configuration(self, said: Mapping[str, Any]) -> dict[str, Any]:
        items = {item["name"]: item for item in said["configuration"]}
        self._task["configuration"] = self._task.get("configuration", {}) | items
        return self._changed()

    def _tasks_add_or_update_artifacts(self, said: Mapping[str, Any]) -> dict[str, Any]:
        items = {item["key"]: item for item in [*self._task["execution"]["artifacts"], *said["artifacts"]]}
        self._task["execution"]["artifacts"] = [*items.values()]
        return self._changed()

    def _end(self, status: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """Make the archive."""
        self._task |= {"status": status, "status_reason": said.get("status_reason", "")}
        if self.finished:
            return self._changed()
        self._task["completed"] = _now()
        self._save()
        self.finished = True
        self._freeze()
        return {}

    def _event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event as the importer takes it."""
        made = {**event}
        url = str(event.get("url", ""))
        if event.get("type") == SAMPLE and url.startswith(self._base):
            made["key"] = path = url.removeprefix(self._base)
            said = str(event.get("key", "")).rpartition("#")[2]
            beside = self._folder / DATA / f"{path}{BESIDE}"
            made[SAID] = base64.b64encode(beside.read_bytes()).decode() if said == FILE else said
        return made

    def _has(self, made: Iterable[dict[str, Any]]) -> bool:
        """Tell whether events are in the archive already."""
        if self._known is None:
            with Session(self._archive) as session:
                self._known = session.documents()
        known = self._known
        return all(event.get("type") != LOG and known.get(key_of(event)) == event for event in made)

    def _append(self, name: str, events: list[dict[str, Any]]) -> None:
        if not events:
            return
        lines = (json.dumps(events[at : at + _LINE]) for at in range(0, len(events), _LINE))
        with (self._folder / name).open("a", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in lines)

    def _changed(self) -> dict[str, Any]:
        """Write the task: soon while it goes on, and at once afterwards if it is another now."""
        rests = not self.finished and time.monotonic() - self._saved_at < _PAUSE
        if not rests and _text(self._task) != self._saved:
            self._thaw()
            self._save()
            self._freeze()
        return {}

    def _save(self) -> None:
        self._saved, self._saved_at = _text(self._task), time.monotonic()
        part = self._folder / f"{TASK}{_PART}"
        part.write_text(self._saved, encoding="ascii")
        part.replace(self._folder / TASK)

    @property
    def _part(self) -> Path:
        return self._directory / f"{self._task['id']}.zip{_PART}"

    def _thaw(self) -> None:
        """Make a directory of the archive, if there is none."""
        if self.finished and not self._folder.exists():
            with ZipFile(self._archive) as archive:
                archive.extractall(self._folder)

    def _freeze(self) -> None:
        """Make an archive of the directory, if the run has ended."""
        if not self.finished:
            return
        if self._stale or self._zip is None:
            self._let_go()
            self._zip = ZipFile(self._part, "w", ZIP_STORED, strict_timestamps=False)
            for file in sorted((self._folder / DATA).rglob("*")):
                self._zip.write(file, file.relative_to(self._folder).as_posix())
        for name in (TASK, EVENTS, LOGGED):
            if (self._folder / name).is_file():
                self._zip.write(self._folder / name, name, ZIP_DEFLATED, 1)
        self._zip.close()
        self._zip, self._stale, self._known = None, False, None
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self._archive)
        shutil.rmtree(self._folder)

    def _let_go(self) -> None:
        made, self._zip = self._zip, None
        if made is not None:
            with contextlib.suppress(OSError):  # a full disk; it is thrown away in any case
                made.close()
            self._part.unlink(missing_ok=True)


class Stored:
    """See `files.Store`."""

    def __init__(self, session: Offline, place: str) -> None:
        self._session = session
        self._place = place

    def put(self, name: str, source: Path | bytes) -> str:
        """See `files.Store.put`."""
        return self._session.keep(f"{self._place}/{name}", source)


def _id_of(system_tags: list[str]) -> str:
    """Make a session's id of what marks its run."""
    return f"offline-{hashlib.sha256(system_tags[0].encode()).hexdigest()[:32]}"


def _text(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True)  # in ASCII: the importer opens files as the locale has it


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _is_same(file: Path, source: Path | bytes) -> bool:
    if not file.is_file():
        return False
    return (
        file.read_bytes() == source if isinstance(source, bytes) else filecmp.cmp(file, source, shallow=False)
    )


def _measured(source: Path | bytes) -> tuple[int, int]:
    """Return the size and the checksum of bytes, as a ZIP has them."""
    if isinstance(source, bytes):
        return len(source), zlib.crc32(source)
    checksum = 0
    with source.open("rb") as file:
        while piece := file.read(_PIECE):
            checksum = zlib.crc32(piece, checksum)
    return source.stat().st_size, checksum
