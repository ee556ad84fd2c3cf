"""What is shown of an entry of a series: an event of ClearML's, and the files it names.

    Histogram                   plot: bars
    Table                       plot: a table, or what it is a chart of
    Figure                      plot: plotly's own, or a picture
    Image, Audio, Video         debug sample
    Text, Html                  debug sample

A plot says what it was under a key of its JSON (see `plots`); a debug sample in its key, behind the
address: `/path/of/the.png#<the event in base64>`, or `#file` where that would be long, and then it lies
beside the file, as `the.png.event`.
"""

import tempfile
import urllib.parse
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet import media
from tracelet.backend import BlobPath, bytes_of
from tracelet.backends.clearml import plots
from tracelet.backends.clearml.files import Store, safe
from tracelet.backends.clearml.held import PLOTLY, SHOWN, ending_of, kept
from tracelet.backends.clearml.records import PLOT, SAMPLE, digest_of, placed
from tracelet.events import Figure, Histogram, Image, Series, Table, Text

BESIDE: Final = ".event"  # what the name of a file ends in that tells of another
FILE: Final = "file"
INLINE: Final = 1 << 20  # bytes of a table that stand in its plot; a larger one is a file
_LARGEST: Final = 8 << 20  # bytes of a plot; ClearML's page draws no larger one
_LONGEST: Final = 8_000  # characters of an event in a key
_UNKNOWN: Final = (640, 480)  # the size of a picture that Pillow does not read


class Showing:
    """Makes ClearML's events of ours.

    Args:
        store: Where files go.
        blob: Finds payloads.
        image_bytes: How large a picture may be; see `media.most`.
    """

    def __init__(self, store: Store, blob: BlobPath, image_bytes: int) -> None:
        self._store = store
        self._blob = blob
        self._image_bytes = image_bytes

    def document(self, event: Series) -> dict[str, Any]:
        """Make what is shown of an entry; its files are there when this returns.

        Raises:
            Rejected: Its bytes are gone.
            ValueError: It cannot be shown, or is not what it says.
            OSError: Its bytes cannot be read.
        """
        if isinstance(event, Text):
            return self._sample(event, event, event.text.encode("utf-8", "replace"), "txt")
        if isinstance(event, Histogram):
            return self._histogram(event)
        if isinstance(event, Table):
            return self._table(event)
        if isinstance(event, Figure) and ending_of(event) == PLOTLY:
            return self._plotly(event)
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
            file, size = self._file(event, Path(place, "made"))
            made = kept(event, file.stat().st_size)
            if isinstance(event, Figure) and ending_of(event) in SHOWN:
                url = self._store.put(_name(event, ending_of(event)), file)
                drawn = plots.picture(event.name, url, size, event.caption)
                return self._plot(event, plots.text_of(drawn, made, file="picture"))
            return self._sample(event, made, file, ending_of(event))

    def _plot(self, event: Series, text: str) -> dict[str, Any]:
        return {"type": PLOT, **placed(event), "plot_str": text}

    def _sample(self, event: Series, made: Series, source: Path | bytes, ending: str) -> dict[str, Any]:
        name = _name(event, ending or "bin")
        url = self._store.put(name, source)
        said = plots.packed(made)
        if len(said) > _LONGEST:
            self._store.put(name + BESIDE, msgspec.msgpack.encode(made))
            said = FILE
        return {
            "type": SAMPLE,
            **placed(event),
            "url": url,
            "key": f"{urllib.parse.urlsplit(url).path}#{said}",
        }

    def _histogram(self, event: Histogram) -> dict[str, Any]:
        counted = media.counted(event, self.source(event) if event.data else None)
        made = msgspec.structs.replace(
            kept(event), counts=counted.counts, limits=counted.limits, moments=counted.moments
        )
        return self._plot(event, plots.text_of(plots.histogram(made), made))

    def _table(self, event: Table) -> dict[str, Any]:
        content = self.source(event).read_bytes()
        drawn = plots.table(event.name, content, event.chart)
        made = kept(event, len(content))
        if len(content) <= INLINE:
            return self._plot(event, plots.text_of(drawn, made, table=content.decode("utf-8")))
        url = self._store.put(_name(event, "json"), content)
        return self._plot(event, plots.text_of(plots.with_file(drawn, url), made, file="table"))

    def _plotly(self, event: Figure) -> dict[str, Any]:
        content = self.source(event).read_bytes()
        drawn = plots.figure(content)
        if len(content) > _LARGEST:
            return self._sample(event, kept(event, len(content)), content, PLOTLY)
        return self._plot(event, plots.text_of(drawn, kept(event)))

    def _file(self, event: Any, to: Path) -> tuple[Path, tuple[int, int]]:
        """Make the file of a payload, and tell how large a picture it is."""
        source = self.source(event)
        if isinstance(event, (Image, Figure)):
            return self._picture(event, source, to)
        if not event.data.dtype:
            return source, _UNKNOWN
        media.write(event, source, to, self._image_bytes)
        return to, _UNKNOWN

    def _picture(self, event: Image | Figure, source: Path, to: Path) -> tuple[Path, tuple[int, int]]:
        if event.data.dtype or ending_of(event) != event.data.format:
            shown = media.picture(event, source, self._image_bytes)
            to.write_bytes(media.encoded(shown, "PNG"))
            return to, shown.size
        is_drawn = isinstance(event, Figure) and event.data.format in SHOWN - {"svg"}
        return source, media.picture(event, source).size if is_drawn else _UNKNOWN

    def source(self, event: Any) -> Path:
        """Find the bytes of an event.

        Raises:
            Rejected: They are gone.
        """
        return bytes_of(f"{type(event).__name__.lower()} {event.name!r}", event.data.digest, self._blob)


def _name(event: Series, ending: str) -> str:
    return f"metrics/{safe(event.name)}/{type(event).__name__.lower()}-{digest_of(event)}.{ending}"
