"""Reading runs from Aim: those that tracelet wrote, and those of everybody else.

    Aim's                        ours
    name, experiment, created    name, project, time of `RunStarted`
    description                  note
    labels                       tags, "true"
    params                       `Params`; nested names are joined by dots
    metrics                      `Metric`, system metrics too; the epoch is left out
    images, audios, figures      `Image`, `Audio`, `Figure`, with the path of the payload
    distributions, texts         `Histogram`, `Text`
    log records                  `Text`
    terminal logs                `Artifact`, `aim/terminal.log`
    artifacts                    `Artifact`
    end time                     `RunFinished`, "FINISHED": Aim knows no other end

The context of a series becomes a part of its name (see `contexts`). Of a run of ours, everything is as
it was recorded. One series of numbers is in memory at a time, or one object.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tracelet.backend import Options, RunSummary, patience
from tracelet.backends.aim import LIMITS, entries, params
from tracelet.backends.aim.artifacts import MEDIA, file_of
from tracelet.backends.aim.connection import PATIENCE, Connection, Missing
from tracelet.backends.aim.contexts import joined, without_ours
from tracelet.backends.aim.failures import mapped
from tracelet.backends.aim.found import NUMBERS, Found, Series, points
from tracelet.backends.aim.writer import labels
from tracelet.errors import Refused, Rejected
from tracelet.events import (
    Artifact,
    Definition,
    Event,
    Layout,
    Metric,
    Params,
    RunFinished,
    RunStarted,
    Status,
)
from tracelet.names import NAME_TAG, NameMap, originals

_ENDED: Final[tuple[Status, ...]] = ("FINISHED", "FAILED", "KILLED")
_LOGS: Final = "aim/terminal.log"
T = TypeVar("T")
_LOG: Final = logging.getLogger("tracelet.backends.aim")


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._connection = Connection(options["repo"], patience(options, PATIENCE))

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest comes first. A repository that is not there yet has none."""
        with mapped(opening=True):
            try:
                self._open()
            except Missing:
                return
            listed = self._connection.call(self._connection.repo.list_all_runs)
            found = [self._connection.call(lambda run=run: self._summary(run)) for run in listed]
        for summary in sorted(filter(None, found), key=lambda one: (one.started, one.id)):
            if project in {None, summary.project}:
                yield summary

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        found = self._found(run)
        yield from self._events(found)

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`.

        Raises:
            Refused: The run has no such artifact.
        """
        found = self._found(run)
        self._ask(lambda: _download(found, path, to))

    def close(self) -> None:
        """See `Reader.close`."""
        with mapped(opening=True):
            self._connection.close()

    def _open(self) -> None:
        if self._connection.repo is None:
            self._connection.call(lambda: self._connection.open(make=False))

    def _found(self, run: str) -> Found:
        with mapped(opening=True):
            self._open()
            return self._connection.call(lambda: Found(self._connection, run))

    def _ask(self, work: Callable[[], T]) -> T:
        with mapped(opening=True):
            return self._connection.call(work)

    def _summary(self, run: str) -> RunSummary | None:
        try:
            with mapped():
                started = _started(found := Found(self._connection, run))
        except (Refused, Rejected) as error:  # one run that is damaged does not hide the others
            _LOG.warning("run %s is skipped: %s", run, error)
            return None
        end = _ended(found)
        status = "RUNNING" if end is None else end.status
        return RunSummary(
            id=run, name=started.name, project=started.project, status=status, started=started.time
        )

    def _events(self, found: Found) -> Iterator[Event]:
        started = self._ask(lambda: _started(found))
        names = _Names(found)
        tags = {
            names.read(name): value for name, value in started.tags.items() if not name.startswith(NAME_TAG)
        }
        yield msgspec.structs.replace(started, tags=tags)
        logged = {names.read(name): value for name, value in params.read(found.attributes).items()}
        if logged:
            yield Params(started.time, logged)
        yield from _noted(found)
        for series in self._ask(lambda: list(found.series())):
            if series.kind in NUMBERS:
                yield from self._points(found, series, names)
            else:
                yield from self._entries(found, series, names)
        yield from self._ask(lambda: _artifacts(found, started.time))
        if (end := self._ask(lambda: _ended(found))) is not None:
            yield end

    def _points(self, found: Found, series: Series, names: "_Names") -> Iterator[Metric]:
        name = names.of(series)
        steps, times, values = self._ask(lambda: points(found, series))
        for begin in range(0, len(steps), 1000):
            part = slice(begin, begin + 1000)
            columns = steps[part].tolist(), times[part].tolist(), values[part].tolist()
            for step, time, value in zip(*columns, strict=True):
                yield Metric(name, value, step, time)

    def _entries(self, found: Found, series: Series, names: "_Names") -> Iterator[Event]:
        kind = entries.kind_of(series)
        if kind == entries.TERMINAL:
            return
        if kind not in entries.KINDS:
            _LOG.warning("%r of run %s is left out: it holds %s", series.name, found.hash, series.kind)
            return
        for step, time in self._ask(lambda: found.steps(series)):
            at_once = self._ask(lambda at=(step, time): list(entries.entries(found, series, *at)))
            for event, ours in at_once:
                yield msgspec.structs.replace(event, name=names.read(event.name)) if ours else event


class _Names:
    """A run's names, as they were before they were mapped."""

    def __init__(self, found: Found) -> None:
        self._ours = bool(found.own)
        self._tags = _own_tags(found)
        self._map = NameMap(LIMITS)

    def of(self, series: Series) -> str:
        """Return the name of a series of numbers."""
        context = without_ours(series.context) if self._ours else series.context
        return self.read(joined(series.name, context))

    def read(self, mapped: str) -> str:
        """Return what a name was."""
        if not self._ours:
            return mapped
        original = self._map.from_tracker(mapped, originals([mapped], self._tags))
        # What a user's own calls of Aim have put into the run was never mapped.
        return original if self._map.to_tracker(original) == mapped else mapped


def _own_tags(found: Found) -> dict[str, str]:
    return {str(name): str(value) for name, value in dict(found.own.get("tags", {})).items()}


def _started(found: Found) -> RunStarted:
    about, own = found.properties, found.own
    tags = _own_tags(found)
    known = {*labels(tags), *_ENDED} if own else set[str]()
    there: list[str] = [] if about is None else list(about.tags)
    created = None if about is None else about.creation_time
    return RunStarted(
        time=float(own.get("time") or created or 0.0),
        run_id=str(own.get("uid") or found.hash),
        name=str((about and about.name) or found.hash),
        project=str((about and about.experiment) or own.get("project") or "default"),
        tags={**dict.fromkeys((label for label in there if label not in known), "true"), **tags},
        note=str((about and about.description) or ""),
        group=str(own.get("group", "")),
        job_type=str(own.get("job_type", "")),
        parent=str(own.get("parent", "")),
    )


def _ended(found: Found) -> RunFinished | None:
    own = found.own
    status: Status | None = next((one for one in _ENDED if one == own.get("status")), None)
    if status is not None and own.get("ended") is not None:
        return RunFinished(float(own["ended"]), status, str(own.get("reason", "")))
    return None if found.ended is None else RunFinished(float(found.ended), "FINISHED")


def _noted(found: Found) -> Iterator[Event]:
    """Give what Aim has no place for, and tracelet has noted."""
    for said in dict(found.own.get("definitions", {})).values():
        yield msgspec.msgpack.decode(bytes.fromhex(str(said)), type=Definition)
    if said := found.own.get("layout"):
        yield msgspec.msgpack.decode(bytes.fromhex(str(said)), type=Layout)


def _artifacts(found: Found, time: float) -> list[Artifact]:
    listed: list[Artifact] = []
    for name, artifact in found.artifacts.items():
        file = file_of(_uri(artifact))
        size = artifact.storage.get("size", None)
        if size is None:
            size = file.stat().st_size if file is not None and file.is_file() else 0
        if not (found.own and name.startswith(MEDIA)):
            listed.append(Artifact(time=time, path=name, size=int(size)))
    size = sum(map(len, entries.terminal(found)))
    return [*listed, Artifact(time=time, path=_LOGS, size=size)] if size else listed


def _download(found: Found, path: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    artifact = found.artifacts.get(path)
    if artifact is not None:
        _fetch(artifact, path, to)
    elif (content := entries.content(found, path)) is not None:
        to.write_bytes(content)
    elif path == _LOGS:
        with to.open("wb") as file:
            file.writelines(entries.terminal(found))
    else:
        raise Refused(f"run {found.hash} has no artifact {path!r}")


def _fetch(artifact: Any, path: str, to: Path) -> None:
    uri = _uri(artifact)
    file = file_of(uri)
    if file is None:
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
            shutil.copyfile(artifact.download(place), to)
        return
    try:
        shutil.copyfile(file, to)
    except OSError as error:
        raise Refused(f"artifact {path!r} cannot be copied from {uri} to {to}: {error}") from error


def _uri(artifact: Any) -> str:
    return str(artifact.storage.get("uri", ""))
