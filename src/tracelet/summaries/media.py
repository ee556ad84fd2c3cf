"""Texts, histograms, images, figures, sounds, films and curves that a writer is given."""

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet.arrays import numbers
from tracelet.events import Moments
from tracelet.patching import overheard
from tracelet.summaries.hosting import host
from tracelet.values import is_array

if TYPE_CHECKING:
    from tracelet.summaries.listening import Listening

THRESHOLDS: Final = 127  # of a curve; both libraries make so many of more


def add_text(
    to: "Listening",
    writer: Any,
    tag: str,
    text_string: str,
    global_step: Any = None,
    walltime: float | None = None,
) -> None:
    """Record a text."""
    to.experiment.text(to.name(writer, tag, "text"), text_string, *to.moment(writer, global_step, walltime))


def add_histogram(
    to: "Listening",
    writer: Any,
    tag: str,
    values: Any,
    global_step: Any = None,
    bins: Any = "tensorflow",
    walltime: float | None = None,
    max_bins: int | None = None,
) -> None:
    """Record a histogram: the values themselves, of any of the library's bins."""
    # The writer's own bins are its way of looking at values, and not what the user has chosen.
    chosen = None if isinstance(bins, str) and bins == "tensorflow" else bins
    name, at = to.name(writer, tag, "histogram"), to.moment(writer, global_step, walltime)
    to.experiment.histogram(name, host(values), *at, bins=chosen, max_bins=int(max_bins or 0))


def add_histogram_raw(
    to: "Listening",
    writer: Any,
    tag: str,
    min: Any,  # noqa: A002  the library's parameter
    max: Any,  # noqa: A002  the library's parameter
    num: Any,
    sum: Any,  # noqa: A002  the library's parameter
    sum_squares: Any,
    bucket_limits: Any,
    bucket_counts: Any,
    global_step: Any = None,
    walltime: float | None = None,
) -> None:
    """Record a histogram: counts, limits and moments as they are given."""
    to.experiment.histogram(
        to.name(writer, tag, "histogram"),
        None,
        *to.moment(writer, global_step, walltime),
        counts=bucket_counts,
        limits=_limits(float(min), bucket_limits),
        moments=Moments(*map(float, (num, min, max, sum, sum_squares))),
    )


def _limits(least: float, bucket_limits: Any) -> list[float]:
    """Say where each bucket begins, too: a writer is told where it ends; the first has the least value."""
    ends, _ = numbers(bucket_limits)
    return [min(least, *ends[:1]), *ends]


def add_image(
    to: "Listening",
    writer: Any,
    tag: str,
    img_tensor: Any,
    global_step: Any = None,
    walltime: float | None = None,
    dataformats: str = "CHW",
) -> None:
    """Record an image: the array as it is, with `dataformats` as its layout."""
    image(to, writer, tag, img_tensor, global_step, walltime, layout=dataformats)


def image(to: "Listening", writer: Any, tag: str, given: Any, step: Any, when: Any, **more: Any) -> None:
    """Record an image, or a batch of them. `more` is as in `Experiment.image`."""
    at = to.moment(writer, step, when)
    to.experiment.image(to.name(writer, tag, "image"), host(given), *at, **more)


def add_figure(
    to: "Listening",
    writer: Any,
    tag: str,
    figure: Any,
    global_step: Any = None,
    close: bool = True,  # noqa: ARG001  the library's parameter: it has closed the figure by now
    walltime: float | None = None,
) -> None:
    """Record a figure: the picture that the writer drew of it."""
    pixels, kind = overheard(figure), sys.modules.get("PIL.Image")
    drawn: Any = figure  # a closed one can still be drawn
    if pixels is not None and kind is not None:
        # A list of figures is a batch; channels come first.
        pictures = pixels if isinstance(figure, list) else pixels[None]
        drawn = [kind.fromarray(picture) for picture in pictures.transpose(0, 2, 3, 1)]
        drawn = drawn if isinstance(figure, list) else drawn[0]
    to.experiment.figure(to.name(writer, tag, "figure"), drawn, *to.moment(writer, global_step, walltime))


def video(
    to: "Listening", writer: Any, tag: str, given: Any, step: Any, when: Any, *, fps: Any, layout: str
) -> None:
    """Record a film, or a batch of them."""
    name, at = to.name(writer, tag, "video"), to.moment(writer, step, when)
    to.experiment.video(name, host(given), *at, fps=fps, layout=layout)


def audio(to: "Listening", writer: Any, tag: str, given: Any, step: Any, when: Any, *, rate: Any) -> None:
    """Record a sound."""
    name, at = to.name(writer, tag, "audio"), to.moment(writer, step, when)
    to.experiment.audio(name, host(given), *at, rate=rate)


def add_pr_curve(
    to: "Listening",
    writer: Any,
    tag: str,
    labels: Any,
    predictions: Any,
    global_step: Any = None,
    num_thresholds: int = THRESHOLDS,
    weights: Any = None,
    walltime: float | None = None,
) -> None:
    """Record a curve of precision and recall."""
    to.experiment.pr_curve(
        to.name(writer, tag, "curve"),
        host(labels),
        host(predictions),
        *to.moment(writer, global_step, walltime),
        thresholds=min(num_thresholds, THRESHOLDS),
        weights=weights,
    )


def add_pr_curve_raw(
    to: "Listening",
    writer: Any,
    tag: str,
    true_positive_counts: Any,
    false_positive_counts: Any,
    true_negative_counts: Any,
    false_negative_counts: Any,
    precision: Any,
    recall: Any,
    global_step: Any = None,
    num_thresholds: int = THRESHOLDS,
    weights: Any = None,  # noqa: ARG001  the library's parameter, of which it makes nothing
    walltime: float | None = None,
) -> None:
    """Record a curve of precision and recall, as it was counted."""
    counts = (
        true_positive_counts,
        false_positive_counts,
        true_negative_counts,
        false_negative_counts,
        precision,
        recall,
    )
    to.experiment.pr_curve(
        to.name(writer, tag, "curve"),
        None,
        None,
        *to.moment(writer, global_step, walltime),
        thresholds=_length(precision) or num_thresholds,
        counts=counts,
    )


def _length(given: Any) -> int:
    return len(cast("Any", given)) if is_array(given) or isinstance(given, (list, tuple)) else 0
