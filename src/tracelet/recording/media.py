"""Histograms, images, figures, sounds, films and pages: large things that have a name and a step.

The `more` of what captures call is as in the function of the same name in `tracelet.intake.series`.
"""

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet import guard
from tracelet.values import class_of

if TYPE_CHECKING:
    from tracelet.intake import Intake

IMAGES_MAX: Final = 1000  # in one call; more may have no end
_now: Final = time.time


class Media:
    """What is seen or heard."""

    __slots__ = ()

    _intake: "Intake"

    def log_histogram(
        self,
        name: str,
        values: Any = None,
        iteration: int | None = None,
        *,
        step: int | None = None,
        bins: Any = None,
        counts: Any = None,
        limits: Any = None,
    ) -> None:
        """Log how values are spread.

        Args:
            name: Any text that is not empty.
            values: A tensor, an array or a list of numbers, of any shape; or an iterable of tensors or
                arrays, such as `model.parameters()`, whose values are taken together.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            bins: How values are counted: a number of equal bins, a rule of `numpy.histogram`, or limits.
            counts: Instead of values: how many are in each bin.
            limits: Where each bin begins, and where the last ends: one more than counts.
        """
        at = step if iteration is None else iteration
        self.histogram(name, values, at, bins=bins, counts=counts, limits=limits)

    @guard.contained
    def histogram(
        self, name: object, values: Any, step: object, time: float | None = None, **more: Any
    ) -> None:
        """Record a histogram: what captures call."""
        from tracelet.intake import series

        series.histogram(self._intake, name, values, step, time, **more)

    def log_image(
        self,
        name: str,
        image: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        layout: str | None = None,
        boxes: Any = None,
        labels: Any = None,
        caption: str = "",
    ) -> None:
        """Log an image.

        Args:
            name: Any text that is not empty.
            image: An image of Pillow's, the path of a file, or a tensor or array: of floats from 0 to 1,
                or of uint8. A batch becomes a grid.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            layout: The axes of a tensor or array: "HW", "HWC", "CHW", "NCHW", "NHWC". By default the
                channels are the axis of 1, 3 or 4 elements: of a tensor the first, else the last.
            boxes: Boxes to be drawn on it, each (left, top, right, bottom) in pixels.
            labels: A text for each box.
            caption: A text that belongs to it.
        """
        at = step if iteration is None else iteration
        self.image(name, image, at, layout=layout, boxes=boxes, labels=labels, caption=caption)

    @guard.contained
    def log_images(
        self,
        name: str,
        images: Iterable[Any],
        iteration: int | None = None,
        *,
        step: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Log several images, as `name/0`, `name/1` …, up to 1,000; `layout` is that of each."""
        given = cast("object", images)
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            message = "log_images of %r takes several images, such as a list, and not a %s"
            guard.warn_once(message, name, class_of(cast("object", given)), key=name)
            return
        at, now = step if iteration is None else iteration, _now()
        for number, image in enumerate(images):
            if number == IMAGES_MAX:
                message = "log_images of %r takes up to %d images; what follows is not logged"
                guard.warn_once(message, name, IMAGES_MAX, key=name)
                break
            self.image(f"{name}/{number}", image, at, now, layout=layout)

    @guard.contained
    def image(self, name: object, image: Any, step: object, time: float | None = None, **more: Any) -> None:
        """Record an image: what captures call."""
        from tracelet.intake import series

        series.image(self._intake, name, image, step, time, **more)

    def log_figure(
        self,
        name: str,
        figure: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Log a figure, as it is at this moment; it stays as it is, and open.

        Args:
            name: Any text that is not empty.
            figure: A figure of matplotlib, axes, or pyplot itself for its current figure; a list of
                such, to be shown one below the other; a figure of plotly; an image of Pillow's; or the
                path of a file.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            caption: A text that belongs to it.
        """
        self.figure(name, figure, step if iteration is None else iteration, caption=caption)

    @guard.contained
    def figure(self, name: object, figure: Any, step: object, time: float | None = None, **more: Any) -> None:
        """Record a figure: what captures call."""
        from tracelet.intake import series

        series.figure(self._intake, name, figure, step, time, **more)

    def log_audio(
        self,
        name: str,
        audio: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        rate: int = 0,
        caption: str = "",
    ) -> None:
        """Log a sound.

        Args:
            name: Any text that is not empty.
            audio: The path of a file; or a tensor or array of the shape (frames,), (frames, channels)
                or (channels, frames), of floats from -1 to 1 or of integers.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            rate: Frames per second; a file says its own.
            caption: A text that belongs to it.
        """
        self.audio(name, audio, step if iteration is None else iteration, rate=rate, caption=caption)

    @guard.contained
    def audio(self, name: object, sound: Any, step: object, time: float | None = None, **more: Any) -> None:
        """Record a sound: what captures call."""
        from tracelet.intake import series

        series.audio(self._intake, name, sound, step, time, **more)

    def log_video(
        self,
        name: str,
        video: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        fps: float = 4,
        layout: str | None = None,
        caption: str = "",
    ) -> None:
        """Log a film.

        Args:
            name: Any text that is not empty.
            video: The path of a file; a tensor or array of 4 axes, or of 5, which are several films to
                be shown as a grid, of floats from 0 to 1 or of uint8; or a list of images.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            fps: How many frames are shown in a second; a file says its own.
            layout: The axes of a tensor or array: "TCHW", "THWC", "NTCHW", "NTHWC"; T is the frames. By
                default the channels are found as in `log_image`.
            caption: A text that belongs to it.
        """
        at = step if iteration is None else iteration
        self.video(name, video, at, fps=fps, layout=layout, caption=caption)

    @guard.contained
    def video(self, name: object, frames: Any, step: object, time: float | None = None, **more: Any) -> None:
        """Record a film: what captures call."""
        from tracelet.intake import series

        series.video(self._intake, name, frames, step, time, **more)

    def log_html(
        self,
        name: str,
        html: str | os.PathLike[str],
        iteration: int | None = None,
        *,
        step: int | None = None,
    ) -> None:
        """Log a page of HTML.

        Args:
            name: Any text that is not empty.
            html: The page itself; or the path of a file, as a `pathlib.Path`.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
        """
        self.html(name, html, step if iteration is None else iteration)

    @guard.contained
    def html(self, name: object, html: Any, step: object, time: float | None = None) -> None:
        """Record a page: what captures call."""
        from tracelet.intake import series

        series.html(self._intake, name, html, step, time)
