"""Aim: a local repository, or the server of one (`aim server`).

    ours                 Aim's
    project              experiment
    run                  run; its hash is made of our run_id, and it was created when our run began
    name, Note           name, description
    Metric               metric: float64, step int64, time as float64
    Params               params, nested where a name has dots
    Tags                 params below `__tracelet.tags`, and a label `name=value`
    group, job_type      params below `__tracelet`, as all that Aim has no place for
    Text, Html           Text
    Histogram            Distribution, with the exact counts beside what is shown
    Image, Video         Image: PNG, and GIF of an array; a film that is a file is an artifact
    Figure, Table        Figure of plotly's; Image, if it is made of pixels
    Audio                Audio, if it is WAV, MP3 or FLAC
    Definition, Layout   params below `__tracelet`
    Bundle               Text
    Artifact             artifact: a file below the artifacts' URI, and a link
    RunFinished          end time, a param, and a label where it is not FINISHED
    Lost                 nothing; it stays in the journal

A name that ends in a JSON object, `loss {"subset":"val"}`, is Aim's name and context, and the other
way round when a run is read (see `contexts`). What is not in a series' name, value, step and time lies
in the object itself, under `tracelet`; Aim ignores it.

Every call can be repeated: a point replaces the one of its name, context and step. A series' entry
that is another one moves to a context of its own, so that none is lost. Aim's tracker takes a time
only by a private call; where that is gone, points bear the time of their delivery.
"""

from typing import TYPE_CHECKING, Final

from tracelet.backend import Backend, BlobPath, Degradation, Limits, Options
from tracelet.backends.aim.held import held
from tracelet.backends.aim.options import configure, source
from tracelet.events import Event, Metric

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tracelet import backend

__all__ = ["BACKEND", "LIMITS", "configure", "identity"]

LIMITS: Final = Limits(
    batch=1000,
    params=1000,
    tags=100,
    name_length=4000,
    name_characters=r"\x00-\ud7ff\ue000-\U0010ffff",  # lone surrogates are no UTF-8
    param_value=1_000_000,
    tag_value=1_000_000,
    note=1_000_000,
    needs_step=True,
    patience=180.0,  # making a repository takes seconds alone, and opening a large run many questions
)

DEGRADATIONS: Final = (
    Degradation(
        what="points of one name and step", becomes="one point, the one that came last; they are counted"
    ),
    Degradation(
        what="a point, an image or a histogram without a step", becomes="numbered 0, 1, 2 … for each name"
    ),
    Degradation(
        what="entries of a series with one name and step",
        becomes="all of them: the second and later ones in a context with `tracelet_again`",
    ),
    Degradation(
        what="entries of two kinds with one name, such as a metric and an image",
        becomes="both: the kind that came later in a context with `tracelet_kind`",
    ),
    Degradation(what="a param that is a mapping", becomes="a param for each of its entries"),
    Degradation(what="a whole number beyond 64 bits, in a param", becomes="text"),
    Degradation(
        what="an image's array", becomes="a PNG of 8 bits a channel, with its boxes drawn; NaN is black"
    ),
    Degradation(what="a histogram's values", becomes="counts in bins"),
    Degradation(
        what="a histogram whose bins have unequal widths, or that has more than 512",
        becomes="shown in equal bins, at most 512; read back as it was counted",
    ),
    Degradation(what="a film's array", becomes="an animated GIF, among the images"),
    Degradation(
        what="a film or sound that is a file Aim cannot play, a figure that is no picture Pillow reads",
        becomes="an artifact, and a Text that names it",
    ),
    Degradation(what="a page of HTML", becomes="its source, as Text"),
    Degradation(what="more than 1,000 rows of a table", becomes="not shown; read back whole"),
    Degradation(
        what="an artifact, at a server, without `aim_artifacts_uri`",
        becomes="a reject: an Aim server keeps no files",
    ),
    Degradation(what="the status of a run", becomes="a param; and a label, if it is not FINISHED"),
    Degradation(what="the time of a param, tag, note or artifact", becomes="the time of the run's start"),
    Degradation(what="the epoch of a point that Aim's own users tracked", becomes="nothing, when it is read"),
)


def identity(event: Event) -> "Hashable | None":
    """Return what makes two points one in Aim; None for all else."""
    if not isinstance(event, Metric):
        return None
    return event.name, event.ordinal if event.step is None else event.step


def _reader(options: Options) -> "backend.Reader":
    from tracelet.backends.aim.reader import Reader

    return Reader(options)


def _writer(options: Options, blob: BlobPath) -> "backend.Writer":
    from tracelet.backends.aim.writer import Writer  # the training process needs only `configure`

    return Writer(options, blob)


BACKEND: Final = Backend(
    name="aim",
    client="aim",
    install='pip install "tracelet[aim]"; from Python 3.13 on, aim_python names an older one that has it',
    limits=LIMITS,
    variables="__AIM_",
    takes_url=True,
    configure=configure,
    writer=_writer,
    source=source,
    examples=("DIRECTORY", "aim://localhost:53800"),
    reader=_reader,
    identity=identity,
    confirms="write",
    held=held,
    degradations=DEGRADATIONS,
)
