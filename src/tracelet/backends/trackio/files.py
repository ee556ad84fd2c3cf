"""Artifacts of ours as Trackio's: named in a project, with versions, each a list of files.

A file is an artifact of the type "file", called as its path with dashes for what no name there may
have, and its path is that of the one file in it. So two paths may share a name; the path tells them
apart, and of one path the version that the run was given last counts.
"""

import json
import re
from typing import Any, Final

from tracelet.backend import BlobPath, Limits, bytes_of, file_of
from tracelet.backends.trackio.store import Store
from tracelet.backends.trackio.words import moment, plain
from tracelet.errors import Rejected
from tracelet.events import Artifact, Bundle
from tracelet.names import NameMap

KIND: Final = "file"
_PATHS: Final = NameMap(  # without what it takes for a drive, or refuses
    Limits(name_length=100_000, name_characters=r"\x01-\x39\x3b-\x5b\x5d-\U0010ffff", name_is_path=True)
)
_NAMED: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ALIAS: Final = re.compile(r"(?!v\d+\Z)[A-Za-z0-9._-]+\Z")


def escaped(path: str) -> str:
    """Return the path in Trackio of an artifact of ours."""
    return _PATHS.to_tracker(path)


def unescaped(path: str) -> str:
    """Return the path that `escaped` made this one of, or this one if it did not."""
    original = _PATHS.from_tracker(path)
    return original if _PATHS.to_tracker(original) == path else path


class Filing:
    """Puts a run's files.

    Args:
        store: Where they go.
        blob: Finds their bytes.
    """

    def __init__(self, store: Store, blob: BlobPath) -> None:
        self._store = store
        self._blob = blob

    def artifact(self, event: Artifact) -> None:
        """Put one file."""
        digest, size = self._store.keep(file_of(event, self._blob))
        path = escaped(event.path)
        manifest = [{"path": path, "digest": digest, "size": size}]
        self._store.commit(_name(event.path), KIND, moment(event.time), manifest)

    def bundle(self, event: Bundle) -> dict[str, Any]:
        """Put files together that were put before, each alone, or say where they lie; return the list."""
        manifest = self._manifest(event)
        if not manifest:
            raise Rejected(f"{event.kind or 'bundle'} {event.name!r}: none of its files is there any more")
        aliases = [alias for alias in event.aliases if _ALIAS.match(alias)]
        metadata = plain(event.metadata)
        kind, time = event.kind or "bundle", moment(event.time)
        self._store.commit(_name(event.name), kind, time, manifest, metadata, aliases)
        if event.data is None:
            return {}
        files = ((unescaped(one["path"]), one) for one in manifest)
        return {path: {"digest": one["digest"], "size": one["size"]} for path, one in files}

    def _manifest(self, event: Bundle) -> list[dict[str, Any]]:
        if event.data is None:
            name = event.reference.rstrip("/").rpartition("/")[2]
            path = escaped(event.path or name or event.name)
            return [{"path": path, "digest": event.reference, "size": 0, "ref": event.reference}]
        source = bytes_of(f"the list of the files of {event.name!r}", event.data.digest, self._blob)
        listed: dict[str, dict[str, Any]] = json.loads(source.read_bytes())
        manifest: list[dict[str, Any]] = []
        put: dict[str, dict[str, Any]] | None = None
        for path, said in listed.items():
            digest, there = str(said.get("digest", "")), escaped(path)
            if self._store.has(digest):
                manifest.append({"path": there, "digest": digest, "size": int(said.get("size", 0))})
                continue
            put = self._store.files() if put is None else put  # it was left where it was, when it was logged
            manifest += [put[there]] if there in put else []
        return manifest


def _name(path: str) -> str:
    return _NAMED.sub("-", path).strip("-.") or KIND
