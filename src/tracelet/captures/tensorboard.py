"""Listen to `torch.utils.tensorboard.SummaryWriter`.

    add_scalar      a scalar: the tag names it, with the value as it was given (event files keep
                    float32), `global_step` as step and `walltime`, if given, as time

Every other method passes through untouched.

The first log directory that a run sees keeps its tags as names. Writers with another directory get
it as a prefix, relative to the first one or to that one's parent: with `runs/a` first, `runs/a/val`
writes `val/loss` and `runs/b` writes `b/loss`.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracelet.capture import Capture

if TYPE_CHECKING:
    from tracelet.experiment import Experiment
    from tracelet.patching import Patches

LOG: Final = logging.getLogger("tracelet.captures.tensorboard")
TEXT: Final = (str, bytes)  # torch takes a number's text too


def install(patches: "Patches", experiment: "Experiment") -> None:
    """Let `experiment` record what any `SummaryWriter` of this process is given."""
    scalar = experiment.scalar
    names = Names()
    known = names.known

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
            name = names.name(getattr(writer, "log_dir", ""), tag)
        if isinstance(scalar_value, TEXT):
            try:
                scalar_value = float(scalar_value)
            except ValueError:  # the name of a Caffe2 blob
                return
        scalar(name, scalar_value, global_step, None if walltime is None else float(walltime))

    patches.wrap("torch.utils.tensorboard.writer", "SummaryWriter.add_scalar", add_scalar)


CAPTURE: Final = Capture(name="tensorboard", install=install)


class Names:
    """Names for tags, so that two log directories never share one.

    There is no lock: a thread that is forked away while it holds one would leave its child hanging.
    `dict.setdefault` decides who comes first.
    """

    def __init__(self) -> None:
        self.known: dict[Any, dict[Any, str]] = {}
        """Log directory and tag, as the writer was given them, to name: one look per call."""
        self._places: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._owners: dict[str, tuple[str, str]] = {}

    def name(self, log_dir: object, tag: object) -> str:
        """Find the name of a tag in a log directory."""
        # Once for each text: a relative one would be another place after a change of directory.
        place = self._places.setdefault(str(log_dir), location(log_dir))
        text = tag.decode() if isinstance(tag, bytes) else str(tag)
        prefix = self._prefix(place)
        wanted = f"{prefix}/{text}" if prefix else text

        name, count = wanted, 1
        while self._owners.setdefault(name, (place, text)) != (place, text):
            count += 1
            name = f"{wanted} ({count})"
        with contextlib.suppress(TypeError):  # something that has no hash is looked up each time
            self.known.setdefault(log_dir, {})[tag] = name
        return name

    def _prefix(self, place: str) -> str:
        prefix = self._prefixes.get(place)
        if prefix is None:
            first = self._first.setdefault("place", place)
            prefix = self._prefixes[place] = relative(place, first)
            if len(self._prefixes) == 2:  # noqa: PLR2004  once: a sweep may have hundreds
                message = "a second TensorBoard log directory, %s: names of its scalars begin with %r"
                LOG.info(message, place, f"{prefix}/")
        return prefix


def location(log_dir: object) -> str:
    """Make a log directory comparable: absolute, links resolved, parts separated by slashes."""
    text = str(log_dir)  # as torch does
    if "://" in text:
        return text.rstrip("/")
    return Path(os.path.realpath(text)).as_posix()


def relative(place: str, first: str) -> str:
    """Say what the names of `place` begin with when `first` is the directory without a prefix."""
    if place == first:
        return ""
    parent, _, _ = first.rpartition("/")
    if place == parent:
        return parent.rpartition("/")[2]
    for base in (first, parent):
        if place.startswith(f"{base}/"):
            return place.removeprefix(f"{base}/").lstrip("/")
    return place.lstrip("/")
