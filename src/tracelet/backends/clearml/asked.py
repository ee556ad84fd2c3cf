"""What a Writer and a Reader ask: a server, or the archive of an offline session."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tracelet.backends.clearml.files import Store


class Asked(Protocol):
    """What both ask."""

    def open(self) -> None:
        """Connect."""
        ...

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """Ask for something by its name in ClearML's API, such as "tasks.create"; return what is said."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Sink(Asked, Protocol):
    """What a Writer asks besides."""

    @property
    def web(self) -> str:
        """The URL of the pages; empty if nobody knows it."""
        ...

    @property
    def anew(self) -> bool:
        """See `Remote.anew`."""
        ...

    @property
    def view(self) -> str:
        """See `Remote.view`."""
        ...

    def add(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Add events; return how many were added, and how many not."""
        ...

    def store(self, place: str) -> Store:
        """Return where files go, below a place."""
        ...


class Source(Asked, Protocol):
    """What a Reader asks besides."""

    @property
    def shown(self) -> str:
        """What it is called in a message."""
        ...

    def pages(self, name: str, what: str, /, **asked: Any) -> Iterator[dict[str, Any]]:
        """Give all that a question of several pages is answered with."""
        ...

    def events(self, task: str, kind: str) -> Iterator[dict[str, Any]]:
        """Give all events of one type of a task, the oldest first."""
        ...

    def download(self, url: str, to: Path) -> None:
        """Write the bytes at an address to a file."""
        ...
