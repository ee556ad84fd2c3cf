"""`export --artifacts` copies files, makes files of what else has bytes, and says what it could not do."""

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image as Pillow

from tests.cli.inside import inside
from tests.cli.making import FINISHED, STARTED, new_run
from tracelet.events import Artifact, Histogram, Image, Payload
from tracelet.journal import blobs
from tracelet.journal.writer import Writer

RUN: Final = "20231114-221320-aaaaaa"


def with_artifacts(place: Path, run_id: str = RUN, name: str = "first") -> Path:
    """Make a run with files: one that was logged twice, one left where it was, one gone, one hostile."""
    directory = new_run(place, run_id=run_id, name=name, end=None)
    writer = Writer(directory)
    source = place / f"{name}.source"
    for number, path in enumerate(("a/b.bin", "a/b.bin", "../../outside.bin")):
        source.write_bytes(bytes([number]) * 100)
        digest, size = blobs.keep(directory, source)
        writer.event(Artifact(time=STARTED + number, path=path, size=size, digest=digest))
    left = source.stat()
    writer.event(
        Artifact(time=STARTED, path="left.bin", size=100, reference=str(source), mtime=left.st_mtime)
    )
    gone = hashlib.sha256(b"gone").hexdigest()
    writer.event(Artifact(time=STARTED, path="gone.bin", size=4, digest=gone))
    writer.finish(FINISHED)
    return directory


def test_artifacts_are_copied_and_what_cannot_be_is_told(place: Path) -> None:
    with_artifacts(place)

    result = inside("export", "first", "--artifacts", "files")

    found = {str(path.relative_to("files")): path.read_bytes() for path in Path("files").rglob("*.bin")}
    assert found == {"a/b.bin": b"\1" * 100, "left.bin": b"\2" * 100, "outside.bin": b"\2" * 100}
    assert not (place.parent / "outside.bin").exists()
    assert result.code == 1
    assert result.out == ""  # only the files were asked for
    assert "3 artifacts in files" in result.err
    assert "gone.bin" in result.err
    assert "--from" in result.err


def test_artifacts_of_several_runs_have_a_directory_each(place: Path) -> None:
    with_artifacts(place)
    with_artifacts(place, "20231114-221321-bbbbbb", "second")

    result = inside(
        "export", "first", "second", "--artifacts", "files", "--json", "--from", f"journal:{place}"
    )

    assert result.code == 1
    assert result.json["fine"] is False
    assert [list(run["failed"]) for run in result.json["runs"]] == [["gone.bin"]] * 2
    assert (Path("files") / RUN / "a" / "b.bin").read_bytes() == b"\1" * 100
    assert (Path("files") / "20231114-221321-bbbbbb" / "left.bin").exists()


def test_images_and_histograms_are_written_as_files_that_others_read(place: Path) -> None:
    directory = new_run(place, end=None)
    shades = np.arange(6, dtype="u1").reshape(2, 3)
    digest, size = blobs.keep_bytes(directory, [shades.tobytes()])
    data = Payload(digest, size, dtype="uint8", shape=(2, 3))
    picture, size = blobs.keep_bytes(directory, [b"a file of the user's"])
    writer = Writer(directory)
    writer.event(Image(time=STARTED, name="a/b", step=3, data=data, layout="HW"))
    writer.event(Image(time=STARTED, name="file", data=Payload(picture, size, format="gif")))
    writer.event(Image(time=STARTED, name="gone", data=Payload("ab" * 32, 6, dtype="uint8", shape=(2, 3))))
    writer.event(Histogram(time=STARTED, name="../w", step=3, data=data))
    writer.event(Histogram(time=STARTED, name="counted", counts=(1.0,), limits=(0.0, 1.0)))
    writer.finish(FINISHED)

    result = inside("export", "first", "--artifacts", "files")

    assert result.code == 1
    assert "4 artifacts" not in result.err
    assert "images/gone/no-step-abababab.png" in result.err
    with Pillow.open(f"files/images/a/b/step-00000003-{digest[:8]}.png") as made:
        assert np.array_equal(np.asarray(made), shades)
    assert Path(f"files/images/file/no-step-{picture[:8]}.gif").read_bytes() == b"a file of the user's"
    assert np.array_equal(np.load(f"files/histograms/w/step-00000003-{digest[:8]}.npy"), shades)
    assert len([path for path in Path("files").rglob("*") if path.is_file()]) == 3
