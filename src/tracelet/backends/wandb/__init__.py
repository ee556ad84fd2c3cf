"""Weights & Biases: its server, or a directory for `wandb sync` where it is offline.

    ours                 W&B's
    project, run         project, run; its id is our run_id
    name, Note           display name, notes
    group, job_type      group, job type
    step                 the metric `tracelet/step`, which all charts are drawn over
    Metric               a key of a row of the history; `_timestamp` is the row's time
    Params               config, nested where a name has dots
    Tags                 tags, `name:value`; exactly in the config, below `tracelet`
    Text, Html           Html
    Histogram            Histogram
    Image                Image: PNG of an array; with its boxes
    Figure               Plotly, of plotly's JSON; Image of pixels; Html of SVG
    Audio, Video         Audio, Video: WAV and GIF of an array
    Table                Table; of a confusion matrix or a curve a chart of W&B's
    Definition           define_metric
    Layout               config, below `tracelet`
    Artifact             a file of the run: `artifacts/<path>`
    Bundle               artifact, of the type that its kind is, with aliases and metadata
    RunFinished          state: finished or failed; exactly in the config
    Lost                 nothing; it stays in the journal

W&B knows a row by its number alone: one row, one number, one line of the history. The relay plans which
events make which row before it sends any, so a row that is sent again is the same, and lands on itself.
W&B's own step is that number; the user's is a metric, so steps may go back, and no two are merged. See
`words` for what a row holds, `confirming` for how the server confirms, `offline` for directories.
"""

from typing import Final

from tracelet import backend
from tracelet.backend import Backend, BlobPath, Degradation, Limits, Options, Rows
from tracelet.backends.wandb.held import held
from tracelet.backends.wandb.options import configure
from tracelet.backends.wandb.sources import source

__all__ = ["BACKEND", "LIMITS"]

_TEXT: Final = 100_000  # characters; W&B takes a config of some megabytes

LIMITS: Final = Limits(
    batch=1000,
    params=1000,
    tags=1000,
    name_length=500,
    name_characters=r"\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff",
    param_value=_TEXT,
    tag_value=_TEXT,
    note=_TEXT,
    patience=120.0,
)

DEGRADATIONS: Final = (
    Degradation(
        what="W&B's own step", becomes="the number of the row; the step that was logged is `tracelet/step`"
    ),
    Degradation(
        what="the times of points that were logged together, within two seconds, with one step",
        becomes="one time, that of the first: they are one row",
    ),
    Degradation(what="-0.0", becomes="0.0"),
    Degradation(what="a param that is a mapping", becomes="a param for each of its entries"),
    Degradation(
        what="a param that W&B's JSON cannot hold: NaN, an infinity, a whole number beyond 64 bits, and one "
        "whose name leads on through another's value",
        becomes="text, or not shown; read back as it was",
    ),
    Degradation(
        what="a tag",
        becomes="shown as `name:value`, if that is not longer than 64 characters; read back whole",
    ),
    Degradation(
        what="a run's name, or group, of more than 128 characters, or a job type of more than 64",
        becomes="shown cut; read back whole",
    ),
    Degradation(
        what="`min`, `max` and `mean` of a metric at W&B, where a delivery was interrupted",
        becomes="those of the points since then, as of a run of W&B's own that is resumed",
    ),
    Degradation(what="an image's array", becomes="a PNG of 8 bits a channel; NaN is black"),
    Degradation(what="an array of sound or film", becomes="WAV or GIF"),
    Degradation(what="a histogram's values", becomes="counts in bins"),
    Degradation(
        what="a histogram of more than 512 bins",
        becomes="shown with neighbouring bins together; read back as it was counted",
    ),
    Degradation(what="a text", becomes="a page of HTML; read back as it was"),
    Degradation(
        what="a film, figure or image of a format that W&B does not show",
        becomes="a file of the run; a picture that Pillow reads, a PNG",
    ),
    Degradation(what="rows of a table beyond 10,000", becomes="a file beside it; read back whole"),
    Degradation(what="text or histograms that make a row of more than 10 MB", becomes="rejects"),
    Degradation(what="a layout of charts", becomes="kept in the config, and not shown"),
    Degradation(
        what="what a metric is defined as, for names with a `*` that is not at the end",
        becomes="kept in the config only",
    ),
    Degradation(
        what="the name and kind of a model, dataset or checkpoint",
        becomes="with dashes for what W&B does not allow; read back as they were",
    ),
    Degradation(
        what="two of one name with the same files",
        becomes="one version of one artifact, with the aliases of both",
    ),
    Degradation(what="the status KILLED", becomes="failed, with the exit code 255; read back as it was"),
    Degradation(
        what="metrics of the machine", becomes="metrics `system/…`, and not in W&B's own system charts"
    ),
    Degradation(what="a name with control characters", becomes="escaped, reversibly"),
    Degradation(what="a name longer than 500 characters", becomes="cut; a tag has the original"),
    Degradation(what="a param, tag or note of more than 100,000 characters", becomes="cut"),
    Degradation(what="the time of a param, tag, note or artifact", becomes="the time of the run's start"),
)


def _reader(options: Options) -> backend.Reader:
    from tracelet.backends.wandb.reader import Reader

    return Reader(options)


def _writer(options: Options, blob: BlobPath) -> backend.Writer:
    from tracelet.backends.wandb.writer import Writer  # the training process needs only `configure`

    return Writer(options, blob)


BACKEND: Final = Backend(
    name="wandb",
    client="wandb",
    install='pip install "tracelet[wandb]"',
    limits=LIMITS,
    variables="WANDB_",
    project_variable="WANDB_PROJECT",
    takes_url=True,
    configure=configure,
    writer=_writer,
    source=source,
    examples=("ENTITY/PROJECT", "https://HOST/ENTITY/PROJECT", "./wandb"),
    reader=_reader,
    confirms="count",
    rows=Rows(),
    held=held,
    degradations=DEGRADATIONS,
)
