"""How far a backend has been delivered: a map from segment to offset, and what was counted so far.

A cursor file is replaced as a whole, by renaming, so a reader sees the old one or the new one.
A file that cannot be read counts as absent: everything is delivered again, and every backend
takes a repetition for what it is.
"""

import os
import threading
from pathlib import Path

import msgspec


class Cursor(msgspec.Struct, omit_defaults=True):
    """Everything before these offsets has been acknowledged.

    The counts stand in the same file, so that they are as exact as the offsets: records that were
    `delivered`; of these, points that are `merged` with an equal one in the tracker, and values
    that were `degraded` by being cut; and records that the training process could not write at
    all (`lost`). `finished` is set once the backend has the run's final status, and `sizes` tells
    how large the segments were then: a child may go on logging. `rows` counts the rows behind the
    offsets, of a tracker that has rows (see `tracelet.relay.plan`). `unrouted` counts what was not
    for this backend: points, params, tags and so on, each for itself.
    """

    offsets: dict[str, int] = {}
    delivered: int = 0
    merged: int = 0
    degraded: int = 0
    lost: int = 0
    finished: bool = False
    sizes: dict[str, int] = {}
    rows: int = 0
    unrouted: int = 0


def path_of(directory: Path, backend: str) -> Path:
    """Tell where a backend's cursor lies in a run's directory."""
    return directory / f"cursor.{backend}"


def load(directory: Path, backend: str) -> Cursor:
    """Read a backend's cursor; a new one if there is none, or none that can be read."""
    try:
        return msgspec.json.decode(path_of(directory, backend).read_bytes(), type=Cursor)
    except (OSError, msgspec.MsgspecError):
        return Cursor()


def save(directory: Path, backend: str, cursor: Cursor) -> None:
    """Replace a backend's cursor.

    Raises:
        OSError: There is no room, or the directory is gone; the old cursor still stands.
    """
    replace(path_of(directory, backend), msgspec.json.encode(cursor))


def replace(path: Path, content: bytes) -> None:
    """Put a whole new file in the place of `path`.

    Raises:
        OSError: It cannot be written; the old file still stands.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
