"""Writing a run to Trackio."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet import media
from tracelet.backend import BlobPath, Options, Remote
from tracelet.backends.trackio import config
from tracelet.backends.trackio.files import Filing
from tracelet.backends.trackio.held import SYSTEM, held, step_of
from tracelet.backends.trackio.shown import Showing, digest_of
from tracelet.backends.trackio.store import Row, Store, mapped
from tracelet.backends.trackio.words import key_of, moment, plain
from tracelet.errors import Unavailable
from tracelet.events import SERIES, Artifact, Bundle, Event, Metric, RunStarted

BUNDLE: Final = "tracelet.bundle"
"""The type of what a row says of a bundle; Trackio's pages pass over it, and show its artifact."""


class Writer:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._options = options
        self._blob = blob
        self._image_bytes = media.most(options)
        self._opened: Store | None = None
        self._config: dict[str, Any] = {}
        self._first: Row | None = None

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        directory = Path(self._options["dir"])
        with mapped(opening=True):
            store = Store(directory, run.project, (run.name or run.run_id, run.run_id))
            self._opened, self._first = store, Row(f"{run.run_id}:start", 0, moment(run.time), {})
            self._config = store.config()
            if not config.ours_of(self._config):
                self._config |= config.begun(run)
                store.log([self._first], self._config)
            self._showing = Showing(store, self._blob, self._image_bytes)
            self._filing = Filing(store, self._blob)
        place = shlex.quote(str(directory))
        view = f"TRACKIO_DIR={place} trackio show --project {shlex.quote(store.folder)}"
        return Remote(id=f"{store.folder}/{run.run_id}", view=view, anew=config.is_new(self._config))

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        store = self._opened
        if store is None or self._first is None:
            raise Unavailable("the run is not open")
        with mapped():
            if not config.ours_of(store.config()):
                raise Unavailable(f"somebody has deleted the run {store.run_id} from {store.folder}")
            rows, system = self._rows(batch)
            said = msgspec.msgpack.encode(self._config)
            try:
                changed = config.written(self._config) | config.take(self._config, batch)
                if rows or changed:
                    store.log(rows or [self._first], self._config if changed else None)
                if system:
                    store.log_system(system)
            except BaseException:  # whatever it was, what was not written is not there
                self._config = msgspec.msgpack.decode(said)
                raise

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        self._opened = None

    def _rows(self, batch: Sequence[Event]) -> tuple[list[Row], list[Row]]:
        """Make the rows of a batch, and those of the machine; files are put as they are met."""
        rows: list[Row] = []
        system: list[Row] = []
        for event in batch:
            if isinstance(event, Metric):
                is_system = event.name.startswith(SYSTEM) and event.name != SYSTEM
                key = key_of(event.name.removeprefix(SYSTEM) if is_system else event.name)
                row = self._row(event, {key: event.value})
                (system if is_system else rows).append(row)
            elif isinstance(event, SERIES):
                rows.append(self._row(event, {key_of(event.name): self._showing.value(event)}))
            elif isinstance(event, Artifact):
                self._filing.artifact(event)
            elif isinstance(event, Bundle):
                said = {"_type": BUNDLE, "tracelet": plain(msgspec.to_builtins(held(event)))}
                said["files"] = self._filing.bundle(event)
                rows.append(self._row(event, {key_of(event.name): said}))
        return rows, system

    def _row(self, event: Any, content: dict[str, Any]) -> Row:
        step = event.step or 0 if not hasattr(event, "ordinal") else step_of(event)
        run_id = self._opened.run_id if self._opened else ""
        return Row(f"{run_id}:{digest_of(event)}", step, moment(event.time), content)
