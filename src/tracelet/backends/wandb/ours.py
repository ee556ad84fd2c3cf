"""A run of W&B's that tracelet wrote: the way back from `words`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from tracelet.backends.wandb import LIMITS, words
from tracelet.backends.wandb.account import Account
from tracelet.backends.wandb.bundles import data_of
from tracelet.backends.wandb.found import About, Kept, Logged, Row
from tracelet.backends.wandb.values import At, events_of, number_of
from tracelet.events import (
    SERIES,
    Artifact,
    Bundle,
    Chart,
    Definition,
    Event,
    Histogram,
    Layout,
    Metric,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Status,
    Text,
)
from tracelet.names import NAME_TAG, NameMap

_SERIES: Final[Mapping[str, type[Any]]] = {kind.__name__: kind for kind in SERIES}
_STATUS: Final[tuple[Status, ...]] = ("FINISHED", "FAILED", "KILLED")
_KEYS: Final = frozenset({"_step", "_timestamp", "_runtime", "_wandb", words.STEP, words.MORE})


class Names:
    """A run's names, as they were before they were mapped.

    Args:
        tags: The run's own, of which some tell names that were cut.
    """

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._map = NameMap(LIMITS)
        self._cut: dict[str, str] = {}
        self._known: dict[str, str] = {}
        for tag, original in tags.items():
            if tag.startswith(NAME_TAG):
                self._cut[self._map.to_tracker(original)] = original

    def read(self, mapped: str) -> str:
        """Return what a name was."""
        known = self._known.get(mapped)
        if known is None:
            original = self._map.from_tracker(mapped, self._cut)
            # What the user's own calls of W&B have put into the run was never mapped.
            known = original if self._map.to_tracker(original) == mapped else mapped
            self._known[mapped] = known
        return known


def status(own: Mapping[str, Any]) -> str:
    """Return the status of a run of ours."""
    return _ended(own) or "RUNNING"


def _ended(own: Mapping[str, Any]) -> Status | None:
    return next((one for one in _STATUS if one == own.get("status")), None)


def ours(kept: Kept, about: About, own: Mapping[str, Any]) -> Iterator[Event]:
    """Give the whole history of a run of ours; see `Reader.events`."""
    names = Names(own.get("tags", {}))
    files = kept.files()
    started = _started(about, own, names)
    yield started
    if params := words.params_of(about.config):
        yield Params(started.time, {names.read(name): value for name, value in params.items()})
    yield from _defined(own, names)
    for row in kept.rows():
        yield from _row(row, names, files)
    for path, size in files.items():
        if path.startswith(words.FILES):
            yield Artifact(time=started.time, path=path.removeprefix(words.FILES), size=size)
    for artifact in kept.logged():
        if (bundle := bundle_of(artifact)) is not None:
            yield bundle
    if (how := _ended(own)) is not None:
        yield RunFinished(float(own.get("ended", started.time)), how, str(own.get("reason", "")))


def bundle_of(artifact: Logged) -> Bundle | None:
    """Return the bundle that became an artifact; None if it is not one of ours."""
    said: Any = artifact.metadata.get(words.OURS)
    if not isinstance(said, str):
        return None
    found = msgspec.convert(words.value_of(said), Bundle)
    if found.reference or not artifact.files:
        return found
    return msgspec.structs.replace(found, data=data_of(artifact))


def _started(about: About, own: Mapping[str, Any], names: Names) -> RunStarted:
    tags = {tag: text for tag, text in own.get("tags", {}).items() if not tag.startswith(NAME_TAG)}
    said = {key: str(own.get(key) or "") for key in ("group", "job_type", "parent")}
    shown = {*Account(about.config).words()}
    added = {word: "true" for word in about.tags if word not in shown}  # by others, in W&B's pages
    return RunStarted(
        time=float(own.get("time", about.started)),
        run_id=str(own["run_id"]),
        name=str(own.get("name", about.name)),
        project=str(own.get("project", about.project)),
        tags=added | {names.read(tag): str(text) for tag, text in tags.items()},
        note=about.note,
        **said,
    )


def _defined(own: Mapping[str, Any], names: Names) -> Iterator[Event]:
    for name, said in own.get("definitions", {}).items():
        yield msgspec.convert({**said, "type": "Definition", "name": names.read(name)}, Definition)
    if charts := own.get("layout"):
        yield Layout(float(own.get("time", 0.0)), tuple(msgspec.convert(chart, Chart) for chart in charts))


def _row(row: Row, names: Names, files: Mapping[str, int]) -> Iterator[Event]:
    time = float(number_of(row.get("_timestamp")) or 0.0)
    step = row.get(words.STEP)
    more: dict[str, Any] = words.value_of(row[words.MORE]) if words.MORE in row else {}
    for key, value in sorted(row.items()):  # which come in any order
        if key in _KEYS:
            continue
        said = more.get(key)
        at = At(names.read(words.name_of(said.get("name", key) if said else key)), time, step)
        if said is not None:
            yield _entry(at, said, value, files)
        elif (number := number_of(value)) is not None:
            yield Metric(at.name, number + 0.0, step, time)
        else:  # of the user's own calls of W&B
            yield from events_of(at, value, lambda _: {})


def _entry(at: At, said: Mapping[str, Any], value: Any, files: Mapping[str, int]) -> Event:
    kind = _SERIES[str(said["type"])]
    row = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    base: dict[str, Any] = {"type": kind.__name__, "time": at.time, "name": at.name, "step": at.step}
    fields = set(kind.__struct_fields__) - {"type", "name", "data"}
    base |= {key: one for key, one in said.items() if key in fields}
    if kind is Histogram and "counts" not in base:
        base["counts"], base["limits"] = row.get("values", ()), row.get("bins", ())
    if kind in {Text, Histogram}:
        return msgspec.convert(base, kind)
    path = str(said.get("source") or row.get("path", ""))
    told = cast("dict[str, Any]", said.get("data", {}))
    size = int(told.get("size", 0)) or files.get(path, 0)
    shape = tuple(told.get("shape", ()))
    data = Payload("", size, shape=shape, format=str(told.get("format", "")), path=path)
    made = msgspec.convert({**base, "data": {"digest": "", "size": 0}}, kind)
    return msgspec.structs.replace(made, data=data)
