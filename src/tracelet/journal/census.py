"""Count what a run's journal holds without reading each point: a million points take some 20 ms.

Points have frames of one size and mostly stand in rows, so it is enough to look where each of a
row begins and what type it has. What is damaged is passed over; a torn end is not counted.
"""

import contextlib
import os
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tracelet.events import (
    SERIES,
    Artifact,
    Audio,
    Bundle,
    Figure,
    Histogram,
    Html,
    Image,
    Lost,
    Packed,
    Params,
    RunStarted,
    Series,
    Table,
    Tags,
    Text,
    Video,
)
from tracelet.journal import codec
from tracelet.journal.reader import segments

MOST: Final = 256 * 1024 * 1024  # bytes; the rest of a larger journal is estimated, so that nobody waits
_CHUNK: Final = 1024 * 1024  # bytes read at once
_POINTS: Final = bytes((codec.SCALAR, codec.STEPLESS))
_LEADS: Final = (
    *((at, codec.MARKER[at : at + 1]) for at in range(len(codec.MARKER))),
    (2, bytes((codec.POINT.size,))),  # the lowest byte of the length
    (6, _POINTS),
)
"""Where the bytes stand by which a point's frame is known, and what they may be."""
PLURALS: Final[Mapping[type[Series], str]] = {
    Text: "texts",
    Image: "images",
    Figure: "figures",
    Histogram: "histograms",
    Audio: "audio",
    Video: "videos",
    Html: "html",
    Table: "tables",
}
"""What several of a kind are called: in a `Tally`, in JSON, and where they are files."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How much was logged in a run, by all of its processes.

    Attributes:
        points: Values of metrics.
        metrics: Names of metrics.
        params: Names of params, each once however often it was logged.
        tags: Names of tags, likewise.
        texts: Texts.
        images: Images.
        figures: Figures.
        histograms: Histograms.
        audio: Sounds.
        videos: Videos.
        html: Pages of HTML.
        tables: Tables.
        bundles: Models, datasets, checkpoints and the like, by their kind.
        artifacts: Files, each path once; those of the bundles among them.
        records: All of the journal's records, the run's start and end among them.
        lost: Records that could not be written.
        exact: False if the journal is so large that its points were estimated.
    """

    points: int = 0
    metrics: int = 0
    params: int = 0
    tags: int = 0
    texts: int = 0
    images: int = 0
    figures: int = 0
    histograms: int = 0
    audio: int = 0
    videos: int = 0
    html: int = 0
    tables: int = 0
    bundles: dict[str, int] = {}
    artifacts: int = 0
    records: int = 0
    lost: int = 0
    exact: bool = True


def census(directory: Path, most: int = MOST) -> Tally:
    """Count what stands in a run's journal now.

    Args:
        directory: The run's directory.
        most: Bytes to look at.
    """
    count = _Count()
    for name in segments(directory):
        with contextlib.suppress(OSError), (directory / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            looked = count.segment(file, codec.salt_of(name), min(size, most))
            most -= looked
            count.guess(size - looked)
    return count.result()


class _Count:
    """What was counted so far."""

    def __init__(self) -> None:
        self._points = self._others = self._lost = 0
        self._series: Counter[type[Packed]] = Counter()  # entries of series, by what they are
        self._bundles: Counter[str] = Counter()  # by their kind
        self._metrics: set[str] = set()
        self._params: set[str] = set()
        self._tags: set[str] = set()
        self._artifacts: set[str] = set()
        self._exact = True

    def result(self) -> Tally:
        return Tally(
            points=self._points,
            metrics=len(self._metrics),
            params=len(self._params),
            tags=len(self._tags),
            bundles=dict(sorted(self._bundles.items())),
            artifacts=len(self._artifacts),
            records=self._points + self._others,
            lost=self._lost,
            exact=self._exact,
            **{plural: self._series[kind] for kind, plural in PLURALS.items()},
        )

    def guess(self, size: int) -> None:
        """Take `size` bytes for points: of a journal as large as that, nearly all are."""
        if size >= codec.FRAME.size:
            self._points += size // codec.FRAME.size
            self._exact = False

    def segment(self, file: BinaryIO, salt: int, size: int) -> int:
        """Count the records that begin in a segment's first `size` bytes; tell how many bytes they are."""
        position = 0
        while position < size:
            file.seek(position)
            data = file.read(_CHUNK)
            used = self._walk(data, salt)
            if not used:  # a record that is larger than a chunk, or a torn end
                data += file.read(codec.PAYLOAD_MAX + codec.HEAD.size)
                used = self._walk(data, salt) or len(data)
            position += used
        return position

    def _walk(self, data: bytes, salt: int) -> int:
        """Count the whole records at the front of `data`; tell how many bytes they are."""
        view, position = memoryview(data), 0
        while position + codec.HEAD.size <= len(data):
            row = _row(data, position)
            self._points += row
            position += row * codec.FRAME.size
            whole = codec.whole_frame(view, position, salt)
            if whole is not None:
                self._count(whole)
                position = whole.end
            elif not row:
                following = _next_sound(data, position, salt)
                if following is None:
                    break
                position = following
        return position

    def _count(self, whole: codec.Frame) -> None:
        if whole.type in _POINTS:
            self._points += 1
        elif whole.type == codec.EVENT:
            self._count_event(whole.payload)
        else:
            with contextlib.suppress(struct.error, UnicodeDecodeError):
                self._count_addressed(whole)

    def _count_addressed(self, whole: codec.Frame) -> None:
        """Count a name, and what is for some backends alone."""
        if whole.type == codec.NAME:
            self._metrics.add(codec.decode_name(whole.payload)[1])
        elif whole.type == codec.ADDRESSED_NAME:
            self._metrics.add(codec.decode_addressed_name(whole.payload)[1].name)
        elif whole.type == codec.ADDRESSED:
            self._count_event(codec.decode_only(whole.payload)[1])

    def _count_event(self, payload: memoryview) -> None:
        try:
            event = codec.decode_event(payload)
        except msgspec.MsgspecError:
            return  # of a version that knows more
        if isinstance(event, Lost):
            self._lost += event.count
            return
        self._others += 1
        if isinstance(event, Params):
            self._params.update(event.params)
        elif isinstance(event, (RunStarted, Tags)):
            self._tags.update(event.tags)
        elif isinstance(event, Artifact):
            self._artifacts.add(event.path)
        elif isinstance(event, Bundle):
            self._bundles[event.kind] += 1
        elif isinstance(event, SERIES):
            self._series[type(event)] += 1


def _row(data: bytes, start: int) -> int:
    """Count the points that stand one behind the other from `start` on."""
    size, end, window = codec.FRAME.size, start, 16
    while True:
        stop = end + window * size
        there = min(window, (len(data) - end) // size)
        good = min(there, *(_leading(data[end + at : stop : size], known) for at, known in _LEADS))
        end += good * size
        if good < window:
            return (end - start) // size
        window *= 4


def _leading(found: bytes, known: bytes) -> int:
    return len(found) - len(found.lstrip(known))


def _next_sound(data: bytes, position: int, salt: int) -> int | None:
    """Find the next record whose checksum holds."""
    view = memoryview(data)
    at = data.find(codec.MARKER, position + 1)
    while at >= 0:
        if codec.whole_frame(view, at, salt) is not None:
            return at
        at = data.find(codec.MARKER, at + 1)
    return None
