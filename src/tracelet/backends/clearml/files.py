"""Files: debug samples, pictures of plots and artifacts, at ClearML's file server or in a bucket.

A file's address is made of the task and of what the file is, so a file that is sent again takes the place
of the first. An address that is not http is left to the client, which has what buckets need.
"""

import mimetypes
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tracelet.backends.clearml.failures import check_file
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.scrub import without_userinfo

if TYPE_CHECKING:
    from tracelet.backends.clearml.session import Connection

_WEB: Final = ("http://", "https://")
_PIECE: Final = 1 << 18  # bytes, that may take seconds
_BOUNDARY: Final = "tracelet-6f1d5a0e9c2b4783"
_SAFE: Final = re.compile(r"[^\w.-]+", re.ASCII)
_LENGTH: Final = 60  # characters of a part of an address
_ANY: Final = "application/octet-stream"


class Store(Protocol):
    """Where files go."""

    def put(self, name: str, source: Path | bytes) -> str:
        """Keep a file; return its address, which depends on the name alone."""
        ...


def safe(text: str) -> str:
    """Return a part of an address that every file server takes, and that people can read."""
    return _SAFE.sub("_", text)[:_LENGTH].strip(".") or "_"


def kind_of(name: str) -> str:
    """Tell what a file is, by its name, as in MIME."""
    return mimetypes.guess_type(name)[0] or _ANY


class Files:
    """The files of one task.

    Args:
        connection: A server.
        place: What their addresses begin with, below the file server's.
    """

    def __init__(self, connection: "Connection", place: str) -> None:
        self._connection = connection
        self._place = place

    def put(self, name: str, source: Path | bytes) -> str:
        """See `Store.put`."""
        host = self._connection.files
        if not host:
            raise Refused(
                "nobody knows where ClearML's files go: set CLEARML_FILES_HOST, then `tracelet sync`"
            )
        path = f"{self._place}/{name}"
        if not host.startswith(_WEB):
            return _handed_over(f"{host}/{path}", source)
        form = Form(path, source)
        headers = {"Content-Type": form.kind, **self._connection.headers(host)}
        answer = self._connection.transport.send("post", host, data=form, headers=headers)
        if _has_expired(answer):
            headers |= self._connection.headers(host)
            answer = self._connection.transport.send("post", host, data=form, headers=headers)
        check_file(answer, f"{name} for {host}")
        return f"{host}/{urllib.parse.quote(path)}"


def fetch(connection: "Connection", url: str, to: Path) -> None:
    """Write the bytes at an address to a file.

    Raises:
        Refused: There are none.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    if not url.startswith(_WEB):
        _brought(url, to)
        return
    answer = connection.transport.send("get", url, headers=connection.headers(url), stream=True)
    with answer:
        try:
            check_file(answer, without_userinfo(url))
        except Rejected as error:
            raise Refused(f"ClearML has not the bytes of it: {error}") from None
        with to.open("wb") as file:
            for piece in _pieces(answer, url):
                file.write(piece)


class Form:
    """A file as a form of one part, which is never whole in memory; its field is called as its path.

    Args:
        path: Where the file goes, below the file server's address.
        source: Its bytes.
    """

    kind: Final = f"multipart/form-data; boundary={_BOUNDARY}"

    def __init__(self, path: str, source: Path | bytes) -> None:
        self._source = source
        head = (
            f"--{_BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{path}"; filename="{path}"\r\n'
            f"Content-Type: {kind_of(path)}\r\n\r\n"
        )
        self._head = head.encode()
        self._foot = f"\r\n--{_BOUNDARY}--\r\n".encode()
        self._size = len(source) if isinstance(source, bytes) else source.stat().st_size

    def __len__(self) -> int:
        """Return how many bytes there are, so that nothing has to be sent in chunks."""
        return len(self._head) + self._size + len(self._foot)

    def __iter__(self) -> Iterator[bytes]:
        """Give the bytes."""
        yield self._head
        if isinstance(self._source, bytes):
            yield self._source
        else:
            with self._source.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
        yield self._foot


def _has_expired(answer: Any) -> bool:
    return int(answer.status_code) == 401  # noqa: PLR2004  HTTP: a token is good for some time only


def _pieces(answer: Any, url: str) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(_PIECE)
    except OSError as error:  # as all exceptions of requests are
        raise Unavailable(f"{without_userinfo(url)} was cut off: {type(error).__name__}") from None


def _handed_over(url: str, source: Path | bytes) -> str:
    """Have the client take a file to a bucket or a directory."""
    from clearml import StorageManager

    manager: Any = StorageManager
    with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
        file = source
        if isinstance(file, bytes):
            file = Path(place, url.rpartition("/")[2])
            file.write_bytes(source if isinstance(source, bytes) else b"")
        kept = manager.upload_file(local_file=str(file), remote_url=url)
    if not kept:
        raise Unavailable(f"ClearML's client could not take a file to {url}")
    return str(kept)


def _brought(url: str, to: Path) -> None:
    """Have the client bring a file from a bucket or a directory.

    It is not asked for its cache's copy, which would stay, and is an old one where a file was replaced.
    """
    from clearml import StorageManager

    manager: Any = StorageManager
    if ".." in url.split("/"):  # the client would make a path of it
        raise Refused(f"{url!r} is no address of a file")
    with tempfile.TemporaryDirectory(prefix="tracelet-") as place:
        found = manager.download_file(
            url, local_folder=place, overwrite=True, skip_zero_size_check=True, silence_errors=True
        )
        if not found or not Path(found).is_file():
            raise Refused(f"ClearML's client finds nothing at {url}")
        shutil.copyfile(found, to)  # it may be the file itself, and no copy
