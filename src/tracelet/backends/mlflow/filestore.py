"""Runs in a directory that MLflow's file store wrote, as `./mlruns` was before MLflow 3.

    <root>/<experiment>/meta.yaml
    <root>/<experiment>/<run>/meta.yaml                         name, status, times, where artifacts are
    <root>/<experiment>/<run>/{params,tags}/<name>              the value, as it is
    <root>/<experiment>/<run>/metrics/<name>                    "<milliseconds> <value> <step>" in each line
    <root>/<experiment>/<run>/artifacts/
    <root>/<experiment>/<run>/{inputs,outputs}/<id>/meta.yaml   which datasets and models
    <root>/<experiment>/datasets/<id>/meta.yaml
    <root>/<experiment>/models/<model>/{meta.yaml,artifacts/}
    <root>/models/<model>/version-<n>/meta.yaml                 registered versions

Names with a slash are directories. The plain files are read here, because MLflow's own class makes
directories where it reads, finds no run whose empty directories a copy or git has left out, loses
the step of a point that belongs to a dataset, and refuses to work unless it is told to.
"""

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from tracelet.backend import RunSummary
from tracelet.backends.mlflow.artifacts import local
from tracelet.backends.mlflow.client import unknown_project
from tracelet.backends.mlflow.found import Found, Model, Point, seconds, summary
from tracelet.backends.mlflow.reading import asking
from tracelet.errors import BackendError, Refused

_LOG: Final = logging.getLogger(__name__)
_META: Final = "meta.yaml"
_ID: Final = re.compile(r"[\w.-]*\w[\w.-]*", re.ASCII)
_STATUS: Final = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_NAME: Final = "mlflow.runName"
_VERSION: Final = ("name", "version", "description", "source", "model_id")  # of a registered version
_SOME: Final = 10_000  # points that are read at once


class FileStore:
    """See `found.Store`.

    Args:
        root: The directory with the experiments.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.base: Path | None = root.parent
        self.tracking_uri = root.as_uri()

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Store.runs`."""
        with asking():
            experiments = self._experiments()
            chosen = [at for at, name in experiments.items() if project in {None, name}]
            if project is not None and not chosen:
                raise Refused(unknown_project(project, str(self._root), [*experiments.values()]))
            found: list[RunSummary] = []
            for run in (run for at in chosen for run in _children(at)):
                meta = _meta(run)
                if meta is not None and _is_active(meta) and "artifact_uri" in meta:
                    found.append(summary(_found(run, meta, experiments[run.parent])))
        yield from sorted(found, key=lambda run: (run.started, run.id))

    def run(self, run: str) -> Found:
        """See `Store.run`."""
        with asking():
            experiments = self._experiments()
            directory = self._directory(run, experiments)
            meta = _meta(directory)
            if meta is None:
                raise Refused(f"{directory / _META} cannot be read: restore it from a copy")
            if not _is_active(meta):
                raise Refused(f"the run {run} is deleted: restore it with MLflow, then try again")
            return _found(directory, meta, experiments[directory.parent], self._versions(run), whole=True)

    def history(self, run: str, metric: str) -> Iterator[Point]:
        """See `Store.history`; sorted only if the file is not, since that takes memory."""
        with asking():
            file = self._directory(run, self._experiments()) / "metrics" / metric
            points = list(_points(file)) if _is_unsorted(file) else None
        if points is not None:
            yield from sorted(points, key=lambda point: point.time)
            return
        rest = _points(file)
        while True:
            with asking():
                some = list(itertools.islice(rest, _SOME))
            if not some:
                return
            yield from some

    def close(self) -> None:
        """See `Store.close`."""

    def _experiments(self) -> dict[Path, str]:
        """Return the names of active experiments by their directories."""
        if not self._root.is_dir():
            raise Refused(f"there is no directory {self._root}: say where it is, as in mlflow:./mlruns")
        found = {at: meta for at in _children(self._root) if (meta := _meta(at)) is not None}
        return {at: str(meta.get("name", at.name)) for at, meta in found.items() if _is_active(meta)}

    def _directory(self, run: str, experiments: Mapping[Path, str]) -> Path:
        for experiment in experiments if _ID.fullmatch(run) else ():
            if (experiment / run / _META).is_file():
                return experiment / run
        raise Refused(f"there is no run {run!r} in {self._root}, or its experiment is deleted")

    def _versions(self, run: str) -> list[dict[str, Any]]:
        metas = [_meta(at) for model in _children(self._root / "models") for at in _children(model)]
        return [
            _without_empty({name: meta.get(name) for name in _VERSION})
            for meta in metas
            if meta is not None and meta.get("run_id") == run
        ]


def _found(
    directory: Path,
    meta: Mapping[str, Any],
    project: str,
    versions: list[dict[str, Any]] | None = None,
    *,
    whole: bool = False,
) -> Found:
    """Make a run of its files; but for a list of runs not of all of them."""
    if not whole:
        name = str(meta.get("run_name") or _text(directory / "tags" / _NAME))
        tags: dict[str, str] = {}
    else:
        tags = _texts(directory / "tags")
        name = str(meta.get("run_name") or tags.get(_NAME, ""))
    models = _models(directory) if whole else ()
    more = _inputs(directory) if whole else {}
    more |= {"models": [dict(model.about) for model in models], "registered versions": versions or []}
    status = meta.get("status", 1)
    return Found(
        id=directory.name,
        name=name,
        project=project,
        status=_STATUS.get(status, str(status)),
        started=int(meta.get("start_time") or 0),
        ended=int(meta["end_time"]) if meta.get("end_time") else None,
        place=_place(directory / "artifacts", str(meta.get("artifact_uri") or "")),
        tags=tags,
        params=_texts(directory / "params") if whole else {},
        metrics=tuple(_names(directory / "metrics")) if whole else (),
        models=models,
        more={name: value for name, value in more.items() if value},
    )


def _place(beside: Path, uri: str) -> str:
    """Choose where artifacts are: beside the run, wherever that was moved, unless they never were."""
    if not uri or (beside.is_dir() and next(beside.iterdir(), None)):
        return str(beside)
    there = local(uri, beside.parents[3])
    return uri if there is None or there.is_dir() else str(beside)


def _inputs(run: Path) -> dict[str, Any]:
    datasets: list[dict[str, Any]] = []
    models: list[str] = []
    for meta in filter(None, map(_meta, _children(run / "inputs"))):
        number = str(meta.get("source_id", ""))
        if "DATASET" in str(meta.get("source_type", "")).upper():
            dataset = (_meta(run.parent / "datasets" / number) or {"id": number}) | {"tags": meta.get("tags")}
            datasets.append(_without_empty(dataset))
        else:
            models.append(number)
    return {"datasets": datasets, "models it used": models}


def _models(run: Path) -> tuple[Model, ...]:
    """Find the logged models of a run: those it says it made, and those that say so of it."""
    made = {at.name: _meta(at) or {} for at in _children(run / "outputs")}
    found: list[Model] = []
    for at in _children(run.parent / "models"):
        meta = _meta(at)
        if meta is None or not _is_active(meta):
            continue
        if meta.get("source_run_id") != run.name and at.name not in made:
            continue
        about = {
            "id": at.name,
            "name": meta.get("name"),
            "type": meta.get("model_type"),
            "created": seconds(meta.get("creation_timestamp")),
            "step": made.get(at.name, {}).get("step"),
            "tags": _texts(at / "tags"),
            "params": _texts(at / "params"),
        }
        place = _place(at / "artifacts", str(meta.get("artifact_location") or ""))
        name = str(meta.get("name") or at.name)
        found.append(Model(id=at.name, name=name, place=place, about=_without_empty(about)))
    return tuple(found)


def _is_unsorted(file: Path) -> bool:
    last = None
    for point in _points(file):
        if last is not None and point.time < last:
            return True
        last = point.time
    return False


def _points(file: Path) -> Iterator[Point]:
    """Read a metric's lines; a torn or foreign one is passed over with a warning."""
    bad = 0
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.split()
            try:
                step = fields[2] if len(fields) > 2 else "0"  # noqa: PLR2004  older ones have no step
                yield Point(int(float(step)) if "." in step else int(step), int(fields[0]), float(fields[1]))
            except (ValueError, IndexError, OverflowError):
                bad += bool(fields)
    if bad:
        _LOG.warning("%d lines of %s are no points, and are not read", bad, file)


def _meta(directory: Path) -> dict[str, Any] | None:
    """Read a `meta.yaml`; None where there is none, or one that cannot be read, which is told."""
    from mlflow.utils.yaml_utils import read_yaml  # pyright: ignore[reportUnknownVariableType]

    if not (directory / _META).is_file():
        return None
    try:
        with asking():
            meta: Any = read_yaml(str(directory), _META)
    except BackendError as error:
        _LOG.warning("%s is passed over: %s", directory / _META, error)
        return None
    return cast("dict[str, Any]", meta) if isinstance(meta, dict) else None


def _is_active(meta: Mapping[str, Any]) -> bool:
    return meta.get("lifecycle_stage", "active") == "active"


def _children(directory: Path) -> list[Path]:
    """List the directories in a directory, but for hidden ones: deleted experiments are in one."""
    if not directory.is_dir():
        return []
    return sorted(at for at in directory.iterdir() if at.is_dir() and not at.name.startswith("."))


def _names(directory: Path) -> list[str]:
    """List the files below a directory, as the names they stand for."""
    return sorted(file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file())


def _texts(directory: Path) -> dict[str, str]:
    return {name: _text(directory / name) for name in _names(directory)}


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""


def _without_empty(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in meta.items() if value not in (None, "", {}, [])}
