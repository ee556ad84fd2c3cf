"""MLflow: a tracking server, a database, or a SQLite file beside the training script.

    ours                 MLflow's
    project              experiment, by name; made if there is none
    run                  run; our run_id is its tag `tracelet.uid`
    name                 run name
    Metric               metric: float64, step int64, time in whole milliseconds
    Params               params, as text: `str(value)`
    Tags                 tags
    Note                 tag `mlflow.note.content`, the description that the UI shows
    group, job_type      tags `tracelet.group`, `tracelet.job_type`
    Text                 artifact `text/<name>/step-<step>+<milliseconds>+<digest>.txt`
    Histogram            artifact `histograms/<name>/step-<step>+<milliseconds>+<digest>.json`
    Image                the two files and the tag of MLflow's own image series (see `series`)
    Figure, Audio, Video, Html, Table, Layout
                         files that people open, and a JSON that tells what they are (see `records`)
    Bundle               the same; a model is a registered version, a dataset an input (see `bundles`)
    Definition           tag `tracelet.metric.<digest>`; summaries are metrics in the end (see `rules`)
    Artifact             artifact of the same path, if MLflow can keep it there (see `paths`)
    RunFinished          status and end time
    Lost                 nothing; it stays in the journal

Every request can be repeated: a SQL store keeps one row for each (name, step, milliseconds, value),
and params, tags and artifacts replace themselves. A run, and a version of a model, is found again by
its tag. Only MLflow's file store doubles points, so it is not offered.
"""

import math
import sys
from collections.abc import Callable, Hashable
from typing import Final

from tracelet import backend
from tracelet.backend import Backend, BlobPath, Limits, Options
from tracelet.backends.mlflow.degradations import DEGRADATIONS
from tracelet.backends.mlflow.held import held
from tracelet.backends.mlflow.options import configure
from tracelet.backends.mlflow.sources import source
from tracelet.events import Event, Metric

__all__ = ["BACKEND", "LIMITS", "configure", "identity"]

LIMITS: Final = Limits(
    batch=1000,
    params=100,
    tags=100,
    name_length=250,
    name_characters=r"\w\-. :/",
    name_is_path=True,
    param_value=6000,
    tag_value=8000,
    note=8000,
    needs_step=True,
    patience=120.0,  # making a SQLite database takes 4 s alone, and more beside a busy training
)


def identity(event: Event) -> Hashable | None:
    """Return what makes two points one row in MLflow's SQL stores; None for all else."""
    if not isinstance(event, Metric):
        return None
    value = event.value
    if math.isnan(value):
        kept: float | str = "NaN"
    else:  # -0.0 equals 0.0, in Python as in the store
        kept = max(-sys.float_info.max, min(value, sys.float_info.max))
    return event.name, event.ordinal if event.step is None else event.step, round(event.time * 1000), kept


def _reader(options: Options) -> backend.Reader:
    from tracelet.backends.mlflow.reader import Reader

    return Reader(options)


def _writer(options: Options, blob: BlobPath) -> backend.Writer:
    from tracelet.backends.mlflow.writer import Writer  # the training process needs only `configure`

    return Writer(options, blob)


def _attach(options: Options, live: backend.Live) -> Callable[[], None]:
    from tracelet.backends.mlflow.inside import attach  # relays and commands have no use for it

    return attach(options, live)


BACKEND: Final = Backend(
    name="mlflow",
    client="mlflow",
    install='pip install "tracelet[mlflow]"',
    limits=LIMITS,
    variables="MLFLOW_",
    project_variable="MLFLOW_EXPERIMENT_NAME",
    takes_url=True,
    configure=configure,
    writer=_writer,
    source=source,
    examples=("http://localhost:5000", "sqlite:///mlflow.db", "./mlruns"),
    reader=_reader,
    identity=identity,
    confirms="write",
    held=held,
    attach=_attach,
    degradations=DEGRADATIONS,
)
