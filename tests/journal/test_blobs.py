"""Artifacts' bytes are there before the record that names them, once, and never half."""

import hashlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.test_processes import forked, waited_for
from tracelet.events import Artifact
from tracelet.journal import blobs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / ".tracelet" / "run"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


def files(run: Path) -> list[Path]:
    return [path for path in run.rglob("*") if path.is_file()]


def logged(run: Path, source: Path, artifact_path: str | None = None, *, copy: bool = True) -> list[str]:
    """Log a file or directory; list the paths, once each blob was compared with its file."""
    found = list(blobs.artifacts(run, source, artifact_path, copy=copy))
    for artifact in found:
        content = blobs.path_of(run, artifact.digest).read_bytes()
        assert len(content) == artifact.size
        assert hashlib.sha256(content).hexdigest() == artifact.digest
    return [artifact.path for artifact in found]


def until_it_fails(run: Path, source: Path) -> tuple[list[str], OSError]:
    """Log what can be logged; return the paths, and the error that came at the end."""
    paths: list[str] = []
    with pytest.raises(OSError) as caught:  # noqa: PT011  the test looks at it
        paths.extend(artifact.path for artifact in blobs.artifacts(run, source, None))
    return paths, caught.value


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(3 * blobs.CHUNK + 17)])
def test_a_blob_has_the_bytes_and_is_called_by_their_digest(run: Path, source: Path, content: bytes) -> None:
    file = source / "model.bin"
    file.write_bytes(content)

    digest, size = blobs.keep(run, file)

    assert (digest, size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert files(run) == [run / "blobs" / digest[:2] / digest]
    assert blobs.path_of(run, digest).read_bytes() == content


def test_the_same_bytes_are_kept_once(run: Path, source: Path) -> None:
    for name in ("a", "b", "c"):
        (source / name).write_bytes(b"same")

    assert len({blobs.keep(run, source / name) for name in ("a", "b", "c", "a")}) == 1
    assert len(files(run)) == 1


def test_a_blob_stays_as_it_was_when_the_file_changes(run: Path, source: Path) -> None:
    file = source / "model.bin"
    file.write_bytes(b"before")
    digest, _ = blobs.keep(run, file)
    file.write_bytes(b"after!")

    assert blobs.path_of(run, digest).read_bytes() == b"before"


def test_several_threads_may_keep_the_same_bytes_at_once(run: Path, source: Path) -> None:
    (source / "same").write_bytes(b"same" * 100_000)
    kept: list[object] = []
    threads = [
        threading.Thread(target=lambda: kept.append(blobs.keep(run, source / "same"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(kept) == 8
    assert len(set(kept)) == 1
    assert len(files(run)) == 1


def test_blobs_are_for_the_owner_only(run: Path, source: Path) -> None:
    (source / "a").write_bytes(b"secret")
    digest, _ = blobs.keep(run, source / "a")

    assert (run / "blobs").stat().st_mode & 0o777 == 0o700
    assert blobs.path_of(run, digest).parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_not_there_leaves_nothing_behind(run: Path, source: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(blobs.artifacts(run, source / "gone", None))

    assert files(run) == []


def test_a_file_goes_where_artifact_path_says(run: Path, source: Path) -> None:
    (source / "model.bin").write_bytes(b"x")

    assert logged(run, source / "model.bin") == ["model.bin"]
    assert logged(run, source / "model.bin", "models/best/") == ["models/best/model.bin"]
    assert logged(run, source / "model.bin", "") == ["model.bin"]


def test_a_directory_goes_below_its_own_name_or_right_into_artifact_path(run: Path, source: Path) -> None:
    (source / "b").mkdir()
    (source / "b" / "two").write_bytes(b"2")
    (source / "a").write_bytes(b"")

    assert logged(run, source) == ["source/a", "source/b/two"]
    assert logged(run, source, "training/") == ["training/a", "training/b/two"]
    assert logged(run, source, "") == ["a", "b/two"]


def test_the_working_directory_is_called_by_its_name(
    run: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "a").write_bytes(b"1")
    monkeypatch.chdir(source)

    assert logged(run, Path()) == ["source/a"]
    assert logged(run, Path("..") / "source") == ["source/a"]


@pytest.mark.parametrize(
    ("artifact_path", "cleaned"),
    [
        ("a/b", "a/b"),
        ("/a//b/", "a/b"),
        ("../../etc", "etc"),
        ("a/./../b", "a/b"),
        ("a\\b", "a/b"),
        ("..", ""),
    ],
)
def test_an_artifact_path_stays_below_the_run_s_artifacts(artifact_path: str, cleaned: str) -> None:
    assert blobs.clean(artifact_path) == cleaned


def test_links_are_followed_and_circles_end(run: Path, source: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data").write_bytes(b"linked")
    (source / "file").symlink_to(elsewhere / "data")
    (source / "sub").mkdir()
    (source / "sub" / "up").symlink_to(source)
    (source / "sub" / "self").symlink_to(source / "sub")
    (source / "outside").symlink_to(elsewhere)

    assert logged(run, source) == ["source/file", "source/outside/data"]


def test_a_link_to_itself_is_told(run: Path, source: Path) -> None:
    (source / "a").write_bytes(b"1")
    (source / "loop").symlink_to(source / "loop")

    paths, error = until_it_fails(run, source)

    assert paths == ["source/a"]
    assert error.filename == str(source / "loop")


def test_our_own_journal_is_no_artifact(run: Path, source: Path, tmp_path: Path) -> None:
    (source / "a").write_bytes(b"1")
    (run / "trainer-0-0000.seg").write_bytes(b"journal")
    named = tmp_path / "named otherwise" / "run"
    named.mkdir(parents=True)
    (named / "trainer-0-0000.seg").write_bytes(b"journal")

    assert "named otherwise/run/trainer-0-0000.seg" in logged(run, tmp_path, "")
    assert logged(named, tmp_path, "") == ["source/a"]


def test_one_file_that_cannot_be_read_does_not_cost_the_others(run: Path, source: Path) -> None:
    for name in ("a", "z"):
        (source / name).write_bytes(name.encode())
    (source / "gone").symlink_to(source / "nowhere")

    paths, error = until_it_fails(run, source)

    assert paths == ["source/a", "source/z"]
    assert isinstance(error, FileNotFoundError)
    assert error.filename == str(source / "gone")
    assert len(files(run)) == 2


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.timeout(60)
def test_what_is_no_file_is_refused_and_never_waited_for(
    run: Path, source: Path, copy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(source)  # a socket's path may not be long
        listening.bind("socket")

        for name in (source / "pipe", source / "socket", Path("/dev/zero")):
            with pytest.raises(OSError, match="no regular file") as caught:
                list(blobs.artifacts(run, name, None, copy=copy))
            assert caught.value.filename == str(name)

    assert files(run) == []


def as_nobody(function: Callable[[], None]) -> None:
    """Call `function` without root's right to read everything."""
    if os.geteuid() != 0:
        function()
        return

    def child() -> None:
        os.setgid(65534)
        os.setuid(65534)
        function()

    assert waited_for(forked(child)) == 0


def test_what_may_not_be_read_is_told_and_costs_nothing_else(public: Path) -> None:
    source, run = public / "source", public / "run"
    for directory in (source, run, source / "closed"):
        directory.mkdir()
        directory.chmod(0o777)
    (source / "closed" / "inside").write_bytes(b"1")
    for name in ("a", "secret", "z"):
        (source / name).write_bytes(name.encode())
    (source / "secret").chmod(0)
    (source / "closed").chmod(0)

    def check() -> None:
        paths, error = until_it_fails(run, source)
        assert paths == ["source/a", "source/z"]
        assert isinstance(error, PermissionError)
        assert error.filename in {str(source / "secret"), str(source / "closed")}
        (source / "secret").unlink()
        _, error = until_it_fails(run, source)
        assert error.filename == str(source / "closed")

    try:
        as_nobody(check)
    finally:
        (source / "closed").chmod(0o700)


def test_without_a_copy_only_a_reference_is_kept(run: Path, source: Path) -> None:
    file = source / "huge.bin"
    file.write_bytes(b"12345")
    os.utime(file, (1.0, 1234.5))

    (artifact,) = blobs.artifacts(run, file, "models", copy=False)

    assert artifact == Artifact(
        time=artifact.time, path="models/huge.bin", size=5, reference=str(file), mtime=1234.5
    )
    assert files(run) == []


def test_deleting_takes_all_blobs_and_nothing_else(run: Path, source: Path) -> None:
    for number in range(5):
        (source / str(number)).write_bytes(bytes([number]))
    logged(run, source)
    (run / "run.json").write_text("{}")

    blobs.delete(run)
    blobs.delete(run)

    assert [path.name for path in run.iterdir()] == ["run.json"]


def test_a_file_that_grows_while_it_is_kept_is_kept_as_it_was(tmp_path: Path) -> None:
    growing = tmp_path / "train.log"
    growing.write_bytes(b"a" * (blobs.CHUNK + 10))

    with growing.open("rb") as reading, growing.open("ab", buffering=0) as writing:
        found = 0
        for piece in blobs.pieces_of(reading):
            writing.write(b"b" * 2 * blobs.CHUNK)
            assert set(piece) == set(b"a")
            found += len(piece)

    assert found == blobs.CHUNK + 10


def test_a_file_that_does_not_tell_its_size_is_kept_whole(tmp_path: Path) -> None:
    source = Path("/proc/self/stat")
    if not source.exists():
        pytest.skip("there is no /proc")

    _, size = blobs.keep(tmp_path, source)

    assert size > 0
