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


Event: TypeAlias = RunStarted | Metric | Params | Tags | Note | Text | Artifact | Lost | RunFinished
Packed: TypeAlias = RunStarted | Params | Tags | Note | Text | Artifact | Lost | RunFinished
"""Every event but `Metric`, which has frames of its own."""
