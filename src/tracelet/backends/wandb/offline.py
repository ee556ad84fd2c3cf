"""A run's directories where W&B is offline: a projection of the journal, to be had again at any time.

The client makes a directory of each session, and writes it from its first row on. So one that is not
finished is removed and written anew, and one that is finished is never touched: its owner may have
given it to `wandb sync`. After any number of deaths there is exactly one. What a process of the run
logs after the run's end goes to a second one, of that alone.

A finished directory bears `tracelet.json`: how many rows it has, the digests of everything else, and
the config, which the next one says again.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet.events import Event

MARK: Final = "tracelet.json"


class Finished(msgspec.Struct):
    """What finished directories of a run hold."""

    rows: int = 0
    others: set[str] = set()
    config: dict[str, Any] = {}
    note: str = ""


class Directories:
    """The directories of one run.

    Args:
        place: The directory in which W&B makes its own, `wandb`.
        run_id: The run's id.
    """

    def __init__(self, place: Path, run_id: str) -> None:
        self._place = place
        self._run_id = run_id
        self.finished = Finished()
        self.last: Path | None = None

    def clear(self) -> bool:
        """Remove what is not finished, and find out what the others hold.

        Returns:
            Whether something has to be delivered from the beginning: none is finished, or one was removed.
        """
        removed = False
        for directory in self._all():
            try:
                said = msgspec.json.decode((directory / MARK).read_bytes(), type=Finished)
            except (OSError, msgspec.MsgspecError):
                shutil.rmtree(directory)
                removed = True
                continue
            if said.rows >= self.finished.rows and len(said.others) >= len(self.finished.others):
                self.finished, self.last = said, directory  # the last one holds what those before it do
        return removed or self.last is None

    def finish(self, directory: Path) -> None:
        """Note that a directory is whole, and will not be touched again."""
        new = directory / f"{MARK}.new"
        new.write_bytes(msgspec.json.encode(self.finished))
        new.replace(directory / MARK)
        self.last = directory

    def _all(self) -> Iterator[Path]:
        for name in ("wandb", ".wandb"):
            yield from sorted((self._place / name).glob(f"offline-run-*-{self._run_id}*"))


def digest_of(event: Event) -> str:
    """Return what tells an event from all others."""
    return hashlib.blake2b(msgspec.msgpack.encode(event), digest_size=8).hexdigest()
