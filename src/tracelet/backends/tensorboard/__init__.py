"""TensorBoard: event files in a directory, written and read without torch or TensorFlow.

    ours                 TensorBoard's
    project, run         the directory `<project>/<name>`; its id is that path (see `places`)
    Metric               a scalar: float32 for everybody, and the float64 beside it (see `summaries`)
    Params               hparams of the run's one session; their exact values in `tracelet.json`
    Tags, Note           the texts `tracelet/tags` and `tracelet/note`, and `tracelet.json`
    group, job_type      `tracelet.json`
    Text                 a text
    Histogram            a histogram
    Image, Figure        an image; a figure of plotly's is a file, and a page
    Audio                an audio
    Video                an image, if it is a GIF; else a file
    Table                a text, and a file; of a PR curve one of TensorBoard's, of another chart an image
    Html                 a file
    Layout               custom scalars
    Definition           `tracelet.json`
    Artifact             the file `artifacts/<path>` in the run's directory
    Bundle               a list of its files; of a model's graph the graph
    RunFinished          the end of the hparams session; `tracelet.json`
    Lost                 nothing; it stays in the journal

One event file grows, and TensorBoard follows it. Event files have no identity for what is in them, so
the run has a ledger of what its files hold (see `ledger`): what comes again is not written again.
"""

from collections.abc import Hashable
from typing import Final

from tracelet import backend
from tracelet.backend import Backend, BlobPath, Degradation, Limits, Options
from tracelet.backends.tensorboard.held import held
from tracelet.backends.tensorboard.places import configure, source
from tracelet.events import Event, Metric

__all__ = ["BACKEND", "LIMITS"]

_TEXT: Final = 1_000_000  # characters; TensorBoard sets no limit

LIMITS: Final = Limits(
    batch=1000,
    params=1000,
    tags=1000,
    name_length=1000,
    name_characters=r"\x20-\x7e\xa0-\U0010ffff",
    param_value=_TEXT,
    tag_value=_TEXT,
    note=_TEXT,
    needs_step=True,
)

DEGRADATIONS: Final = (
    Degradation(what="a value, as TensorBoard shows it", becomes="a float32; the float64 stands beside it"),
    Degradation(
        what="a point, an image or the like without a step", becomes="numbered 0, 1, 2 … for each name"
    ),
    Degradation(what="a text without a step", becomes="shown at step 0"),
    Degradation(what="points of one name, step, time and value", becomes="one point"),
    Degradation(
        what="a param that is a list or None, as TensorBoard shows it",
        becomes="text; its value stands beside it, with words for NaN and infinities inside a list",
    ),
    Degradation(
        what="params, tags and notes that are logged while TensorBoard runs",
        becomes="shown there once it is started again",
    ),
    Degradation(
        what="an image's array", becomes="a PNG of 8 bits a channel, with its boxes drawn; NaN is black"
    ),
    Degradation(what="an array of sound or film", becomes="WAV or GIF"),
    Degradation(what="a histogram's values", becomes="counts in bins"),
    Degradation(
        what="a page of HTML, a figure of plotly's, a film that is no GIF, a mesh, an embedding",
        becomes="kept as files, and not shown",
    ),
    Degradation(what="what a metric is defined as", becomes="kept in a file, and not shown"),
    Degradation(what="a name with control characters", becomes="escaped, reversibly"),
    Degradation(what="a name longer than 1,000 characters", becomes="cut; a tag has the original"),
    Degradation(what="a text longer than 1,000,000 characters in a param, tag or note", becomes="cut"),
    Degradation(what="the time of a param, tag or note", becomes="the time of the run's start"),
)


def identity(event: Event) -> Hashable | None:
    """Return what makes two points one; None for all else."""
    if not isinstance(event, Metric):
        return None
    step = event.ordinal if event.step is None else event.step
    return event.name, step, event.time, repr(event.value)


def _reader(options: Options) -> backend.Reader:
    from tracelet.backends.tensorboard.reader import Reader

    return Reader(options)


def _writer(options: Options, blob: BlobPath) -> backend.Writer:
    from tracelet.backends.tensorboard.writer import Writer  # the training process needs only `configure`

    return Writer(options, blob)


BACKEND: Final = Backend(
    name="tensorboard",
    client="tensorboard",
    install='pip install "tracelet[tensorboard]"',
    limits=LIMITS,
    configure=configure,
    writer=_writer,
    source=source,
    examples=("runs",),
    reader=_reader,
    identity=identity,
    confirms="write",
    held=held,
    degradations=DEGRADATIONS,
)
