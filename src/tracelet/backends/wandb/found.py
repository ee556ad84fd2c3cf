"""A run of W&B's, wherever it is kept: what `back` makes events of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from tracelet.events import Definition

Row: TypeAlias = dict[str, Any]
"""A row as W&B has it: keys of the user's, and `_step`, `_timestamp`, `_runtime`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What W&B says of a run besides its rows and files.

    Attributes:
        state: W&B's word: running, finished, failed, crashed, killed, preempted …
        ended: When it ended, in seconds since the epoch; None while it goes on.
        config: Each param's value, and W&B's own `_wandb`.
    """

    id: str
    name: str
    project: str
    started: float
    state: str
    ended: float | None = None
    note: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An artifact that a run has put out.

    Attributes:
        path: What stands before the paths of its files, unlike that of any other of the run's.
        files: Their sizes, by the path in the artifact.
        references: URIs of what lies elsewhere, by the path in the artifact.
    """

    name: str
    kind: str
    path: str
    time: float
    aliases: tuple[str, ...]
    metadata: Mapping[str, Any]
    files: Mapping[str, int]
    references: Mapping[str, str]


class Kept(Protocol):
    """A run, on a server or in a file.

    Everything raises `Unavailable` or `Refused`, and nothing else.
    """

    def about(self) -> About:
        """Tell what W&B says of the run."""
        ...

    def rows(self) -> Iterator[Row]:
        """Give every row, the oldest first."""
        ...

    def having(self, key: str) -> Iterator[Any]:
        """Give the value of one key in each of the rows that have it."""
        ...

    def summary(self) -> Mapping[str, Any]:
        """Give the values that stand for the run."""
        ...

    def machine(self) -> Iterator[Row]:
        """Give what W&B has measured of the machine, the oldest first."""
        ...

    def files(self) -> Mapping[str, int]:
        """Give the sizes of the run's files, by their paths."""
        ...

    def logged(self) -> list[Logged]:
        """Give the artifacts that the run has put out, the oldest first."""
        ...

    def fetch(self, path: str, to: Path) -> bool:
        """Write one of the run's files to a file; tell whether there is one of that path."""
        ...

    def fetch_logged(self, artifact: Logged, path: str, to: Path) -> None:
        """Write a file of an artifact to a file."""
        ...
