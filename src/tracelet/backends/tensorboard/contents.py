"""Bytes that are in event files: where they are, and what they are."""

import io
import json
from typing import Any, Final, NamedTuple

from tracelet.backends.tensorboard.frames import module

PR_COLUMNS: Final = ("threshold", "tp", "fp", "tn", "fn", "precision", "recall")
_PREFIX: Final = "events//"


class Place(NamedTuple):
    """Where bytes are in a run's event files.

    Attributes:
        file: Below the run's directory.
        offset: Of the record.
        value: Which of its values; -1 for the graph of a record.
        what: "image", "audio", "table", "npy", "graph".
        number: Which of several in one value.
    """

    file: str
    offset: int
    value: int
    what: str
    number: int = 0

    @property
    def path(self) -> str:
        """The path of a payload; no artifact's has two slashes."""
        return f"{_PREFIX}{self.file}//{self.offset}/{self.value}/{self.what}/{self.number}"

    @classmethod
    def of(cls, path: str) -> "Place | None":
        """Return the place that a path tells; None for any other path."""
        if not path.startswith(_PREFIX):
            return None
        file, _, rest = path.removeprefix(_PREFIX).rpartition("//")
        offset, value, what, number = rest.split("/")
        return cls(file, int(offset), int(value), what, int(number))


def content_of(event: Any, place: Place) -> bytes:
    """Return the bytes that a place in a record tells of.

    Raises:
        ValueError: There are none.
    """
    if place.what in {"graph", "files"}:
        graph = event.graph_def
        return (
            graph
            if place.what == "graph"
            else json.dumps({place.file: {"digest": "", "size": len(graph)}}).encode()
        )
    value = event.summary.value[place.value]
    kind = value.WhichOneof("value")
    if place.what == "image":
        old = value.image.encoded_image_string
        return old if kind == "image" else strings_of(value.tensor)[2 + place.number]
    if place.what == "audio":
        return value.audio.encoded_audio_string if kind == "audio" else sounds_of(value.tensor)[place.number]
    if place.what == "table":
        return _curve(array_of(value.tensor))
    if place.what == "npy":
        return _npy(array_of(value.tensor))
    raise ValueError(f"{place.path!r} tells nothing")


def strings_of(tensor: Any) -> list[bytes]:
    """Return the strings of a tensor."""
    return [bytes(one) for one in tensor.string_val]


def sounds_of(tensor: Any) -> list[bytes]:
    """Return the sounds of a tensor; beside each there may be a label."""
    found = strings_of(tensor)
    return found[::2] if len(tensor.tensor_shape.dim) > 1 else found


def array_of(tensor: Any) -> Any:
    """Return the array of a tensor."""
    tensor_util = module("tensorboard.util.tensor_util")
    return tensor_util.make_ndarray(tensor)


def _curve(array: Any) -> bytes:
    count = array.shape[1]
    thresholds = [at / max(1, count - 1) for at in range(count)]
    rows = [list(row) for row in zip(thresholds, *array.astype("f8").tolist(), strict=True)]
    return json.dumps({"columns": [*PR_COLUMNS], "data": rows}).encode()


def _npy(array: Any) -> bytes:
    import numpy as np

    made = io.BytesIO()
    np.save(made, array, allow_pickle=False)
    return made.getvalue()


def npy_size(tensor: Any) -> int:
    """Return how large a tensor is as a file of numpy's."""
    return len(_npy(array_of(tensor)))
