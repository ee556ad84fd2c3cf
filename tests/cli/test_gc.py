"""`gc` deletes what nobody needs, tells what it was, and touches nothing that exists nowhere else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.inside import delivered, inside, rejected
from tests.cli.making import new_run, running, tracelet
from tracelet.events import Artifact, Histogram, Image, Payload, RunStarted
from tracelet.journal import blobs, removal, shelf
from tracelet.journal.locks import take
from tracelet.journal.status import Target
from tracelet.journal.writer import Writer

RUN = "20231114-221320-aaaaaa"
LONG = 40 * 86400.0
LOCAL = {"local": Target("local", relayed=False)}


def names(place: Path) -> list[str]:
    return sorted(path.name for path in shelf.runs(place / ".tracelet"))


def artifact(place: Path, directory: Path, text: str = "bytes") -> Artifact:
    """Put a file's bytes into a run that nobody has recorded yet."""
    source = place / f"{text}.txt"
    source.write_text(text)
    digest, size = blobs.keep(directory, source)
    return Artifact(time=1.0, path=source.name, size=size, digest=digest)


def with_artifact(place: Path, run_id: str = RUN) -> tuple[Path, Path, Path]:
    """Make a run with a blob that a record names, and one that none does."""
    directory = new_run(place, run_id=run_id, end=None)
    named, unnamed = artifact(place, directory), artifact(place, directory, "orphan")
    writer = Writer(directory)
    assert writer.event(named)
    writer.close()
    return directory, blobs.path_of(directory, named.digest), blobs.path_of(directory, unnamed.digest)


def test_where_nothing_is_to_be_deleted_it_says_so(place: Path) -> None:
    delivered(new_run(place))

    result = inside("gc")

    assert (result.code, result.out) == (0, "there is nothing to delete\n")
    assert names(place) == [RUN]


def test_every_kind_of_waste_is_found_told_and_deleted(place: Path) -> None:
    expired = delivered(new_run(place, run_id="expired"), ago=LONG)
    whole, named, _ = with_artifact(place, "whole")
    delivered(whole)
    waiting, kept, orphan = with_artifact(place, "waiting")
    leftover = waiting / "cursor.memory.123-456.new"
    leftover.write_bytes(b"x" * 10)
    trash = place / ".tracelet" / removal.TRASH / "deleted-1a2b3c"
    trash.mkdir(parents=True)
    (trash / "run.json").write_bytes(b"y" * 20)

    told = inside("gc", "--dry-run", "--json").json
    before = names(place)
    done = inside("gc", "--json")

    assert before == ["expired", "waiting", "whole"]
    assert {kind: found["count"] for kind, found in told["kinds"].items()} == {
        "runs": 1, "blobs": 1, "orphans": 1, "leftovers": 1, "trash": 1,
    }  # fmt: skip
    assert told["kinds"]["leftovers"] == {"count": 1, "bytes": 10, "paths": [str(leftover)]}
    assert told["kinds"]["trash"]["bytes"] == 20
    assert told["kinds"]["orphans"]["paths"] == [str(orphan)]
    assert told["bytes"] == sum(found["bytes"] for found in told["kinds"].values())
    assert done.code == 0
    assert [found["count"] for found in done.json["kinds"].values()] == [1] * 5
    assert names(place) == ["waiting", "whole"]
    assert [path.exists() for path in (expired, named, orphan, leftover, trash)] == [False] * 5
    assert kept.read_text() == "bytes"
    assert inside("gc").out == "there is nothing to delete\n"


def test_the_bytes_of_images_and_histograms_are_no_orphans(place: Path) -> None:
    directory = new_run(place, end=None)
    kept = [artifact(place, directory, text) for text in ("image", "histogram", "orphan")]
    data = [Payload(one.digest, one.size) for one in kept]
    writer = Writer(directory)
    assert writer.event(Image(time=1.0, name="a", data=data[0]))
    assert writer.event(Histogram(time=1.0, name="a", data=data[1]))
    writer.close()

    assert inside("gc", "--json").json["kinds"]["orphans"]["count"] == 1

    there = [blobs.path_of(directory, one.digest).exists() for one in kept]
    assert there == [True, True, False]


def test_older_than_deletes_delivered_runs_before_their_retention_ends(place: Path) -> None:
    delivered(new_run(place, run_id="old"), ago=8 * 86400)
    delivered(new_run(place, run_id="young"), ago=6 * 86400)

    result = inside("gc", "--older-than", "7d", "--yes")

    assert result.code == 0
    assert "old  deleted" in result.out
    assert names(place) == ["young"]


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_what_exists_nowhere_else_is_never_deleted(place: Path, as_json: tuple[str, ...]) -> None:
    new_run(place, run_id="undelivered")
    new_run(place, run_id="without-backend", targets={})
    new_run(place, run_id="kept", targets=LOCAL)
    rejected(delivered(new_run(place, run_id="rejected"), ago=LONG))
    unreadable = delivered(new_run(place, run_id="unreadable"), ago=LONG)
    (unreadable / "run.json").write_text('{"version": 2}')
    everything = names(place)

    result = inside("gc", "--older-than", "0", *as_json)

    assert result.code == 0
    assert names(place) == everything
    if as_json:
        assert (result.json["spared"], result.json["unreadable"]) == (["rejected"], ["unreadable"])
    else:
        assert "1 delivered run is kept" in result.err
        assert "unreadable cannot be read" in result.err


def test_nothing_of_a_run_that_somebody_works_on_is_touched(place: Path) -> None:
    live = running(place, run_id="live")
    unnamed = blobs.path_of(live, artifact(place, live).digest)  # its record comes in a moment
    (live / "blobs" / "1-ab.new").write_bytes(b"half")
    kept = delivered(new_run(place, run_id="tended"), ago=LONG)
    lock = take(kept / "keeper.lock")
    try:
        result = tracelet("gc", "--json")
    finally:
        lock.close()

    assert result.code == 0
    assert result.json["bytes"] == 0
    assert unnamed.exists()
    assert (live / "blobs" / "1-ab.new").exists()
    assert kept.is_dir()


def test_no_blob_is_an_orphan_where_its_record_may_be_damaged(place: Path) -> None:
    directory, named, unnamed = with_artifact(place)
    segment = max(directory.glob("*.seg"), key=lambda path: path.stat().st_mtime_ns)
    damaged = bytearray(segment.read_bytes())
    damaged[damaged.index(b"bytes.txt")] ^= 0xFF
    segment.write_bytes(bytes(damaged))

    inside("gc")

    assert named.exists()
    assert unnamed.exists()


@pytest.mark.slow
def test_a_start_that_was_killed_leaves_nothing_and_one_that_goes_on_is_left(place: Path) -> None:
    def started(run_id: str) -> Path:
        directory = shelf.create(place / ".tracelet", run_id)
        writer = Writer(directory)
        assert writer.event(RunStarted(time=1.0, run_id=run_id, name="a", project="b"))
        writer.close()
        return directory

    killed, young, logged = started("killed"), started("young"), started("logged")
    writer = Writer(logged)
    assert writer.scalar("loss", 1.0, 0, 1.0)
    writer.close()
    for directory in (killed, logged):
        for path in (*directory.iterdir(), directory):
            age(path)

    result = tracelet("gc", "--json")  # this process wrote them, and lives: nothing may go
    for directory in (killed, logged):
        for segment in directory.glob("*.seg"):
            _disown(segment)
        age(directory)
    after = inside("gc", "--json")

    assert result.json["kinds"]["leftovers"]["count"] == 0
    assert after.json["kinds"]["leftovers"]["paths"] == [str(killed)]
    assert not killed.exists()
    assert young.is_dir()
    assert logged.is_dir()


def age(path: Path) -> None:
    """Let a path be old enough to be a leftover."""
    long_ago = time.time() - 2 * removal.SETTLED
    os.utime(path, (long_ago, long_ago))


def _disown(segment: Path) -> None:
    """Let a segment be of a process that is gone, by writing it anew in one."""
    script = (
        "import sys; from pathlib import Path; from tracelet.events import *; "
        "from tracelet.journal.writer import Writer; d = Path(sys.argv[1]); w = Writer(d); "
        "w.event(RunStarted(time=1.0, run_id=d.name, name='a', project='b')); "
        "d.name == 'logged' and w.scalar('loss', 1.0, 0, 1.0); w.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(segment.parent)], check=True, timeout=60)
    segment.unlink()


def test_what_cannot_be_deleted_is_told_and_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered(new_run(place), ago=LONG)

    def cut(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(removal.shutil, "rmtree", cut)

    result = inside("gc")

    assert result.code == 1
    assert "not deleted: " in result.err
    assert "Permission denied" in result.err
