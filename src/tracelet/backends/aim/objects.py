"""What an entry of a series is in Aim: one of its objects, which holds the event besides.

In each object lies `tracelet`: `mark`, by which a repetition is known, and `event`, the event as it is
kept, in msgpack and in hexadecimal digits, because an object takes no bytes there. Aim ignores both.
Where what is shown is not the payload, the payload lies in `tracelet_file`.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet import media
from tracelet.backends.aim import shapes
from tracelet.events import (
    Audio,
    Bundle,
    Figure,
    Histogram,
    Html,
    Image,
    Packed,
    Payload,
    Series,
    Table,
    Text,
    Video,
)

OURS: Final = "tracelet"
FILE: Final = "tracelet_file"
SOUNDS: Final = frozenset({"wav", "mp3", "flac"})  # that Aim plays
PLOTLY: Final = "plotly.json"
_PICTURES: Final = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp"}


def mark_of(event: Series | Bundle) -> str:
    """Return what tells a repetition of an event from another event."""
    return hashlib.sha256(msgspec.msgpack.encode(event)).hexdigest()[:24]


def event_of(said: Any) -> Packed | None:
    """Return the event that an object holds; None if it is none of ours."""
    try:
        return msgspec.msgpack.decode(bytes.fromhex(said["event"]), type=Packed)
    except (TypeError, KeyError, ValueError):  # a user's own object, or one of a newer version
        return None


def content_of(storage: Any) -> bytes:
    """Return the payload of an object of Aim's."""
    found = storage.get(FILE, None)
    found = storage.get("data", b"") if found is None else found
    data = found.load() if hasattr(found, "load") else found
    return data.encode() if isinstance(data, str) else bytes(data)


def made(event: Series | Bundle, source: Path | None, image_bytes: int) -> Any | None:
    """Make Aim's object of an event; None if Aim has none for it, so that it has to be a file.

    Args:
        event: What was logged.
        source: The bytes of its payload.
        image_bytes: How large a picture may be; see `media.most`.

    Raises:
        ValueError: It cannot be shown, or is not what it says.
        OSError: Its bytes cannot be read.
    """
    if isinstance(event, Histogram):
        return _distribution(event, source)
    if isinstance(event, Text) or source is None:
        return marked(_text(_told(event)), event, event) if isinstance(event, (Text, Bundle)) else None
    if isinstance(event, (Image, Figure)):
        return _figure(event, source, image_bytes)
    return _sound(event, source) if isinstance(event, Audio) else _other(event, source, image_bytes)


def filed(event: Series, path: str, size: int, uri: str) -> Any:
    """Make the object that stands for an event whose payload is an artifact."""
    data = Payload("", size, shape=_shape(event), format=media.ending(event), path=path)
    return marked(_text(uri), event, _kept(event, data))


def marked(made: Any, event: Series | Bundle, kept: Series | Bundle) -> Any:
    """Put into an object what tells its event."""
    made.storage[OURS] = {"mark": mark_of(event), "event": msgspec.msgpack.encode(kept).hex()}
    return made


def _text(text: str) -> Any:
    from aim.sdk.objects.text import Text as AimText

    return AimText(text)


def _distribution(event: Histogram, source: Path | None) -> Any:
    from aim.sdk.objects.distribution import Distribution

    counted = media.counted(event, source)
    counts, low, high = shapes.equal_bins(counted.counts, counted.limits)
    kept = msgspec.structs.replace(
        event,
        data=None,
        counts=counted.counts,
        limits=counted.limits,
        moments=counted.moments,
        bins="",
        max_bins=0,
    )
    return marked(Distribution(hist=counts, bin_range=(low, high)), event, kept)


def _picture(event: Image | Figure, source: Path, image_bytes: int) -> Any:
    from aim.sdk.objects.image import Image as AimImage

    shown: Any = AimImage(media.picture(event, source, image_bytes), caption=event.caption, format="png")
    data = Payload("", len(content_of(shown.storage)), format="png")
    kept = msgspec.structs.replace(event, data=data)
    return marked(shown, event, msgspec.structs.replace(kept, layout="") if isinstance(kept, Image) else kept)


def _figure(event: Image | Figure, source: Path, image_bytes: int) -> Any | None:
    if event.data.dtype or isinstance(event, Image):
        return _picture(event, source, image_bytes)
    content = source.read_bytes()
    kept = _kept(event, Payload("", len(content), format=event.data.format))
    if event.data.format == PLOTLY:
        return marked(_plotly(content.decode("utf-8")), event, kept)
    if event.data.format not in _PICTURES:
        return None
    return marked(_film(content, event.data.format, event.caption), event, kept)


def _sound(event: Audio, source: Path) -> Any | None:
    from aim.sdk.objects.audio import Audio as AimAudio

    form = media.ending(event).lower()
    if form not in SOUNDS:
        return None
    content = _written(event, source)
    shown = AimAudio(content, format=form, caption=event.caption)
    return marked(shown, event, _kept(event, Payload("", len(content), format=media.ending(event))))


def _other(event: Any, source: Path, image_bytes: int) -> Any | None:
    content = (
        _written(event, source, image_bytes) if not isinstance(event, Video) or event.data.dtype else b""
    )
    data = Payload("", len(content), shape=_shape(event), format=media.ending(event))
    if isinstance(event, Video):
        shown = _film(content, "gif", event.caption) if event.data.dtype else None
    elif isinstance(event, Table):
        shown = _plotly(shapes.table(content, event.chart))
        _keep(shown, content)
    else:
        text = content.decode("utf-8", "replace")
        shown = _text(text if isinstance(event, Html) else f"{_told(event)}\n\n{text}")
        if isinstance(event, Bundle) or text.encode() != content:
            _keep(shown, content)
    return None if shown is None else marked(shown, event, _kept(event, data))


def _film(content: bytes, form: str, caption: str) -> Any:
    """Make an image of a file, as it is: Aim itself would encode it anew."""
    import io

    from aim.sdk.objects.image import Image as AimImage
    from aim.storage.types import BLOB
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with Pillow.open(io.BytesIO(content)) as opened:
            size, mode = opened.size, opened.mode
    except (UnidentifiedImageError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise ValueError(f"it is no image that Pillow reads: {error}") from error
    kind: Any = AimImage
    shown = kind.__new__(kind)
    said = {"source": "PIL.Image", "mode": mode, "format": _PICTURES[form], "caption": caption}
    for name, value in {**said, "width": size[0], "height": size[1], "data": BLOB(data=content)}.items():
        shown.storage[name] = value
    return shown


def _plotly(text: str) -> Any:
    """Make a figure of plotly's JSON; Aim itself would need plotly for it."""
    from aim.sdk.objects.figure import Figure as AimFigure
    from aim.storage.types import BLOB

    kind: Any = AimFigure
    shown = kind.__new__(kind)
    said = {"source": "plotly", "version": "unknown", "format": "raw_json", "data": BLOB(data=text)}
    for name, value in said.items():
        shown.storage[name] = value
    return shown


def _keep(shown: Any, content: bytes) -> None:
    from aim.storage.types import BLOB

    shown.storage[FILE] = BLOB(data=content)


def _written(event: Any, source: Path, image_bytes: int = 0) -> bytes:
    """Return the bytes of a payload as a file."""
    if not event.data.dtype:
        return source.read_bytes()
    with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
        to = Path(place, "made")
        media.write(event, source, to, image_bytes)
        return to.read_bytes()


def _kept(event: Any, data: Payload) -> Any:
    """Return an event as it is kept: with a payload that is a file."""
    kept = msgspec.structs.replace(event, data=data)
    if not event.data.dtype:
        return kept
    if isinstance(kept, Audio):
        return msgspec.structs.replace(kept, rate=0)  # the file says it
    return msgspec.structs.replace(kept, layout="") if isinstance(kept, Video) else kept


def _shape(event: Any) -> tuple[int, ...]:
    return event.data.shape if isinstance(event, Table) else ()


def _told(event: Any) -> str:
    """Say in words what a text or a bundle is."""
    if isinstance(event, Text):
        return event.text
    words = [event.kind or "files", event.path and f"at {event.path}", event.reference]
    return " ".join(filter(None, (*words, *event.aliases)))
