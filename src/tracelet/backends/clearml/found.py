"""A task of ClearML's as events: one of ours as it was recorded, and one of everybody else's.

    ClearML's                    ours, of somebody else's task
    name, project, started       `RunStarted`
    comment, parent, tags        its note, parent and tags, "true"
    hyperparams                  `Params`; "section/name", of the section General the name alone
    scalars                      `Metric`, "title/series"; a single value has no step
    plots                        `Table`, if it is one; else `Figure`
    debug samples                `Image`, `Audio`, `Video`, `Html`, `Text`; of any other file an `Artifact`
    artifacts, output models     `Artifact`, `Bundle`
    console                      `Artifact`, `clearml/console.log`
    status                       `RunFinished`

The same is read of a server and of an archive: a task is all that ClearML says of it, and its documents
are what `events.get_task_events` gives.
"""

import datetime as dt
import itertools
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

import msgspec

from tracelet.backends.clearml import about as abouts
from tracelet.backends.clearml import plots, records, titles
from tracelet.backends.clearml.held import PLOTLY
from tracelet.backends.clearml.names import Names
from tracelet.backends.clearml.records import LOG, PLOT, SAMPLE, SCALAR
from tracelet.backends.clearml.said import items, mapping, objects
from tracelet.backends.clearml.shown import BESIDE, FILE
from tracelet.backends.clearml.tasks import STATUSES
from tracelet.events import (
    SERIES,
    Artifact,
    Audio,
    Bundle,
    Event,
    Figure,
    Html,
    Image,
    Metric,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Table,
    Text,
    Video,
)
from tracelet.names import NAME_TAG

Document: TypeAlias = dict[str, Any]
FILES: Final = "files//"
"""What the path of a payload that is a file begins with; then comes its address. No artifact's has "//"."""
PLOTS: Final = "plots//"
"""And of one that is a plot: its step, title and series follow."""
BUNDLES: Final = "bundles//"
"""And of a bundle's list of files: the key of the artifact follows."""
CONSOLE: Final = "clearml/console.log"
SAID: Final = "tracelet"
"""The field of a debug sample that was imported, which holds what its key holds elsewhere."""
OTHERS: Final = "samples/"
"""What the path of an artifact begins with that is a debug sample of no kind we know."""
RECENT: Final = 64 << 20  # characters of plots that are kept in memory
OURS_IN_PROPERTIES: Final = frozenset({"tracelet_run", "group", "job_type"})
_KINDS: Final[Mapping[str, type[Any]]] = {
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "bmp", "webp", "svg", "tif", "tiff"), Image),
    **dict.fromkeys(("wav", "mp3", "ogg", "flac", "m4a"), Audio),
    **dict.fromkeys(("mp4", "webm", "avi", "mov", "mkv"), Video),
    **dict.fromkeys(("html", "htm"), Html),
}
_TEXTS: Final = frozenset({"txt", "md"})
_TRAINING: Final = "training"


class Recent:
    """Texts that were read last, of up to `RECENT` characters together."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._size = 0

    def put(self, path: str, text: str) -> None:
        """Keep a text, in place of the oldest ones."""
        self._size += len(text) - len(self._texts.pop(path, ""))
        self._texts[path] = text
        while self._size > RECENT:
            self._size -= len(self._texts.pop(next(iter(self._texts))))

    def get(self, path: str) -> str | None:
        """Return a text, if it is still there."""
        return self._texts.get(path)


class History:
    """One task.

    Args:
        task: All that ClearML says of it; "project" is the project's name.
        documents: Gives its documents of one type, the oldest first.
        models: Gives its output models, as ClearML describes them.
        fetch: Gives the bytes at an address.
        recent: The plots that were read last: there is no way to ask for one.
    """

    def __init__(
        self,
        task: Document,
        documents: Callable[[str], Iterator[Document]],
        models: Callable[[], list[Document]],
        fetch: Callable[[str], bytes],
        recent: "Recent | None" = None,
    ) -> None:
        self.task = task
        self.about = abouts.of(task)
        self._documents = documents
        self._models = models
        self._fetch = fetch
        self._recent = recent or Recent()
        self._names = Names(self.about)

    @property
    def artifacts(self) -> list[Document]:
        """The artifacts, as ClearML describes them."""
        found = objects(mapping(self.task.get("execution")).get("artifacts"))
        return [item for item in found if item.get("mode", "output") == "output"]

    def events(self) -> Iterator[Event]:
        """Give everything, as `Reader.events` does."""
        started = self.started()
        tags = {
            self._names.read(tag): text for tag, text in started.tags.items() if not tag.startswith(NAME_TAG)
        }
        yield msgspec.structs.replace(started, tags=tags)
        if params := dict(self._params()):
            yield Params(started.time, params)
        yield from self.about.others(started.time)
        yield from self._points()
        for document in self._documents(PLOT):
            yield self._plot(document)
        yield from self._samples()
        yield from self._files(started.time)
        if (end := self.ended(started.time)) is not None:
            yield end

    def started(self) -> RunStarted:
        """Return how the run began; its tags are as they are at ClearML."""
        task, said = self.task, self.about.said
        known = {*abouts.labels(self.about.tags)}
        there = (str(label) for label in items(task.get("tags")) if label not in known)
        name, project = str(task.get("name") or ""), str(task.get("project") or "default")
        if said.get("name") is not None and titles.long_enough(str(said["name"])).strip() == name.strip():
            name = str(said["name"])
        if said.get("project") is not None and titles.project_of(str(said["project"])) == project:
            project = str(said["project"])
        kind = str(task.get("type") or _TRAINING)
        return RunStarted(
            time=float(said.get("time") or time_of(task.get("started") or task.get("created"))),
            run_id=self.about.run_id or str(task["id"]),
            name=name,
            project=project,
            tags={**dict.fromkeys(there, "true"), **self.about.tags},
            note=str(task.get("comment") or ""),
            group=str(said.get("group", "")),
            job_type=str(said.get("job_type", "")) if said else "" if kind == _TRAINING else kind,
            parent=str(said.get("parent") or task.get("parent") or ""),
        )

    def ended(self, began: float) -> RunFinished | None:
        """Return how the run ended, if it has."""
        if (end := self.about.end) is not None:
            return end
        status = STATUSES.get(str(self.task.get("status")))
        if status is None:
            return None
        when = time_of(self.task.get("completed") or self.task.get("status_changed")) or began
        return RunFinished(
            when, status, str(self.task.get("status_message") or self.task.get("status_reason") or "")
        )

    def content(self, path: str) -> bytes | None:
        """Return what a payload consists of that is in a plot; None for any other."""
        if not path.startswith(PLOTS):
            return None
        text = self._recent.get(path)
        for document in self._documents(PLOT) if text is None else ():
            if place_of(document) == path:
                text = plots.text_in(document)
                break
        return None if text is None else _content(text)

    def address(self, path: str) -> str:
        """Return where the bytes of an artifact or a payload are; empty if there are none."""
        if path.startswith(FILES):
            return path.removeprefix(FILES)
        key = path.removeprefix(BUNDLES) if path.startswith(BUNDLES) else path
        for item in self.artifacts:
            if item.get("key") == key and (records.bundle_of(item) is None) == (key == path):
                return str(item.get("uri") or "")
        return next((one for one in self._others() if _other_path(one) == path), "")

    def console(self) -> Iterator[bytes]:
        """Give the lines of the console."""
        for document in self._documents(LOG):
            line = str(document.get("msg") or "")
            yield (line if line.endswith("\n") else f"{line}\n").encode("utf-8", "replace")

    def _others(self) -> Iterator[str]:
        return (str(one.get("url")) for one in self._documents(SAMPLE))

    def _params(self) -> Iterator[tuple[str, Any]]:
        for section, params in mapping(self.task.get("hyperparams")).items():
            for name, item in mapping(params).items():
                if not (self.about.run_id and section == titles.PROPERTIES and name in OURS_IN_PROPERTIES):
                    yield self._names.param(section, str(item.get("name") or name)), records.value_of(item)

    def _points(self) -> Iterator[Metric]:
        """Give the points; those of one millisecond in the order of their steps."""
        for _, together in itertools.groupby(self._documents(SCALAR), lambda one: one.get("timestamp")):
            for document in sorted(together, key=lambda one: int(one.get("iter") or 0)):
                name = self._names.of(str(document.get("metric") or ""), str(document.get("variant") or ""))
                if self.about.run_id:
                    yield records.point(document, name)
                elif document.get("value") is not None:
                    step = int(document.get("iter") or 0)
                    when = float(document.get("timestamp") or 0) / 1000
                    yield Metric(
                        name, float(document["value"]), None if step == records.SINGLE else step, when
                    )

    def _plot(self, document: Document) -> Event:
        text = plots.text_in(document)
        drawn, ours = plots.said_in(text)
        event = plots.unpacked(ours.get("event")) if ours else None
        path = FILES + plots.file_in(drawn) if ours.get("file") else place_of(document)
        self._recent.put(path, text)
        if isinstance(event, SERIES):
            data = getattr(event, "data", None)
            name = self._names.read(event.name)
            if data is None:
                return msgspec.structs.replace(event, name=name)
            return msgspec.structs.replace(cast("Any", event), name=name, data=_at(data, path))
        base = self._base(document)
        if (rows := plots.rows_of(drawn)) is not None:
            shape = (len(rows["data"]), len(rows["columns"]))
            return Table(data=Payload("", 0, shape=shape, format="json", path=path), **base)
        return Figure(data=Payload("", len(text.encode()), format=PLOTLY, path=path), **base)

    def _samples(self) -> Iterator[Event]:
        """Give the debug samples; one of ours that was imported, and delivered besides, is one."""
        seen: set[str] = set()
        for document in self._documents(SAMPLE):
            url = str(document.get("url") or "")
            event = self._ours(document, url)
            if event is None:
                yield self._foreign(document, url)
            elif (digest := records.digest_of(event)) not in seen:
                seen.add(digest)
                data = {} if isinstance(event, Text) else {"data": _at(event.data, FILES + url)}
                yield msgspec.structs.replace(event, name=self._names.read(event.name), **data)

    def _ours(self, document: Document, url: str) -> Any:
        """Return the event that a debug sample of ours is, as it was kept; None if it is not ours."""
        said = str(document.get("key") or "").partition("#")[2] or document.get(SAID)
        if not self.about.run_id or not said:
            return None
        event = plots.unpacked(self._fetch(url + BESIDE) if said == FILE else said)
        return event if isinstance(event, SERIES) else None

    def _foreign(self, document: Document, url: str) -> Event:
        base, ending = self._base(document), _ending(url)
        if ending in _TEXTS:
            return Text(text=self._fetch(url).decode("utf-8", "replace"), **base)
        kind = _KINDS.get(ending)
        if kind is None:
            return Artifact(time=base["time"], path=_other_path(url), size=0)
        return kind(data=Payload("", 0, format=ending, path=FILES + url), **base)

    def _base(self, document: Document) -> dict[str, Any]:
        step = int(document.get("iter") or 0)
        return {
            "time": float(document.get("timestamp") or 0) / 1000,
            "name": self._names.of(str(document.get("metric") or ""), str(document.get("variant") or "")),
            "step": None if step == records.SINGLE else step,
        }

    def _files(self, began: float) -> Iterator[Event]:
        for item in self.artifacts:
            size, key = int(item.get("content_size") or 0), str(item.get("key"))
            bundle = records.bundle_of(item)
            if bundle is None:
                yield Artifact(time=float(item.get("timestamp") or began), path=key, size=size)
            elif mapping(item.get("type_data")).get("content_type"):
                data = Payload("", size, format="json", path=BUNDLES + key)
                yield msgspec.structs.replace(bundle, data=data)
            else:
                yield bundle
        for model in self._models():
            if not any(abouts.is_mark(str(tag)) for tag in items(model.get("system_tags"))):
                yield _model(model, began)
        size = sum(map(len, self.console()))
        if size:
            yield Artifact(time=began, path=CONSOLE, size=size)


def place_of(document: Mapping[str, Any]) -> str:
    """Return the path of a payload that is in a plot."""
    title, series = str(document.get("metric") or ""), str(document.get("variant") or "")
    parts = (urllib.parse.quote(part, safe="") for part in (title, series))
    return f"{PLOTS}{document.get('iter') or 0}/{'/'.join(parts)}"


def time_of(said: object) -> float:
    """Return a time of ClearML's in seconds since the epoch; 0 if there is none."""
    try:
        found = dt.datetime.fromisoformat(str(said).replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=dt.timezone.utc)).timestamp()


def _content(text: str) -> bytes:
    """Return the payload that a plot is."""
    drawn, ours = plots.said_in(text)
    if "table" in ours:
        return str(ours["table"]).encode()
    if ours:
        return msgspec.json.encode(drawn)
    rows = plots.rows_of(drawn)
    return text.encode() if rows is None else msgspec.json.encode(rows)


def _model(model: Mapping[str, Any], began: float) -> Bundle:
    said = model.get("metadata")
    metadata = objects([*mapping(said).values(), *items(said)])
    return Bundle(
        time=time_of(model.get("created")) or began,
        name=str(model.get("name") or model.get("id")),
        kind="model",
        reference=str(model.get("uri") or ""),
        aliases=tuple(map(str, items(model.get("tags")))),
        metadata={str(item.get("key")): records.value_of(item) for item in metadata},
    )


def _at(data: Payload, path: str) -> Payload:
    return msgspec.structs.replace(data, path=path)


def _ending(url: str) -> str:
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def _other_path(url: str) -> str:
    return OTHERS + urllib.parse.unquote(urllib.parse.urlsplit(url).path).strip("/")
