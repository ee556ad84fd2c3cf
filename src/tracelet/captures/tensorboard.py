"""Listen to `torch.utils.tensorboard.SummaryWriter`.

    add_scalar      a scalar: the tag names it, with the value as it was given (event files keep
                    float32), `global_step` as step and `walltime`, if given, as time
    add_scalars     a scalar for each entry, called `main_tag/tag`
    add_text        a text, called as its tag
    add_hparams     params, and scalars under their own names; what torch does for it inside, with
                    another writer in another directory, is not heard

Every other method passes through untouched.

The first log directory that a run sees keeps its tags as names. Writers with another directory get
it as a prefix, relative to the first one or to that one's parent: with `runs/a` first, `runs/a/val`
writes `val/loss` and `runs/b` writes `b/loss`.
"""

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet.capture import Capture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracelet.experiment import Experiment
    from tracelet.patching import Patches

LOG: Final = logging.getLogger("tracelet.captures.tensorboard")
TEXT: Final = (str, bytes)  # torch takes a number's text too


def install(patches: "Patches", experiment: "Experiment") -> None:
    """Let `experiment` record what any `SummaryWriter` of this process is given."""
    listener = _Listener(experiment)
    scalar = experiment.scalar
    known = listener.names.known
    find = listener.names.name

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
            name = find(getattr(writer, "log_dir", ""), tag)
        if isinstance(scalar_value, TEXT):
            try:
                scalar_value = float(scalar_value)
            except ValueError:  # the name of a Caffe2 blob
                return
        scalar(name, scalar_value, global_step, None if walltime is None else float(walltime))

    listeners = (add_scalar, listener.add_scalars, listener.add_text, listener.add_hparams)
    for heard in listeners:
        patches.wrap("torch.utils.tensorboard.writer", f"SummaryWriter.{heard.__name__}", heard)


class _Listener:
    """What hears the methods that are called now and then; `add_scalar` has no time for an object."""

    def __init__(self, experiment: "Experiment") -> None:
        self._experiment = experiment
        self.names = Names()

    def add_scalars(
        self,
        writer: Any,
        main_tag: str,
        tag_scalar_dict: "Mapping[str, Any]",
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        now = time.time() if walltime is None else float(walltime)
        for tag, value in tag_scalar_dict.items():
            self._scalar(self.names.name(writer.log_dir, (main_tag, tag)), value, global_step, now)

    def add_text(
        self,
        writer: Any,
        tag: str,
        text_string: str,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        name = self.names.name(writer.log_dir, tag, "text")
        when = None if walltime is None else float(walltime)
        self._experiment.text(name, text_string, global_step, when)

    def add_hparams(
        self,
        writer: Any,
        hparam_dict: "Mapping[str, Any]",
        metric_dict: "Mapping[str, Any]",
        hparam_domain_discrete: object = None,  # noqa: ARG002  torch's parameter
        run_name: object = None,  # noqa: ARG002  torch's parameter
        global_step: Any = None,
    ) -> None:
        now, name, place = time.time(), self.names.name, writer.log_dir
        params = {name(place, key, "param"): _number(value) for key, value in hparam_dict.items()}
        if params:
            self._experiment.log_params(params)
        for tag, value in metric_dict.items():
            self._scalar(name(place, tag), value, global_step, now)

    def _scalar(self, name: str, value: object, step: object, when: float) -> None:
        if isinstance(value, TEXT):
            try:
                value = float(value)
            except ValueError:  # as in `add_scalar`
                return
        self._experiment.scalar(name, value, step, when)


def _number(value: Any) -> Any:
    """Make a number of a tensor with one element, as torch does, which takes no other scalar tensor."""
    return value.item() if callable(getattr(value, "numel", None)) and value.numel() == 1 else value


CAPTURE: Final = Capture(name="tensorboard", install=install)


class Names:
    """Names for tags, so that two log directories never share one, and two methods neither.

    There is no lock: a thread that is forked away while it holds one would leave its child hanging.
    `dict.setdefault` decides who comes first.
    """

    def __init__(self) -> None:
        self.known: dict[Any, dict[Any, str]] = {}
        """Log directory and tag, as the writer was given them, to name: one look per call."""
        self._places: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._owners: dict[tuple[str, str], tuple[str, object]] = {}

    def name(self, log_dir: object, tag: object, family: str = "") -> str:
        """Find the name of a tag in a log directory.

        Args:
            log_dir: As the writer was given it.
            tag: The tag; of `add_scalars` the main tag and the tag, which are a scalar of their own
                even where `add_scalar` writes one of the same name.
            family: What is named, unless it is a scalar: others may have the same name.
        """
        # Once for each text: a relative one would be another place after a change of directory.
        place = self._places.setdefault(str(log_dir), location(log_dir))
        prefix, text = self._prefix(place), _text(tag)
        wanted = f"{prefix}/{text}" if prefix else text
        owner = place, cast("object", tag) if isinstance(tag, tuple) else text

        name, count = wanted, 1
        while self._owners.setdefault((family, name), owner) != owner:
            count += 1
            name = f"{wanted} ({count})"
        with contextlib.suppress(TypeError):  # something that has no hash is looked up each time
            if not family:
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


def _text(tag: object) -> str:
    if isinstance(tag, tuple):
        return "/".join(map(str, cast("tuple[object, ...]", tag)))
    return tag.decode() if isinstance(tag, bytes) else str(tag)


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
