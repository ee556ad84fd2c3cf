"""What a run hears of torch's `SummaryWriter`, and what the script sees of us: nothing."""

import gc
import inspect
import logging
import os
import pickle  # noqa: TID251  what users do with the classes that we patch
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import writer as torch_writer

from tracelet.captures.tensorboard import install, location, relative
from tracelet.patching import Patches

ORIGINAL: Final = vars(torch_writer.SummaryWriter)["add_scalar"]


class Heard(NamedTuple):
    name: str
    value: Any
    step: Any
    time: float | None


class Notebook:
    """Notes what a capture hands over, as it was handed over; an experiment converts it and keeps it."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.texts: list[tuple[str, str, Any, float | None]] = []
        self.params: dict[str, Any] = {}
        self.histograms: list[tuple[str, Any]] = []
        self.images: list[tuple[str, Any]] = []

    def text(self, name: str, text: str, step: object, time: float | None) -> None:
        self.texts.append((name, text, step, time))

    def log_params(self, params: dict[str, Any]) -> None:
        self.params |= params

    def histogram(self, name: str, _values: object, step: object, *_: object, **_more: object) -> None:
        self.histograms.append((name, step))

    def image(self, name: str, _image: object, step: object, *_: object, **_more: object) -> None:
        self.images.append((name, step))

    def scalar(self, name: str, value: object, step: object, time: float | None) -> None:
        self.heard.append(Heard(name, value, step, time))

    @property
    def names(self) -> list[str]:
        return [heard.name for heard in self.heard]


def hear(patches: Patches, notebook: Any) -> None:
    install(patches, notebook)


class Describing(SummaryWriter):
    """A writer as users derive it."""

    def add_scalar(self, tag: Any, scalar_value: Any, *args: Any, **kwargs: Any) -> None:
        super().add_scalar(f"mine/{tag}", scalar_value, *args, **kwargs)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """A notebook that hears every writer of this process."""
    notebook, patches = Notebook(), Patches()
    hear(patches, notebook)

    yield notebook

    patches.uninstall()
    assert vars(SummaryWriter)["add_scalar"] is ORIGINAL


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


def events(directory: Path) -> list[bytes]:
    """Read all events that lie in a directory, without their times."""
    found: list[bytes] = []
    for file in sorted(directory.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            event.wall_time = 0
            found.append(event.SerializeToString(deterministic=True))
    return found


def run_script(script: str, **variables: str) -> str:
    """Run a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + script],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PRELUDE: Final = """
import sys
from tracelet.captures.tensorboard import install
from tracelet.patching import Patches

class Notebook:
    def scalar(self, *heard):
        print(*heard)

patches = Patches()
"""


@pytest.mark.parametrize("order", ["import, install", "install, import"])
def test_a_script_imports_torch_before_or_after(order: str) -> None:
    lines = {
        "import": "from torch.utils.tensorboard import SummaryWriter\n",
        "install": "install(patches, Notebook())\n",
    }

    heard = run_script(
        "".join(lines[word] for word in order.split(", "))
        + "with SummaryWriter('runs/a') as writer:\n    writer.add_scalar('loss', 0.5, 1)\n"
        + "patches.uninstall()\nwriter.add_scalar('loss', 0.25, 2)\nwriter.close()\n"
        + "print(hasattr(vars(SummaryWriter)['add_scalar'], '__wrapped__'))\n"
    )

    assert heard.splitlines() == ["loss 0.5 1 None", "False"]


def test_installing_imports_nothing_for_the_user() -> None:
    loaded = run_script(
        "install(patches, Notebook())\n"
        "print([name for name in ('torch', 'tensorboard', 'numpy') if name in sys.modules])\n"
        "patches.uninstall()\n"
        "from torch.utils.tensorboard import SummaryWriter\n"
        "print(hasattr(vars(SummaryWriter)['add_scalar'], '__wrapped__'))\n"
    )

    assert loaded.splitlines() == ["[]", "False"]


def test_values_are_handed_over_as_they_were_given(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    writer = open_writer("runs/a")
    values = [
        0.1,
        1 / 3,
        2**53 - 1,
        True,
        np.float64(0.1),
        np.float32(0.1),
        torch.tensor([0.1]),
        float("inf"),
    ]

    for step, value in enumerate(values):
        writer.add_scalar("value", value, step)

    assert all(heard.value is value for heard, value in zip(notebook.heard, values, strict=True))
    assert [heard.step for heard in notebook.heard] == list(range(len(values)))


def test_a_numbers_text_is_a_number(notebook: Notebook, open_writer: Callable[..., SummaryWriter]) -> None:
    open_writer("runs/a").add_scalar("value", "0.1", 0)

    assert notebook.heard == [Heard("value", 0.1, 0, None)]


def test_a_step_and_a_time_are_what_was_given(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    writer = open_writer("runs/a")

    writer.add_scalar("loss", 0.5)
    writer.add_scalar("loss", 0.5, 0)
    writer.add_scalar("loss", 0.5, walltime=1_700_000_000.25)
    writer.add_scalar("loss", 0.5, 7, 1_700_000_001)
    writer.add_scalar(tag="loss", scalar_value=0.5, global_step=8, new_style=True, double_precision=True)

    assert notebook.heard == [
        Heard("loss", 0.5, None, None),
        Heard("loss", 0.5, 0, None),
        Heard("loss", 0.5, None, 1_700_000_000.25),
        Heard("loss", 0.5, 7, 1_700_000_001.0),
        Heard("loss", 0.5, 8, None),
    ]


def test_event_files_are_what_they_would_be_without_us(tmp_path: Path) -> None:
    def script(directory: Path) -> None:
        with SummaryWriter(str(directory)) as writer:
            for step in range(20):
                writer.add_scalar("loss", 1 / (step + 1), step)
                writer.add_scalar("loss/new", torch.tensor(step / 7), step, new_style=True)
                writer.add_scalars("both", {"a": step, "b": -step}, step)
            writer.add_scalar("stepless", 0.1)
            writer.add_histogram("weights", np.arange(10.0), 3)
            writer.add_histogram_raw("raw", 0, 2, 2, 3.0, 5.0, [1, 2], [1, 1], 3)
            writer.add_text("note", "hello", 4)
            writer.add_image("image", np.zeros((3, 4, 4), np.uint8), 5)
            writer.add_images("images", torch.ones(9, 1, 4, 4), 5)
            writer.add_image_with_boxes("boxes", np.zeros((3, 40, 40)), np.array([[1, 2, 30, 40]]), 5)
            writer.add_hparams({"lr": 0.1}, {"accuracy": 0.9}, run_name="hparams")

    script(tmp_path / "bare")
    patches, notebook = Patches(), Notebook()
    hear(patches, notebook)
    script(tmp_path / "heard")
    patches.uninstall()

    bare = events(tmp_path / "bare")
    assert len(bare) > 80
    assert events(tmp_path / "heard") == bare
    assert len(notebook.heard) == 82
    assert notebook.texts == [("note", "hello", 4, None)]
    assert notebook.params == {"lr": 0.1}
    assert notebook.histograms == [("weights", 3), ("raw", 3)]
    assert notebook.images == [("image", 5), ("images", 5), ("boxes", 5)]


def test_a_call_that_fails_fails_as_always_and_is_not_heard(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    writer: Any = open_writer("runs/a")

    with pytest.raises(NotImplementedError, match="numpy array or torch tensor are expected"):
        writer.add_scalar("loss", None, 1)
    with pytest.raises(AssertionError, match="Tensor should contain one element"):
        writer.add_scalar("loss", torch.ones(2), 1)
    with pytest.raises(
        TypeError,
        match=r"^SummaryWriter\.add_scalar\(\) missing 1 required positional argument: 'scalar_value'$",
    ):
        writer.add_scalar("loss")

    assert notebook.heard == []


def test_a_derived_writer_is_heard_once(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    open_writer("runs/a", Describing).add_scalar("loss", 0.5, 1)

    assert notebook.heard == [Heard("mine/loss", 0.5, 1, None)]


def test_a_closed_writer_that_goes_on_is_still_heard(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    writer = open_writer("runs/a")
    writer.close()

    writer.add_scalar("loss", 0.5, 1)

    assert notebook.names == ["loss"]


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


def test_no_writer_is_kept_alive(notebook: Notebook) -> None:
    writer = SummaryWriter("runs/a")
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    ghost = weakref.ref(writer)

    del writer
    gc.collect()

    assert ghost() is None
    assert notebook.names == ["loss"]


def test_threads_are_all_heard(notebook: Notebook, open_writer: Callable[..., SummaryWriter]) -> None:
    writers = [open_writer(f"runs/{number}") for number in range(4)]
    barrier = threading.Barrier(4)

    def log(writer: SummaryWriter) -> None:
        barrier.wait(20)
        for step in range(200):
            writer.add_scalar(f"metric/{step % 5}", step, step)

    threads = [threading.Thread(target=log, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    series: dict[str, list[int]] = {}
    for heard in notebook.heard:
        series.setdefault(heard.name, []).append(heard.step)
    assert len(series) == 20
    assert sorted(len(steps) for steps in series.values()) == [40] * 20
    assert all(steps == sorted(steps) for steps in series.values())


def test_installing_a_hundred_times_nests_nothing(open_writer: Callable[..., SummaryWriter]) -> None:
    writer, notebook = open_writer("runs/a"), Notebook()

    for step in range(100):
        patches = Patches()
        hear(patches, notebook)
        writer.add_scalar("loss", 0.5, step)
        depth = len(inspect.getmro(SummaryWriter)), vars(SummaryWriter)["add_scalar"].__wrapped__
        patches.uninstall()
        assert depth == (2, ORIGINAL)

    assert vars(SummaryWriter)["add_scalar"] is ORIGINAL
    assert [heard.step for heard in notebook.heard] == list(range(100))


def test_signature_and_pickles_stay_the_same(notebook: Notebook) -> None:
    assert inspect.signature(SummaryWriter.add_scalar) == inspect.signature(ORIGINAL)
    assert pickle.loads(pickle.dumps(SummaryWriter)) is SummaryWriter  # noqa: S301
    assert pickle.loads(pickle.dumps(SummaryWriter.add_scalar)) is SummaryWriter.add_scalar  # noqa: S301
    assert notebook.heard == []
