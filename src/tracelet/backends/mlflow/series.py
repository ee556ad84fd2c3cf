"""Images and histograms of a run in MLflow: what their files are called, and what such a file says.

An image is two files, called as `MlflowClient.log_image` calls them, so that MLflow's UI shows it on
a slider of steps. The UI reads the name of every file in `images/`, so no other may stand there:

    images/<name>+step+<step>+timestamp+<milliseconds>+<uuid>.png
    images/<name>+step+<step>+timestamp+<milliseconds>+<uuid>+compressed.webp

A slash of the name is "~" there. The uuid is made of the record, so that a repetition replaces the
files. What they cannot say, a caption and boxes, is in `images/about/<uuid>.json`, if there is any.

A histogram is one file, `histograms/<name>/step-<step>+<milliseconds>+<digest>.json`; the name is
divided as that of a text is (see `paths`), and the digest, which the file repeats, is the record's.
JSON has no NaN and no infinity: they are "NaN", "Infinity" and "-Infinity" there.
"""

import dataclasses
import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

from tracelet.backends.mlflow import LIMITS
from tracelet.backends.mlflow.held import milliseconds, step_of
from tracelet.backends.mlflow.paths import divided, led, undivided, unled
from tracelet.events import Figure, Histogram, Image, Moments, Payload, Table
from tracelet.media import Counted
from tracelet.names import NAME_TAG, NameMap, digest_of, shorter

ABOUT: Final = "images/about/"
"""Where it is said of images what their own files cannot say."""
_SPACE: Final = uuid.UUID("6f5d3c3e-6f0c-5b0e-9d5b-1a4a0f2a7c11")  # nobody else's
_LONGEST: Final = 140  # bytes of a name in a file's name, beside what else stands there; it has 255
_WHOLE: Final = NameMap(LIMITS)
_IMAGE: Final = re.compile(
    # Until 3.10 MLflow put "%" between the parts, and "#" for a slash.
    r"images/(?P<name>[^/]+)(?P<by>[+%])step(?P=by)(?P<step>-?\d+)(?P=by)timestamp(?P=by)(?P<time>-?\d+)"
    r"(?P=by)(?P<uuid>[0-9a-f-]{36})(?P<small>(?P=by)compressed)?\.(?:png|webp)",
    re.DOTALL,
)
_HISTOGRAM: Final = re.compile(
    r"histograms/(?P<name>.+)/step-(?P<step>-?\d+)\+(?P<time>-?\d+)\+(?P<digest>[0-9a-f]{8})\.json", re.DOTALL
)


class ImageFiles(NamedTuple):
    """The paths of an image's files.

    Attributes:
        tags: The tag that tells the name, if it had to be cut.
    """

    whole: str
    small: str
    about: str
    tags: Mapping[str, str]


class Found(NamedTuple):
    """What the name of an image's file says; the name is as it was mapped."""

    image: Image
    about: str
    is_small: bool


def files_of(image: Image | Figure | Table) -> ImageFiles:
    """Choose the files that hold an image, or what is shown as one; its name is as the relay mapped it."""
    name, tags = _key(image.name)
    number = uuid.uuid5(_SPACE, msgspec.json.encode(image).decode())
    when = f"step+{step_of(image)}+timestamp+{milliseconds(image.time)}"
    stem = f"images/{led(name.replace('/', '~'))}+{when}+{number}"
    return ImageFiles(f"{stem}.png", f"{stem}+compressed.webp", _about(str(number)), tags)


def about(image: Image) -> bytes:
    """Say of an image what its files cannot; empty if there is nothing to say."""
    said = {"caption": image.caption, "boxes": [*map(_plain, image.boxes)], "labels": image.labels}
    kept = {name: value for name, value in said.items() if value}
    return json.dumps(kept, ensure_ascii=False, indent=2).encode() if kept else b""


def image_at(path: str, size: int) -> Found | None:
    """Return the image whose file is at a path; None for any other file."""
    found = _IMAGE.fullmatch(path)
    if found is None:
        return None
    image = Image(
        time=int(found["time"]) / 1000,
        name=re.sub("[~#]", "/", unled(found["name"])),
        data=Payload("", size, format="png", path=path),
        step=int(found["step"]),
    )
    return Found(image, _about(found["uuid"]), is_small=found["small"] is not None)


def with_about(image: Image, content: bytes) -> Image:
    """Add to an image what `about` said of it; nothing if that cannot be understood."""
    try:
        said = json.loads(content)
        return msgspec.structs.replace(
            image,
            caption=str(said.get("caption", "")),
            boxes=tuple(cast("Any", tuple(map(float, box))) for box in said.get("boxes", ())),
            labels=tuple(map(str, said.get("labels", ()))),
        )
    except (ValueError, TypeError, AttributeError):  # somebody else's file
        return image


def path_of(histogram: Histogram) -> str:
    """Choose the artifact that holds a histogram; its name is as the relay has mapped it."""
    when = f"step-{step_of(histogram):08d}+{milliseconds(histogram.time)}"
    return f"histograms/{divided(histogram.name)}/{when}+{_digest(histogram)}.json"


def content_of(histogram: Histogram, counted: Counted) -> bytes:
    """Write what an artifact says of a histogram."""
    said: dict[str, Any] = {
        "record": _digest(histogram),
        "step": step_of(histogram),
        "time": milliseconds(histogram.time) / 1000,
        "counts": _plain(counted.counts),
        "limits": _plain(counted.limits),
        "left_out": counted.left_out,
    }
    known = {} if counted.moments is None else msgspec.structs.asdict(counted.moments)
    said |= {name: _plain([value])[0] for name, value in known.items()}
    return json.dumps(said).encode()


def is_histogram(path: str) -> bool:
    """Tell whether an artifact of this path may be a histogram."""
    return _HISTOGRAM.fullmatch(path) is not None


def histogram_of(path: str, content: bytes) -> Histogram | None:
    """Return the histogram that an artifact holds, by its mapped name; None for any other artifact."""
    found = _HISTOGRAM.fullmatch(path)
    try:
        said = json.loads(content)
        if found is None or said["record"] != found["digest"]:
            return None
        moments = [float(said[name]) for name in Moments.__struct_fields__ if name in said]
        return Histogram(
            time=int(found["time"]) / 1000,
            name=undivided(found["name"]),
            step=int(found["step"]),
            counts=tuple(map(float, said["counts"])),
            limits=tuple(map(float, said["limits"])),
            moments=Moments(*moments) if moments else None,
        )
    except (ValueError, TypeError, KeyError):
        return None


def _about(number: str) -> str:
    return f"{ABOUT}{number}.json"


def _key(name: str) -> tuple[str, Mapping[str, str]]:
    """Cut a name that is too long for a file's; one that the relay has cut keeps its digest."""
    if len(name.encode()) <= _LONGEST:
        return name, {}
    length = _LONGEST if name.isascii() else _LONGEST // 4  # a character has 4 bytes at most
    if digest_of(name):
        return shorter(name, length), {}
    short = NameMap(dataclasses.replace(LIMITS, name_length=length))
    original = _WHOLE.from_tracker(name)
    cut = short.to_tracker(original)
    return cut, {NAME_TAG + digest_of(cut): original[: LIMITS.tag_value]}


def _digest(histogram: Histogram) -> str:
    return hashlib.sha256(msgspec.json.encode(histogram)).hexdigest()[:8]


def _plain(numbers: Iterable[float]) -> list[float | str]:
    return [number if math.isfinite(number) else _word(number) for number in numbers]


def _word(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
