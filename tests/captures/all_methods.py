"""A script that calls every `add_*` method of a writer, with all its arguments.

    python -m tests.captures.all_methods torch|tensorboardx DIRECTORY [BACKEND]

Without a backend it runs as if there were no tracelet. With one, it is a run called "all methods" of
the project "captures". `ARRIVES` says what of each method must be in the run. Where a package is missing
that a method needs (onnx, soundfile), a stand-in does what the writer asks of it.
"""

import contextlib
import importlib.util
import sys
import types
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

RUN: Final = "all methods"
PROJECT: Final = "captures"
WHEN: Final = 1_700_000_000.25
STEP: Final = 3

SHARED: Final[dict[str, list[tuple[str, str]]]] = {
    "add_scalar": [("Metric", "scalar")],
    "add_scalars": [("Metric", "scalars/train"), ("Metric", "scalars/val")],
    "add_hparams": [("Params", "lr"), ("Metric", "hparam/accuracy")],
    "add_text": [("Text", "text")],
    "add_histogram": [("Histogram", "histogram")],
    "add_histogram_raw": [("Histogram", "histogram_raw")],
    "add_image": [("Image", "image")],
    "add_images": [("Image", "images")],
    "add_image_with_boxes": [("Image", "image_with_boxes")],
    "add_figure": [("Figure", "figure"), ("Figure", "figures")],
    "add_audio": [("Audio", "audio")],
    "add_video": [("Video", "video")],
    "add_pr_curve": [("Table", "pr_curve")],
    "add_pr_curve_raw": [("Table", "pr_curve_raw")],
    "add_custom_scalars": [("Layout", "custom")],
    "add_custom_scalars_multilinechart": [("Layout", "multiline")],
    "add_custom_scalars_marginchart": [("Layout", "margin")],
    "add_mesh": [("Bundle", "mesh")],
    "add_embedding": [("Bundle", "embedding")],
    "add_graph": [("Bundle", "graph")],
    "add_onnx_graph": [("Bundle", "onnx model")],
}
ARRIVES: Final[dict[str, dict[str, list[tuple[str, str]]]]] = {
    "torch": SHARED | {"add_tensor": [("Bundle", "tensor")]},
    "tensorboardx": SHARED | {"add_openvino_graph": [("Bundle", "openvino model")]},
}
"""For each library, of each method: the class of an event, and its name; of Params a param's, of a
Layout a chart's title."""


def main(library: str, directory: Path, backend: str = "") -> None:
    """Call all of them."""
    import matplotlib as mpl

    mpl.use("agg")
    directory.mkdir(parents=True, exist_ok=True)
    import tracelet  # which loads nothing

    if backend:
        tracelet.start_logging(RUN, PROJECT, backend)
    stand_in_for_onnx()
    stand_in_for_soundfile()
    {"torch": of_torch, "tensorboardx": of_tensorboardx}[library](directory)
    if backend:
        tracelet.stop_logging()


def of_torch(directory: Path) -> None:
    import torch
    from torch.utils.tensorboard import SummaryWriter

    first = SummaryWriter(str(directory / "first"), "ignored", 1, 5, 60, ".suffix")
    with first as writer:
        shared(writer, directory)
        writer.add_scalar("scalar", np.float64(1 / 3), STEP, WHEN, True, True)
        writer.add_hparams({"lr": 0.1}, {"hparam/accuracy": 0.9}, {"lr": [0.1, 0.2]}, "trial", STEP)
        boxes = np.array([[1, 2, 30, 40]])
        picture = torch.zeros(3, 48, 48)
        writer.add_image_with_boxes("image_with_boxes", picture, boxes, STEP, WHEN, 2, "CHW", ["cat"])
        writer.add_video("video", torch.rand(1, 4, 3, 16, 16), STEP, 8, WHEN)
        writer.add_audio("audio", torch.linspace(-1, 1, 800)[None], STEP, 8000, WHEN)
        writer.add_tensor("tensor", torch.arange(6.0).reshape(2, 3), STEP, WHEN)
        writer.add_onnx_graph(str(model_file(directory, "onnx model.onnx")))
        writer.flush()
    first.add_scalar("scalar", 0.5, STEP + 1)  # a closed writer goes on
    first.close()
    in_another_directory(SummaryWriter, directory)


def of_tensorboardx(directory: Path) -> None:
    import torch
    from tensorboardX import GlobalSummaryWriter, SummaryWriter

    with SummaryWriter(str(directory / "first"), "ignored", 1, 5, 60, ".suffix") as writer:
        shared(writer, directory)
        writer.add_scalar("scalar", np.float64(1 / 3), STEP, WHEN, "shown", "described")
        writer.add_hparams({"lr": 0.1}, {"hparam/accuracy": 0.9}, "trial", STEP)
        boxes = np.array([[1, 2, 30, 40]])
        picture = torch.zeros(3, 48, 48)
        writer.add_image_with_boxes("image_with_boxes", picture, boxes, STEP, WHEN, "CHW", ["cat"], rescale=2)
        writer.add_images("images", [torch.rand(3, 8, 8), torch.rand(3, 8, 8)], STEP + 1, WHEN, "CHW")
        writer.add_images("images", [torch.rand(3, 8, 8)], STEP + 2, WHEN, "NCHW")  # writes nothing
        writer.add_video("video", torch.rand(1, 4, 16, 16, 3), STEP, 8, WHEN, "NTHWC")
        writer.add_audio("audio", np.linspace(-1, 1, 800).reshape(400, 2), STEP, 8000, WHEN)
        writer.add_onnx_graph(str(model_file(directory, "onnx model.onnx")))
        writer.add_openvino_graph(str(model_file(directory, "openvino model.xml", OPENVINO)))
        with writer.use_metadata(global_step=7, walltime=WHEN):
            writer.add_scalar("metadata", 0.5)
            writer.add_text("metadata", "hello")
        writer.flush()
    with SummaryWriter(str(directory / "dummy"), write_to_disk=False) as silent:
        silent.add_scalar("scalar", 0.5, STEP)
        silent.add_graph(torch.nn.Linear(2, 1), torch.zeros(1, 2))
    of_all_processes = GlobalSummaryWriter(logdir=str(directory / "global"))
    for value in (0.25, 0.5):
        of_all_processes.add_scalar("scalar", value, WHEN)
    of_all_processes.add_text("text", "hello")
    of_all_processes.add_image("image", np.zeros((3, 4, 4), np.uint8))
    of_all_processes.close()
    in_another_directory(SummaryWriter, directory)


def shared(writer: Any, directory: Path) -> None:
    """Call what both libraries take in the same way."""
    import torch
    from matplotlib import pyplot as plt

    torch.manual_seed(0)
    some = np.random.default_rng(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    writer.add_scalars("scalars", {"train": 0.1, "val": torch.tensor(0.25)}, STEP, WHEN)
    writer.add_text("text", "# Once\n\nupon a time", STEP, WHEN)
    writer.add_histogram("histogram", torch.rand(100), STEP, "auto", WHEN, 20)
    counts, limits = np.histogram(some.random(50), 5)
    moments = {"min": 0.0, "max": 1.0, "num": 50, "sum": 25.0, "sum_squares": 16.0}
    bins = {"bucket_limits": limits[1:].tolist(), "bucket_counts": counts.tolist()}
    writer.add_histogram_raw("histogram_raw", **moments, **bins, global_step=STEP, walltime=WHEN)
    writer.add_image("image", some.random((16, 12, 3)), STEP, WHEN, "HWC")
    writer.add_images("images", torch.rand(4, 3, 8, 8), STEP, WHEN, "NCHW")
    writer.add_figure("figure", drawn(plt, 1), STEP, True, WHEN)
    writer.add_figure("figures", [drawn(plt, 2), drawn(plt, 3)], STEP, close=False, walltime=WHEN)
    labels, predictions = some.integers(0, 2, 100), some.random(100)
    writer.add_pr_curve("pr_curve", labels, predictions, STEP, 11, None, WHEN)
    curve = [np.linspace(0, 1, 11) for _ in range(6)]
    writer.add_pr_curve_raw("pr_curve_raw", *curve, STEP, 11, None, WHEN)
    writer.add_custom_scalars({"shown": {"custom": ["Multiline", ["scalar", "scalars/.*"]]}})
    writer.add_custom_scalars_multilinechart(["scalar"], "shown", "multiline")
    writer.add_custom_scalars_marginchart(["scalar", "low", "high"], "shown", "margin")
    vertices = torch.rand(1, 4, 3)
    faces = torch.tensor([[[0, 1, 2], [1, 2, 3]]])
    colors = torch.randint(0, 255, (1, 4, 3))
    writer.add_mesh("mesh", vertices, colors, faces, {"lights": []}, STEP, WHEN)
    metadata = [["a", 1], ["b", 2], ["c", 3]]
    images = torch.rand(3, 3, 8, 8)
    writer.add_embedding(torch.rand(3, 5), metadata, images, STEP, "embedding", ["letter", "number"])
    writer.add_graph(model, torch.zeros(1, 4), False, True)
    assert writer.file_writer.get_logdir() == str(directory / "first")
    assert next(iter(writer.all_writers)) == str(directory / "first")


def in_another_directory(kind: Callable[..., Any], directory: Path) -> None:
    """Use tags that another writer has used, in a directory beside its own."""
    with kind(str(directory / "second")) as writer:
        writer.add_scalar("scalar", 0.75, STEP)
        writer.add_custom_scalars({"shown": {"custom": ["Margin", ["scalar", "low", "high"]]}})
        writer.add_embedding(np.eye(2), tag="embedding")


def drawn(plt: Any, end: int) -> Any:
    figure = plt.figure(figsize=(2, 1), dpi=40)
    figure.add_subplot().plot([0, 1], [0, end])
    return figure


OPENVINO: Final = """<net><layers><layer id="0" name="in"/><layer id="1" name="out"/></layers>
<edges><edge from-layer="0" to-layer="1"/></edges></net>"""


def model_file(directory: Path, name: str, content: str = "a model") -> Path:
    file = directory / name
    file.write_text(content)
    return file


def stand_in_for_onnx() -> None:
    """Make `onnx.load` return a graph without nodes."""
    if importlib.util.find_spec("onnx") is None:
        onnx: Any = types.ModuleType("onnx")
        graph = types.SimpleNamespace(input=[], output=[], node=[])
        onnx.load = lambda _: types.SimpleNamespace(graph=graph)
        sys.modules["onnx"] = onnx


def stand_in_for_soundfile() -> None:
    """Make `soundfile.write` write a WAV of 16 bits."""
    if importlib.util.find_spec("soundfile") is None:
        soundfile: Any = types.ModuleType("soundfile")
        soundfile.write = write_sound
        sys.modules["soundfile"] = soundfile


def write_sound(file: Any, samples: Any, samplerate: int, format: str) -> None:  # noqa: A002  soundfile's
    assert format == "wav"
    with contextlib.closing(wave.open(file, "wb")) as sound:
        sound.setnchannels(samples.shape[1])
        sound.setsampwidth(2)
        sound.setframerate(samplerate)
        sound.writeframes((samples * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute(), *sys.argv[3:])
