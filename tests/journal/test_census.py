"""Counting a journal agrees with reading it, whatever stands in it, and takes no time."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Histogram,
    Image,
    Metric,
    Params,
    Payload,
    Tags,
    Text,
)
from tracelet.journal import census as module
from tracelet.journal.census import PLURALS, Tally, census
from tracelet.journal.reader import Damage, Reader
from tracelet.journal.writer import Writer


def fill(directory: Path, seed: int, count: int = 3000) -> None:
    """Write records of all kinds, in rows and mixed, into several small segments of two writers."""
    dice = random.Random(seed)
    writers = [Writer(directory, segment=60_000), Writer(directory, "joined", segment=60_000)]
    while count > 0:
        writer, row = dice.choice(writers), dice.choice([1, 1, 2, 70, 400])
        count -= row
        kind = dice.choice(["scalar", "scalar", "stepless", "event"])
        name = f"m{dice.randrange(4)}"
        if kind == "event":
            event = dice.choice(
                [
                    Params(1.0, {name: 1, f"{name}.x": 2}),
                    Tags(1.0, {name: "t"}),
                    Text(time=1.0, name=name, text="\xa7T" * dice.randrange(3000)),
                    Artifact(time=1.0, path=name, size=0, digest="d"),
                    Image(time=1.0, name=name, data=Payload("d", 1)),
                    Histogram(time=1.0, name=name, counts=(1.0,) * dice.randrange(300), limits=(1.0,)),
                    Audio(time=1.0, name=name, data=Payload("d", 1), rate=8000),
                    Bundle(time=1.0, name=name, kind=dice.choice(["model", "dataset"])),
                ]
            )
            writer.event(event)
            continue
        for step in range(row):
            if kind == "scalar":
                writer.scalar(name, 0.5, step, 1.0)
            else:
                writer.stepless(name, 0.5, 1.0)
    for writer in writers:
        writer.close()


def read(directory: Path) -> Tally:
    """Count by reading every record."""
    reader, events = Reader(directory), []
    while records := reader.read(10_000):
        events += [record.event for record in records]
    points = [event for event in events if isinstance(event, Metric)]
    series: dict[str, Any] = {
        plural: sum(isinstance(event, kind) for event in events) for kind, plural in PLURALS.items()
    }
    return Tally(
        points=len(points),
        metrics=len({point.name for point in points}),
        params=len({name for event in events if isinstance(event, Params) for name in event.params}),
        tags=len({name for event in events if isinstance(event, Tags) for name in event.tags}),
        bundles=dict(Counter(event.kind for event in events if isinstance(event, Bundle))),
        artifacts=len({event.path for event in events if isinstance(event, Artifact)}),
        records=len(events),
        **series,
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("chunk", [700, 1024 * 1024])  # bytes; the first is less than many records have
def test_counting_agrees_with_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, chunk: int
) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    fill(tmp_path, seed)

    counted = census(tmp_path)

    assert counted == read(tmp_path)
    assert counted.points > 500


def test_a_torn_end_is_not_counted_and_damage_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    segments = sorted(tmp_path.glob("*.seg"))
    segments[0].write_bytes(segments[0].read_bytes()[:-7])
    bytes_ = bytearray(segments[1].read_bytes())
    bytes_[1000:1100] = b"\0" * 100
    segments[1].write_bytes(bytes_)

    counted = census(tmp_path)

    reader, lost = Reader(tmp_path), 0
    while records := reader.read(10_000):
        lost += sum(isinstance(record.event, Damage) for record in records)
    assert lost
    assert abs(counted.points - read(tmp_path).points) <= 3  # a point may stand at the edge of the damage


def test_the_points_of_a_huge_journal_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 700)
    writer = Writer(tmp_path)
    for step in range(1000):
        writer.scalar("m", 0.5, step, 1.0)

    counted = census(tmp_path, most=1000)

    assert not counted.exact
    assert abs(counted.points - 1000) < 30
    assert census(tmp_path).exact


def test_an_empty_journal_holds_nothing(tmp_path: Path) -> None:
    assert census(tmp_path) == census(tmp_path / "gone") == Tally()
