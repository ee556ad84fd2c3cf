"""ClearML: a server, hosted or one's own, or the archive of an offline session.

    ours                      ClearML's
    project                   project; a slash makes a project within a project
    run                       task, found again by the system tag `tracelet:<run id>`
    name, Note                name, comment
    Metric                    scalar: "train/loss" has the title "train" and the series "loss" (see `titles`)
    a point that is NaN       scalar of the title "NaN and infinity", which says 0, 1 or -1
    Params                    hyperparameters; "optimizer/lr" is `lr` of the section "optimizer"
    Tags                      tags, `name=value`
    parent                    parent, if it is a task there
    job_type                  type, if ClearML has one like it
    Histogram, Table          plot
    Figure                    plot: plotly's own, or a picture
    Image, Audio, Video       debug sample
    Text, Html                debug sample
    Artifact                  artifact, called as its path
    Bundle                    artifact that lists its files; a model is an output model besides
    RunFinished               completed, failed or stopped
    Definition, Layout        a configuration object, "tracelet", as all that ClearML has no place for
    Lost                      nothing; it stays in the journal

A task is used through the client's session alone, never by `Task.init`, which watches the process, starts
threads and takes seconds to close; and points go to `events.add_batch`, where they can have times of their
own. There, one replaces another of its title, series and step, so all can be sent again.
"""

from typing import TYPE_CHECKING, Final

from tracelet.backend import Backend, BlobPath, Degradation, Limits, Options
from tracelet.backends.clearml.held import held, step_of
from tracelet.backends.clearml.options import configure, source
from tracelet.events import Event, Metric

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tracelet import backend

__all__ = ["BACKEND", "LIMITS", "configure", "identity"]

LIMITS: Final = Limits(
    batch=1000,
    params=1000,
    tags=100,
    name_length=1000,
    name_characters=r"\x01-\ud7ff\ue000-\U0010ffff",  # no NUL in MongoDB's keys; no lone surrogates in UTF-8
    param_value=100_000,
    tag_value=20_000,
    note=100_000,
    needs_step=True,
    patience=240.0,  # opening a run is up to eight questions
)

DEGRADATIONS: Final = (
    Degradation(
        what="points of one name and step", becomes="one point, the one that came last; they are counted"
    ),
    Degradation(
        what="NaN and infinities",
        becomes='a point of the title "NaN and infinity", of the value 0, 1 or -1; read back as they were',
    ),
    Degradation(
        what="a point, an image or a histogram without a step", becomes="numbered 0, 1, 2 … for each name"
    ),
    Degradation(what="a text without a step", becomes="shown at step 0"),
    Degradation(what="the time of a point, below a millisecond", becomes="rounded to a millisecond"),
    Degradation(
        what="histograms, tables and plots of one name and step",
        becomes="one of them, the one that came last",
    ),
    Degradation(
        what="an image's array", becomes="a PNG of 8 bits a channel, with its boxes drawn; NaN is black"
    ),
    Degradation(what="an array of sound or film", becomes="WAV or GIF"),
    Degradation(what="a histogram's values", becomes="counts in bins"),
    Degradation(what="a plot of plotly's", becomes="the same JSON, not the same bytes; NaN in it is null"),
    Degradation(
        what="a plot that is a PDF or EPS, or has more than 8 MiB", becomes="a file, without a preview"
    ),
    Degradation(what="more than 1,000 rows of a table", becomes="not shown; read back whole"),
    Degradation(
        what="a model of several files that were left where they lie", becomes="a model without weights"
    ),
    Degradation(
        what="a tag's value",
        becomes="a part of the tag: `name=value`; of more than 100 characters, not shown",
    ),
    Degradation(
        what="a project or run whose name is shorter than 3 characters", becomes="that name and `_0x_`"
    ),
    Degradation(what="a dash in a name's part before the last slash", becomes="shown as `_0x2d_`"),
    Degradation(what="a parent that is no task of this server", becomes="not shown"),
    Degradation(what="a name longer than 1,000 characters", becomes="cut; a tag has the original"),
    Degradation(what="more than 100,000 characters of a param or note, 20,000 of a tag", becomes="cut"),
    Degradation(what="the time of a param, tag or note", becomes="the time of the run's start"),
    Degradation(what="the time of an artifact", becomes="its second"),
    Degradation(
        what="offline: a model whose files are in the session",
        becomes="an artifact; ClearML's import makes no model of it",
    ),
    Degradation(
        what="offline: how the run ended", becomes="`completed` after the import; read back as it was"
    ),
    Degradation(what="offline: a parent", becomes="not shown"),
)


def identity(event: Event) -> "Hashable | None":
    """Return what makes two points one at ClearML; None for all else."""
    if not isinstance(event, Metric):
        return None
    return event.name, step_of(event), event.value - event.value == 0.0


def _reader(options: Options) -> "backend.Reader":
    from tracelet.backends.clearml.reader import Reader

    return Reader(options)


def _writer(options: Options, blob: BlobPath) -> "backend.Writer":
    from tracelet.backends.clearml.writer import Writer  # the training process needs only `configure`

    return Writer(options, blob)


BACKEND: Final = Backend(
    name="clearml",
    client="clearml",
    install='pip install "tracelet[clearml]"',
    limits=LIMITS,
    variables="CLEARML_",
    takes_url=True,
    configure=configure,
    writer=_writer,
    source=source,
    examples=("", "PROJECT", "./offline-session.zip"),
    reader=_reader,
    identity=identity,
    confirms="write",
    held=held,
    degradations=DEGRADATIONS,
)
