"""Make of records what one tracker can take: names, steps, lengths, and how many at once.

Chunking, name mapping and cutting live here, once, for all backends. The result depends on the
journal and on the backend's `Limits` alone, so a batch that is sent twice is the same twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from tracelet import media
from tracelet.backend import Backend
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
    Plain,
    RunStarted,
    Series,
    Tags,
    Text,
)
from tracelet.journal.reader import Record
from tracelet.names import NAME_TAG, NameMap, digest_of
from tracelet.relay.routing import WORDS, Router

ALONE: Final = (Artifact, Bundle, Definition, Layout, *SERIES)
"""What goes to a tracker by itself: each is a file there, and may take as long as a whole batch."""


FILES: Final = 8  # that are delivered before the cursor moves: each may take as long as a whole batch


class Item(NamedTuple):
    """One event as the tracker gets it, and the record that it comes from.

    `key` tells the items of one record apart: a param's or tag's name. `degraded` counts the
    values that were cut. `row` is the row that it belongs to, or -1.
    """

    event: Event
    record: Record
    key: str = ""
    degraded: int = 0
    row: int = -1


class Shaper:
    """Shapes records for one backend.

    Args:
        backend: Whose limits to keep to.
        image_bytes: How large an image may be, before it is encoded; 0 for any size. The Writer scales
            it; here it is counted.
        router: Tells what goes to it; without one, all that was not logged for others alone.
    """

    def __init__(self, backend: Backend, image_bytes: int = 0, *, router: Router | None = None) -> None:
        self._limits = backend.limits
        self._router = router or Router(backend.name)
        self._image_bytes = image_bytes
        self._names = NameMap(backend.limits)
        self._told: set[str] = set()

    def wants(self, record: Record) -> bool:
        """Tell whether a record, or a part of it, is for this backend."""
        return self._router.wants(record)

    def left_out(self, record: Record) -> int:
        """Count what of a record is not for this backend."""
        return self._router.left_out(record)

    def items(self, records: Iterable[Record]) -> Iterator[Item]:
        """Make the items of records; a run's start and end, `Lost` and damage are not among them.

        A record that is not for this backend has none.
        """
        for record in records:
            yield from self.items_of(record)

    def items_of(self, record: Record) -> Sequence[Item]:
        """Make the items of one record; see `items`."""
        if not self._router.wants(record):
            return ()
        found = self._of(record)
        if len(self._names.long_names) != len(self._told):  # told before they are used
            return [*self._introductions(record), *found]
        return found

    def _of(self, record: Record) -> Sequence[Item]:
        event = record.event
        if isinstance(event, Metric):
            return (Item(self._metric(event, self._named("metric", event.name)), record),)
        if isinstance(event, Params):
            return [*self._params(event, record)]
        if isinstance(event, Tags):
            return [*self._tags(event, record)]
        if isinstance(event, Note):
            text, cut = _cut(event.text, self._limits.note)
            return (Item(Note(event.time, text), record, degraded=cut),)
        return self._file(event, record)

    def _named(self, kind: str, name: str) -> str:
        return self._names.to_tracker(self._router.renamed(name, kind))

    def _file(self, event: object, record: Record) -> Sequence[Item]:
        """Shape what is a file at a tracker; of all else there is nothing to deliver."""
        if isinstance(event, SERIES):
            return (self._in_series(event, record),)
        if isinstance(event, (Artifact, Bundle)):
            return (Item(event, record, key=event.path if isinstance(event, Artifact) else event.name),)
        if isinstance(event, (Definition, Layout)):
            return (Item(self._router.adapted(event), record),)
        return ()

    def _in_series(self, event: Series, record: Record) -> Item:
        shaped = msgspec.structs.replace(event, name=self._named(WORDS[type(event)], event.name))
        if not isinstance(shaped, Text) and shaped.step is None and self._limits.needs_step:
            shaped = msgspec.structs.replace(shaped, step=shaped.ordinal)
        return Item(shaped, record, degraded=int(media.is_scaled(event, self._image_bytes)))

    def started(self, event: RunStarted) -> RunStarted:
        """Shape the tags of a run's first event; they are set when the run is opened."""
        tags = {
            self._named("tag", name): _cut(value, self._limits.tag_value)[0]
            for name, value in event.tags.items()
            if self._router.passes("tag", name)
        }
        note = self._note(event)[0]
        return RunStarted(
            time=event.time,
            run_id=event.run_id,
            name=event.name,
            project=event.project,
            tags=tags,
            note=note,
            group=event.group,
            job_type=event.job_type,
            parent=event.parent,
        )

    def cuts(self, event: RunStarted) -> int:
        """Count the values that `started` cuts."""
        tags = (value for name, value in event.tags.items() if self._router.passes("tag", name))
        return self._note(event)[1] + sum(_cut(value, self._limits.tag_value)[1] for value in tags)

    def _note(self, event: RunStarted) -> tuple[str, int]:
        return _cut(event.note, self._limits.note) if self._router.passes("note") else ("", 0)

    def _metric(self, event: Metric, name: str) -> Metric:
        if event.step is None and self._limits.needs_step:
            return Metric(name, event.value, event.ordinal, event.time)
        if name is event.name:
            return event
        return Metric(name, event.value, event.step, event.time, event.ordinal)

    def _params(self, event: Params, record: Record) -> Iterator[Item]:
        for key, value in event.params.items():
            if self._router.passes("param", key):
                shaped, cut = self._value(value)
                yield Item(
                    Params(event.time, {self._named("param", key): shaped}), record, key=key, degraded=cut
                )

    def _value(self, value: Plain) -> tuple[Plain, int]:
        """Cut a value whose text is too long; others keep their type."""
        if isinstance(value, (bool, int, float)) or value is None:
            return value, 0
        text, cut = _cut(str(value), self._limits.param_value)
        return (text, cut) if cut else (value, 0)

    def _tags(self, event: Tags, record: Record) -> Iterator[Item]:
        for key, value in event.tags.items():
            if self._router.passes("tag", key):
                text, cut = _cut(value, self._limits.tag_value)
                yield Item(Tags(event.time, {self._named("tag", key): text}), record, key=key, degraded=cut)

    def _introductions(self, record: Record) -> Iterator[Item]:
        """Tell the tracker, in tags, the names that were too long for it."""
        for mapped, original in self._names.long_names.items():
            if mapped not in self._told:
                self._told.add(mapped)
                tag = NAME_TAG + digest_of(mapped)
                text, _ = _cut(original, self._limits.tag_value)
                time = getattr(record.event, "time", 0.0)
                yield Item(Tags(time, {tag: text}), record, key=tag)


def _cut(text: str, length: int) -> tuple[str, int]:
    """Cut text that is too long, and mark the place; tell whether it was."""
    if len(text) <= length:
        return text, 0
    return text[: length - 1] + "…", 1


def portions(records: list[Record]) -> Iterator[list[Record]]:
    """Divide records, in order, so that the cursor can move before hundreds of files are delivered."""
    portion: list[Record] = []
    files = 0
    for record in records:
        portion.append(record)
        files += isinstance(record.event, ALONE)
        if files == FILES:
            yield portion
            portion, files = [], 0
    if portion:
        yield portion


def chunks(items: Iterable[Item], backend: Backend) -> Iterator[list[Item]]:
    """Group items, in order, into calls that keep to the backend's limits; files go alone."""
    limits = backend.limits
    chunk: list[Item] = []
    params = tags = 0
    for item in items:
        event = item.event
        params += isinstance(event, Params)
        tags += isinstance(event, Tags)
        alone = isinstance(event, ALONE)
        full = len(chunk) >= limits.batch or params > limits.params or tags > limits.tags
        if chunk and (alone or full):
            yield chunk
            chunk = []
            params, tags = int(isinstance(event, Params)), int(isinstance(event, Tags))
        chunk.append(item)
        if alone:
            yield chunk
            chunk = []
            params = tags = 0
    if chunk:
        yield chunk
