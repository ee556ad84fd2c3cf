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

Of a run with the tag `tracelet.uid` the tracelet tags become fields and definitions again, names are
what they were before they were mapped, and artifacts are the texts, histograms, figures, sounds,
films, pages, tables, layouts and bundles that they were made of. The summaries of metrics, and the
versions and datasets that bundles have made, are not given again. Nobody else's name is unmapped,
and nobody else's table is more than an artifact: MLflow knows neither its step nor its time.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tracelet.backend import Options, RunSummary
from tracelet.backends.mlflow import contents, rules, tags
from tracelet.backends.mlflow.artifacts import Absent, Files, LocalFiles, RemoteFiles, local
from tracelet.backends.mlflow.client import ClientStore
from tracelet.backends.mlflow.contents import Names, Place
from tracelet.backends.mlflow.filestore import FileStore
from tracelet.backends.mlflow.found import ENDED, Found, seconds
from tracelet.backends.mlflow.paths import escaped
from tracelet.backends.mlflow.reading import asking
from tracelet.backends.mlflow.sources import with_credentials
from tracelet.errors import Refused
from tracelet.events import Event, Metric, Params, RunFinished, RunStarted, Status

_FIELDS: Final = frozenset({tags.NOTE, tags.PARENT, tags.NAME})  # tags that are fields of ours, in any run


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._store = _store(options["tracking_uri"])
        self._absent = Absent()
        self._lock = threading.Lock()
        self._places: dict[str, Place] = {}  # of the run that was read last

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest comes first. Deleted runs are not among them."""
        return self._store.runs(project)

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        found = self._store.run(run)
        started = seconds(found.started)
        names = Names(found.tags)
        yield _started(found, names)
        if found.params:
            yield Params(started, {names.read(name): value for name, value in found.params.items()})
        if names.ours:
            yield from rules.definitions(found.tags)
        ours = rules.ours_among(found.tags if names.ours else {})
        for metric in found.metrics:
            name = names.read(metric)
            made = ours.get(metric, frozenset())  # of other points, by tracelet
            for point in self._store.history(run, metric):
                if (point.step, point.time) not in made:
                    yield Metric(name, point.value, point.step, seconds(point.time))
        yield from contents.events(self._located(found), names, started)
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

    def _place(self, run: str) -> Place:
        with self._lock:
            known = self._places.get(run)
        return known or self._located(self._store.run(run))

    def _located(self, found: Found) -> Place:
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
        place = Place(
            ours=bool(found.tags.get(tags.UID)),
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


def _store(stored: str) -> ClientStore | FileStore:
    directory = local(stored, None)
    if directory is not None:
        return FileStore(directory)
    return ClientStore(with_credentials(stored))


def _started(found: Found, names: Names) -> RunStarted:
    there = found.tags
    return RunStarted(
        time=seconds(found.started),
        run_id=there.get(tags.UID) or found.id,
        name=found.name,
        project=found.project,
        tags={
            names.read(name): value
            for name, value in (names.without_ours(there) if names.ours else there).items()
            if name not in _FIELDS
        },
        note=there.get(tags.NOTE, ""),
        group=there.get(tags.GROUP, "") if names.ours else "",
        job_type=there.get(tags.JOB_TYPE, "") if names.ours else "",
        parent=there.get(tags.PARENT, ""),
    )


def _ended(status: str) -> Status | None:
    return next((ended for ended in ENDED if ended == status), None)
