"""Trackio: SQLite databases in a directory of this machine, one for each project.

    ours                 Trackio's
    project              project: the database `<project>.db`; only letters, digits, "-" and "_" of it stay
    run                  run, whose id there is our run_id
    name                 run name
    Metric               a row of `metrics`: step, time, `{name: value}`
    Metric "system/…"    a row of `system_metrics`: time, `{name: value}`, without "system/"
    Params               config, with their types (see `config`)
    group, start         config `_Group`, `_Created`, as Trackio itself writes them
    Tags, Note, job_type,
    status, Layout,
    Definition           config `tracelet`, which its pages show with the rest
    Text                 a row with a `trackio.Markdown`
    Histogram            a row with a `trackio.Histogram`
    Image, Figure        a row with a `trackio.Image`; of plotly's figures a `trackio.Html`
    Audio, Video, Html   a row with a `trackio.Audio`, `trackio.Video`, `trackio.Html`
    Table                a row with a `trackio.Table`
    Artifact             an artifact called as its path, of the type "file" (see `files`)
    Bundle               an artifact of the same name with all its files
    RunFinished          config `tracelet.status`
    Lost                 nothing; it stays in the journal

Each row bears a `log_id` made of the record, and Trackio takes no second row of one `log_id`. Files
are named by what they are of. So everything can be repeated, by a new process too.
"""

from collections.abc import Hashable
from typing import Final

from tracelet import backend
from tracelet.backend import Backend, BlobPath, Degradation, Limits, Options
from tracelet.backends.trackio.held import held
from tracelet.backends.trackio.places import configure, source
from tracelet.events import Event, Metric

__all__ = ["BACKEND", "LIMITS"]

_TEXT: Final = 1_000_000  # characters; Trackio itself sets no limit

LIMITS: Final = Limits(
    batch=5000,  # each call of Trackio's costs 50 ms beside its rows
    params=1000,
    tags=1000,
    name_length=1000,
    name_characters=r"\x20-\x7e\xa0-\U0010ffff",
    param_value=_TEXT,
    tag_value=_TEXT,
    note=_TEXT,
    needs_step=True,
    patience=120.0,
)

DEGRADATIONS: Final = (
    Degradation(
        what="a point, an image or the like without a step", becomes="numbered 0, 1, 2 … for each name"
    ),
    Degradation(what="a text without a step", becomes="shown at step 0"),
    Degradation(what="the step of a metric called system/…", becomes="nothing; its time is its place"),
    Degradation(what="time below a microsecond", becomes="rounded to a microsecond"),
    Degradation(what="points of one name, step, time and value", becomes="one point"),
    Degradation(
        what='a param that is the text "NaN", "Infinity" or "-Infinity"',
        becomes="the number; inside a list, of a number the text",
    ),
    Degradation(what="a whole number of more than 64 bits, in a param or table", becomes="text"),
    Degradation(
        what="an image's array", becomes="a PNG of 8 bits a channel, with its boxes drawn; NaN is black"
    ),
    Degradation(what="an array of sound or film", becomes="WAV or GIF"),
    Degradation(what="a histogram's values", becomes="counts in bins"),
    Degradation(what="a table that is a chart", becomes="a table"),
    Degradation(what="a name with control characters", becomes="escaped, reversibly"),
    Degradation(what="a name longer than 1,000 characters", becomes="cut; a tag has the original"),
    Degradation(what="a text longer than 1,000,000 characters in a param, tag or note", becomes="cut"),
    Degradation(
        what="a project whose name Trackio keeps for itself, such as registry-a or a_system",
        becomes="that name with a dash before or behind",
    ),
    Degradation(what="the time of a param, tag or note", becomes="the time of the run's start"),
)


def identity(event: Event) -> Hashable | None:
    """Return what makes two points one row; None for all else."""
    if not isinstance(event, Metric):
        return None
    step = event.ordinal if event.step is None else event.step
    return event.name, step, event.time, repr(event.value)


def _reader(options: Options) -> backend.Reader:
    from tracelet.backends.trackio.reader import Reader

    return Reader(options)


def _writer(options: Options, blob: BlobPath) -> backend.Writer:
    from tracelet.backends.trackio.writer import Writer  # the training process needs only `configure`

    return Writer(options, blob)


BACKEND: Final = Backend(
    name="trackio",
    client="trackio",
    install='pip install "tracelet[trackio]"',
    limits=LIMITS,
    variables="TRACKIO_",
    configure=configure,
    writer=_writer,
    source=source,
    examples=("", "DIRECTORY", "DIRECTORY/vision.db"),
    reader=_reader,
    identity=identity,
    confirms="write",
    held=held,
    degradations=DEGRADATIONS,
)
