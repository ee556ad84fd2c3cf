"""A run of W&B's as events: one that tracelet wrote, as it was, and one of anybody else's.

    W&B's                         ours
    name, notes, group, job type  `RunStarted`, of the time that the client has noted
    tags                          its tags, each of which is "true"; `wandb.sweep` names the sweep
    config                        `Params`
    define_metric                 `Definition`
    a row                         see `values`; the step is `_step`, or a whole number that was defined as
                                  the x axis, and the time `_timestamp`
    system metrics                `Metric` called `system/…`, without a step
    summary                       a value that is in no row is one without a step, at the end
    the run's files               `Artifact`; but not those that rows name, nor what says the above once more
    an artifact that it put out   each file an `Artifact` below NAME/VERSION, and a `Bundle`; its metadata has
                                  what lies elsewhere as `references`
    finished, failed              `RunFinished`
    crashed, killed, preempted    `RunFinished`, as KILLED

What tracelet wrote becomes what it was, see `words`. Artifacts that a run has only used are another's;
a value that a script has put into the summary in place of its rows' own is left out.
"""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tracelet.backends.wandb import words
from tracelet.backends.wandb.bundles import bundle_of
from tracelet.backends.wandb.found import About, Kept, Row
from tracelet.backends.wandb.ours import ours
from tracelet.backends.wandb.steps import Steps
from tracelet.backends.wandb.values import At, events_of, number_of
from tracelet.errors import Refused
from tracelet.events import Artifact, Event, Metric, Params, Payload, RunFinished, RunStarted, Status

SYSTEM: Final = "system/"
_STATUS: Final[Mapping[str, Status]] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "crashed": "KILLED",
    "killed": "KILLED",
    "preempted": "KILLED",
}
_OWN: Final = frozenset({"run_table", "job", "wandb-history", "wandb-events"})
"""Types of artifacts that W&B makes by itself, of what the run holds anyway."""
_TOLD: Final = frozenset({"config.yaml", "wandb-summary.json", "wandb-history.jsonl", "wandb-events.jsonl"})
_KEYS: Final = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})


def status(about: About) -> str:
    """Return the status of a run of somebody else's, in our words."""
    return _STATUS.get(about.state, "RUNNING")


def events(kept: Kept) -> Iterator[Event]:
    """Give a run's whole history; see `Reader.events`."""
    about = kept.about()
    own = words.ours_of(about.config)
    yield from ours(kept, about, own) if own else _Others(kept, about).events()


class _Others:
    """A run that tracelet did not write."""

    def __init__(self, kept: Kept, about: About) -> None:
        self._kept = kept
        self._about = about
        self._files: Mapping[str, int] = {}
        self._named: set[str] = set()  # files that rows name
        self._keys: set[str] = set()  # keys that rows have
        self._latest = about.started

    def events(self) -> Iterator[Event]:
        about = self._about
        self._files = self._kept.files()
        yield _started(about)
        if params := words.params_of(about.config):
            yield Params(about.started, params)
        for definition in about.definitions:
            yield msgspec.structs.replace(definition, time=about.started)
        yield from self._rows()
        yield from self._machine()
        yield from self._summary()
        yield from self._artifacts()
        if (how := _STATUS.get(about.state)) is not None:
            reason = "" if about.state in {"finished", "failed"} else about.state
            yield RunFinished(self._latest, how, reason)

    def _rows(self) -> Iterator[Event]:
        steps = Steps(self._about.definitions, self._kept.having)
        for row in self._kept.rows():
            time = self._time(row)
            self._latest = max(self._latest, time)
            for key, value in sorted(row.items()):  # which come in any order
                if key not in _KEYS:
                    self._keys.add(key)
                    yield from self._events(At(key, time, steps.of(key, row)), value)

    def _machine(self) -> Iterator[Metric]:
        numbers: Counter[str] = Counter()
        for row in self._kept.machine():
            time = self._time(row)
            self._latest = max(self._latest, time)
            for key, value in sorted(row.items()):
                number = None if key in _KEYS else number_of(value)
                if number is not None:
                    name = f"{SYSTEM}{key.removeprefix('system.')}"
                    yield Metric(name, number, None, time, numbers[name])
                    numbers[name] += 1

    def _events(self, at: At, value: Any) -> Iterator[Event]:
        if type(value) is float:  # as nearly always
            yield Metric(at.name, value, at.step, at.time)
            return
        for event in events_of(at, value, self._boxes):
            data: Payload | None = getattr(event, "data", None)
            if data is None:
                yield event
                continue
            self._named.add(data.path)
            size = data.size or self._files.get(data.path, 0)
            yield msgspec.structs.replace(cast("Any", event), data=msgspec.structs.replace(data, size=size))

    def _time(self, row: Row) -> float:
        time = number_of(row.get("_timestamp"))
        if time is None or not math.isfinite(time):  # the client takes whatever it is given
            time = self._about.started + (number_of(row.get("_runtime")) or 0.0)
        return time

    def _boxes(self, path: str) -> Mapping[str, Any]:
        self._named.add(path)
        found = _json(lambda to: self._kept.fetch(path, to))
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def _summary(self) -> Iterator[Event]:
        """Give the values that no row has; those that rows have are theirs, or made of them."""
        self._latest = max(self._latest, self._about.ended or 0.0)
        for key, value in sorted(self._kept.summary().items()):
            if key not in _KEYS and key not in self._keys:
                yield from self._events(At(key, self._latest, None), value)

    def _artifacts(self) -> Iterator[Event]:
        for path, size in self._files.items():
            if path not in self._named and path not in _TOLD:
                yield Artifact(time=self._latest, path=path, size=size)
        for logged in self._kept.logged():
            if logged.kind not in _OWN:
                for path, size in logged.files.items():
                    yield Artifact(time=logged.time, path=f"{logged.path}/{path}", size=size)
                yield bundle_of(logged)


def _started(about: About) -> RunStarted:
    tags = dict.fromkeys(about.tags, "true")
    if about.sweep:
        tags["wandb.sweep"] = about.sweep
    return RunStarted(
        time=about.started,
        run_id=about.id,
        name=about.name,
        project=about.project,
        tags=tags,
        note=about.note,
        group=about.group,
        job_type=about.job_type,
    )


def _json(fetch: Callable[[Path], bool]) -> Any:
    """Read a small file of a run; None if there is none, or it is not what it should be."""
    with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
        file = Path(place, "file")
        try:
            return json.loads(file.read_bytes()) if fetch(file) else None
        except (ValueError, Refused):
            return None
