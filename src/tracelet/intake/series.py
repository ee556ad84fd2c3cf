"""What is logged again and again under a name, on its way in: all but tables.

What each takes stands in `inputs`; here its bytes are kept, and then its record.
"""

import math
import os
from typing import TYPE_CHECKING, Any

from tracelet import arrays, guard, inputs, media
from tracelet.events import Audio, Figure, Histogram, Html, Image, Moments, Video
from tracelet.inputs.texts import Raised, attempt

if TYPE_CHECKING:
    from tracelet.intake import Intake


def histogram(
    intake: "Intake",
    name: object,
    values: Any,
    step: object,
    time: float | None,
    *,
    bins: Any = None,
    max_bins: int = 0,
    counts: Any = None,
    limits: Any = None,
    moments: Moments | None = None,
) -> None:
    """See `Recording.log_histogram`."""
    from tracelet.inputs import spreads

    at = intake.place("histogram", name, step, time)
    if at is None:
        return
    try:
        if (values is None) is (counts is None):
            raise TypeError("it takes either values, or counts and limits")
        chosen = spreads.bins(limits if bins is None else bins)
        if counts is not None and not chosen.limits:
            raise TypeError("counts need limits: where each bin begins, and where the last ends")
        counted = () if counts is None else spreads.counts(counts, len(chosen.limits) - 1)
    except (TypeError, OverflowError) as error:
        intake.refused("histogram", at.name, error)
        return
    raw = None if values is None else attempt(arrays.joined, values)
    if isinstance(raw, Raised):
        intake.refused("histogram", at.name, raw.error)
        return
    if raw is not None and not any(piece.nbytes for piece in raw.pieces):
        intake.refused("histogram", at.name, "it has no values")
        return
    data = None if raw is None else intake.array("histogram", at.name, raw)
    if data is None and raw is not None:
        return
    intake.event(
        Histogram(
            time=at.time,
            name=at.name,
            step=at.step,
            ordinal=intake.ordinal("histogram", at),
            data=data,
            counts=counted,
            limits=chosen.limits,
            bins=chosen.bins,
            max_bins=max_bins,
            moments=moments,
        )
    )


def image(
    intake: "Intake",
    name: object,
    given: Any,
    step: object,
    time: float | None,
    *,
    layout: object = None,
    boxes: Any = None,
    labels: object = None,
    caption: object = "",
) -> None:
    """See `Recording.log_image`."""
    from tracelet.inputs import pictures

    at = intake.place("image", name, step, time)
    if at is None:
        return
    drawn = () if boxes is None else attempt(pictures.boxes, boxes)  # first: it may be refused
    if isinstance(drawn, Raised):
        intake.refused("image", at.name, drawn.error)
        return
    axes = ""

    def take(given: Any) -> arrays.Raw:
        nonlocal axes
        pixels = pictures.pixels(given, layout)
        axes = pixels.layout
        return pixels.raw

    data = intake.payload("image", at.name, given, take, "png")
    if data is None:
        return
    event = Image(
        time=at.time,
        name=at.name,
        data=data,
        step=at.step,
        ordinal=intake.ordinal("image", at),
        layout=axes,
        boxes=drawn,
        labels=pictures.labels(labels, len(drawn)),
        caption=inputs.text(at.name, caption),
    )
    _record(intake, event)


def figure(
    intake: "Intake", name: object, given: Any, step: object, time: float | None, *, caption: object = ""
) -> None:
    """See `Recording.log_figure`."""
    from tracelet.inputs import figures

    at = intake.place("figure", name, step, time)
    if at is None:
        return
    kind = figures.PLOTLY if figures.is_plotly(given) else "png"
    data = intake.payload("figure", at.name, given, figures.figure, kind)
    if data is None:
        return
    event = Figure(
        time=at.time,
        name=at.name,
        data=data,
        step=at.step,
        ordinal=intake.ordinal("figure", at),
        caption=inputs.text(at.name, caption),
    )
    _record(intake, event)


def audio(
    intake: "Intake",
    name: object,
    given: Any,
    step: object,
    time: float | None,
    *,
    rate: Any = 0,
    caption: object = "",
) -> None:
    """See `Recording.log_audio`."""
    from tracelet.inputs import sounds

    at = intake.place("audio", name, step, time)
    if at is None:
        return
    per_second = attempt(sounds.rate, rate)
    if isinstance(per_second, Raised):
        intake.refused("audio", at.name, per_second.error)
        return
    data = intake.payload("audio", at.name, given, sounds.sound, "wav")
    if data is None:
        return
    if data.dtype and not per_second:
        per_second = sounds.RATE
        message = "audio %r has no rate; it is taken to be %d frames per second. Give it as rate="
        guard.warn_once(message, at.name, per_second, key=at.name)
    intake.event(
        Audio(
            time=at.time,
            name=at.name,
            data=data,
            step=at.step,
            ordinal=intake.ordinal("audio", at),
            rate=per_second if data.dtype else 0,
            caption=inputs.text(at.name, caption),
        )
    )


def video(
    intake: "Intake",
    name: object,
    given: Any,
    step: object,
    time: float | None,
    *,
    fps: Any = 4,
    layout: object = "NTCHW",
    caption: object = "",
) -> None:
    """See `Recording.log_video`."""
    from tracelet.inputs import films

    at = intake.place("video", name, step, time)
    if at is None:
        return
    speed = attempt(films.fps, fps)
    if isinstance(speed, Raised):
        intake.refused("video", at.name, speed.error)
        return
    axes = ""

    def take(given: Any) -> arrays.Raw:
        nonlocal axes
        film = films.film(given, layout)
        axes = film.layout
        return film.raw

    data = intake.payload("video", at.name, given, take, "mp4")
    if data is None:
        return
    event = Video(
        time=at.time,
        name=at.name,
        data=data,
        step=at.step,
        ordinal=intake.ordinal("video", at),
        layout=axes,
        fps=speed if axes else 0.0,
        caption=inputs.text(at.name, caption),
    )
    _record(intake, event)


def html(intake: "Intake", name: object, given: Any, step: object, time: float | None) -> None:
    """See `Recording.log_html`."""
    at = intake.place("html", name, step, time)
    if at is None:
        return
    if isinstance(given, os.PathLike):
        data = intake.file("html", at.name, given, "html")  # pyright: ignore[reportUnknownArgumentType]
    else:
        page = inputs.page(given)
        if page is None:
            intake.refused("html", at.name, "it is a text, or the path of a file as a pathlib.Path")
            return
        data = intake.written("html", at.name, "html", lambda blob: blob.write(page))
    if data is not None:
        ordinal = intake.ordinal("html", at)
        intake.event(Html(time=at.time, name=at.name, data=data, step=at.step, ordinal=ordinal))


def _record(intake: "Intake", event: Image | Figure | Video) -> None:
    """Record pictures; say once that such large ones are delivered smaller than they are."""
    if event.data.dtype:
        most = max((media.most(target.options) for target in intake.run.targets.values()), default=0)
        if media.is_scaled(event, most):
            message = "%s %r has %d bytes, and max_image_size=%d: such images are delivered smaller"
            what, size = type(event).__name__.lower(), math.prod(media.extent(event))
            guard.warn_once(message, what, event.name, size, most, key="max_image_size")
    intake.event(event)
