"""Events made into rows of W&B's history, whole before any is sent."""

import contextlib
import hashlib
import html
import json
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tracelet import media
from tracelet.backend import Placed
from tracelet.backends.wandb import private
from tracelet.backends.wandb.failures import mapped
from tracelet.backends.wandb.filing import Filing, Kept, kept
from tracelet.backends.wandb.held import is_picture, more, payload_of
from tracelet.backends.wandb.session import Session
from tracelet.backends.wandb.words import MEDIA, MORE, STEP, key_of, text_of
from tracelet.errors import Rejected
from tracelet.events import Audio, Event, Figure, Histogram, Html, Image, Metric, Series, Table, Text, Video

BINS: Final = 512  # of a histogram of W&B's
ROWS: Final = 10_000  # of a table that the client puts into a file of the run
LINE: Final = 9_500_000  # bytes of a row; W&B takes 10 MB
_NAME: Final = 100  # characters of a media file's name that are the series' own
_UNSAFE: Final = re.compile(r"[^\w.()+=@ -]+")
_PLOTLY: Final = "plotly.json"
_FILMS: Final = frozenset({"gif", "mp4", "webm", "ogg"})
_CHARTS: Final[Mapping[str, tuple[str, dict[str, str]]]] = {
    "confusion_matrix": (
        "wandb/confusion_matrix/v1",
        {"Actual": "actual", "Predicted": "predicted", "nPredictions": "count"},
    ),
    "pr_curve": ("wandb/area-under-curve/v0", {"x": "recall", "y": "precision"}),
    "roc_curve": ("wandb/area-under-curve/v0", {"x": "fpr", "y": "tpr"}),
}


class Row(msgspec.Struct):
    """What the client is given for a row; what the server must then have beside the row itself.

    `artifacts` are W&B's own, to be waited for.
    """

    number: int
    values: dict[str, Any]
    files: dict[str, Kept] = {}
    artifacts: list[Any] = []


class Rows:
    """Makes rows.

    Args:
        filing: Finds payloads, and places files.
        image_bytes: How large a picture may be; see `media.most`.
    """

    def __init__(self, filing: Filing, image_bytes: int) -> None:
        self._filing = filing
        self._image_bytes = image_bytes

    def made(self, session: Session, placed: list[tuple[int, Placed]]) -> Row:
        """Make one row.

        Args:
            session: Where its files go.
            placed: Its events, each with its place in the batch.

        Raises:
            Rejected: One of them cannot be; `at` tells which.
        """
        first: Any = placed[0][1].event
        row = Row(placed[0][1].row, {"_timestamp": first.time})
        if first.step is not None:
            row.values[STEP] = first.step
        told: dict[str, Any] = {}
        for at, one in placed:
            if isinstance(one.event, Metric):
                row.values[key_of(one.event.name)] = one.event.value
                continue
            with _rejecting(at):
                self._add(session, row, told, one.event)
                self._check(told)
        if told:
            row.values[MORE] = text_of(told)
        return row

    def _check(self, told: Mapping[str, Any]) -> None:
        size = len(json.dumps(text_of(told), ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if size > LINE:
            raise Rejected(f"W&B takes rows of 10 MB, and this has {size:,} bytes")

    def _add(self, session: Session, row: Row, told: dict[str, Any], event: Any) -> None:
        key, own = key_of(event.name), more(event)
        if isinstance(event, Histogram):
            row.values[key] = self._histogram(event, own)
        elif isinstance(event, Table):
            key = self._table(session, row, event, own)
        else:
            row.values[key] = self._media(session, row, event)
        told[key] = own

    def _histogram(self, event: Histogram, own: dict[str, Any]) -> dict[str, Any]:
        source = self._filing.bytes_of(_what(event), event.data.digest) if event.data else None
        counted = media.counted(event, source)
        counts, limits = [*counted.counts], [*counted.limits]
        if len(counts) > BINS or not all(map(_is_plain, (*counts, *limits))):
            own |= {"counts": counts, "limits": limits}
        else:
            own.pop("counts", None)
            own.pop("limits", None)
        if counted.moments is not None:
            own["moments"] = msgspec.structs.asdict(counted.moments)
        while len(counts) > BINS:  # neighbours together, so that each edge is one that was there
            counts = [sum(counts[at : at + 2]) for at in range(0, len(counts), 2)]
            limits = [*limits[:-1:2], limits[-1]]
        return {"_type": "histogram", "values": counts, "bins": limits}

    def _table(self, session: Session, row: Row, event: Table, own: dict[str, Any]) -> str:
        """Put a table into a row, and its chart if it has one; return its key there."""
        import wandb

        client: Any = wandb
        source = self._filing.bytes_of(_what(event), event.data.digest)
        content = json.loads(source.read_bytes())
        columns = [str(column) for column in content["columns"]]
        table = client.Table(columns=columns, data=content["data"], allow_mixed_types=True)
        key, safe = key_of(event.name), _file_name(event.name)
        if len(content["data"]) > ROWS:
            own["source"] = f"{MEDIA}tables/{safe}_{row.number}_{event.data.digest[:20]}.json"
            self._filing.place(session, own["source"], source)
            row.files[own["source"]] = kept(source)
        artifact = private.table_artifact(session.run, safe)
        if artifact is not None:
            artifact.add(table, safe.replace("/", "-"))
            row.artifacts = [*row.artifacts, session.run.log_artifact(artifact)]
        self._bind(session, row, table, safe)
        chart = _CHARTS.get(event.chart)
        if chart is None or not {*chart[1].values()} <= {*columns} or f"{key}_table" in row.values:
            row.values[key] = table
            return key
        row.values[key] = client.plot_table(chart[0], table, chart[1], {"title": event.name})
        own["name"] = event.name
        return f"{key}_table"

    def _media(self, session: Session, row: Row, event: Any) -> dict[str, Any]:
        """Put the file of an event among the run's; return what the row says of it."""
        import wandb

        client: Any = wandb
        safe = _file_name(event.name)
        made = session.directory.parent / "tmp" / f"made-{row.number}"
        made.mkdir(parents=True, exist_ok=True)
        if isinstance(event, Text):
            page = f"<pre style='white-space: pre-wrap'>{html.escape(event.text)}</pre>"
            shown = client.Html(page, inject=False, data_is_not_path=True)
            return self._bind(session, row, shown, safe)
        ending = _ending(event)
        file = made / f"made.{ending or 'bin'}"
        source = self._filing.bytes_of(_what(event), event.data.digest)
        self._write(event, source, file)
        caption = getattr(event, "caption", "") or None
        try:
            if is_picture(event):
                boxes = _boxes(event, file)
                return self._bind(session, row, client.Image(str(file), caption=caption, boxes=boxes), safe)
            if isinstance(event, Audio):
                return self._bind(session, row, client.Audio(str(file), caption=caption), safe)
            if isinstance(event, Video) and ending in _FILMS:
                return self._bind(session, row, client.Video(str(file), caption=caption), safe)
            if isinstance(event, Html) or ending == "svg":
                page = file.rename(file.with_suffix(".html"))
                return self._bind(session, row, client.Html(str(page), inject=False), safe)
            return self._file(session, row, file, f"{safe}_{row.number}_{event.data.digest[:20]}.{ending}")
        finally:
            for left in made.glob("made.*"):
                left.unlink(missing_ok=True)

    def _write(self, event: Any, source: Path, file: Path) -> None:
        """Write a payload as the file that W&B is given."""
        if isinstance(event, (Image, Figure)) and is_picture(event):
            plain = msgspec.structs.replace(event, boxes=(), labels=()) if isinstance(event, Image) else event
            if event.data.dtype or _ending(event) != event.data.format:
                file.write_bytes(media.encoded(media.picture(plain, source, self._image_bytes), "PNG"))
                return
        media.write(event, source, file, self._image_bytes)

    def _file(self, session: Session, row: Row, file: Path, name: str) -> dict[str, Any]:
        """Keep a file that the client has no class for, or none without another library."""
        kind = "plotly" if name.endswith(_PLOTLY) else "files"
        if kind == "plotly":
            json.loads(file.read_bytes())
        path = f"{MEDIA}{kind}/{name}"
        there = file.parent / "kept" / name
        there.parent.mkdir(parents=True, exist_ok=True)
        file.rename(there)
        self._filing.place(session, path, there)
        row.files[path] = kept(there)
        sha256 = hashlib.sha256(there.read_bytes()).hexdigest()
        shown = "plotly-file" if kind == "plotly" else "file"
        return {"_type": shown, "path": path, "sha256": sha256, "size": row.files[path].size}

    def _bind(self, session: Session, row: Row, shown: Any, name: str) -> dict[str, Any]:
        """Have the client put an object's files among the run's; return what it says of it."""
        shown.bind_to_run(session.run, name, row.number)
        said: dict[str, Any] = shown.to_json(session.run)
        for path in _paths(said):
            row.files[path] = kept(session.directory / path)
        return said


@contextlib.contextmanager
def _rejecting(at: int) -> Generator[None, None, None]:
    """Tell which event of a batch it is that is rejected."""
    try:
        with mapped():
            yield
    except Rejected as error:
        raise Rejected(str(error), at=at) from None


def _paths(said: Any) -> list[str]:
    """List the files that what a row says names."""
    if not isinstance(said, dict):
        return []
    found = cast("dict[str, Any]", said)
    own = [str(found["path"])] if isinstance(found.get("path"), str) else []
    return own + [path for inner in found.values() for path in _paths(inner)]


def _boxes(event: Any, file: Path) -> dict[str, Any] | None:
    """Return the boxes of an image as W&B takes them: parts of its width and height."""
    boxes = event.boxes if isinstance(event, Image) else ()
    if not boxes:
        return None
    if event.data.dtype:
        height, width, _ = media.extent(event)
    else:
        from PIL import Image as Pillow

        with Pillow.open(file) as opened:
            width, height = opened.size
    labels = event.labels or [""] * len(boxes)
    numbers = {label: at for at, label in enumerate(dict.fromkeys(labels))}
    data = [
        {
            "position": {
                "minX": box[0] / width,
                "minY": box[1] / height,
                "maxX": box[2] / width,
                "maxY": box[3] / height,
            },
            "class_id": numbers[label],
            **({"box_caption": label} if label else {}),
        }
        for box, label in zip(boxes, labels, strict=True)
        if all(map(_is_plain, box))
    ]
    names = {at: label or "box" for label, at in numbers.items()}
    return {"boxes": {"box_data": data, "class_labels": names}} if data else None


def _ending(event: Any) -> str:
    if isinstance(event, Image) and is_picture(event) and not event.data.dtype:
        return payload_of(event).format
    return media.ending(event)


def _file_name(name: str) -> str:
    """Return what the files of a series are called; one whose name had to be changed bears a digest."""
    parts = [_UNSAFE.sub("-", part).strip(" .") for part in name.split("/")]
    found = "/".join(parts)
    if found == name and all(parts) and len(name.encode()) <= _NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    kept_part = "/".join(filter(None, parts)).encode()[: _NAME - 13].decode("utf-8", "ignore").strip("/ .")
    return f"{kept_part}-{digest}" if kept_part else digest


def _is_plain(number: float) -> bool:
    return number - number == 0  # neither NaN nor infinite


def _what(event: Event | Series) -> str:
    return f"{type(event).__name__.lower()} {getattr(event, 'name', '')!r}"
