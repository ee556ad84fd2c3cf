"""What can happen in a run: the one vocabulary that captures write and backends read.

Every event has a `time`, in seconds since the epoch, taken once, when it happened.
Events are frozen and compare by value. On disk a `Metric` is a frame of fixed size;
every other event is a msgpack map tagged with its class's name (see `tracelet.journal`).
A field added later needs a default, so that older journals stay readable.
"""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

Status: TypeAlias = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended: by itself, by an error, or from outside."""

if TYPE_CHECKING:
    Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
else:
    Plain = Any  # msgspec takes no recursive types
"""What a param's value can be once `tracelet.values` has seen it."""


class RunStarted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """The first event of every run.

    `parent` is the id of the run that this one is nested in, as its tracker calls it.
    """

    time: float
    run_id: str
    name: str
    project: str
    tags: dict[str, str] = {}
    note: str = ""
    group: str = ""
    job_type: str = ""
    parent: str = ""


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One scalar.

    `value` is a float64 and may be NaN or infinite. `step` is an int64, or None for a point
    without one; then `ordinal` numbers the points that this process logged under this name
    without a step: 0, 1, 2 …, for the trackers that must have a step.
    """

    name: str
    value: float
    step: int | None
    time: float
    ordinal: int = 0


class Params(msgspec.Struct, frozen=True, tag=True):
    """Hyperparameters; nested names are joined by dots."""

    time: float
    params: dict[str, Plain]


class Tags(msgspec.Struct, frozen=True, tag=True):
    """Tags that are set, or set anew, on a run."""

    time: float
    tags: dict[str, str]


class Note(msgspec.Struct, frozen=True, tag=True):
    """The run's description; a later one replaces it."""

    time: float
    text: str


class Text(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A text that belongs to a step, such as a sample of what a model writes. May be Markdown."""

    time: float
    name: str
    text: str
    step: int | None = None


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """Data too large for a record.

    Its bytes are the blob called `digest`: the elements of an array of this `shape`, in C order and
    little-endian, of the type that numpy calls `dtype`; or, without a `dtype`, a file of a `format`,
    such as "png". What a tracker gives back has no digest but a `path`, for `Reader.download`.
    """

    digest: str
    size: int
    dtype: str = ""
    shape: tuple[int, ...] = ()
    format: str = ""
    path: str = ""


class Moments(msgspec.Struct, frozen=True):
    """What is known of the values of a histogram besides their counts."""

    num: float
    min: float
    max: float
    sum: float
    sum_squares: float


class Histogram(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """How values are spread.

    `data` holds the values themselves, of any shape; `bins` then says how to count them: a number of
    equal bins, the name of a rule of numpy's, or nothing for the default; or `limits` does. Without
    `data` there are `counts`, and `limits` has one number more: where each bin begins, and the last
    ends. `max_bins`, unless it is 0, is how many there may be. `step` and `ordinal` are as in `Metric`.
    """

    time: float
    name: str
    step: int | None = None
    ordinal: int = 0
    data: Payload | None = None
    counts: tuple[float, ...] = ()
    limits: tuple[float, ...] = ()
    bins: str = ""
    max_bins: int = 0
    moments: Moments | None = None


class Image(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A picture, or a batch of them to be shown as a grid.

    `layout` names the axes of an array, such as "CHW" or "NHWC"; `data` may be a file instead. Each
    of the `boxes` is (left, top, right, bottom) in pixels; there are as many `labels`, or none.
    `step` and `ordinal` are as in `Metric`.
    """

    time: float
    name: str
    data: Payload
    step: int | None = None
    ordinal: int = 0
    layout: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    labels: tuple[str, ...] = ()
    caption: str = ""


class Artifact(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """One file.

    `path` is its place among the run's artifacts, with `/` between parts. Its bytes are the
    blob called `digest`; or, when `digest` is empty, they are still where the user left them,
    at `reference`, and `size` and `mtime` say what they were when they were logged.
    """

    time: float
    path: str
    size: int
    digest: str = ""
    reference: str = ""
    mtime: float = 0.0


class Lost(msgspec.Struct, frozen=True, tag=True):
    """`count` records could not be written, for `reason`; written as soon as there is room again."""

    time: float
    count: int
    reason: str


class RunFinished(msgspec.Struct, frozen=True, tag=True):
    """The last event of a run; nobody may append to the journal's own segment after it."""

    time: float
    status: Status
    reason: str = ""


Packed: TypeAlias = (
    RunStarted | Params | Tags | Note | Text | Histogram | Image | Artifact | Lost | RunFinished
)
"""Every event but `Metric`, which has frames of its own."""
Event: TypeAlias = Packed | Metric


def payload_of(event: Event) -> tuple[str, int]:
    """Return the blob that an event names, and its size in bytes; `("", 0)` for one that has none.

    An artifact that was left where it is has a size and no blob.
    """
    if isinstance(event, Artifact):
        return event.digest, event.size
    data = event.data if isinstance(event, (Histogram, Image)) else None
    return (data.digest, data.size) if data is not None else ("", 0)
