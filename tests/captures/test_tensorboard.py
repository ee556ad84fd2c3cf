"""What a run hears of torch's `SummaryWriter`, and what the script sees of us: nothing."""

import gc
import inspect
import os
import pickle  # noqa: TID251  what users do with the classes that we patch
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import writer as torch_writer

from tests.captures.notebooks import Heard, Notebook
from tracelet.captures.tensorboard import install
from tracelet.patching import Patches

ORIGINAL: Final = vars(torch_writer.SummaryWriter)["add_scalar"]


class Describing(SummaryWriter):
    """A writer as users derive it."""

    def add_scalar(self, tag: Any, scalar_value: Any, *args: Any, **kwargs: Any) -> None:
        super().add_scalar(f"mine/{tag}", scalar_value, *args, **kwargs)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """A notebook that hears every writer of this process."""
    notebook: Any = Notebook()
    patches = Patches()
    install(patches, notebook)

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


@pytest.mark.slow
def test_a_compiled_function_is_heard_and_nothing_of_ours_is_compiled() -> None:
    heard = run_script("""
install(patches, Notebook())
import torch
from torch._dynamo import config
from torch.utils.tensorboard import SummaryWriter

writer = SummaryWriter('runs/a')

@torch.compile(backend='eager')
def train(batch, step):
    loss = batch.sum()
    writer.add_scalar('loss', loss, step)
    return loss

with config.patch(fail_on_recompile_limit_hit=True):  # as where each recompiling is an error
    for step in range(config.recompile_limit + 2):
        train(torch.full((2,), float(step)), step)
writer.close()
""")

    assert [line.split()[:3] for line in heard.splitlines()] == [
        ["loss", str(2.0 * step), str(step)] for step in range(10)
    ]


@pytest.mark.slow
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


@pytest.mark.slow
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
        float("inf"),
    ]

    for step, value in enumerate(values):
        writer.add_scalar("value", value, step)

    assert all(heard.value is value for heard, value in zip(notebook.heard, values, strict=True))
    assert [heard.step for heard in notebook.heard] == list(range(len(values)))


def test_of_a_tensor_its_number_is_handed_over(
    notebook: Notebook, open_writer: Callable[..., SummaryWriter]
) -> None:
    writer, tensors = open_writer("runs/a"), [torch.tensor([0.1]), torch.tensor(0.1, dtype=torch.float64)]
    # What torch makes float16 of, which holds the first of them, and neither of the others.
    brief = [torch.tensor(number, dtype=torch.bfloat16) for number in (0.1, 1e30, 1e-30)]

    for tensor in [*tensors, *brief]:
        writer.add_scalar("value", tensor, 1)

    assert [float(heard.value) for heard in notebook.heard] == [one.item() for one in [*tensors, *brief]]
    assert [type(heard.value) for heard in notebook.heard] == [float] * 3 + [torch.Tensor] * 2


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
    notebook: Any = Notebook()
    patches = Patches()
    install(patches, notebook)
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
    notebook: Any = Notebook()
    writer = open_writer("runs/a")

    for step in range(100):
        patches = Patches()
        install(patches, notebook)
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
