"""Files on their way in: artifacts, and bundles of them that are one thing, such as a model."""

import os
import posixpath
import re
import time as clock
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from tracelet import arrays, guard, inputs, values
from tracelet.events import Artifact, Bundle, Payload
from tracelet.inputs import npy, texts
from tracelet.inputs.texts import Raised, attempt
from tracelet.intake import source_of
from tracelet.journal import blobs
from tracelet.journal.blobs import Blob
from tracelet.scrub import without_userinfo

if TYPE_CHECKING:
    from tracelet.intake import Intake

MODELS: Final = "models"  # the directory among a run's artifacts that models go to
_LOGIN: Final = re.compile(r"^(/*)[^/@\s:]+:[^/@\s]*@")  # user and password, where no scheme is before them
_COLLAPSED: Final = re.compile(r"([A-Za-z][\w+.-]+:)/+")  # a URI that was made a path: "s3:/bucket"
_IN_MEMORY: Final = (bytes, bytearray, memoryview, BytesIO)


class Naming(NamedTuple):
    """What makes one thing of files, as a user says it."""

    kind: Any = None
    name: Any = None
    aliases: Any = ()
    metadata: Any = None
    step: Any = None

    @property
    def is_given(self) -> bool:
        """Whether the files are more than files."""
        some = any(one is not None for one in (self.kind, self.name, self.metadata, self.step))
        return some or attempt(bool, self.aliases) is not False


class _Files(NamedTuple):
    """Artifacts that were recorded, and the path that they are or lie below."""

    path: str
    all: list[Artifact]


def artifact(intake: "Intake", given: Any, artifact_path: Any, naming: Naming, *, copy: bool) -> None:
    """See `Recording.log_artifact`."""
    if not intake.is_open("artifact"):  # before its bytes are copied for nothing
        return
    place = attempt(_place, artifact_path)
    if isinstance(place, Raised):
        _refused("artifact", given, place.error)
        return
    found = _taken(intake, "artifact", given, place, copy=copy)
    if found is None or not naming.is_given:
        return
    called = posixpath.basename(found.path) or "artifacts" if naming.name is None else naming.name
    at = intake.place("artifact", called, naming.step, None)
    if at is not None:
        kind = "" if naming.kind is None else inputs.text(at.name, naming.kind)
        _bundle(intake, at, kind, found, naming)


def reference(intake: "Intake", uri: Any, naming: Naming) -> None:
    """See `Recording.log_reference`."""
    if not intake.is_open("reference"):
        return
    where = attempt(_uri, uri)
    if isinstance(where, Raised):
        _refused("reference", uri, where.error)
        return
    last = posixpath.basename(urlsplit(where).path.rstrip("/"))
    called = naming.name if naming.name is not None else last or where
    at = intake.place("reference", called, naming.step, None)
    if at is None:
        return
    kind = "" if naming.kind is None else inputs.text(at.name, naming.kind)
    found = Bundle(
        time=at.time,
        name=at.name,
        kind=kind,
        reference=where,
        aliases=inputs.names("alias", naming.aliases),
        step=at.step,
        metadata=inputs.metadata(naming.metadata),
    )
    _record(intake, found)


def model(intake: "Intake", name: object, given: Any, step: object, naming: Naming) -> None:
    """See `Recording.log_model`."""
    at = intake.place("model", name, step, None)
    if at is None:
        return
    path = posixpath.join(MODELS, blobs.clean(at.name) or "model")
    if at.step is not None:  # each is kept
        path = f"{path}/step-{at.step}"
    if isinstance(given, (str, os.PathLike)):
        found = _taken(intake, "model", given, path)
        found = None if found is None else found._replace(path=path)
    else:
        found = _saved(intake, at.name, given, path)
    if found is not None:
        _bundle(intake, at, "model", found, naming)


def bundle(
    intake: "Intake", files: Mapping[str, Any], naming: Naming, time: float | None, *, path: str
) -> None:
    """See `Recording.bundle`."""
    at = intake.place(naming.kind, naming.name, naming.step, time)
    if at is None:
        return
    below = blobs.clean(path)
    kept: list[Artifact] = []
    for relative, given in files.items():
        found = _member(intake, at.name, posixpath.join(below, blobs.clean(relative)), given)
        if found is None:
            return
        kept += found.all
    _bundle(intake, at, naming.kind, _Files(below, kept), naming)


def _member(intake: "Intake", name: str, place: str, given: Any) -> _Files | None:
    """Keep one of a bundle's files; an array becomes one of numpy's."""
    if isinstance(given, str):
        given = given.encode("utf-8", "backslashreplace")
    if isinstance(given, _IN_MEMORY):
        return _in_memory(intake, given, place)
    if isinstance(given, os.PathLike):
        found = attempt(source_of, cast("Any", given))
        return _copied(intake, name, found, place)
    raw = attempt(arrays.raw, given)
    if isinstance(raw, Raised):
        intake.refused("artifact", name, raw.error)
        return None
    place = place if place.endswith(npy.SUFFIX) else place + npy.SUFFIX
    return _written(intake, place, lambda blob: [blob.write(piece) for piece in npy.pieces(raw)])


def _place(artifact_path: Any) -> str | None:
    return None if artifact_path is None else os.fsdecode(artifact_path)


def _uri(uri: Any) -> str:
    """Make a URI of what was given for one, without credentials."""
    if isinstance(uri, os.PathLike):
        uri = _uri_of_path(cast("Any", uri))
    if not isinstance(uri, str) or not uri.strip():
        raise TypeError("it is a URI, such as s3://bucket/data, or a path")
    found = without_userinfo(values.unicode(uri.strip()[: texts.NAME_MAX]))
    return found if "://" in found else _LOGIN.sub(r"\1", found)


def _uri_of_path(path: Any) -> str:
    if not isinstance(path, PurePath) and callable(getattr(path, "as_uri", None)):
        return path.as_uri()  # of a bucket: as a path of this machine, it would be downloaded
    if found := _COLLAPSED.match(text := os.fsdecode(path)):
        return f"{found[1]}//{text[found.end() :]}"
    return source_of(path).absolute().as_uri()


def _taken(intake: "Intake", what: str, given: Any, place: str | None, *, copy: bool = True) -> _Files | None:
    """Record the artifacts of what a user gave; None, and a warning, if one of them cannot be."""
    if isinstance(given, _IN_MEMORY):
        return _in_memory(intake, given, place)
    source = attempt(source_of, given)
    if isinstance(source, Raised):
        _refused(what, given, source.error)
        return None
    return _on_disk(intake, what, source, place, copy=copy)


def _on_disk(intake: "Intake", what: str, source: Path, place: str | None, *, copy: bool) -> _Files | None:
    found: list[Artifact] = []
    try:
        path = blobs.place_of(source.absolute(), place)
        for one in blobs.artifacts(intake.directory, source, place, copy=copy, sync=intake.sync):
            intake.event(one)
            found.append(one)
    except ValueError as error:  # a null byte in its name
        _refused(what, source, error)
        return None
    except OSError as error:
        intake.unwritten(what, error.filename or source, error)
        return None
    return _Files(path, found)


def _copied(intake: "Intake", name: str, source: Path | Raised, place: str) -> _Files | None:
    """Record a file under a path of its own, or a directory's files below it."""
    if isinstance(source, Raised):
        intake.refused("artifact", name, source.error)
        return None
    if source.is_dir():
        return _on_disk(intake, name, source, place, copy=True)
    data = intake.file("artifact", name, source, "")
    return None if data is None else _recorded(intake, place, data)


def _in_memory(intake: "Intake", given: Any, place: str | None) -> _Files | None:
    """Record bytes; `place` is the file's path, and not only its directory."""
    path = blobs.clean(place or "")
    if not path or (place or "").endswith("/"):
        message = "bytes need an artifact_path that names the file, such as 'data/labels.bin'; got %r"
        guard.warn_once(message + ". They are not logged", place, key=place)
        return None
    view = memoryview(given.getbuffer() if isinstance(given, BytesIO) else given)
    flat = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
    return _written(intake, path, lambda blob: blob.write(flat))


def _written(intake: "Intake", path: str, write: Callable[[Blob], object]) -> _Files | None:
    """Record a file that is written here."""
    data = intake.written("artifact", path, "", write)
    return None if data is None else _recorded(intake, path, data)


def _recorded(intake: "Intake", path: str, data: Payload) -> _Files:
    found = Artifact(time=clock.time(), path=path, size=data.size, digest=data.digest)
    intake.event(found)
    return _Files(path, [found])


def _saved(intake: "Intake", name: str, given: Any, path: str) -> _Files | None:
    """Record the weights of a model of torch's."""
    from tracelet.inputs import models

    save = attempt(models.saving, given)
    if isinstance(save, Raised):
        intake.refused("model", name, save.error)
        return None
    found = _written(intake, posixpath.join(path, models.FILE), save)
    return None if found is None else found._replace(path=path)


def _bundle(intake: "Intake", at: inputs.Place, kind: str, found: _Files, naming: Naming) -> None:
    """Record that files are one thing."""
    if not found.all:
        message = "%s %r has no files; it is not logged"
        guard.warn_once(message, kind or "artifact", at.name, key=at.name)
        return
    listed = {one.path: {"digest": one.digest, "size": one.size} for one in found.all}
    manifest = msgspec.json.encode(listed)
    data = intake.written(kind or "artifact", at.name, "json", lambda blob: blob.write(manifest))
    if data is None:
        return
    made = Bundle(
        time=at.time,
        name=at.name,
        kind=kind,
        path=found.path,
        files=len(listed),
        data=data,
        aliases=inputs.names("alias", naming.aliases),
        step=at.step,
        metadata=inputs.metadata(naming.metadata),
    )
    _record(intake, made)


def _record(intake: "Intake", bundle: Bundle) -> None:
    try:
        intake.event(bundle)
    except ValueError:
        message = "the metadata of %r is too large to be logged; write it to a file"
        guard.warn_once(message, bundle.name, key=bundle.name)
        intake.event(msgspec.structs.replace(bundle, metadata={}))


def _refused(what: str, given: object, error: Exception) -> None:
    guard.warn_once("%s %s cannot be logged: %s", what, texts.shown(given), error, key=(what, str(error)))
