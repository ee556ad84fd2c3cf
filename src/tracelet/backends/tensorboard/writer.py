"""Writing a run into event files."""

import contextlib
import hashlib
import io
import json
import shlex
import wave
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tracelet import media
from tracelet.backend import FORBIDDEN, UNFIT, BlobPath, Options, Remote
from tracelet.backends.tensorboard import places, summaries
from tracelet.backends.tensorboard.files import Filing
from tracelet.backends.tensorboard.held import DRAWN, PLOTLY, ending_of
from tracelet.backends.tensorboard.ledger import Entry, Ledger, is_lost
from tracelet.backends.tensorboard.said import Said, begun
from tracelet.backends.tensorboard.summaries import Picture, Sound
from tracelet.errors import BackendError, Refused, Rejected, Unavailable
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Event,
    Figure,
    Histogram,
    Html,
    Image,
    Layout,
    Metric,
    RunFinished,
    RunStarted,
    Table,
    Text,
    Video,
)
from tracelet.media import plots

_GRAPH: Final = "graph.pb"


@contextlib.contextmanager
def mapped(*, opening: bool = False) -> Generator[None]:
    """Let only `BackendError` out.

    Args:
        opening: Nothing has been written yet; what would be rejected is the run itself.
    """
    try:
        yield
    except BackendError:
        raise
    except OSError as error:
        lasting = error.errno in UNFIT
        meaning = Rejected if lasting and not opening else Unavailable
        if error.errno in FORBIDDEN or (lasting and opening):
            meaning = Refused
        raise meaning(f"{error.filename or 'a file'} cannot be written: {error}") from error
    except Exception as error:  # a library may raise anything, and the relay knows three outcomes
        meaning = Refused if opening or isinstance(error, ImportError) else Rejected
        raise meaning(f"{type(error).__name__}: {error}") from error


class Writer:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._options = options
        self._blob = blob
        self._image_bytes = media.most(options)
        self._ledger: Ledger | None = None

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        place = Path(self._options["dir"])
        with mapped(opening=True):
            directory = places.claim(place, run.project, run.name, begun(run))
            self._directory, self._began = directory, run.time
            self._said = Said(directory)
            self._files = Filing(directory, self._blob)
            self._ledger = self._taken_up()
        view = f"tensorboard --logdir {shlex.quote(str(place))}"
        return Remote(id=directory.relative_to(place).as_posix(), view=view, anew=self._said.is_new)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        if self._ledger is None:
            raise Unavailable("the run is not open")
        with mapped():
            entries = [entry for event in batch for entry in self._entries(event)]
            self._said.take(batch)
            self._said.save_tags()
            try:
                self._ledger.append(entries)
            except OSError:
                self._ledger = self._taken_up()  # what it knew is no longer so
                raise
            self._said.written()

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        self._ledger = None

    def _taken_up(self) -> Ledger:
        """Go on with the event files, as far as they are there."""
        if is_lost(self._directory, self._began):
            self._said.begin_again()  # first: the ledger forgets what it was
        return Ledger(self._directory, self._began)

    def _entries(self, event: Event) -> Iterator[Entry]:
        """Make the records of an event, unless they are written; its files are put as it is met."""
        digest = hashlib.sha256(type(event).__name__.encode() + msgspec.msgpack.encode(event)).digest()
        if isinstance(event, Artifact):
            self._files.artifact(event)
            return
        number = int.from_bytes(digest[:8], "little")
        if not self._has(number) and (values := [*self._values(event, digest.hex()[:32])]):
            yield Entry(number, summaries.record_of(event, values))
        if isinstance(event, Bundle) and event.kind == "graph":
            yield from self._graph(event, (number + 1) % 2**64)

    def _graph(self, event: Bundle, number: int) -> Iterator[Entry]:
        """Make the record of a graph, which may be lacking although its bundle's was written."""
        graph = self._files.find(f"{event.path}/{_GRAPH}")
        if not self._has(number) and graph.is_file():
            yield Entry(number, summaries.graph_of(event, graph.read_bytes()))

    def _has(self, number: int) -> bool:
        return self._ledger is not None and self._ledger.has(number)

    def _values(self, event: Event, digest: str) -> Iterator[Any]:  # noqa: C901  one branch for each kind
        if isinstance(event, Metric):
            yield summaries.scalar(event, self._said.tag_of(event.name, "scalars"))
        elif isinstance(event, Text):
            yield summaries.text(event, self._said.tag_of(event.name, "text"), event.text)
        elif isinstance(event, Histogram):
            counted = media.counted(event, self._files.source(event) if event.data else None)
            yield summaries.histogram(event, self._said.tag_of(event.name, "histograms"), counted)
        elif isinstance(event, (Image, Figure, Video)):
            yield self._picture(event, digest)
        elif isinstance(event, Audio):
            yield self._sound(event)
        elif isinstance(event, Table):
            yield from self._table(event, digest)
        elif isinstance(event, Html):
            yield self._other(event, digest)
        elif isinstance(event, Layout):
            yield summaries.layout(event)
        elif isinstance(event, Bundle):
            yield from self._bundle(event, digest)
        elif isinstance(event, RunFinished):
            yield summaries.ended(event)

    def _picture(self, event: Image | Figure | Video, digest: str) -> Any:
        source, ending = self._files.source(event), ending_of(event)
        if ending in DRAWN or (isinstance(event, Video) and ending != "gif"):
            return self._other(event, digest)
        if isinstance(event, Video):
            content = self._made(event, source)
        elif event.data.dtype or ending != event.data.format:
            content = media.encoded(media.picture(event, source, self._image_bytes), "PNG")
        else:
            content = source.read_bytes()
        return summaries.image(event, self._said.tag_of(event.name, "images"), _measured(content))

    def _sound(self, event: Audio) -> Any:
        source, ending = self._files.source(event), ending_of(event)
        content = self._made(event, source) if event.data.dtype else source.read_bytes()
        return summaries.audio(event, self._said.tag_of(event.name, "audio"), _heard(content, ending))

    def _table(self, event: Table, digest: str) -> Iterator[Any]:
        source = self._files.source(event)
        content: Any = json.loads(source.read_bytes())
        place = self._files.keep(event, f"{digest}.json", lambda made: made.write_bytes(source.read_bytes()))
        shown: list[Any] = []
        if event.chart == "pr_curve":
            made = summaries.curve(event, content)
            if made is not None:
                made.tag = self._said.tag_of(event.name, "pr_curves")
                shown.append(made)
        elif event.chart and (drawn := plots.chart(event.chart, source)) is not None:
            picture = _measured(media.encoded(drawn, "PNG"))
            shown.append(summaries.image(event, self._said.tag_of(event.name, "images"), picture))
        if not shown:
            shown.append(
                summaries.text(event, self._said.tag_of(event.name, "text"), summaries.grid(content))
            )
        for value in shown:
            value.node_name = summaries.ONLY_SHOWN
            yield value
        yield summaries.other(event, self._said.tag_of(event.name, summaries.OURS), {"file": place})

    def _other(self, event: Any, digest: str) -> Any:
        """Keep a payload as a file, and say where."""
        source, ending = self._files.source(event), ending_of(event) or "bin"
        place = self._files.keep(
            event, f"{digest}.{ending}", lambda made: media.write(event, source, made, self._image_bytes)
        )
        if ending == PLOTLY and (page := plots.page(source)) is not None:
            self._files.keep(event, f"{digest}.html", lambda made: made.write_bytes(page))
        return summaries.other(event, self._said.tag_of(event.name, summaries.OURS), {"file": place})

    def _bundle(self, event: Bundle, digest: str) -> Iterator[Any]:
        more: dict[str, Any] = {}
        if event.data is not None:
            source = self._files.source(event)
            more["file"] = self._files.keep(
                event, f"{digest}.json", lambda made: made.write_bytes(source.read_bytes())
            )
        yield summaries.other(event, self._said.tag_of(event.name, summaries.OURS), more)

    def _made(self, event: Any, source: Path) -> bytes:
        """Encode an array."""
        place = self._directory / ".encoded"
        try:
            media.write(event, source, place, self._image_bytes)
            return place.read_bytes()
        finally:
            place.unlink(missing_ok=True)


def _measured(content: bytes) -> Picture:
    """Look at how large a picture is."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with cast("Any", Pillow.open(io.BytesIO(content))) as opened:
            return Picture(content, int(opened.width), int(opened.height), len(opened.getbands()))
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ValueError(f"it is no image that Pillow reads: {error}") from error


def _heard(content: bytes, ending: str) -> Sound:
    """Look into a sound."""
    kind = f"audio/{ending or 'wav'}"
    with contextlib.suppress(wave.Error, EOFError), wave.open(io.BytesIO(content)) as opened:
        return Sound(content, kind, opened.getframerate(), opened.getnchannels(), opened.getnframes())
    return Sound(content, kind)
