"""What an experiment is given, on its way into the journal: all but the points of metrics.

Large data is written to a blob on the calling thread, from where it lies in memory, and its record
follows. Nothing is converted or encoded here: that is for the process that delivers.
"""

import errno
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from tracelet import arrays, guard, inputs, media
from tracelet.arrays import Raw
from tracelet.events import Histogram, Image, Moments, Packed, Payload
from tracelet.inputs import pictures, spreads
from tracelet.inputs.texts import Raised, attempt
from tracelet.journal import blobs
from tracelet.journal.recorder import Recorder
from tracelet.journal.status import RunFile
from tracelet.life import Life

_AT_ONCE: Final = 500  # params in one record
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Intake:
    """Takes in what one experiment is given.

    Args:
        directory: The run's directory; None if nothing is recorded.
        run: Its `run.json`.
        recorder: Where records go.
        life: Tells whether the run has ended.
    """

    def __init__(self, directory: Path | None, run: RunFile, recorder: Recorder, life: Life) -> None:
        self._directory = directory
        self._run = run
        self._recorder = recorder
        self._life = life
        self._ordinals: dict[tuple[str, str], itertools.count[int]] = {}

    def event(self, event: Packed) -> None:
        """Record an event, or say why it is not."""
        if not self._recorder.event(event):
            self.missed(type(event).__name__)

    def missed(self, what: str) -> None:
        """Say why something was not recorded, once."""
        if self._life.ended:
            message = "%s comes after the run %s has ended; it is not logged"
            guard.warn_once(message, what, self._run.name, key=self._run.run_id)
        elif self._recorder.reason:
            guard.warn_once(
                "the journal in %s cannot be written: %s. Training goes on, and what is lost is counted",
                self._directory,
                self._recorder.reason,
            )

    @guard.contained
    def point(self, name: object, value: object, step: object, time: float | None) -> None:
        """Record a value that still has to be understood, or say why it cannot be."""
        point = inputs.point(name, value, step, time)
        if point is None:
            return
        name, number, whole, now = point
        if whole is None:
            written = self._recorder.stepless(name, number, now)
        else:
            written = self._recorder.scalar(name, number, whole, now)
        if not written:
            self.missed(f"metric {name!r}")

    def parts(self, pairs: Sequence[tuple[str, Any]], make: Callable[[Any], Packed]) -> None:
        """Record names and values, in as many records as they need."""
        for begin in range(0, len(pairs), _AT_ONCE):
            part = pairs[begin : begin + _AT_ONCE]
            try:
                self.event(make(part))
            except ValueError:  # together they are too large for one
                if len(part) == 1:
                    guard.warn_once("%r is too large to be logged", part[0][0][:100], key=part[0][0][:100])
                    continue
                self.parts(part[: len(part) // 2], make)
                self.parts(part[len(part) // 2 :], make)

    def artifact(
        self,
        path: str | os.PathLike[str],
        artifact_path: str | os.PathLike[str] | None,
        *,
        copy: bool,
    ) -> None:
        """See `Experiment.log_artifact`."""
        if self._directory is None:
            return
        if self._life.ended:  # before its bytes are copied for nothing
            self.missed("artifact")
            return
        try:
            source = Path(os.path.expanduser(path))  # noqa: PTH111  Path's raises where no home is known
            place = None if artifact_path is None else os.fspath(artifact_path)
            for artifact in blobs.artifacts(self._directory, source, place, copy=copy):
                self.event(artifact)
        except (TypeError, ValueError) as error:  # no path at all, or a null byte in it
            guard.warn_once("artifact %r cannot be logged: %s", path, error, key=str(error))
        except OSError as error:
            self._unwritten("artifact", error.filename or path, error)

    def histogram(
        self,
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
        """See `Experiment.log_histogram`."""
        at = self._place("histogram", name, step, time)
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
            self._refused("histogram", at.name, error)
            return
        raw = None if values is None else attempt(arrays.joined, values)
        if isinstance(raw, Raised):
            self._refused("histogram", at.name, raw.error)
            return
        if raw is not None and not any(piece.nbytes for piece in raw.pieces):
            self._refused("histogram", at.name, "it has no values")
            return
        data = None if raw is None else self._kept("histogram", at.name, raw)
        if data is None and raw is not None:
            return
        self.event(
            Histogram(
                time=at.time,
                name=at.name,
                step=at.step,
                ordinal=self._ordinal("histogram", at),
                data=data,
                counts=counted,
                limits=chosen.limits,
                bins=chosen.bins,
                max_bins=max_bins,
                moments=moments,
            )
        )

    def image(
        self,
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
        """See `Experiment.log_image`."""
        at = self._place("image", name, step, time)
        if at is None:
            return
        drawn = () if boxes is None else attempt(pictures.boxes, boxes)  # first: it may be refused
        if isinstance(drawn, Raised):
            self._refused("image", at.name, drawn.error)
            return
        axes = ""
        if isinstance(given, (str, os.PathLike)):
            data = self._file(at.name, Path(os.path.expanduser(cast("str", given))))  # noqa: PTH111  as above
        else:
            pixels = attempt(pictures.pixels, given, layout)
            if isinstance(pixels, Raised):
                self._refused("image", at.name, pixels.error)
                return
            data, axes = self._kept("image", at.name, pixels.raw), pixels.layout
        if data is None:
            return
        event = Image(
            time=at.time,
            name=at.name,
            data=data,
            step=at.step,
            ordinal=self._ordinal("image", at),
            layout=axes,
            boxes=drawn,
            labels=pictures.labels(labels, len(drawn)),
            caption=inputs.text(at.name, caption),
        )
        self._measure(event)
        self.event(event)

    def _place(self, what: str, name: object, step: object, time: float | None) -> inputs.Place | None:
        """Find the place of an entry; None if there is nothing to record it in, or it has no name."""
        if self._directory is None:
            return None
        if self._life.ended:  # else its bytes would be left behind
            self.missed(what)
            return None
        return inputs.place(what, name, step, time)

    def _ordinal(self, what: str, at: inputs.Place) -> int:
        """Number what has no step; a forked child goes on from its parent's number."""
        if at.step is not None:
            return 0
        return next(self._ordinals.setdefault((what, at.name), itertools.count()))

    def _kept(self, what: str, name: str, raw: Raw) -> Payload | None:
        """Write an array's bytes to a blob."""
        assert self._directory is not None  # noqa: S101  `_place` has asked
        try:
            digest, size = blobs.keep_bytes(self._directory, raw.pieces)
        except OSError as error:
            self._unwritten(what, name, error)
            return None
        return Payload(digest, size, dtype=raw.dtype, shape=raw.shape)

    def _file(self, name: str, source: Path) -> Payload | None:
        """Keep an image's file."""
        assert self._directory is not None  # noqa: S101  as above
        try:
            if not source.is_file():
                raise OSError(errno.ENOENT, "there is no such file", str(source))
            digest, size = blobs.keep(self._directory, source)
        except OSError as error:
            self._unwritten("image", error.filename or name, error)
            return None
        return Payload(digest, size, format=source.suffix[1:].lower() or "png")

    def _measure(self, image: Image) -> None:
        """Say once that images are delivered smaller than they are."""
        most = max((media.most(target.options) for target in self._run.targets.values()), default=0)
        if not most or image.data.format:
            return
        height, width, channels = media.extent(image)
        if height * width * channels > most:
            guard.warn_once(
                "image %r has %d bytes, and max_image_size=%d: such images are delivered smaller",
                image.name,
                height * width * channels,
                most,
                key="max_image_size",
            )

    def _refused(self, what: str, name: str, reason: Exception | str) -> None:
        if isinstance(reason, Exception) and not isinstance(reason, (TypeError, OverflowError)):
            reason = f"{type(reason).__name__}: {reason}"  # the user's own code, or a library's
        guard.warn_once("%s %r: %s. It is not logged", what, name, reason, key=(what, name))

    def _unwritten(self, what: str, which: object, error: OSError) -> None:
        """Say that a file cannot be read, or that there is no room; the journal is told of the second."""
        reason = error.strerror or str(error)
        guard.warn_once("%s %s cannot be logged: %s", what, which, reason, key=str(which))
        if error.errno in _NO_ROOM:
            self._recorder.lose(f"{what} {which}: {reason}")
