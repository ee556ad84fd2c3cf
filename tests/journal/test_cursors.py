"""A cursor is the old one or the new one, never half of either."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracelet.journal import cursors
from tracelet.journal.cursors import Cursor

COUNTS = st.integers(0, 2**63 - 1)
CURSORS = st.builds(
    Cursor,
    offsets=st.dictionaries(st.text(max_size=30), COUNTS, max_size=5),
    delivered=COUNTS,
    merged=COUNTS,
    degraded=COUNTS,
    lost=COUNTS,
    finished=st.booleans(),
    sizes=st.dictionaries(st.text(max_size=30), COUNTS, max_size=5),
)


@given(cursor=CURSORS)
def test_a_cursor_comes_back_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, cursor: Cursor
) -> None:
    directory = tmp_path_factory.mktemp("run")

    cursors.save(directory, "mlflow", cursor)

    assert cursors.load(directory, "mlflow") == cursor
    assert [path.name for path in directory.iterdir()] == ["cursor.mlflow"]


def test_each_backend_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    cursors.save(tmp_path, "mlflow", Cursor({"a.seg": 1}))
    cursors.save(tmp_path, "wandb", Cursor({"a.seg": 2}))

    assert cursors.load(tmp_path, "mlflow").offsets == {"a.seg": 1}
    assert cursors.load(tmp_path, "wandb").offsets == {"a.seg": 2}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"offsets": {"a": "b"}}', b"\xff\xfe", b"null"])
def test_a_cursor_that_cannot_be_read_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cursor.mlflow").write_bytes(content)

    assert cursors.load(tmp_path, "mlflow") == Cursor()


def test_without_a_cursor_delivery_begins_at_the_beginning(tmp_path: Path) -> None:
    assert cursors.load(tmp_path / "gone", "mlflow") == Cursor()


def test_a_cursor_with_fields_of_a_newer_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "cursor.mlflow").write_bytes(b'{"offsets": {"a": 3}, "colour": "red"}')

    assert cursors.load(tmp_path, "mlflow") == Cursor({"a": 3})


def test_cursors_share_no_offsets(tmp_path: Path) -> None:
    one, two = cursors.load(tmp_path, "a"), cursors.load(tmp_path, "b")
    one.offsets["x"] = 1

    assert two.offsets == {}


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cursors.save(tmp_path / "gone", "mlflow", Cursor())


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "full").touch()

    with pytest.raises(OSError, match="directory"):
        cursors.replace(tmp_path / "directory", b"a file cannot take its place")

    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_a_reader_sees_one_whole_file_or_the_other_while_threads_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "status.mlflow"
    contents = {letter * 5000 for letter in (b"a", b"b", b"c")}
    failed: list[BaseException] = []

    def replacing(content: bytes) -> Callable[[], None]:
        def replace() -> None:
            try:
                for _ in range(200):
                    cursors.replace(path, content)
            except BaseException as error:  # noqa: BLE001  told below, in the test's own thread
                failed.append(error)

        return replace

    cursors.replace(path, b"a" * 5000)
    threads = [threading.Thread(target=replacing(content)) for content in contents]
    for thread in threads:
        thread.start()
    seen = {path.read_bytes() for _ in range(500)}
    for thread in threads:
        thread.join(60)

    assert not failed
    assert seen <= contents
    assert list(tmp_path.iterdir()) == [path]
