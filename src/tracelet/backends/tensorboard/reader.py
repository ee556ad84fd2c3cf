"""Reading runs from event files: those that tracelet wrote, and those of everybody else.

    a directory with event files     a run, and its parts (see `tree`)
    its path                         id; the last part of it is the name, what stands before the project
    its event files                  events, merged by time (see `values`)
    projector_config.pbtxt, and the
    files it names; hparams.yaml     `Artifact`

Of a run that tracelet wrote, `tracelet.json` tells the rest. Of others only an end of hparams says how
a run ended. A file that is still written is read as far as it goes.
"""

import contextlib
import heapq
import itertools
import json
import re
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tracelet.backend import Options, RunSummary
from tracelet.backends.tensorboard import LIMITS, tree
from tracelet.backends.tensorboard.contents import Place, content_of
from tracelet.backends.tensorboard.files import ARTIFACTS, path_of, place_of
from tracelet.backends.tensorboard.frames import Record, record_at, records
from tracelet.backends.tensorboard.held import read
from tracelet.backends.tensorboard.places import SAID
from tracelet.backends.tensorboard.said import OWNERS
from tracelet.backends.tensorboard.tree import Part, Run
from tracelet.backends.tensorboard.values import KEPT, Naming, events_of
from tracelet.errors import BackendError, Refused, Unavailable
from tracelet.events import (
    Artifact,
    Definition,
    Event,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Status,
)
from tracelet.names import NAME_TAG, NameMap

UNKNOWN: Final = "UNKNOWN"
_ENDED: Final[tuple[Status, ...]] = ("FINISHED", "FAILED", "KILLED")
_STAMP: Final = re.compile(r"tfevents\.(\d{9,11})\b")
_CONFIG: Final = "projector_config.pbtxt"
_NAMED: Final = re.compile(r'_path:\s*"([^"]+)"')
_FIRST: Final = 8  # records of a file
_MERGED: Final = 64  # event files of one directory that are open at once


@contextlib.contextmanager
def asking(what: object) -> Generator[None]:
    """Let only `Unavailable` and `Refused` out."""
    try:
        yield
    except BackendError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise Refused(f"{what} cannot be read: {error}") from error
    except OSError as error:
        raise Unavailable(f"{what} cannot be read now: {error}") from error
    except (ValueError, TypeError, KeyError, LookupError) as error:
        raise Refused(f"{what} is not what TensorBoard writes: {error}") from error


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._place = Path(options["dir"])
        self._runs: dict[str, Run] = {}
        self._artifacts: tuple[str, dict[str, str]] = ("", {})  # of a run, where they are in its event files

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; in the order of their paths."""
        with asking(self._place):
            found = [*tree.runs(self._place)]
            self._runs = {run.id: run for run in found}
            for run in found:
                summary = self._summary(run)
                if project in {None, summary.project}:
                    yield summary

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        found = self._find(run)
        with asking(f"run {run}"):
            yield from self._ours(found) if found.is_ours else self._others(found)

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`.

        Raises:
            Refused: The run has no such file.
        """
        found = self._find(run)
        with asking(f"{path!r} of run {run}"):
            to.parent.mkdir(parents=True, exist_ok=True)
            place = Place.of(path) or Place.of(self._where(found).get(path, ""))
            if place is not None:
                file = _inside(found.directory, place.file)
                to.write_bytes(content_of(record_at(file, place.offset), place))
                return
            kept = path.removeprefix(KEPT) if path.startswith(KEPT) else path
            if found.is_ours and kept is path:
                kept = place_of(path)
            source = _inside(found.directory, kept)
            if not source.is_file():
                raise Refused(f"run {run} has no file {path!r}")
            shutil.copyfile(source, to)

    def close(self) -> None:
        """See `Reader.close`; there is nothing to let go of."""

    def _find(self, run: str) -> Run:
        with asking(f"run {run}"):
            if run not in self._runs:
                self._runs = {one.id: one for one in tree.runs(self._place)}
        if run not in self._runs:
            raise Refused(f"there is no run {run!r} in {self._place}; a run is a directory with event files")
        return self._runs[run]

    def _summary(self, run: Run) -> RunSummary:
        if run.is_ours:
            said = _said(run)
            name, project, started = said["name"], said["project"], float(said["time"])
            return RunSummary(id=run.id, name=name, project=project, status=said["status"], started=started)
        project, name = self._called(run)
        return RunSummary(id=run.id, name=name, project=project, status=UNKNOWN, started=_began(run))

    def _called(self, run: Run) -> tuple[str, str]:
        """Make a project and a name of a run's path."""
        project, _, name = run.id.rpartition("/")
        base = self._place.resolve()
        if run.id == tree.ROOT:
            return base.parent.name or base.name, base.name
        return project or base.name, name

    def _where(self, run: Run) -> dict[str, str]:
        """Tell where the artifacts are that are part of a run's event files."""
        if not run.is_ours and self._artifacts[0] != run.id:
            for _ in self._others(run):
                pass
        return self._artifacts[1] if self._artifacts[0] == run.id else {}

    def _ours(self, run: Run) -> Iterator[Event]:
        said = _said(run)
        names = _Names(said)
        yield names.started()
        time = float(said["time"])
        if params := said.get("params"):
            yield Params(time, {names.read(name): read(value) for name, value in params.items()})
        for definition in said.get("definitions", {}).values():
            yield msgspec.convert(definition, Definition)
        for event in _merged(run, run.parts[0], Naming(ours=said.get(OWNERS, {}))):
            if not isinstance(event, (RunFinished, Params)):
                yield _sized(run, names.named(event))
        yield from _files(run)
        if (how := _ended(said["status"])) is not None:
            yield RunFinished(float(said.get("ended", time)), how, str(said.get("reason", "")))

    def _others(self, run: Run) -> Iterator[Event]:
        project, name = self._called(run)
        yield RunStarted(time=_began(run), run_id=run.id, name=name, project=project)
        places: dict[str, str] = {}
        end: RunFinished | None = None
        latest = 0.0
        for part in run.parts:
            for event in _merged(run, part, _naming(part)):
                latest = max(latest, event.time)
                if isinstance(event, RunFinished):
                    end = event
                elif isinstance(event, Artifact):
                    places[event.path] = event.reference
                    yield msgspec.structs.replace(event, reference="")
                else:
                    yield event
        yield from _beside(run)
        self._artifacts = (run.id, places)
        if end is not None:
            yield msgspec.structs.replace(end, time=max(latest, end.time))


def _ended(status: str) -> Status | None:
    return next((one for one in _ENDED if one == status), None)


class _Names:
    """The names of a run of ours, as they were before they were mapped."""

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said
        self._map = NameMap(LIMITS)
        self._cut: dict[str, str] = {}
        for tag, original in said.get("tags", {}).items():
            if tag.startswith(NAME_TAG):
                self._cut[self._map.to_tracker(original)] = original

    def read(self, mapped: str) -> str:
        return self._map.from_tracker(mapped, self._cut)

    def named(self, event: Any) -> Event:
        name = getattr(event, "name", None)
        if name is None:
            return event
        original = self.read(name)
        return event if original == name else msgspec.structs.replace(event, name=original)

    def started(self) -> RunStarted:
        said = {key: self._said[key] for key in RunStarted.__struct_fields__ if key in self._said}
        tags = {tag: text for tag, text in said.get("tags", {}).items() if not tag.startswith(NAME_TAG)}
        said["tags"] = {self.read(tag): text for tag, text in tags.items()}
        return RunStarted(**said)


class _Found(NamedTuple):
    file: str
    record: Record


def _said(run: Run) -> dict[str, Any]:
    return json.loads((run.directory / SAID).read_bytes())


def _merged(run: Run, part: Part, naming: Naming) -> Iterator[Event]:
    """Give the events of a directory's files; those that were written side by side in the order of time."""
    files = tree.files(part.directory)
    plugins: dict[str, str] = {}
    streams = [_records(run, file) for file in files]
    if len(files) <= _MERGED:
        found = heapq.merge(*streams, key=lambda one: one.record.event.wall_time)
    else:
        found = (one for stream in streams for one in stream)
    for one in found:
        yield from events_of(one.file, one.record, naming, plugins)


def _records(run: Run, file: Path) -> Iterator[_Found]:
    name = file.relative_to(run.directory).as_posix()
    # The first only tells the file's version; its time is when that was written, whatever follows.
    return (_Found(name, one) for one in records(file) if one.event.WhichOneof("what") != "file_version")


def _naming(part: Part) -> Naming:
    if not part.path or part.is_session:
        return Naming()
    tags: set[str] = set()
    for file in tree.files(part.directory):
        for record in records(file):
            for value in record.event.summary.value:
                tags.add(value.tag)
            if len(tags) > 1:
                return Naming(part.path)
    for tag in tags:  # which is one
        begin = f"{tag.replace('/', '_')}_"
        if part.path.startswith(begin) and part.path != begin:
            return Naming(part.path, (tag, f"{tag}/{part.path.removeprefix(begin)}"))
    return Naming(part.path)


def _began(run: Run) -> float:
    """Tell when a run began: the earliest time of its first records, or of a file that has none yet."""
    times: list[float] = []
    for part in run.parts:
        for file in tree.files(part.directory)[:1]:
            first = [float(one.event.wall_time) for one in itertools.islice(records(file), _FIRST)]
            stamp = _STAMP.search(file.name)
            times += first or ([float(stamp[1])] if stamp is not None else [])
    return min(times, default=0.0)


def _files(run: Run) -> Iterator[Artifact]:
    """Give the artifacts of a run of ours."""
    place = run.directory / ARTIFACTS
    for file in sorted(place.rglob("*")):
        if file.is_file():
            seen = file.stat()
            path = path_of(file.relative_to(run.directory).as_posix())
            yield Artifact(time=seen.st_mtime_ns / 10**9, path=path, size=seen.st_size)


def _beside(run: Run) -> Iterator[Artifact]:
    """Give what other libraries put beside event files: embeddings, and Lightning's hyperparameters."""
    named = ["hparams.yaml"]
    config = run.directory / _CONFIG
    if config.is_file():
        named += [_CONFIG, *_NAMED.findall(config.read_text("utf-8", "replace"))]
    for name in dict.fromkeys(named):
        file = run.directory / name
        if file.is_file() and run.directory.resolve() in file.resolve().parents:
            seen = file.stat()
            yield Artifact(time=seen.st_mtime, path=Path(name).as_posix(), size=seen.st_size)


def _sized(run: Run, event: Any) -> Event:
    """Say how large a file is that is beside the event files."""
    data: Payload | None = getattr(event, "data", None)
    if data is None or not data.path.startswith(KEPT):
        return event
    file = run.directory / data.path.removeprefix(KEPT)
    size = file.stat().st_size if file.is_file() else 0
    return msgspec.structs.replace(event, data=msgspec.structs.replace(data, size=size))


def _inside(directory: Path, path: str) -> Path:
    """Find a file of a run, unless its path leads out of there."""
    file = (directory / path).resolve()
    if directory.resolve() not in file.parents:
        raise Refused(f"{path!r} is not below {directory}")
    return file
