"""The files of a run or a model, wherever MLflow keeps them."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from tracelet.backends.mlflow.reading import WORKING, asking
from tracelet.errors import BackendError, Refused

_LOG: Final = logging.getLogger(__name__)
_PREFIX: Final = ".tracelet-"
_UPLOADING: Final = ".artifact.uploading."  # as MLflow calls a file that is not whole yet
_LEVELS: Final = 3  # of directories that MLflow makes: mlruns/<experiment>/<run>/artifacts


class File(NamedTuple):
    """One file; `path` has `/` between its parts."""

    path: str
    size: int


class Files(Protocol):
    """The files of one run or model. Every method may raise `Unavailable` or `Refused`, and nothing else."""

    def walk(self) -> Iterator[File]:
        """Give every file."""
        ...

    def top(self) -> set[str]:
        """Return the names in the outermost directory."""
        ...

    def fetch(self, path: str, to: Path) -> None:
        """Write a file's bytes to `to`.

        Raises:
            Refused: There is no such file.
        """
        ...

    def read(self, path: str) -> bytes:
        """Read a small file."""
        ...


class LocalFiles:
    """Files on a disk of this machine, as MLflow puts them there; see `Files`.

    They are read as what they are: MLflow's own class gives no file back that has "#" in its name.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def walk(self) -> Iterator[File]:
        """See `Files.walk`."""
        with asking():
            found = sorted(_below(self._root, "", frozenset()))
        yield from found

    def top(self) -> set[str]:
        """See `Files.top`."""
        with asking():
            return {path.name for path in self._root.iterdir()} if self._root.is_dir() else set()

    def fetch(self, path: str, to: Path) -> None:
        """See `Files.fetch`."""
        with asking(), tempfile.TemporaryDirectory(dir=_made(to.parent), prefix=_PREFIX) as place:
            shutil.copyfile(self._file(path), Path(place, "file"))
            Path(place, "file").replace(to)

    def read(self, path: str) -> bytes:
        """See `Files.read`."""
        with asking():
            return self._file(path).read_bytes()

    def _file(self, path: str) -> Path:
        file = self._root / path
        if PurePosixPath(path).is_absolute() or ".." in path.split("/") or not file.exists():
            raise Refused(f"there is no file {path!r} in {self._root}")
        if not file.is_file():
            raise Refused(f"{path!r} in {self._root} is a directory: name one of its files")
        return file


class RemoteFiles:
    """Files elsewhere, as MLflow's own classes reach them; see `Files`.

    Args:
        uri: Where they are, as the store has it.
        tracking_uri: The server that hands them out, if one does.
    """

    def __init__(self, uri: str, tracking_uri: str) -> None:
        self._uri = uri
        self._tracking_uri = tracking_uri
        self._opened: Any = None

    def walk(self) -> Iterator[File]:
        """See `Files.walk`."""
        directories = [""]
        while directories:
            for entry in self._entries(directories.pop()):
                if entry.is_dir:
                    directories.append(entry.path)
                else:
                    yield File(str(entry.path), int(entry.file_size or 0))

    def top(self) -> set[str]:
        """See `Files.top`."""
        return {str(entry.path) for entry in self._entries("")}

    def fetch(self, path: str, to: Path) -> None:
        """See `Files.fetch`."""
        with asking(WORKING), tempfile.TemporaryDirectory(dir=_made(to.parent), prefix=_PREFIX) as place:
            got = self._download(path, place)
            if not got.is_file():
                raise Refused(f"{path!r} in {self._uri} is a directory: name one of its files")
            got.replace(to)

    def read(self, path: str) -> bytes:
        """See `Files.read`."""
        with asking(WORKING), tempfile.TemporaryDirectory(prefix=_PREFIX) as place:
            return self._download(path, place).read_bytes()

    def _download(self, path: str, place: str) -> Path:
        try:
            with asking(WORKING):
                return Path(self._repository().download_artifacts(path, dst_path=place))
        except BackendError:
            if not self._is_there(path):  # asked only now: most downloads succeed
                raise Refused(f"there is no file {path!r} in {self._uri}") from None
            raise

    def _entries(self, directory: str) -> list[Any]:
        with asking(WORKING):
            entries: list[Any] = self._repository().list_artifacts(directory or None)
        return [entry for entry in entries if entry.path != directory]  # some list the directory itself

    def _is_there(self, path: str) -> bool:
        directory = path.rpartition("/")[0]
        return any(entry.path == path and not entry.is_dir for entry in self._entries(directory))

    def _repository(self) -> Any:
        if self._opened is None:
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            self._opened = get_artifact_repository(self._uri, tracking_uri=self._tracking_uri)
        return self._opened


def _below(directory: Path, path: str, above: frozenset[str]) -> Iterator[File]:
    """Find the files below a directory; a link that leads back up is passed over."""
    real = os.path.realpath(directory)
    if real in above or not directory.is_dir():
        return
    for entry in os.scandir(directory):
        if entry.is_dir():
            yield from _below(Path(entry.path), f"{path}{entry.name}/", above | {real})
        elif entry.is_file() and not entry.name.startswith(_UPLOADING):
            yield File(path + entry.name, entry.stat().st_size)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def local(uri: str, base: Path | None) -> Path | None:
    """Return the directory that a URI names; None if it is elsewhere.

    Args:
        uri: As a store has it; it may be a path.
        base: Where a relative path begins.
    """
    scheme, _, _ = uri.partition(":") if ":" in uri else ("", "", "")
    if scheme == "file":
        return Path(unquote(urlsplit(uri).path))
    if len(scheme) > 1:
        return None
    return Path(base or Path.cwd(), uri)


class Absent:
    """Tells, once for each place, of artifacts whose directory is on no disk of this machine."""

    def __init__(self) -> None:
        self._told: set[Path] = set()

    def check(self, run: str, directory: Path) -> None:
        """Warn if the artifacts of a run seem to have been left behind on another machine.

        MLflow makes the directory with the first artifact, so one that is missing means nothing
        where the place that it would be made in is there.
        """
        root = Path(*directory.parts[:-_LEVELS])
        if root in self._told or any(os.path.lexists(place) for place in (directory, root, root.parent)):
            return
        self._told.add(root)
        _LOG.warning(
            "the artifacts of run %s, and of others, should be in %s, which is not on this machine: what "
            "MLflow says of these runs is read without artifacts. Read where they are, or copy them there",
            run,
            root,
        )
