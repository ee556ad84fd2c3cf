"""Listen to `torch.utils.tensorboard.SummaryWriter`.

    add_scalar      a scalar: the tag names it, with the value as it was given (event files keep
                    float32), `global_step` as step and `walltime`, if given, as time
    add_scalars     a scalar for each entry, called `main_tag/tag`
    add_text        a text, called as its tag
    add_hparams     params, and scalars under their own names; what torch does for it inside, with
                    another writer in another directory, is not heard

    add_histogram   a histogram: the values themselves, of any of torch's bins
    add_histogram_raw   a histogram: counts, limits and moments as they are given
    add_image, add_images   an image: the array as it is, with `dataformats` as its layout
    add_image_with_boxes   an image with its boxes and labels, which are drawn where it is shown

Every other method passes through untouched. Where torch refuses what is clear, an iterable of tensors
given to `add_histogram`, such as `model.parameters()`, it is handed all their values in one tensor.

The first log directory that a run sees keeps its tags as names. Writers with another directory get
it as a prefix, relative to the first one or to that one's parent: with `runs/a` first, `runs/a/val`
writes `val/loss` and `runs/b` writes `b/loss`.
"""

import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from tracelet.arrays import MANY, is_many, is_tensor, numbers
from tracelet.capture import Capture
from tracelet.events import Moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracelet.experiment import Experiment
    from tracelet.patching import Patches

LOG: Final = logging.getLogger("tracelet.captures.tensorboard")
TEXT: Final = (str, bytes)  # torch takes a number's text too
_VALUES: Final = 2  # where `add_histogram` has its values among the positional arguments, `self` first


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

    heard = (
        add_scalar,
        listener.add_scalars,
        listener.add_text,
        listener.add_hparams,
        listener.add_histogram,
        listener.add_histogram_raw,
        listener.add_image,
        listener.add_images,
        listener.add_image_with_boxes,
    )
    for one in heard:
        helper = _with_values_joined if one.__name__ == "add_histogram" else None
        patches.wrap("torch.utils.tensorboard.writer", f"SummaryWriter.{one.__name__}", one, helper)


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

    def add_histogram(
        self,
        writer: Any,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        # The writer's own bins are its way of looking at values, and not what the user has chosen.
        chosen = None if isinstance(bins, str) and bins == "tensorflow" else bins
        self._experiment.histogram(
            self.names.name(writer.log_dir, tag, "histogram"),
            values,
            global_step,
            None if walltime is None else float(walltime),
            bins=chosen,
            max_bins=int(max_bins or 0),
        )

    def add_histogram_raw(
        self,
        writer: Any,
        tag: str,
        min: Any,  # noqa: A002  torch's parameter
        max: Any,  # noqa: A002  torch's parameter
        num: Any,
        sum: Any,  # noqa: A002  torch's parameter
        sum_squares: Any,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        self._experiment.histogram(
            self.names.name(writer.log_dir, tag, "histogram"),
            None,
            global_step,
            None if walltime is None else float(walltime),
            counts=bucket_counts,
            limits=_limits(float(min), bucket_limits),
            moments=Moments(*map(float, (num, min, max, sum, sum_squares))),
        )

    def add_image(
        self,
        writer: Any,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        self._image(writer, tag, img_tensor, global_step, walltime, layout=dataformats)

    def add_images(
        self,
        writer: Any,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        self._image(writer, tag, img_tensor, global_step, walltime, layout=dataformats)

    def add_image_with_boxes(
        self,
        writer: Any,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        rescale: float = 1,  # noqa: ARG002  torch's parameter: how large the event file's picture is
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        more = {"boxes": box_tensor, "labels": labels}
        self._image(writer, tag, img_tensor, global_step, walltime, layout=dataformats, **more)

    def _image(self, writer: Any, tag: str, image: Any, step: Any, when: float | None, **more: Any) -> None:
        name = self.names.name(writer.log_dir, tag, "image")
        self._experiment.image(name, image, step, None if when is None else float(when), **more)

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


def _limits(least: float, bucket_limits: Any) -> list[float]:
    """Say where each bucket begins, too: torch is told where it ends; the first has the least value."""
    ends, _ = numbers(bucket_limits)
    return [min(least, *ends[:1]), *ends]


def _with_values_joined(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand `add_histogram` one tensor where it is given an iterable of them; leave all else as it is."""
    given: Any = args[_VALUES] if len(args) > _VALUES else kwargs.get("values")
    if not is_many(given):
        return args, kwargs
    tensors: list[Any] = []
    for one in given:
        if not is_tensor(one) or len(tensors) >= MANY:  # a data loader, perhaps, or something without end
            return args, kwargs  # torch says what it thinks of it
        tensors.append(one)
    if not tensors:
        return args, kwargs
    torch: Any = sys.modules["torch"]  # there are tensors, so there is torch
    flat = [tensor.detach().reshape(-1).cpu() for tensor in tensors]
    if len({tensor.dtype for tensor in flat}) > 1:
        wide = any(tensor.dtype == torch.float64 for tensor in flat)
        flat = [tensor.double() if wide else tensor.float() for tensor in flat]
    joined = torch.cat(flat)
    if len(args) > _VALUES:
        return (*args[:_VALUES], joined, *args[_VALUES + 1 :]), kwargs
    return args, {**kwargs, "values": joined}


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
