"""Artifacts of a run in Aim: files below a URI, and links to them.

Aim stores no files: it copies them to a directory or a bucket, and keeps a link. Of a bucket it asks
boto3; a directory is written to here, in one step for each file, and by its own name: Aim's way would
cut a URI at a `#`.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from tracelet.errors import Rejected, Unavailable

MEDIA: Final = "tracelet-media/"
"""What the path of an artifact begins with that is the payload of an entry of a series."""
_DIRECTORY: Final = "file://"


class Artifacts:
    """Where the artifacts of one run go.

    Args:
        uri: Below which those of all runs go; empty if there is no such place.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._told = False

    def put(self, run: Any, path: str, source: Path) -> str:
        """Keep a file as the artifact of a path; return its URI."""
        from aim.sdk.objects.artifact import Artifact

        if not self._uri:
            raise Rejected(
                f"artifact {path!r}: an Aim server keeps no files. Set aim_artifacts_uri to a directory that "
                "all can read (file:///…) or a bucket (s3://…); of a run that has ended, `tracelet sync RUN "
                "--backend aim --backend-url aim://HOST:PORT` then delivers all again, its artifacts too"
            )
        if not self._told:
            run.set_artifacts_uri(self._uri)
            self._told = True
        base = f"{self._uri}/{run.hash}"
        made: Any = Artifact(path, uri=base, name=path, size=source.stat().st_size)
        if base.startswith(_DIRECTORY):
            _copy(source, Path(base.removeprefix(_DIRECTORY), path))
        else:
            _upload(base, path, source)
        run.meta_run_tree.subtree("artifacts")[path] = made
        return str(made.uri)


def file_of(uri: str) -> Path | None:
    """Return the file that a URI names; None if it is elsewhere."""
    return Path(uri.removeprefix(_DIRECTORY)) if uri.startswith(_DIRECTORY) else None


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    new, place = tempfile.mkstemp(dir=to.parent, prefix=".tracelet-", suffix=".new")
    os.close(new)
    try:
        shutil.copyfile(source, place)
        Path(place).chmod(0o644)
        Path(place).replace(to)
    finally:
        with contextlib.suppress(OSError):
            Path(place).unlink(missing_ok=True)


def _upload(base: str, path: str, source: Path) -> None:
    from aim.storage.artifacts.artifact_registry import registry

    try:
        registry.get_storage(base).upload_artifact(str(source), path, block=True)
    except ImportError as error:
        raise Unavailable(f"{base} needs boto3 where the relay runs: pip install boto3 ({error})") from None
