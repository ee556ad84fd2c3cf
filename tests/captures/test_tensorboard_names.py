"""How tags become names, where a script has one log directory or several."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.tensorboard import SummaryWriter

from tests.captures.notebooks import Notebook
from tracelet.captures import tensorboard, tensorboardx
from tracelet.patching import Patches
from tracelet.summaries.naming import location, relative


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """A notebook that hears every writer of this process, of both libraries."""
    notebook: Any = Notebook()
    patches = Patches()
    tensorboard.install(patches, notebook)
    tensorboardx.install(patches, notebook)

    yield notebook

    patches.uninstall()


@pytest.fixture
def open_writer(tmp_path: Path) -> Iterator[Callable[..., SummaryWriter]]:
    """Open writers below `tmp_path`, and close them afterwards."""
    writers: list[SummaryWriter] = []

    def open_writer(directory: str, kind: type[SummaryWriter] = SummaryWriter) -> SummaryWriter:
        writers.append(kind(str(tmp_path / directory)))
        return writers[-1]

    yield open_writer

    for writer in writers:
        writer.close()


def test_two_directories_do_not_share_a_name(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter], tmp_path: Path
) -> None:
    for directory in ("runs/a", "runs/a/val", "runs/b", "runs/deep/c", "elsewhere", "runs"):
        open_writer(directory).add_scalar("loss", 0.5, 1)

    outside = (tmp_path / "elsewhere").as_posix().lstrip("/")
    assert notebook.names == [
        "loss",
        "val/loss",
        "b/loss",
        "deep/c/loss",
        f"{outside}/loss",
        "runs/loss",
    ]


def test_two_writers_in_one_directory_share_their_names(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter], tmp_path: Path
) -> None:
    open_writer("runs/a").add_scalar("loss", 0.5, 1)
    open_writer("runs/../runs/a/").add_scalar("loss", 0.25, 2)
    (tmp_path / "latest").symlink_to(tmp_path / "runs/a")
    open_writer("latest").add_scalar("loss", 0.125, 3)
    with SummaryWriter("runs/a") as relative_writer:
        relative_writer.add_scalar("loss", 0.0, 4)
    with SummaryWriter(Path("runs/a")) as path_writer:  # pyright: ignore[reportArgumentType]
        path_writer.add_scalar("loss", 0.0, 5)

    assert notebook.names == ["loss"] * 5


def test_a_directory_stays_the_same_when_the_script_changes_its_own(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A relative directory is looked up at each write: without this one, the writer itself would fail.
    (tmp_path / "elsewhere/runs/a").mkdir(parents=True)

    with SummaryWriter("runs/a") as writer:
        writer.add_scalar("loss", 0.5, 1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        writer.add_scalar("loss", 0.5, 2)
        writer.add_scalar("accuracy", 0.5, 2)

    assert notebook.names == ["loss", "loss", "accuracy"]


def test_names_that_would_clash_are_counted(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    first = open_writer("runs/a")
    below, beside = open_writer("runs/a/b"), open_writer("runs/b")

    for _ in range(2):
        first.add_scalar("b/loss", 0.5, 1)
        below.add_scalar("loss", 0.5, 1)
        beside.add_scalar("loss", 0.5, 1)
    first.add_scalar("b/loss (2)", 0.5, 1)

    assert notebook.names == ["b/loss", "b/loss (2)", "b/loss (3)"] * 2 + ["b/loss (2) (2)"]


def test_the_second_directory_is_announced_once(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    for directory in ("runs/a", "runs/b", "runs/c", "runs/b"):
        open_writer(directory).add_scalar("loss", 0.5, 1)

    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "begin with 'b/'" in caplog.text
    assert notebook.names == ["loss", "b/loss", "c/loss", "b/loss"]


@pytest.mark.parametrize(
    ("place", "first", "prefix"),
    [
        ("/runs", "/runs", ""),
        ("/other", "/runs", "other"),
        ("/", "/runs", ""),
        ("/runs/a", "/", "runs/a"),
        ("/work/runs2", "/work/runs", "runs2"),
        ("/work/runs/a/b", "/work/runs", "a/b"),
        ("/data/x", "/work/runs/a", "data/x"),
        ("gs://bucket/runs/b", "gs://bucket/runs/a", "b"),
        ("gs://bucket/runs/b", "/work/runs", "gs://bucket/runs/b"),
    ],
)
def test_a_prefix_leads_from_the_first_directory_to_another(place: str, first: str, prefix: str) -> None:
    assert relative(place, first) == prefix


def test_a_directory_in_a_bucket_is_no_path() -> None:
    assert location("gs://bucket/runs//a/") == "gs://bucket/runs//a"
