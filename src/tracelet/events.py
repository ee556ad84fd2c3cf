"""What can happen in a run: the one vocabulary that captures write and backends read.

Every event has a `time`, in seconds since the epoch, taken once, when it happened.
Events are frozen and compare by value. On disk a `Metric` is a frame of fixed size;
every other event is a msgpack map tagged with its class's name (see `tracelet.journal`).
A field added later needs a default, so that older journals stay readable.
"""

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

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


class Figure(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A plot, as a plotting library has drawn it.

    `data` is an array of pixels with the axes "HWC", or a file: plotly's JSON, of the format
    "plotly.json", or any picture. `step` and `ordinal` are as in `Metric`.
    """

    time: float
    name: str
    data: Payload
    step: int | None = None
    ordinal: int = 0
    caption: str = ""


class Audio(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A sound: an array of shape (frames,) or (frames, channels), or a file.

    `rate` is the array's frames per second; a file says its own, and has 0 here. Floats reach from
    -1 to 1. `step` and `ordinal` are as in `Metric`.
    """

    time: float
    name: str
    data: Payload
    step: int | None = None
    ordinal: int = 0
    rate: int = 0
    caption: str = ""


class Video(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A film, or a batch of them to be shown as a grid.

    `layout` names the axes of an array, such as "NTCHW", T being the frames, of which `fps` are shown
    in a second; `data` may be a file instead. `step` and `ordinal` are as in `Metric`.
    """

    time: float
    name: str
    data: Payload
    step: int | None = None
    ordinal: int = 0
    layout: str = ""
    fps: float = 0.0
    caption: str = ""


class Html(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A page of HTML: a file. `step` and `ordinal` are as in `Metric`."""

    time: float
    name: str
    data: Payload
    step: int | None = None
    ordinal: int = 0


class Table(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """Rows and columns.

    `data` is a JSON file `{"columns": [name, …], "data": [[value, …], …]}`, as pandas writes it with
    `orient="split"`, of the shape (rows, columns). `chart` says what the table is of, if it is to be
    drawn: "confusion_matrix", "pr_curve" or "roc_curve". `step` and `ordinal` are as in `Metric`.
    """

    time: float
    name: str
    data: Payload
    step: int | None = None
    ordinal: int = 0
    chart: str = ""


class Chart(msgspec.Struct, frozen=True):
    """How some metrics are to be shown together.

    `kind` is "multiline", or "margin" of which the tags are value, lower and upper bound. A tag of a
    "multiline" may be a regular expression, as in TensorBoard.
    """

    category: str
    title: str
    kind: str
    tags: tuple[str, ...]


class Layout(msgspec.Struct, frozen=True, tag=True):
    """Which metrics are to be shown together; a later one replaces it."""

    time: float
    charts: tuple[Chart, ...]


class Definition(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """What is known of a metric before it is logged; a later one of the same name replaces it.

    `name` may hold `*` for any text. `summary` says which of its values stand for the whole: "min",
    "max", "mean", "last", "best", the last by its `goal`, "minimize" or "maximize". `step_metric`
    is the metric that is its x axis, instead of the step.
    """

    time: float
    name: str
    summary: tuple[str, ...] = ()
    goal: str = ""
    step_metric: str = ""


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


class Bundle(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """Files that are one thing with a name: a model, a dataset, a checkpoint, an embedding.

    They are the `files` artifacts recorded before it whose paths are `path` or lie below it, and
    `data` is a JSON file that lists them: `{path: {"digest": …, "size": …}, …}`. Or there are none,
    and `reference` is the URI where it lies. `kind` is "model", "dataset", "checkpoint", "embedding",
    "mesh", "graph", "tensor", or a word of the user's.
    """

    time: float
    name: str
    kind: str = ""
    path: str = ""
    files: int = 0
    data: Payload | None = None
    reference: str = ""
    aliases: tuple[str, ...] = ()
    step: int | None = None
    metadata: dict[str, Plain] = {}


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


Series: TypeAlias = Text | Histogram | Image | Figure | Audio | Video | Html | Table
"""What is logged under a name again and again, like a metric, and is more than a number."""
SERIES: Final = (Text, Histogram, Image, Figure, Audio, Video, Html, Table)
"""The classes of `Series`."""

Packed: TypeAlias = (
    RunStarted | Params | Tags | Note | Series | Layout | Definition | Artifact | Bundle | Lost | RunFinished
)
"""Every event but `Metric`, which has frames of its own."""
Event: TypeAlias = Packed | Metric


def payload_of(event: Event) -> tuple[str, int]:
    """Return the blob that an event names, and its size in bytes; `("", 0)` for one that has none.

    An artifact that was left where it is has a size and no blob.
    """
    if isinstance(event, Artifact):
        return event.digest, event.size
    data: Payload | None = getattr(event, "data", None)
    return (data.digest, data.size) if data is not None else ("", 0)
