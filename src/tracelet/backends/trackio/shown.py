"""What a row says of a text, a histogram, a picture, a sound, a film, a page or a table.

Each is the map that Trackio's own class writes, and its pages read. What that cannot say is in one key
more, `tracelet`: the event's `kind`, and the fields that are its own.

    Text         {"_type": "trackio.markdown", "_value": text}
    Histogram    {"_type": "trackio.histogram", "bins": limits, "values": counts}
    Table        {"_type": "trackio.table", "_value": [{column: value, …}, …]}
    all others   {"_type": "trackio.image", "file_path": …, "caption": …}

A file is `<project>/<run>/<step>/<digest of the record>.<ending>` below `media`. A figure of plotly's
is a page, and its JSON lies beside it, as `source`.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tracelet import media
from tracelet.backend import BlobPath, bytes_of
from tracelet.backends.trackio.held import DRAWN, ending_of, held
from tracelet.backends.trackio.store import Store
from tracelet.backends.trackio.words import plain
from tracelet.events import Audio, Figure, Histogram, Html, Image, Series, Table, Text, Video
from tracelet.media import plots

_PLOTLY: Final = "plotly.json"
_COMMON: Final = frozenset({"type", "time", "name", "step", "ordinal", "data", "caption", "text"})
_TYPES: Final = {
    Image: "trackio.image",
    Figure: "trackio.image",
    Audio: "trackio.audio",
    Video: "trackio.video",
    Html: "trackio.html",
}
NOT_SHOWN: Final = "tracelet.figure"
"""The type of a figure that no browser shows: of plotly's, where plotly is not there to make a page of it."""


def digest_of(event: Any) -> str:
    """Return what tells a record from all others."""
    return hashlib.sha256(msgspec.msgpack.encode(event)).hexdigest()[:32]


class Showing:
    """Makes of events what rows say of them, and their files.

    Args:
        store: Where they go.
        blob: Finds payloads.
        image_bytes: How large a picture may be; see `media.most`.
    """

    def __init__(self, store: Store, blob: BlobPath, image_bytes: int) -> None:
        self._store = store
        self._blob = blob
        self._image_bytes = image_bytes

    def value(self, event: Series) -> dict[str, Any]:
        """Make what a row says of an event; its files are there when this returns."""
        if isinstance(event, Text):
            return {"_type": "trackio.markdown", "_value": event.text, "tracelet": _more(event)}
        if isinstance(event, Histogram):
            return self._histogram(event)
        if isinstance(event, Table):
            return self._table(event)
        return self._file(event)

    def _histogram(self, event: Histogram) -> dict[str, Any]:
        counted = media.counted(event, self._source(event) if event.data else None)
        more = _more(event) | {"left_out": counted.left_out}
        if counted.moments is not None:
            more["moments"] = msgspec.structs.asdict(counted.moments)
        return {
            "_type": "trackio.histogram",
            "bins": [*counted.limits],
            "values": [*counted.counts],
            "tracelet": more,
        }

    def _table(self, event: Table) -> dict[str, Any]:
        content = json.loads(self._source(event).read_bytes())
        columns = [str(column) for column in content["columns"]]
        keys: list[str] = []
        for column in columns:  # of which two may be called the same
            keys.append(column if column not in keys else f"{column} ({len(keys) + 1})")
        rows = [dict(zip(keys, plain(row), strict=True)) for row in content["data"]]
        return {"_type": "trackio.table", "_value": rows, "tracelet": _more(event) | {"columns": columns}}

    def _file(self, event: Any) -> dict[str, Any]:
        source, ending = self._source(event), ending_of(event)
        value: dict[str, Any] = {"_type": _TYPES[type(event)], "file_path": "", "tracelet": _more(event)}
        value["caption"] = getattr(event, "caption", "") or None
        if ending == _PLOTLY:
            page = plots.page(source)
            kept = self._kept(event, ending, lambda to: media.write(event, source, to))
            value["tracelet"]["source"] = value["file_path"] = kept
            value["_type"] = NOT_SHOWN
            if page is not None:
                value["_type"] = "trackio.html"
                value["file_path"] = self._kept(event, "html", lambda to: to.write_bytes(page))
        else:
            value["file_path"] = self._kept(event, ending, lambda to: self._write(event, source, to, ending))
            value["_type"] = NOT_SHOWN if ending in DRAWN else value["_type"]
        return value

    def _write(self, event: Any, source: Path, to: Path, ending: str) -> None:
        is_picture = isinstance(event, (Image, Figure))
        if is_picture and (event.data.dtype or ending != event.data.format):
            to.write_bytes(media.encoded(media.picture(event, source, self._image_bytes), "PNG"))
        else:
            media.write(event, source, to, self._image_bytes)

    def _kept(self, event: Any, ending: str, write: Callable[[Path], object]) -> str:
        """Have a file written, whole or not at all; return its path as rows say it."""
        place = self._store.media / str(event.step or 0)
        file = place / f"{digest_of(event)}.{ending or 'bin'}"
        if not file.is_file():
            place.mkdir(parents=True, exist_ok=True)
            made = file.with_name(f".{file.name}.{os.getpid()}")
            try:
                write(made)
                made.replace(file)
            finally:
                made.unlink(missing_ok=True)
        return file.relative_to(self._store.media.parents[1]).as_posix()

    def _source(self, event: Any) -> Path:
        return bytes_of(f"{type(event).__name__.lower()} {event.name!r}", event.data.digest, self._blob)


def _more(event: Series) -> dict[str, Any]:
    """Return what is an event's own, as it will come back."""
    said = msgspec.to_builtins(held(event))
    more: dict[str, Any] = {key: value for key, value in said.items() if key not in _COMMON}
    more["kind"] = type(event).__name__
    if isinstance(event, Text) and event.step is None:
        more["stepless"] = True
    return cast("dict[str, Any]", plain(more))
