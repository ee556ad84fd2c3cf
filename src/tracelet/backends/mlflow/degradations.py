"""What does not survive the way to MLflow, in words: docs/backends/mlflow.md is made of it."""

from typing import Final

from tracelet.backend import Degradation

_TABLE: Final = {
    "the type of a param": "text, `str(value)`",
    "a param that is logged again with another value": "a reject; the first stays",
    "a param longer than 6,000, a tag or note longer than 8,000 characters": "cut",
    "the time of a point, text, image, histogram, start or end, below a millisecond": (
        "rounded to a millisecond; that of anything else is exact"
    ),
    "a point, or an entry of a series other than text, without a step": "numbered 0, 1, 2 … for each name",
    "an image's or a figure's array": "a PNG of 8 bits a channel, boxes drawn; NaN is black",
    "a sound's array": "a WAV of 16 bits; floats are cut to -1 to 1, and NaN is silence",
    "a film's array": (
        "a GIF of at most 256 colours a frame and 50 frames a second, of several films side by side"
    ),
    "a picture or a film larger than `max_image_size`": "scaled down, and counted as degraded",
    "a histogram's values": "counts in bins",
    "an infinite value": "the largest float64, ±1.797e308",
    "a negative zero": "0.0",
    "a point from before 1970": "a reject",
    "a NUL in a name, a param, a tag or a note": "`�`; PostgreSQL has no place for it",
    "points of one name, step, millisecond and value": "one point; counted as merged",
    "a name with other characters than letters, digits and `_-. :/`, or that is no clean path": (
        "escaped, reversibly: `loss (%)` is `loss _0x28__0x25__0x29_`"
    ),
    "a name longer than 250 characters, of a picture longer than 140 bytes": (
        "cut; the tag `tracelet.name.<digest>` has the original"
    ),
    "an artifact's path with `#`, `?`, `%`, a backslash or control characters, or a space after a slash": (
        "escaped as names are: MLflow's client stores `a #1.txt` as `a `"
    ),
    "the time of a param, tag, note or artifact": "that of the run's start",
    "the reason of a run's end": "nothing",
    "an empty directory among the artifacts": "nothing",
    "more tables than the tag `mlflow.loggedArtifacts` has room for, some 70": (
        "files, all of them; `load_table` knows the newest"
    ),
    "a plotly figure's page, where plotly is not installed beside the relay": "nothing; the JSON is there",
    "a curve's or a confusion matrix's picture, where matplotlib is not": "nothing; the table is there",
    "NaN and infinities in a bundle's metadata": "text",
    "a model's name with `/` or `:`, in the registry": "escaped",
    "an alias with other characters than letters, digits and `_-`, or like `v3`": "escaped",
    "the alias `latest`": "nothing: MLflow gives it to the newest version by itself",
    "a model or a dataset, where the store has no registry or knows no datasets": "files, and a JSON",
    "a dataset's name longer than 500 characters, a schema or profile too long for MLflow": (
        "cut, left out; the JSON has them"
    ),
    "which metric is another's x axis, and which are to be shown together": "kept; MLflow shows neither",
    "the summary of a metric that cannot be read within a minute, or is called as one of the user's": (
        "nothing"
    ),
}
DEGRADATIONS: Final = tuple(Degradation(what=what, becomes=becomes) for what, becomes in _TABLE.items())
