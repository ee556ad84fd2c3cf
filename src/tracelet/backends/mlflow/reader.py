"""Reading runs from MLflow: those that tracelet wrote, and those of everybody else.

    MLflow's                     ours
    run name, experiment         name, project of `RunStarted`
    tag `mlflow.note.content`    note
    tag `mlflow.parentRunId`     parent
    all other tags               tags of `RunStarted`, MLflow's own (`mlflow.user`, `mlflow.source.*`) too
    params                       `Params`, as text
    metrics                      `Metric`, name by name, with a step always; system metrics too
    images of `log_image(key=…)` `Image`, with the path of the PNG
    artifacts                    `Artifact`
    logged models (MLflow 3)     `Artifact` below the model's name, as MLflow itself shows them
    datasets, models, versions   one `Artifact` of JSON, `mlflow/run-<id>.json`, if there are any
    status, end time             `RunFinished`, unless the run goes on

Of a run with the tag `tracelet.uid` the tracelet tags become fields again, names are what they were
before they were mapped, and artifacts below `text/` and `histograms/` are `Text` and `Histogram`.
Nobody else's name is unmapped.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tracelet.backend import Options, RunSummary
from tracelet.backends.mlflow import LIMITS, series
from tracelet.backends.mlflow.artifacts import Absent, File, Files, LocalFiles, RemoteFiles, local
from tracelet.backends.mlflow.client import ClientStore
from tracelet.backends.mlflow.filestore import FileStore
from tracelet.backends.mlflow.found import ENDED, Found, seconds
from tracelet.backends.mlflow.paths import escaped, is_path, text_of, unescaped
from tracelet.backends.mlflow.reading import asking
from tracelet.backends.mlflow.sources import with_credentials
from tracelet.backends.mlflow.writer import CLAIMED, LOGGED_IMAGES, NOTE, PARENT, UID
from tracelet.errors import Refused
from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Image,
    Metric,
    Params,
    RunFinished,
    RunStarted,
    Status,
    Text,
)
from tracelet.names import NAME_TAG, NameMap, originals

_GROUP: Final = "tracelet.group"
_JOB_TYPE: Final = "tracelet.job_type"
_NAME: Final = "mlflow.runName"
_FIELDS: Final = frozenset({NOTE, PARENT, _NAME})  # tags that are fields of ours, in any run
_OURS: Final = frozenset({UID, CLAIMED, _GROUP, _JOB_TYPE, LOGGED_IMAGES})  # and of runs that we wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the files of one run are.

    Attributes:
        ours: Whether tracelet wrote the run.
        own: The run's artifacts.
        models: Its logged models' files, by what their paths begin with here.
        about: The path of the JSON that tells what events cannot, and its bytes, if there is any.
    """

    ours: bool
    own: Files
    models: Mapping[str, Files]
    about: tuple[str, bytes]

    def find(self, path: str) -> tuple[Files, str]:
        """Tell where a file is, and what its path is there."""
        for prefix, files in self.models.items():
            if path.startswith(prefix):
                return files, path[len(prefix) :]
        return self.own, path


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._store = _store(options["tracking_uri"])
        self._absent = Absent()
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}  # of the run that was read last

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest comes first. Deleted runs are not among them."""
        return self._store.runs(project)

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        found = self._store.run(run)
        started = seconds(found.started)
        names = _Names(found)
        yield _started(found, names)
        if found.params:
            yield Params(started, {names.read(name): value for name, value in found.params.items()})
        for metric in found.metrics:
            name = names.read(metric)
            for point in self._store.history(run, metric):
                yield Metric(name, point.value, point.step, seconds(point.time))
        yield from self._files(found, names)
        if status := _ended(found.status):
            yield RunFinished(seconds(found.ended or found.started), status)

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`.

        Raises:
            Refused: The run has no such artifact.
        """
        place = self._place(run)
        if place.about == (path, about := place.about[1]):
            with asking():
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(about)
            return None
        files, there = place.find(path)
        if files is place.own and place.ours and escaped(path) != path:
            with contextlib.suppress(Refused):  # the user's own calls of MLflow have escaped nothing
                return files.fetch(escaped(path), to)
        return files.fetch(there, to)

    def close(self) -> None:
        """See `Reader.close`."""
        self._store.close()

    def _files(self, found: Found, names: "_Names") -> Iterator[Event]:
        place = self._located(found)
        time = seconds(found.started)
        others: list[File] = []
        about: dict[str, File] = {}  # what is said of images besides
        images: list[series.Found] = []
        for file in place.own.walk():
            if (image := series.image_at(file.path, file.size)) is not None:
                images += [] if image.is_small else [image]
            elif names.ours and file.path.startswith(series.ABOUT):
                about[file.path] = file
            elif (entry := _entry(place, file) if names.ours else None) is not None:
                yield msgspec.structs.replace(entry, name=names.read(entry.name))
            else:
                others.append(File(unescaped(file.path), file.size) if names.ours else file)
        yield from self._images(place, images, about, names)
        for prefix, files in place.models.items():
            others += (File(prefix + file.path, file.size) for file in files.walk())
        path, content = place.about
        if content:
            others.append(File(path, len(content)))
        others += about.values()  # of no image that is there
        for file in others:
            yield Artifact(time=time, path=file.path, size=file.size)

    def _images(
        self, place: _Place, images: list[series.Found], about: dict[str, File], names: "_Names"
    ) -> Iterator[Image]:
        """Give images, each series in the order of its steps; take from `about` what was said of them."""
        for found in sorted(images, key=lambda one: (one.image.name, one.image.step or 0, one.image.time)):
            image = found.image
            if found.about in about:
                del about[found.about]
                image = series.with_about(image, place.own.read(found.about))
            yield msgspec.structs.replace(image, name=names.read_cut(image.name))

    def _place(self, run: str) -> _Place:
        with self._lock:
            known = self._places.get(run)
        return known or self._located(self._store.run(run))

    def _located(self, found: Found) -> _Place:
        own = self._files_at(found.id, found.place)
        models: dict[str, Files] = {}
        if found.models:
            taken = own.top()
            named = Counter(model.name for model in found.models)
            for model in found.models:
                alone = named[model.name] == 1 and model.name not in taken
                prefix = f"{model.name}/" if alone else f"{model.name}/{model.id}/"
                models[prefix] = self._files_at(found.id, model.place)
        about = msgspec.json.format(msgspec.json.encode(found.more)) if found.more else b""
        place = _Place(
            ours=bool(found.tags.get(UID)),
            own=own,
            models=models,
            about=(f"mlflow/run-{found.id}.json", about),
        )
        with self._lock:
            self._places = {found.id: place}
        return place

    def _files_at(self, run: str, uri: str) -> Files:
        directory = local(uri, self._store.base)
        if directory is None:
            if uri.startswith("mlflow-artifacts:") and not self._store.tracking_uri.startswith("http"):
                raise Refused(
                    f"the artifacts of run {run} are handed out by an MLflow server: read the run from "
                    "there, as in mlflow:http://host:5000, and not from its database"
                )
            return RemoteFiles(uri, self._store.tracking_uri)
        self._absent.check(run, directory)
        return LocalFiles(directory)


class _Names:
    """A run's names, as they were before they were mapped; `ours` tells whether tracelet wrote it."""

    def __init__(self, found: Found) -> None:
        self.ours = bool(found.tags.get(UID))
        self._tags = found.tags
        self._map = NameMap(LIMITS)

    def read(self, mapped: str) -> str:
        if not self.ours:
            return mapped
        original = self._map.from_tracker(mapped, originals([mapped], self._tags))
        # What the user's own calls of MLflow have logged to the run was never mapped.
        return original if self._map.to_tracker(original) == mapped else mapped

    def read_cut(self, mapped: str) -> str:
        """Read a name that may have been cut to fit into that of a file."""
        return originals([mapped], self._tags).get(mapped) or self.read(mapped)

    def is_ours(self, tag: str) -> bool:
        return self.ours and (tag in _OURS or tag.startswith(NAME_TAG))


def _entry(place: _Place, file: File) -> Text | Histogram | None:
    """Read a text or a histogram of ours; None if the file is neither."""
    if is_path(file.path):
        return text_of(file.path, place.own.read(file.path))
    if series.is_histogram(file.path):
        return series.histogram_of(file.path, place.own.read(file.path))
    return None


def _store(stored: str) -> ClientStore | FileStore:
    directory = local(stored, None)
    if directory is not None:
        return FileStore(directory)
    return ClientStore(with_credentials(stored))


def _started(found: Found, names: _Names) -> RunStarted:
    tags = found.tags
    return RunStarted(
        time=seconds(found.started),
        run_id=tags.get(UID) or found.id,
        name=found.name,
        project=found.project,
        tags={
            names.read(name): value
            for name, value in tags.items()
            if name not in _FIELDS and not names.is_ours(name)
        },
        note=tags.get(NOTE, ""),
        group=tags.get(_GROUP, "") if names.ours else "",
        job_type=tags.get(_JOB_TYPE, "") if names.ours else "",
        parent=tags.get(PARENT, ""),
    )


def _ended(status: str) -> Status | None:
    return next((ended for ended in ENDED if ended == status), None)
