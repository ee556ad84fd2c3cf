"""A run's whole history in one pass: its writers' records merged by time, in bounded memory."""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tracelet.events import Event, RunFinished, RunStarted
from tracelet.journal import status
from tracelet.journal.reader import Damage, Reader, stream
from tracelet.journal.status import RunFile

AT_ONCE: Final = 10_000  # records of all writers in memory
FEWEST: Final = 50  # records of each; a run may have a thousand short-lived workers


def merged(directory: Path, damaged: Callable[[Damage], object]) -> Iterator[Event]:
    """Give what stands in a journal now, oldest first; each writer's records stay in their order.

    Args:
        directory: The run's directory.
        damaged: Told of what cannot be read.

    Raises:
        JournalCorrupt: A newer version wrote the journal.
        OSError: A segment cannot be read any more.
    """
    writers: dict[str, list[tuple[str, int]]] = {}
    for name, size in status.sizes(directory).items():
        writers.setdefault(name.rpartition("-")[0], []).append((name, size))
    limit = max(FEWEST, AT_ONCE // max(1, len(writers)))

    def events(ends: list[tuple[str, int]]) -> Iterator[Event]:
        for record in stream(directory, ends, limit):
            if isinstance(record.event, Damage):
                damaged(record.event)
            else:
                yield record.event

    return heapq.merge(*map(events, writers.values()), key=lambda event: event.time)


def started(directory: Path, run: RunFile) -> RunStarted:
    """Find a run's first event; if it is damaged, `run.json` has the most of it."""
    reader = Reader(directory)
    while records := reader.read(1000):
        for record in records:
            if isinstance(record.event, RunStarted):
                return record.event
    return RunStarted(time=run.time, run_id=run.run_id, name=run.name, project=run.project)


def whole(directory: Path, damaged: Callable[[Damage], object]) -> Iterator[Event]:
    """Give a run from its `RunStarted` to its `RunFinished`, or to what it has come to by now.

    The end of a trainer that died before anybody noticed is the KILLED that the keeper would write.
    Arguments and errors are those of `merged`.
    """
    run = status.read_run(directory)
    lives = status.trainer_lives(directory, run)  # asked first: what it wrote before is there then
    end = status.ending(directory)
    begin = started(directory, run)
    latest = begin.time
    yield begin
    for event in merged(directory, damaged):
        if isinstance(event, RunFinished):
            end = end or event
        elif not isinstance(event, RunStarted):
            latest = max(latest, event.time)
            yield event
    if end is None and not lives:
        end = RunFinished(latest, "KILLED", status.UNSAID)
    if end is not None:
        yield end
