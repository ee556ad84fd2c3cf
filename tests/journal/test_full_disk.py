"""On a disk without room only whole records stay, and what was lost is told once there is room."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.support import damages, events, read_all
from tracelet.events import Lost, Metric, Note
from tracelet.journal import blobs, cursors
from tracelet.journal.reader import segments
from tracelet.journal.writer import Writer

# The limit on a file's size gives real short and failed writes; Python ignores SIGXFSZ.
FILLS_A_FILE = """
import logging, resource, sys
from pathlib import Path
from tracelet.events import Lost, Metric, Note, Params
from tracelet.journal.reader import Damage, Reader
from tracelet.journal.writer import Writer

logging.disable()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def limited(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

def everything():
    events = [Metric("a", 0.0, 0, 0.0), Metric("a", 1.0, 1, 1.0), Note(2.0, "x" * 30)]
    events += [Metric("b", 3.0, None, 3.0), Metric("a", 4.0, 4, 4.0), Params(5.0, {"lr": 0.1})]
    return events + [Metric("b", 6.0, None, 6.0, 1), Metric("name", 7.0, 7, 7.0)]

def append(writer, event):
    if not isinstance(event, Metric):
        return writer.event(event)
    if event.step is None:
        return writer.stepless(event.name, event.value, event.time)
    return writer.scalar(event.name, event.value, event.step, event.time)

def plain(event):
    return (event.name, event.value, event.step, event.time) if isinstance(event, Metric) else event

for size in range(0, 620):
    directory = Path(sys.argv[1], str(size))
    directory.mkdir()
    writer = Writer(directory)
    live = Reader(directory)
    limited(size)
    written, followed = [], []
    for event in everything():
        if append(writer, event):
            written.append(event)
        followed += live.read(100)
    lost = writer.lost
    assert lost == len(everything()) - len(written)
    limited(hard)
    for event in everything():
        assert append(writer, event)
        written.append(event)
    followed += live.read(100)
    records = Reader(directory).read(100)
    found = [record.event for record in records]
    assert not any(isinstance(event, Damage) for event in found), (size, found)
    assert [plain(e) for e in found if not isinstance(e, Lost)] == [plain(e) for e in written], size
    assert sum(e.count for e in found if isinstance(e, Lost)) == lost, size
    assert followed == records, size
    stepless = [event for event in found if isinstance(event, Metric) and event.step is None]
    assert [event.ordinal for event in stepless] == list(range(len(stepless))), size
    segment, = directory.glob("*.seg")
    assert segment.stat().st_size == records[-1].end
print("checked")
"""


@pytest.mark.slow
def test_whatever_the_room_only_whole_records_stay_and_losses_are_told(tmp_path: Path) -> None:
    """At each of some hundred sizes that a file may have, a reader following all the time."""
    result = subprocess.run(
        [sys.executable, "-c", FILLS_A_FILE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.stderr == ""
    assert result.stdout == "checked\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where mounting one is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount") or "", shutil.which("umount") or ""
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tracelet-test", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("no permission to mount a file system")
    yield place
    subprocess.run([umount, "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Use up all room."""
    with contextlib.suppress(OSError), (place / "filler").open("ab", buffering=0) as file:
        while file.write(bytes(1024)):
            pass


def test_on_a_full_disk_appending_goes_on_once_there_is_room(small_disk: Path) -> None:
    writer = Writer(small_disk)
    written = [
        Metric("a", float(step), step, 1.0) for step in range(3000) if writer.scalar("a", step, step, 1.0)
    ]
    lost = writer.lost
    assert lost > 0
    assert lost + len(written) == 3000
    assert [record.event for record in read_all(small_disk)] == written
    os.truncate(small_disk / segments(small_disk)[0], 0)  # the only thing there that gives room

    more = Writer(small_disk)
    fill(small_disk)
    assert not more.event(Note(1.0, "x" * 8000))
    (small_disk / "filler").unlink()
    assert more.event(Note(2.0, "fits"))

    told, note = events(small_disk)
    assert isinstance(told, Lost)
    assert told.count == more.lost == 1
    assert os.strerror(errno.ENOSPC) in told.reason or "a part" in told.reason
    assert note == Note(2.0, "fits")
    writer.close()
    more.close()


def test_on_a_full_disk_the_old_cursor_still_stands(small_disk: Path) -> None:
    cursors.save(small_disk, "mlflow", cursors.Cursor({"a.seg": 5}, delivered=3))
    fill(small_disk)

    with pytest.raises(OSError, match="No space left"):
        cursors.save(small_disk, "mlflow", cursors.Cursor({f"{index}.seg": index for index in range(2000)}))

    assert cursors.load(small_disk, "mlflow") == cursors.Cursor({"a.seg": 5}, delivered=3)
    assert not list(small_disk.glob("*.new"))


def test_on_a_full_disk_a_blob_leaves_nothing_behind(small_disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(bytes(range(256)) * 1000)

    with pytest.raises(OSError, match="No space left"):
        blobs.keep(small_disk, source)

    assert not [path for path in (small_disk / "blobs").rglob("*") if path.is_file()]
    assert damages(read_all(small_disk)) == []
