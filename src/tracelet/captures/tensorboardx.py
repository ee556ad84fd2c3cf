"""Listen to `tensorboardX.SummaryWriter`, and so to `GlobalSummaryWriter`, which has one inside.

    add_scalar, add_scalars, add_hparams, add_text, …
                    as of torch's writer: see `tracelet.captures.tensorboard`
    add_images      also a list of images
    add_audio       also a sound of two channels
    add_video       of any layout
    add_openvino_graph
                    a bundle with the model's file

Where a call gives no step or no time, those of `use_metadata` count. What a writer is given that
writes nothing to disk is recorded too. What it sends to Comet is its own affair.
"""

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet.capture import Capture
from tracelet.summaries import bundles, hosting, layouts, media, scalars
from tracelet.summaries.listening import Listening, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracelet.experiment import Experiment
    from tracelet.patching import Patches

MODULE: Final = "tensorboardX.writer"
CONVERSIONS: Final = (
    ("tensorboardX.x2num", "prepare_pytorch"),  # of tensors, and of nothing else
    (MODULE, "figure_to_image"),
)


def install(patches: "Patches", experiment: "Experiment", *, track_tensorboard: bool = True) -> None:
    """Let `experiment` record what any `SummaryWriter` of this process is given.

    The one setting switches both libraries.
    """
    if not track_tensorboard:
        return
    to = Listening(experiment, "logdir", _defaults)
    for module, name in CONVERSIONS:
        patches.overhear(module, name)
    patches.wrap(MODULE, "SummaryWriter.add_scalar", _add_scalar(to))
    listen(patches, (MODULE, "SummaryWriter"), to, METHODS, {"add_histogram": hosting.with_values_joined})
    for owner in ("FileWriter", "DummyFileWriter"):
        listen(patches, (MODULE, owner), to, (bundles.add_graph,))


def _defaults(writer: Any) -> "Mapping[str, Any]":
    """Say what `use_metadata` has set, which older versions do not know."""
    return getattr(writer.file_writer, "_default_metadata", None) or {}


def _add_scalar(to: Listening) -> "Callable[..., None]":
    """Make what hears `add_scalar`: of all methods, this one is called in every step."""
    scalar, known = to.experiment.scalar, to.names.known

    def add_scalar(
        writer: Any,
        tag: Any,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        *_unused: object,
        **_ignored: object,
    ) -> None:
        try:
            name = known[writer.logdir][tag]
        except (KeyError, TypeError, AttributeError):
            name = to.names.name(getattr(writer, "logdir", ""), tag)
        kind = scalar_value.__class__
        if kind is not float and kind is not int:
            scalar_value = hosting.number(scalar_value)
            if scalar_value is None:
                return
        if getattr(writer.file_writer, "_default_metadata", None):
            global_step, walltime = to.moment(writer, global_step, walltime)
        scalar(name, scalar_value, global_step, None if walltime is None else float(walltime))

    return add_scalar


def add_hparams(
    to: Listening,
    writer: Any,
    hparam_dict: "Mapping[str, Any]",
    metric_dict: "Mapping[str, Any]",
    name: object = None,  # noqa: ARG001  tensorboardX's parameter: a directory's name
    global_step: Any = None,
) -> None:
    """Record params, and scalars under their own names."""
    scalars.hparams(to, writer, hparam_dict, metric_dict, global_step)


def add_images(
    to: Listening,
    writer: Any,
    tag: str,
    img_tensor: Any,
    global_step: Any = None,
    walltime: float | None = None,
    dataformats: str = "NCHW",
) -> None:
    """Record a batch of images."""
    if isinstance(img_tensor, list):
        if dataformats.upper() not in {"CHW", "HWC"}:  # then tensorboardX has written nothing
            return
        img_tensor, dataformats = _stacked(cast("list[Any]", img_tensor)), f"N{dataformats}"
    media.image(to, writer, tag, img_tensor, global_step, walltime, layout=dataformats)


def _stacked(images: list[Any]) -> Any:
    torch, numpy = sys.modules.get("torch"), sys.modules["numpy"]
    if torch is not None and all(isinstance(image, torch.Tensor) for image in images):
        return torch.stack(images, 0)
    return numpy.stack(images, 0)


def add_image_with_boxes(
    to: Listening,
    writer: Any,
    tag: str,
    img_tensor: Any,
    box_tensor: Any,
    global_step: Any = None,
    walltime: float | None = None,
    dataformats: str = "CHW",
    labels: Any = None,
) -> None:
    """Record an image with its boxes and labels, which are drawn where it is shown."""
    more = {"layout": dataformats, "boxes": hosting.host(box_tensor), "labels": labels}
    media.image(to, writer, tag, img_tensor, global_step, walltime, **more)


def add_video(
    to: Listening,
    writer: Any,
    tag: str,
    vid_tensor: Any,
    global_step: Any = None,
    fps: float = 4,
    walltime: float | None = None,
    dataformats: str = "NTCHW",
) -> None:
    """Record a batch of films."""
    media.video(to, writer, tag, vid_tensor, global_step, walltime, fps=fps, layout=dataformats)


def add_audio(
    to: Listening,
    writer: Any,
    tag: str,
    snd_tensor: Any,
    global_step: Any = None,
    sample_rate: int = 44100,
    walltime: float | None = None,
) -> None:
    """Record a sound: frames, and perhaps one or two channels."""
    media.audio(to, writer, tag, snd_tensor, global_step, walltime, rate=sample_rate)


def add_onnx_graph(to: Listening, writer: Any, onnx_model_file: Any) -> None:
    """Record the model's file."""
    bundles.model_file(to, writer, onnx_model_file)


def add_openvino_graph(to: Listening, writer: Any, xmlname: Any) -> None:
    """Record the model's file."""
    bundles.model_file(to, writer, xmlname)


METHODS: Final = (
    scalars.add_scalars,
    add_hparams,
    media.add_text,
    media.add_histogram,
    media.add_histogram_raw,
    media.add_image,
    add_images,
    add_image_with_boxes,
    media.add_figure,
    add_audio,
    add_video,
    media.add_pr_curve,
    media.add_pr_curve_raw,
    layouts.add_custom_scalars,
    layouts.add_custom_scalars_multilinechart,
    layouts.add_custom_scalars_marginchart,
    add_onnx_graph,
    add_openvino_graph,
    bundles.add_embedding,
    bundles.add_mesh,
)
"""All but `add_scalar`, and `add_graph`, which is heard where files are written."""

CAPTURE: Final = Capture(name="tensorboardx", install=install, settings=("track_tensorboard",))
