"""Listen to `torch.utils.tensorboard.SummaryWriter`.

    add_scalar      a scalar: the tag names it, with the value as it was given (event files keep
                    float32), `global_step` as step and `walltime`, if given, as time
    add_scalars     a scalar for each entry, called `main_tag/tag`
    add_hparams     params, and scalars under their own names
    add_text, add_histogram, add_histogram_raw, add_image, add_images, add_image_with_boxes,
    add_figure, add_audio, add_video, add_pr_curve, add_pr_curve_raw
                    what their names say, called as its tag
    add_custom_scalars, add_custom_scalars_multilinechart, add_custom_scalars_marginchart
                    the run's layout
    add_graph, add_onnx_graph, add_embedding, add_mesh, add_tensor
                    a bundle of files

The rest of a writer's life passes through untouched. Where torch refuses what is clear, an iterable of
tensors given to `add_histogram`, such as `model.parameters()`, it is handed all their values in one
tensor. How tags become names is told in `tracelet.summaries.naming`.
"""

from typing import TYPE_CHECKING, Any, Final

from tracelet.capture import Capture
from tracelet.summaries import bundles, compiling, hosting, layouts, media, scalars
from tracelet.summaries.listening import Listening, listen
from tracelet.values import is_array

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracelet.experiment import Experiment
    from tracelet.patching import Patches

MODULE: Final = "torch.utils.tensorboard.writer"
CONVERSIONS: Final = (
    ("torch.utils.tensorboard._convert_np", "_prepare_pytorch"),  # of tensors, and of nothing else
    ("torch.utils.tensorboard._convert_np", "prepare_pytorch"),  # its name in older versions
    (MODULE, "figure_to_image"),
)


def install(patches: "Patches", experiment: "Experiment") -> None:
    """Let `experiment` record what any `SummaryWriter` of this process is given."""
    to = Listening(experiment, "log_dir")
    for module, name in CONVERSIONS:
        patches.overhear(module, name)
    patches.wrap(MODULE, "SummaryWriter.add_scalar", _add_scalar(to))
    listen(patches, (MODULE, "SummaryWriter"), to, METHODS, {"add_histogram": hosting.with_values_joined})
    listen(patches, (MODULE, "FileWriter"), to, (bundles.add_graph,))
    compiling.leave_alone(patches)


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
            name = known[writer.log_dir][tag]
        except (KeyError, TypeError, AttributeError):
            name = to.names.name(getattr(writer, "log_dir", ""), tag)
        kind = scalar_value.__class__
        if kind is not float and kind is not int:
            scalar_value = hosting.number(scalar_value)
            if scalar_value is None:
                return
        scalar(name, scalar_value, global_step, None if walltime is None else float(walltime))

    return add_scalar


def add_hparams(
    to: Listening,
    writer: Any,
    hparam_dict: "Mapping[str, Any]",
    metric_dict: "Mapping[str, Any]",
    hparam_domain_discrete: object = None,  # noqa: ARG001  torch's parameter
    run_name: object = None,  # noqa: ARG001  torch's parameter
    global_step: Any = None,
) -> None:
    """Record params, and scalars under their own names."""
    scalars.hparams(to, writer, hparam_dict, metric_dict, global_step)


def add_tensor(
    to: Listening,
    writer: Any,
    tag: str,
    tensor: Any,
    global_step: Any = None,
    walltime: float | None = None,
) -> None:
    """Record a tensor."""
    bundles.tensor(to, writer, tag, tensor, global_step, walltime)


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
    media.image(to, writer, tag, img_tensor, global_step, walltime, layout=dataformats)


def add_image_with_boxes(
    to: Listening,
    writer: Any,
    tag: str,
    img_tensor: Any,
    box_tensor: Any,
    global_step: Any = None,
    walltime: float | None = None,
    rescale: float = 1,  # noqa: ARG001  torch's parameter: how large the event file's picture is
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
) -> None:
    """Record a batch of films."""
    media.video(to, writer, tag, vid_tensor, global_step, walltime, fps=fps, layout="NTCHW")


def add_audio(
    to: Listening,
    writer: Any,
    tag: str,
    snd_tensor: Any,
    global_step: Any = None,
    sample_rate: int = 44100,
    walltime: float | None = None,
) -> None:
    """Record a sound; it has one channel, whatever its shape."""
    sound = hosting.host(snd_tensor)
    flat = sound.reshape(-1) if is_array(sound) else sound
    media.audio(to, writer, tag, flat, global_step, walltime, rate=sample_rate)


def add_onnx_graph(to: Listening, writer: Any, prototxt: Any) -> None:
    """Record the model's file."""
    bundles.model_file(to, writer, prototxt)


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
    bundles.add_embedding,
    bundles.add_mesh,
    add_tensor,
)
"""All but `add_scalar`, and `add_graph`, which is heard where files are written."""

CAPTURE: Final = Capture(name="tensorboard", install=install)
