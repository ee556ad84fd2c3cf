"""Runs in files of this machine: what the client writes when it is offline, and beside what it uploads.

    wandb/                        a directory of runs
    wandb/offline-run-TIME-ID/    a run; `run-TIME-ID` is one that was uploaded meanwhile
    …/run-ID.wandb                its records (see `datastore`)
    …/files/                      its files: media, what the script has saved, the console

A run whose file says nothing of its end goes on while the file is written; after an hour without that
it was killed. Directories of one id are one run, which was resumed: so `wandb sync` takes them too.
"""

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

from tracelet.backends.wandb.datastore import HISTORY, OUTPUT, STATS, SUMMARY, is_one, records
from tracelet.backends.wandb.found import About, Logged, Row
from tracelet.errors import Refused
from tracelet.events import Definition

_QUIET: Final = 3600.0  # seconds; the client notes what the machine does every 15 s
_STAMPED: Final = re.compile(r"run-(\d{8}_\d{6})-")
_STATES: Final = {0: "finished", 255: "killed"}  # by exit code; 255 is that of an interrupt
_SUMMARIES: Final = ("min", "max", "mean", "best", "last")
_GOALS: Final = {1: "minimize", 2: "maximize"}


def runs(place: Path) -> dict[str, list[Path]]:
    """Find runs, and the files of each, by their ids; the oldest comes first.

    Args:
        place: A run's file, its directory, or a directory of such directories.
    """
    if place.is_file():
        return {_id_of(place): [place]}
    inside = [place, place / "wandb"] if (place / "wandb").is_dir() else [place]
    found = [
        file for one in inside for pattern in ("*.wandb", "*run-*/*.wandb") for file in one.glob(pattern)
    ]
    whole = {file.resolve() for file in found if is_one(file)}  # `latest-run` is a link to one of the others
    by_id: dict[str, list[Path]] = {}
    for file in sorted(whole, key=lambda file: (file.parent.name.removeprefix("offline-"), file.name)):
        by_id.setdefault(_id_of(file), []).append(file)
    return by_id


class Recorded:
    """A run in files; see `Kept`.

    Args:
        files: The files, the oldest first.
        now: When they are read, in seconds since the epoch.
    """

    def __init__(self, files: Sequence[Path], now: float) -> None:
        self._recorded = files
        self._now = now
        self._about: About | None = None
        self._logged: list[Logged] = []
        self._places: dict[tuple[str, str], str] = {}

    def about(self) -> About:
        """See `Kept.about`."""
        if self._about is None:
            self._about = self._look()
        return self._about

    def rows(self) -> Iterator[Row]:
        """See `Kept.rows`."""
        for record in self._records(SUMMARY, STATS, OUTPUT):
            if record.WhichOneof("record_type") == "history":
                row = put({}, record.history.item)
                row.setdefault("_step", record.history.step.num)
                yield row

    def having(self, key: str) -> Iterator[Any]:
        """See `Kept.having`."""
        return (row[key] for row in self.rows() if key in row)

    def summary(self) -> Mapping[str, Any]:
        """See `Kept.summary`; there are more records of it than of rows, so nothing is decoded too early."""
        found: dict[str, Any] = {}
        for record in self._records(HISTORY, STATS, OUTPUT):
            if record.WhichOneof("record_type") == "summary":
                _update(found, record.summary, str)
        return decoded(found)

    def machine(self) -> Iterator[Row]:
        """See `Kept.machine`."""
        for record in self._records(SUMMARY, HISTORY, OUTPUT):
            if record.WhichOneof("record_type") == "stats":
                values = {f"system.{item.key}": _value(item.value_json) for item in record.stats.item}
                yield {**values, "_timestamp": _seconds(record.stats.timestamp)}

    def files(self) -> Mapping[str, int]:
        """See `Kept.files`."""
        found: dict[str, int] = {}
        for place in self._places_of_files:
            for file in sorted(file for file in place.rglob("*") if file.is_file()):
                found[file.relative_to(place).as_posix()] = file.stat().st_size
        return found

    def logged(self) -> list[Logged]:
        """See `Kept.logged`."""
        self.about()
        return self._logged

    def fetch(self, path: str, to: Path) -> bool:
        """See `Kept.fetch`."""
        inside = Path(path)
        if inside.is_absolute() or ".." in inside.parts:
            return False
        for place in reversed(self._places_of_files):
            if (place / inside).is_file():
                shutil.copyfile(place / inside, to)
                return True
        return False

    def fetch_logged(self, artifact: Logged, path: str, to: Path) -> None:
        """See `Kept.fetch_logged`; the bytes are where the client has put them until they are uploaded."""
        source = self._places.get((artifact.path, path), "")
        if not source or not Path(source).is_file():
            raise Refused(
                f"{path!r} of artifact {artifact.name!r} is not on this machine any more: it was at"
                f" {source or 'no place that the file names'}"
            )
        shutil.copyfile(source, to)

    @property
    def _places_of_files(self) -> list[Path]:
        return [file.parent / "files" for file in self._recorded]

    def _records(self, *without: int) -> Iterator[Any]:
        for file in self._recorded:
            yield from records(file, without)

    def _look(self) -> About:
        """Read what the files say of the run; its rows are skipped."""
        first, last = self._recorded[0], self._recorded[-1]
        found = _Found(id=_id_of(first), started=_stamped(first))
        for file in self._recorded:
            found.begin()
            for record in records(file, {HISTORY, SUMMARY, STATS, OUTPUT}):
                found.take(record)
        written = last.stat().st_mtime
        if found.said["state"] == "running" and written < self._now - _QUIET:
            found.said |= {"state": "crashed", "ended": written}
        for artifact in found.artifacts:
            self._logged.append(self._artifact(artifact, found.said["started"]))
        definitions = tuple(found.definitions.values())
        return About(config=found.config, definitions=definitions, **found.said)

    def _artifact(self, artifact: Any, time: float) -> Logged:
        """Take an artifact; of one that is put out again, the path says which it is."""
        again = sum(one.name == artifact.name for one in self._logged)
        path = f"{artifact.name}/{again + 1}" if again else artifact.name
        files: dict[str, int] = {}
        references: dict[str, str] = {}
        for entry in _entries(artifact.manifest):
            if entry["ref"]:
                references[entry["path"]] = entry["ref"]
            else:
                files[entry["path"]] = int(entry["size"] or 0)
                self._places[path, entry["path"]] = entry["local_path"]
        return Logged(
            name=artifact.name,
            kind=artifact.type,
            path=path,
            time=time,
            aliases=tuple(artifact.aliases),
            metadata=({"description": artifact.description} if artifact.description else {})
            | json.loads(artifact.metadata or "{}"),
            files=files,
            references=references,
        )


class _Found:
    """What the records of a file say of a run; a later one replaces an earlier one."""

    def __init__(self, **said: Any) -> None:
        self.said: dict[str, Any] = {"name": said["id"], "project": "uncategorized", **said}
        self._began = 0.0
        self.config: dict[str, Any] = {}
        self.definitions: dict[str, Definition] = {}
        self.artifacts: list[Any] = []

    def begin(self) -> None:
        """Begin a file: whatever was said of the run's end, it goes on."""
        self.said |= {"state": "running", "ended": None}

    def take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.said |= _run(record.run)
            if record.run.HasField("start_time"):
                self._began = self._began or _seconds(record.run.start_time)
                self.said["started"] = self._began
            _update(self.config, record.run.config)
        elif kind == "config":
            _update(self.config, record.config)
        elif kind == "metric" and not record.metric.expanded_from_glob:
            definition = _definition(record.metric)
            self.definitions[definition.name] = definition
        elif kind == "artifact":
            self.artifacts.append(record.artifact)
        elif kind == "exit" and not record.exit.not_complete:
            self.said["state"] = _STATES.get(record.exit.exit_code, "failed")
            self.said["ended"] = self.said["started"] + record.exit.runtime


def _run(run: Any) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "name": run.display_name or run.run_id,
        "project": run.project or "uncategorized",
        "note": run.notes,
        "group": run.run_group,
        "job_type": run.job_type,
        "sweep": run.sweep_id,
        "tags": tuple(run.tags),
    }


def _definition(metric: Any) -> Definition:
    summary = tuple(word for word in _SUMMARIES if getattr(metric.summary, word))
    goal = _GOALS.get(metric.goal, "")
    name = metric.name or metric.glob_name
    return Definition(time=0.0, name=name, summary=summary, goal=goal, step_metric=metric.step_metric)


def _entries(manifest: Any) -> Iterable[Mapping[str, Any]]:
    """Give the entries of a manifest, also of one that is too large for a record."""
    names = ("path", "ref", "size", "local_path")
    for entry in manifest.contents:
        yield {name: getattr(entry, name) for name in names}
    kept = Path(manifest.manifest_file_path)
    if manifest.manifest_file_path and kept.is_file():
        with gzip.open(kept, "rt", encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                yield {name: entry.get(name, "") for name in names}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # which the client has never written
        return text


def _update(said: dict[str, Any], record: Any, decode: Callable[[str], Any] = _value) -> None:
    for item in record.remove:
        *above, last = item.nested_key or [item.key]
        _within(said, above).pop(last, None)
    put(said, record.update, decode)


def put(said: dict[str, Any], items: Iterable[Any], decode: Callable[[str], Any] = _value) -> dict[str, Any]:
    """Put the items of a record where their keys say."""
    for item in items:
        *above, last = item.nested_key or [item.key]
        (_within(said, above) if above else said)[last] = decode(item.value_json)
    return said


def decoded(said: Mapping[str, Any]) -> dict[str, Any]:
    """Decode what was put somewhere as it came."""
    return {key: _value(one) if isinstance(one, str) else decoded(one) for key, one in said.items()}


def _within(said: dict[str, Any], above: Iterable[str]) -> dict[str, Any]:
    for key in above:
        inner = said.get(key)
        if not isinstance(inner, dict):
            inner = said[key] = {}
        said = cast("dict[str, Any]", inner)
    return said


def _seconds(stamp: Any) -> float:
    return stamp.seconds + stamp.nanos / 1e9


def _id_of(file: Path) -> str:
    return file.stem.removeprefix("run-")


def _stamped(file: Path) -> float:
    """Tell by the directory's name when a run began, of which the file does not say it yet."""
    found = _STAMPED.search(file.parent.name)
    if found is None:
        return file.stat().st_mtime
    return datetime.strptime(found[1], "%Y%m%d_%H%M%S").astimezone().timestamp()
