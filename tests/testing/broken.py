"""The tracker of `tracelet.testing.memory` with one mistake each, and the promises that this breaks."""

import dataclasses
import itertools
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tracelet.backend import Backend, BlobPath, Options, Remote
from tracelet.errors import Rejected
from tracelet.events import Artifact, Event, Html, Layout, Metric, Params, RunFinished, RunStarted
from tracelet.testing import memory

REPEATED: Final = frozenset({
    "test_a_batch_that_is_written_twice_is_there_once",
    "test_a_batch_whose_answer_was_lost_is_there_once",
    "test_a_run_that_is_delivered_again_from_the_start_is_there_once",
})  # fmt: skip
KINDS: Final = "test_every_kind_of_event_arrives_or_is_declared_absent"
DELETED: Final = "test_a_run_that_was_deleted_at_the_tracker_is_delivered_whole_again"
BYTES: Final = "test_bytes_come_back_equal_or_as_a_file_that_can_be_opened"


class Mistake(NamedTuple):
    """A backend, and the promises that it breaks, without their parameters."""

    backend: Backend
    breaks: frozenset[str]


class Writing:
    """Writes something else than it is given."""

    def __init__(self, options: Options, blob: BlobPath, change: Callable[[Event], Event | None]) -> None:
        self._writer = memory.make_writer(options, blob)
        self._change = change

    def open(self, run: RunStarted) -> Remote:
        return self._writer.open(run)

    def write(self, batch: Sequence[Event]) -> None:
        self._writer.write([changed for event in batch if (changed := self._change(event)) is not None])

    def acknowledged(self) -> int | None:
        return self._writer.acknowledged()

    def close(self) -> None:
        self._writer.close()


class Reading(memory.MemoryReader):
    """Gives something else than is there."""

    def __init__(self, options: Options, change: Callable[[list[Event]], Iterable[Event]]) -> None:
        super().__init__(options)
        self._change = change

    def events(self, run: str) -> Iterator[Event]:
        yield from self._change([*super().events(run)])


def writing(change: Callable[[Event], Event | None], *breaks: str) -> Mistake:
    backend = dataclasses.replace(memory.BACKEND, writer=lambda options, blob: Writing(options, blob, change))
    return Mistake(backend, frozenset(breaks))


def reading(change: Callable[[list[Event]], Iterable[Event]], *breaks: str) -> Mistake:
    backend = dataclasses.replace(memory.BACKEND, reader=lambda options: Reading(options, change))
    return Mistake(backend, frozenset(breaks))


def metric(change: Callable[[Metric], Metric]) -> Callable[[Event], Event]:
    return lambda event: change(event) if isinstance(event, Metric) else event


def single(point: Metric) -> Metric:
    value = min(max(point.value, -3e38), 3e38) if abs(point.value) != float("inf") else point.value
    return msgspec.structs.replace(point, value=struct.unpack("f", struct.pack("f", value))[0])


def by_step(events: list[Event]) -> Iterator[Event]:
    found = [event for event in events if isinstance(event, Metric)]
    end = [event for event in events if isinstance(event, RunFinished)]
    yield from (event for event in events if not isinstance(event, (Metric, RunFinished)))
    yield from sorted(found, key=lambda point: point.step or 0)
    yield from end


def sampled(events: list[Event]) -> Iterator[Event]:
    left = itertools.count(1000, -1)
    return (event for event in events if not isinstance(event, Metric) or next(left) > 0)


def first_param(events: list[Event]) -> Iterator[Event]:
    seen: set[str] = set()
    for event in events:
        if isinstance(event, Params):
            yield Params(event.time, {name: one for name, one in event.params.items() if name not in seen})
            seen |= event.params.keys()
        else:
            yield event


class Everything(memory.MemoryReader):
    """Gives what was received, as often as it was received."""

    def events(self, run: str) -> Iterator[Event]:
        counts: dict[bytes, int] = {}
        for row in memory._rows(self._path):
            encoded = msgspec.msgpack.encode(row.event) if row.run == run else b""
            counts[encoded] = counts.get(encoded, 0) + 1
        for event in super().events(run):
            again = not isinstance(event, (RunStarted, RunFinished))
            yield from [event] * (counts.get(msgspec.msgpack.encode(event), 1) if again else 1)


class Anew(memory.MemoryWriter):
    """Makes a run of its own whenever it is opened."""

    def open(self, run: RunStarted) -> Remote:
        number = len(memory.received(self._path))
        return super().open(msgspec.structs.replace(run, run_id=f"{run.run_id}-{number}"))


class Silent(memory.MemoryWriter):
    """Makes a run again that is gone, and says nothing of it."""

    def open(self, run: RunStarted) -> Remote:
        return msgspec.structs.replace(super().open(run), anew=False)


class Confused(memory.MemoryWriter):
    """Raises what nobody expects when bytes are gone."""

    def write(self, batch: Sequence[Event]) -> None:
        try:
            super().write(batch)
        except Rejected as error:
            if "its bytes are not at" in str(error) and not isinstance(batch[0], Artifact):
                raise ValueError(str(error)) from error
            raise


class Careless(memory.MemoryWriter):
    """Passes over a batch that has something bad in it."""

    def write(self, batch: Sequence[Event]) -> None:
        try:
            super().write(batch)
        except Rejected as error:
            if "poison" not in str(error):
                raise


class Bare(memory.MemoryWriter):
    """Lets the operating system's errors out."""

    def open(self, run: RunStarted) -> Remote:
        if not self._path.parent.is_dir():
            raise FileNotFoundError(self._path)
        return super().open(run)


class Touching(memory.MemoryReader):
    """Ends the run whose files it is asked for."""

    def download(self, run: str, path: str, to: Path) -> None:
        writer = memory.MemoryWriter(self._path, lambda _: Path())
        writer.open(next(event for event in self.events(run) if isinstance(event, RunStarted)))
        writer.write([RunFinished(9e9, "KILLED")])
        writer.close()
        super().download(run, path, to)


class Cropping(memory.MemoryReader):
    """Gives files without their ends."""

    def download(self, run: str, path: str, to: Path) -> None:
        super().download(run, path, to)
        if path not in {"large.bin", "empty"}:
            to.write_bytes(to.read_bytes()[:-1])


def with_writer(writer: Any, *breaks: str) -> Mistake:
    made = dataclasses.replace(
        memory.BACKEND, writer=lambda options, blob: writer(Path(options["path"]), blob)
    )
    return Mistake(made, frozenset(breaks))


def as_before(events: list[Event]) -> Iterator[Event]:
    """Take the number back that `Anew` has put behind the run's id."""
    for event in events:
        is_start = isinstance(event, RunStarted)
        yield msgspec.structs.replace(event, run_id=event.run_id.rpartition("-")[0]) if is_start else event


def with_reader(reader: Any, *breaks: str) -> Mistake:
    return Mistake(dataclasses.replace(memory.BACKEND, reader=reader), frozenset(breaks))


def with_both(writer: Any, change: Callable[[list[Event]], Iterable[Event]], *breaks: str) -> Mistake:
    written, read = with_writer(writer, *breaks), reading(change)
    return Mistake(dataclasses.replace(written.backend, reader=read.backend.reader), written.breaks)


def ends_well(event: Event) -> Event:
    return msgspec.structs.replace(event, status="FINISHED") if isinstance(event, RunFinished) else event


def without_step(point: Metric) -> Metric:
    return msgspec.structs.replace(point, step=max(point.step, 0)) if point.step is not None else point


def in_float(point: Metric) -> Metric:
    step = None if point.step is None else min(int(float(point.step)), 2**63 - 1)
    return msgspec.structs.replace(point, step=step)


MISTAKES: Final[dict[str, Mistake]] = {
    "DOUBLES": with_reader(Everything, *REPEATED),
    "MAKES_RUNS": with_both(
        Anew,
        as_before,
        *REPEATED - {"test_a_batch_that_is_written_twice_is_there_once"},
        "test_opening_twice_makes_one_run",
        "test_a_run_that_goes_on_is_continued_by_its_id",
        DELETED,
    ),
    "SINGLE": writing(
        metric(single),
        "test_a_value_comes_back_as_the_same_float64",
        "test_the_whole_history_comes_back",
        KINDS,
    ),
    "NEGATIVE": writing(metric(without_step), "test_a_step_is_any_int64"),
    "STEP_IS_FLOAT": writing(metric(in_float), "test_a_step_is_any_int64"),
    "NO_NAN": writing(
        metric(
            lambda point: point if not math.isnan(point.value) else msgspec.structs.replace(point, value=0.0)
        ),
        "test_nan_and_infinities_come_back_as_declared",
        KINDS,
    ),
    "MILLISECONDS": writing(
        metric(lambda point: msgspec.structs.replace(point, time=round(point.time, 3))),
        "test_times_are_those_of_the_call",
        KINDS,
    ),
    "BY_STEP": reading(by_step, "test_points_of_a_name_come_back_oldest_first"),
    "SAMPLES": reading(sampled, "test_the_whole_history_comes_back"),
    "STRIPS": writing(
        metric(lambda point: msgspec.structs.replace(point, name=point.name.strip())),
        "test_a_metrics_name_comes_back_as_it_was",
    ),
    "LOWERS": writing(
        lambda event: (
            msgspec.structs.replace(event, path=event.path.lower()) if isinstance(event, Artifact) else event
        ),
        "test_an_artifacts_path_comes_back_as_it_was",
    ),
    "SWALLOWS": writing(lambda event: None if isinstance(event, Html) else event, KINDS, BYTES),
    "SWALLOWS_LAYOUTS": writing(lambda event: None if isinstance(event, Layout) else event, KINDS),
    "FIRST_PARAM": reading(first_param, "test_a_param_that_is_logged_again_has_its_last_value"),
    "ENDS_WELL": writing(ends_well, "test_a_run_ends_as_it_ended", KINDS),
    "SILENT": with_writer(Silent, DELETED),
    "CONFUSED": with_writer(Confused, "test_a_payload_that_is_not_what_it_should_be_is_taken_or_rejected"),
    "CARELESS": with_writer(Careless, "test_a_bad_record_loses_only_itself"),
    "BARE": with_writer(Bare, "test_a_tracker_that_is_away_is_unavailable_or_refuses"),
    "TOUCHES": with_reader(Touching, "test_reading_changes_nothing"),
    "CROPS": with_reader(Cropping, BYTES, "test_artifacts_come_back_byte_for_byte"),
}


def __getattr__(name: str) -> Backend:
    try:
        return MISTAKES[name].backend
    except KeyError:
        raise AttributeError(name) from None
