"""Putting a run's files into MLflow: artifacts, and what becomes one there."""

import json
import posixpath
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracelet import media
from tracelet.backend import BlobPath, bytes_of, file_of
from tracelet.backends.mlflow import LIMITS, bundles, records, series, tags
from tracelet.backends.mlflow.paths import escaped, path_of
from tracelet.backends.mlflow.records import RECORDED, Recorded
from tracelet.backends.mlflow.stores import patient
from tracelet.events import Artifact, Bundle, Event, Figure, Histogram, Image, Table, Text
from tracelet.media import plots

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_PLOTLY: Final = "plotly.json"


class Putter:
    """Puts the files of one run.

    Args:
        client: MLflow's.
        run: Its id of the run.
        blob: Finds payloads.
        image_bytes: How large a picture may be; see `media.most`.
    """

    def __init__(self, client: Any, run: str, blob: BlobPath, image_bytes: int) -> None:
        self._client = client
        self._run = run
        self._blob = blob
        self._image_bytes = image_bytes
        self._told: set[str] = set()  # tags that images need, and that are set

    def put(self, event: Event) -> None:
        """Put an event that is a file here; of all others there is nothing to put."""
        if isinstance(event, Text):
            self._client.log_text(self._run, event.text, path_of(event))
        elif isinstance(event, Image):
            self._image(event)
        elif isinstance(event, Histogram):
            self._histogram(event)
        elif isinstance(event, RECORDED):
            self._recorded(event)

    def upload(self, artifact: Artifact) -> None:
        """Put an artifact."""
        self._put_file(escaped(artifact.path), file_of(artifact, self._blob), artifact.size)

    def _image(self, image: Image) -> None:
        files = series.files_of(image)
        shown = media.picture(image, self._source(image), self._image_bytes)
        self._slide(files, shown, series.about(image))

    def _slide(self, files: series.ImageFiles, shown: "Picture", about: bytes = b"") -> None:
        """Put a picture on the slider of MLflow's page."""
        self._put(files.small, media.encoded(media.thumbnail(shown), "WEBP"))
        if about:
            self._put(files.about, about)
        self._put(files.whole, media.encoded(shown, "PNG"))
        self._tell({tags.IMAGES: "True", **files.tags})

    def _histogram(self, histogram: Histogram) -> None:
        file = None if histogram.data is None else self._source(histogram)
        self._put(series.path_of(histogram), series.content_of(histogram, media.counted(histogram, file)))

    def _recorded(self, event: Recorded) -> None:
        """Put an event's files, and last the JSON that tells of them."""
        place = records.place_of(event)
        path, shown = place.path, []
        if isinstance(event, Figure) and event.data.dtype:
            files = series.files_of(event)
            self._slide(files, media.picture(event, self._source(event), self._image_bytes))
            path, shown = files.whole, [files.small]
        elif place.path:
            self._payload(event, place.path)
            shown = self._views(event, place)
        self._put(place.about, records.content_of(event, place, path, shown))
        if isinstance(event, Table):
            self._tell_table(path)
        elif isinstance(event, Bundle):
            bundles.announce(self._client, self._run, event, place.digest)

    def _payload(self, event: Any, path: str) -> None:
        source = self._source(event)
        if not event.data.dtype:
            self._put_file(path, source, event.data.size)
            return
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
            made = Path(place, "made")
            media.write(event, source, made, self._image_bytes)
            self._put_file(path, made, made.stat().st_size)

    def _views(self, event: Recorded, place: records.Place) -> list[str]:
        """Put what makes a payload visible on MLflow's page; return the paths."""
        if isinstance(event, Figure) and event.data.format == _PLOTLY:
            page = plots.page(self._source(event))
            if page is not None:
                self._put(f"{place.stem}.html", page)
                return [f"{place.stem}.html"]
        elif isinstance(event, Table) and event.chart:
            drawn = plots.chart(event.chart, self._source(event))
            if drawn is not None:
                files = series.files_of(event)
                self._slide(files, drawn)
                return [files.whole, files.small]
        return []

    def _tell(self, told: Mapping[str, str]) -> None:
        """Set tags, once."""
        if not told.keys() <= self._told:
            from mlflow.entities import RunTag

            self._client.log_batch(self._run, tags=[RunTag(*pair) for pair in told.items()], synchronous=True)
            self._told.update(told)

    def _tell_table(self, path: str) -> None:
        """Let MLflow know of a table; the tag has room for some, and the oldest of ours make way.

        Read each time, because the script's own calls of MLflow write it too.
        """
        before = self._client.get_run(self._run).data.tags.get(tags.TABLES, "[]")
        try:
            known: list[Any] = list(json.loads(before))
        except (ValueError, TypeError):
            return  # whoever wrote that, MLflow does not understand it either
        entry = {"path": path, "type": "table"}
        if entry in known:
            return
        known.append(entry)
        while len(_listed(known)) > LIMITS.tag_value:
            oldest = next((one for one in known if records.is_table(str(one.get("path")))), entry)
            known.remove(oldest)
            if oldest == entry:
                return  # there is no room beside what the script has logged
        self._client.set_tag(self._run, tags.TABLES, _listed(known))

    def _source(self, event: Any) -> Path:
        """Find the bytes of a payload."""
        return bytes_of(f"{type(event).__name__.lower()} {event.name!r}", event.data.digest, self._blob)

    def _put(self, path: str, content: bytes) -> None:
        """Keep bytes as the artifact of a path."""
        directory, name = posixpath.split(path)
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place, patient(len(content)):
            Path(place, name).write_bytes(content)
            self._client.log_artifact(self._run, str(Path(place, name)), directory)

    def _put_file(self, path: str, source: Path, size: int) -> None:
        """Keep a file as the artifact of a path."""
        directory, name = posixpath.split(path)
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place, patient(size):
            named = Path(place, name)  # the client takes a file's own name
            try:
                named.symlink_to(source.absolute())
            except OSError:  # few may do so on Windows
                shutil.copyfile(source, named)
            self._client.log_artifact(self._run, str(named), directory or None)


def _listed(tables: list[Any]) -> str:
    return json.dumps(tables, ensure_ascii=False)  # else `load_table` would find none of another alphabet
