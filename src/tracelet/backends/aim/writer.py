"""Writing a run to Aim."""

import hashlib
import itertools
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from tracelet import media
from tracelet.backend import BlobPath, Options, Remote, bytes_of, file_of, patience
from tracelet.backends.aim import objects
from tracelet.backends.aim.artifacts import MEDIA, Artifacts
from tracelet.backends.aim.connection import PATIENCE, Connection
from tracelet.backends.aim.failures import mapped
from tracelet.backends.aim.held import fitting, flat
from tracelet.backends.aim.params import ROOT, Places
from tracelet.backends.aim.runs import opened
from tracelet.backends.aim.sequences import Sequences
from tracelet.errors import Rejected
from tracelet.events import (
    SERIES,
    Artifact,
    Bundle,
    Definition,
    Event,
    Layout,
    Metric,
    Note,
    Params,
    RunFinished,
    RunStarted,
    Series,
    Tags,
)

TOGETHER: Final = 10  # records in one message: a server takes longer than twice as long for twice as many
LABEL: Final = 100  # characters; a longer tag is no label, and is kept whole all the same
Instant: TypeAlias = Metric | Params | Tags | Note


class Writer:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._options = options
        self._blob = blob
        self._connection = Connection(options["repo"], patience(options, PATIENCE))
        self._image_bytes = media.most(options)
        self._artifacts = Artifacts(options.get("artifacts_uri", ""))
        self._places = Places({})
        self._tags: dict[str, str] = {}
        self._sequences: Sequences | None = None
        self._is_new = False  # nothing has been written to the run

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        with mapped(opening=True):
            return self._connection.call(lambda: self._open(run))

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        try:
            with mapped():
                self._connection.call(lambda: self._write(batch))
        except Rejected:
            self._connection.call(self._connection.recover)
            raise

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        self._sequences = None
        with mapped():
            self._connection.close()

    @property
    def _run(self) -> Any:
        return self._connection.run

    def _open(self, run: RunStarted) -> Remote:
        place = self._connection
        place.open(make=True)
        place.run = opened(place.repo, hash_of(run.run_id), run.run_id, run.time)
        attributes = dict(place.run.meta_run_attrs_tree.collect(()))
        own = attributes.get(ROOT, {})
        self._places = Places(attributes)
        self._tags = dict(own.get("tags", {}))
        self._sequences = Sequences(place.run)
        self._is_new = bool(own.get("new", not own.get("uid")))
        if not own.get("uid"):
            self._begin(run)
        elif own.get("ended") is not None:  # opening it has made it one that goes on
            place.run.meta_run_tree["end_time"] = own["ended"]
        place.flush()
        view = "" if place.remote else f"aim up --repo {shlex.quote(self._options['repo'])}"
        return Remote(id=str(place.run.hash), view=view, anew=self._is_new)

    def _begin(self, run: RunStarted) -> None:
        """Say what the run is; last its uid, by which the rest is known to be there."""
        self._run.name = run.name
        self._run.experiment = run.project
        if run.note:
            self._run.description = run.note
        self._set_tags(run.tags)
        fields = {"group": run.group, "job_type": run.job_type, "parent": run.parent, "project": run.project}
        for name, value in {**fields, "time": run.time, "new": True, "uid": run.run_id}.items():
            self._say(name, value)

    def _write(self, batch: Sequence[Event]) -> None:
        for instant, events in itertools.groupby(batch, lambda event: isinstance(event, Instant)):
            if instant:
                self._write_together(list(events))
            else:
                for event in events:
                    self._write_alone(event)
        tags = {name: text for event in batch if isinstance(event, Tags) for name, text in event.tags.items()}
        if tags:
            self._set_tags(tags)
        if self._is_new:
            self._say("new", False)
        self._connection.flush()
        self._is_new = False

    def _write_together(self, events: Sequence[Event]) -> None:
        for at in range(0, len(events), TOGETHER):
            with self._connection.together(self._run.hash):
                for event in events[at : at + TOGETHER]:
                    self._write_instant(event)

    def _write_instant(self, event: Event) -> None:
        if isinstance(event, Metric):
            self._series.point(event)
        elif isinstance(event, Params):
            for name, value in flat(event.params):
                self._run.set(self._places.of(name), fitting(value))
        elif isinstance(event, Note):
            self._run.description = event.text

    def _write_alone(self, event: Event) -> None:
        if isinstance(event, (*SERIES, Bundle)):
            self._write_entry(event)
        elif isinstance(event, Artifact):
            self._artifacts.put(self._run, event.path, file_of(event, self._blob))
        elif isinstance(event, Definition):
            self._say(("definitions", event.name), msgspec.msgpack.encode(event).hex())
        elif isinstance(event, Layout):
            self._say("layout", msgspec.msgpack.encode(event).hex())
        elif isinstance(event, RunFinished):
            self._finish(event)

    def _write_entry(self, event: Series | Bundle) -> None:
        data = getattr(event, "data", None)
        what = f"{type(event).__name__.lower()} {event.name!r}"
        source = None if data is None else bytes_of(what, data.digest, self._blob)
        made = objects.made(event, source, self._image_bytes)
        if made is None and source is not None and not isinstance(event, Bundle):
            path = f"{MEDIA}{objects.mark_of(event)}.{media.ending(event)}"
            uri = self._artifacts.put(self._run, path, source)
            made = objects.filed(event, path, source.stat().st_size, uri)
        if made is None:
            raise Rejected(f"{what}: it has nothing to show")
        self._series.entry(event, made)

    def _finish(self, event: RunFinished) -> None:
        self._say("status", event.status)
        self._say("reason", event.reason)
        if event.status != "FINISHED":
            self._label([event.status])
        self._say("ended", event.time)
        self._run.meta_run_tree["end_time"] = event.time

    def _set_tags(self, tags: dict[str, str]) -> None:
        """Set tags, those of a batch at once: for each label Aim writes to the disk and waits for it."""
        there = set(self._run.tags)
        changed = {name: self._tags[name] for name in tags if self._tags.get(name, tags[name]) != tags[name]}
        for label in labels(changed):  # first: a tag that is set does not tell what it was
            if label in there:
                self._run.remove_tag(label)
        for name, value in tags.items():
            self._run.set((ROOT, "tags", name), value)
            self._tags[name] = value
        self._label(labels(tags))

    def _label(self, wanted: Iterable[str]) -> None:
        there = set(self._run.tags)
        for label in wanted:
            if label not in there:
                self._run.add_tag(label)

    def _say(self, name: str | tuple[str, ...], value: Any) -> None:
        """Note something of our own."""
        self._run.set((ROOT, name) if isinstance(name, str) else (ROOT, *name), value)

    @property
    def _series(self) -> Sequences:
        assert self._sequences is not None  # noqa: S101  `write` comes after `open`
        return self._sequences


def hash_of(run_id: str) -> str:
    """Return Aim's hash of a run of ours: 24 hexadecimal digits."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:24]


def labels(tags: dict[str, str]) -> list[str]:
    """Return what Aim's page shows of tags: short ones, and not those that tracelet keeps account with."""
    told = {name: name if value in {"", "true"} else f"{name}={value}" for name, value in tags.items()}
    return [text for name, text in told.items() if len(text) <= LABEL and not name.startswith("tracelet.")]
