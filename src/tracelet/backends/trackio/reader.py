"""Reading runs from Trackio: those that tracelet wrote, and those of everybody else.

    Trackio's                    ours
    project and run id           a run's id, `<project>/<run id>`
    config                       `Params`; `_Group` is the group
    a number in a row            `Metric`
    NaN, Infinity, -Infinity     `Metric`, where the row has the word
    a number of the machine's    `Metric` called `system/<key>`, without a step
    trackio.image … table        `Image`, `Audio`, `Video`, `Html`, `Table`
    trackio.object3d             an `Artifact`, its path that of Trackio's file below `media/`
    trackio.markdown, a text     `Text`
    alert                        `Text` called `alerts/<level>`
    trace                        `Text` called as it is, of JSON
    artifact that it put out     a `Bundle`, and each file an `Artifact` below its name

A run that somebody else has logged has no end: Trackio does not say how a run ends. What tracelet
wrote becomes what it was, see `config` and `shown`. Files of a project, and artifacts that a run has
only used, belong to no run.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote

import msgspec

from tracelet.backend import Options, RunSummary
from tracelet.backends.trackio import LIMITS, config
from tracelet.backends.trackio.database import Database, Found, Link, asking
from tracelet.backends.trackio.entries import FILES, MEDIA, ROWS, Names, content_at, events_of
from tracelet.backends.trackio.files import unescaped
from tracelet.backends.trackio.held import SYSTEM
from tracelet.backends.trackio.words import name_of, number_of, unworded
from tracelet.errors import Refused
from tracelet.events import (
    Artifact,
    Bundle,
    Event,
    Metric,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Status,
    Text,
)
from tracelet.names import NAME_TAG, NameMap

UNKNOWN: Final = "UNKNOWN"
_VERSIONS: Final = "versions//"
_ENDED: Final[tuple[Status, ...]] = ("FINISHED", "FAILED", "KILLED")


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._directory = Path(options["dir"])
        self._only = options.get("project", "")
        self._open: dict[str, Database] = {}

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest of each project comes first."""
        with asking(self._directory):
            files = sorted(self._directory.glob(f"{self._only or '*'}.db"))
        for file in files:
            if file.stem.startswith("registry-"):
                continue  # a catalogue of artifacts
            with asking(file):
                database = self._database(file.stem)
                found = [self._summary(database, run) for run in database.runs()]
            yield from (run for run in found if project in {None, run.project, file.stem})

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        database, found = self._find(run)
        with asking(f"run {run}"):
            yield from self._events(database, found)

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`.

        Raises:
            Refused: The run has no such file.
        """
        database, found = self._find(run)
        with asking(f"{path!r} of run {run}"):
            to.parent.mkdir(parents=True, exist_ok=True)
            content = self._content(database, path)
            if content is not None:
                to.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
                return
            source = self._file(database, found, path)
            if source is None or not source.is_file():
                raise Refused(f"run {run} has no file {path!r}")
            shutil.copyfile(source, to)

    def close(self) -> None:
        """See `Reader.close`."""
        for database in self._open.values():
            database.close()
        self._open.clear()

    def _database(self, project: str) -> Database:
        if project not in self._open:
            self._open[project] = Database(self._directory / f"{project}.db")
        return self._open[project]

    def _find(self, run: str) -> tuple[Database, Found]:
        project, _, number = run.partition("/")
        with asking(f"run {run}"):
            if (self._directory / f"{project}.db").is_file():
                database = self._database(project)
                for found in database.runs():
                    if found.id == number:
                        return database, found
        raise Refused(f"there is no run {run!r} in {self._directory}; a run is <project>/<id>")

    def _summary(self, database: Database, run: Found) -> RunSummary:
        ours = config.ours_of(database.config(run.id))
        return RunSummary(
            id=f"{database.project}/{run.id}",
            name=run.name,
            project=str(ours.get("project") or database.project),
            status=str(ours.get("status", UNKNOWN)),
            started=float(ours.get("started", run.started)),
        )

    def _events(self, database: Database, run: Found) -> Iterator[Event]:
        said = database.config(run.id)
        ours = config.ours_of(said)
        tags: dict[str, str] = dict(ours.get("tags", {}))
        names = _names(ours, tags)
        started = float(ours.get("started", run.started))
        yield _started(database, run, said, names)
        if params := config.params_of(said):
            values = {names.read(name): unworded(value) for name, value in params.items()}
            yield Params(started, values)
        yield from config.others(ours, started)
        for row in database.logged(run.id):
            yield from map(self._sized, events_of(row, names))
        yield from _machine(database, run, names)
        yield from _told(database, run)
        yield from _artifacts(database.links(run.id), ours=bool(ours))
        if (how := ended(ours.get("status"))) is not None:
            yield RunFinished(float(ours.get("ended", started)), how, str(ours.get("reason", "")))

    def _sized(self, event: Event) -> Event:
        """Say how large a file is that a row names."""
        if isinstance(event, Artifact):
            return msgspec.structs.replace(event, size=_size(self._media(event.path.removeprefix(MEDIA))))
        data: Payload | None = getattr(event, "data", None)
        if data is None or not data.path.startswith(FILES):
            return event
        size = _size(self._media(data.path.removeprefix(FILES)))
        return msgspec.structs.replace(cast("Any", event), data=msgspec.structs.replace(data, size=size))

    def _media(self, path: str) -> Path | None:
        """Find a file of Trackio's, unless its path leads out of there."""
        place = (self._directory / "media").resolve()
        file = (place / path).resolve()
        return file if place in file.parents else None

    def _content(self, database: Database, path: str) -> Any:
        """Return what a payload consists of that is no file; None for any other."""
        if path.startswith(ROWS):
            number, _, key = path.removeprefix(ROWS).removesuffix(".json").partition("/")
            return content_at(unquote(key), database.row(int(number)))
        if path.startswith(_VERSIONS):
            number, _, name = path.removeprefix(_VERSIONS).removesuffix(".json").partition("/")
            return _listed(unquote(name), database.manifest(int(number)))
        return None

    def _file(self, database: Database, run: Found, path: str) -> Path | None:
        if path.startswith(FILES):
            return self._media(path.removeprefix(FILES))
        ours = bool(config.ours_of(database.config(run.id)))
        found: Path | None = None
        for link in database.links(run.id):
            for entry in link.manifest:
                if _path(link, entry, ours=ours) == path:
                    found = self._blob(database, entry)
        return self._media(path.removeprefix(MEDIA)) if found is None and path.startswith(MEDIA) else found

    def _blob(self, database: Database, entry: Mapping[str, Any]) -> Path:
        if "ref" in entry:
            raise Refused(f"Trackio has not the bytes of {entry['path']!r}: they are at {entry['ref']}")
        digest = str(entry["digest"])
        return self._directory / "artifacts" / database.project / "blobs" / "sha256" / digest[:2] / digest


def ended(status: Any) -> Status | None:
    """Return how a run ended, if this says so."""
    return next((one for one in _ENDED if one == status), None)


def _names(ours: Mapping[str, Any], tags: Mapping[str, str]) -> Names:
    if not ours:
        return Names(None, {})
    names, cut = NameMap(LIMITS), dict[str, str]()
    for tag, original in tags.items():
        if tag.startswith(NAME_TAG):
            cut[names.to_tracker(original)] = original
    return Names(names, cut)


def _started(database: Database, run: Found, said: Mapping[str, Any], names: Names) -> RunStarted:
    ours = config.ours_of(said)
    tags = {tag: text for tag, text in ours.get("tags", {}).items() if not tag.startswith(NAME_TAG)}
    return RunStarted(
        time=float(ours.get("started", run.started)),
        run_id=str(ours.get("run_id") or run.id),
        name=run.name if run.name != run.id else str(ours.get("name", run.name)),
        project=str(ours.get("project", database.project)),
        tags={names.read(tag): str(text) for tag, text in tags.items()},
        note=str(ours.get("note", "")),
        group=str(said.get("_Group") or ""),
        job_type=str(ours.get("job_type", "")),
        parent=str(ours.get("parent", "")),
    )


def _machine(database: Database, run: Found, names: Names) -> Iterator[Metric]:
    numbers: Counter[str] = Counter()
    for row in database.system(run.id):
        for key, value in row.content.items():
            name, number = names.read(f"{SYSTEM}{name_of(key)}"), number_of(value)
            if number is not None:
                yield Metric(name, number, None, row.time, numbers[name])
                numbers[name] += 1


def _told(database: Database, run: Found) -> Iterator[Text]:
    """Give alerts and traces."""
    for alert in database.alerts(run.id):
        text = "\n\n".join(filter(None, (alert["title"], alert["text"])))
        yield Text(time=alert["time"], name=f"alerts/{alert['level']}", text=text, step=alert["step"])
    for trace in database.traces(run.id):
        parts = ("messages", "metadata", "spans")
        content = {part: json.loads(trace[part]) for part in parts if trace.get(part)}
        text = json.dumps(content, ensure_ascii=False)
        yield Text(time=trace["time"], name=trace["key"], text=text, step=trace["step"])


def _artifacts(links: list[Link], *, ours: bool) -> Iterator[Artifact | Bundle]:
    files: dict[str, Artifact] = {}
    for link in links:
        for entry in link.manifest:
            if not (ours and "ref" in entry):
                path = _path(link, entry, ours=ours)
                files.pop(path, None)
                files[path] = Artifact(time=link.time, path=path, size=int(entry["size"]))
    yield from files.values()
    if not ours:
        yield from map(_bundle, links)


def _bundle(link: Link) -> Bundle:
    listed = _listed(link.name, link.manifest)
    place = f"{_VERSIONS}{link.version}/{link.name}.json"
    return Bundle(
        time=link.time,
        name=link.name,
        kind="" if link.kind == "unspecified" else link.kind,
        path=link.name,
        files=len(listed),
        data=Payload("", len(json.dumps(listed)), format="json", path=place),
        aliases=link.aliases,
        metadata=link.metadata,
    )


def _listed(name: str, manifest: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"{name}/{one['path']}": {"digest": one["digest"], "size": one["size"]} for one in manifest}


def _path(link: Link, entry: Mapping[str, Any], *, ours: bool) -> str:
    return unescaped(str(entry["path"])) if ours else f"{link.name}/{entry['path']}"


def _size(file: Path | None) -> int:
    return file.stat().st_size if file is not None and file.is_file() else 0
