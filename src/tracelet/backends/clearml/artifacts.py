"""Artifacts and bundles of a task, and the models that some bundles are.

A bundle is an artifact. One that is a model is an output model of the task besides, whose weights are its
file or, of several, a ZIP of them: so ClearML's own `get_local_copy` gives them back. It is recognised by
a system tag, so that it is made once.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tracelet.backend import BlobPath, bytes_of, file_of
from tracelet.backends.clearml import records
from tracelet.backends.clearml.about import mark
from tracelet.backends.clearml.asked import Asked
from tracelet.backends.clearml.files import Store, kind_of, safe
from tracelet.backends.clearml.said import mapping, objects
from tracelet.backends.clearml.titles import long_enough
from tracelet.errors import Rejected
from tracelet.events import Artifact, Bundle

MODEL: Final = "model"
_BEGINNING: Final = (1980, 1, 1, 0, 0, 0)  # of time, for ZIP; so that the same files make the same bytes
_PIECE: Final = 1 << 20  # bytes


class Artifacts:
    """The artifacts of one task.

    Args:
        connection: A server.
        files: Where files go.
        blob: Finds payloads.
        task: The task, as ClearML knows it.
    """

    def __init__(self, connection: Asked, files: Store, blob: BlobPath, task: dict[str, Any]) -> None:
        self._connection = connection
        self._files = files
        self._blob = blob
        self._task = task

    def put(self, event: Artifact) -> dict[str, Any]:
        """Keep a file; return it as an artifact."""
        source = file_of(event, self._blob)
        uri = self._files.put(_place(event.path), source)
        digest = event.digest or _digest(source)
        return records.artifact(event, uri, digest, kind_of(event.path))

    def put_bundle(self, event: Bundle) -> dict[str, Any]:
        """Keep the list of a bundle's files, and make a model of one that is; return it as an artifact."""
        uri, listed = event.reference, dict[str, Any]()
        if event.data is not None:
            content = self._payload(event).read_bytes()
            listed = _listed(event, content)
            uri = self._files.put(f"artifacts/bundles/{records.digest_of(event)}.json", content)
        if event.kind == MODEL:
            self._make_model(event, listed, uri)
        return records.bundle(event, uri)

    def _make_model(self, event: Bundle, listed: dict[str, Any], uri: str) -> None:
        own = mark(records.digest_of(event))
        there = self._connection.call("models.get_all", system_tags=[own], task=[self._task["id"]])
        models = objects(there.get("models"))
        name = event.name if event.step is None else f"{event.name} {event.step}"
        if not models:
            made = self._connection.call(
                "models.create",
                name=long_enough(name),
                uri=self._weights(event, listed, uri) or uri or "tracelet:",
                task=self._task["id"],
                **({"project": self._task["project"]} if self._task.get("project") else {}),
                tags=list(event.aliases),
                system_tags=[own],
                comment=event.path,
            )
            models = [made]
        if event.metadata:
            items = [_item(key, value) for key, value in event.metadata.items()]
            self._connection.call("models.add_or_update_metadata", model=models[0]["id"], metadata=items)
        self._connection.call(
            "tasks.add_or_update_model",
            task=self._task["id"],
            name=long_enough(name),
            model=models[0]["id"],
            type="output",
            **({} if event.step is None else {"iteration": event.step}),
        )

    def _weights(self, event: Bundle, listed: dict[str, Any], uri: str) -> str:
        """Return where the files of a bundle are; empty if that cannot be told."""
        if event.reference:
            return uri
        files = {path: str(said.get("digest") or "") for path, said in listed.items()}
        if len(files) == 1:
            return self._uri_of(next(iter(files)))
        blobs = {path: self._blob(digest) for path, digest in files.items() if digest}
        if len(blobs) != len(files) or not all(blob.is_file() for blob in blobs.values()):
            return ""  # some were left where they lay
        with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
            archive = Path(place, "weights.zip")
            _zip(archive, {_within(path, event.path): blob for path, blob in blobs.items()})
            return self._files.put(f"models/{safe(event.name)}-{records.digest_of(event)}.zip", archive)

    def _uri_of(self, path: str) -> str:
        task = self._connection.call("tasks.get_by_id", task=self._task["id"])["task"]
        there = objects(mapping(mapping(task).get("execution")).get("artifacts"))
        return next((str(item.get("uri") or "") for item in there if item.get("key") == path), "")

    def _payload(self, event: Bundle) -> Path:
        return bytes_of(f"bundle {event.name!r}", event.data.digest if event.data else "", self._blob)


def _place(path: str) -> str:
    """Choose where an artifact lies: a place of its own for each path, and the name people know."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"artifacts/{digest}/{safe(PurePosixPath(path).name)}"


def _listed(event: Bundle, content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except UnicodeDecodeError as error:
        raise Rejected(f"bundle {event.name!r}: its list of files is not readable: {error}") from error
    return {path: mapping(one) for path, one in mapping(said).items()}


def _within(path: str, folder: str) -> str:
    return path.removeprefix(f"{folder}/") if folder else path


def _zip(archive: Path, files: dict[str, Path]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as made:
        for name, file in files.items():
            info = zipfile.ZipInfo(name, _BEGINNING)
            info.file_size = file.stat().st_size
            with made.open(info, "w") as to, file.open("rb") as source:
                shutil.copyfileobj(source, to, _PIECE)


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _item(key: str, value: Any) -> dict[str, str]:
    said = records.param(key, value)
    return {"key": key, "type": said["type"], "value": said["value"]}
