"""The keeper's loop: one run, from its start until nothing is left to do for it."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from tracelet.errors import JournalCorrupt
from tracelet.events import RunFinished
from tracelet.journal import blobs, holdings, reader, removal, status
from tracelet.journal.locks import Holder, this_host, this_process
from tracelet.journal.progress import Movement
from tracelet.journal.reader import segments
from tracelet.journal.status import RunFile
from tracelet.journal.writer import Writer
from tracelet.keeper import processes
from tracelet.keeper.relays import Relay
from tracelet.keeper.watching import Watch

TICK: Final = 0.5  # seconds between two looks
BEAT: Final = 60.0  # seconds between two signs of life
STOPPING: Final = 10.0  # seconds that a relay has to end when asked
_LOG: Final = logging.getLogger("tracelet.keeper")


class Keeper:
    """Watches over one run. The caller holds the run's keeper lock.

    Args:
        directory: The run's directory.
        only: Backends to deliver to; None for all of the run's.
        patience: Seconds without progress after the end; None for the run's `linger`, in which children
            that have logged are waited for, too.
        watch: Called at each look, with this keeper: for a progress bar.
    """

    def __init__(
        self,
        directory: Path,
        *,
        only: Collection[str] | None = None,
        patience: float | None = None,
        deliver_offline: bool = False,
        watch: "Callable[[Keeper], None] | None" = None,
    ) -> None:
        self.directory = directory
        self.run_file: RunFile = status.read_run(directory)
        online = deliver_offline or self.run_file.mode == "online"
        self.relays = [
            Relay(directory, self.run_file, name)
            for name in (self.run_file.relayed if online else ())
            if only is None or name in only
        ]
        self._patience = self.run_file.linger if patience is None else patience
        self._look = watch
        self._trainer = Watch(self.run_file.trainer)
        self._movement: Movement | None = None  # watched once the trainer has ended
        self._sizes: dict[str, int] = {}
        self._synced: dict[Path, int] = {}
        self._here = self.run_file.host == this_host()  # once: a machine may be given another name
        self._saw_it_live = self._trainer_lives()
        self._in_background = patience is None  # else somebody waits for it to end
        self._beat_at = 0.0
        self._writers: dict[str, Holder] = {}
        self._over = False  # the trainer has ended, or its run has
        self._ended = False  # and the journal says so

    def run(self, stop: threading.Event) -> bool:
        """Keep the run until nothing is left to do; tell whether all of it is delivered."""
        try:
            while self.directory.exists() and not stop.is_set():
                self._notice_end()
                for relay in self.relays:
                    relay.tend()
                self._beat()
                if self._look is not None:
                    self._look(self)
                self._to_disk()
                if self._over and (self._all_done() or self._is_stuck()):
                    break
                self._trainer.wait(TICK, stop)
        finally:
            for relay in self.relays:
                relay.stop(STOPPING)
            self._trainer.close()
        return all(relay.finished for relay in self.relays)

    def tidy(self, now: float) -> None:
        """Delete what nobody needs any more: blobs that every backend has, runs past their retention.

        Of a run whose journal is a store nothing is deleted; how much is in it is noted.
        """
        with contextlib.suppress(JournalCorrupt, OSError):
            run = status.read_run(self.directory)
            for name in status.stores(self.directory):
                holdings.note(self.directory, name)
            needed = run.kept or self._has_rejects(run) or removal.worker(self.directory)
            needed = needed or not all(map(run.called, blobs.awaited(self.directory)))
            if run.targets and status.is_delivered(self.directory, run) and not needed:
                blobs.delete(self.directory)
        for gone in removal.expire(self.directory.parent, now, self.directory):
            _LOG.info("%s was delivered and is past its retention; it is deleted", gone.name)

    def _has_rejects(self, run: RunFile) -> bool:
        return any(status.rejects(self.directory, name) for name in run.targets)

    def _notice_end(self) -> None:
        """See whether the run has ended; end it for a trainer that died."""
        if self._ended:
            return
        alive = self._trainer_lives()  # asked first: what it wrote before it died is there then
        if status.ending(self.directory) is not None:
            self._ended = True
        elif not alive:
            self._ended = self._end_for_the_dead()
        if not self._over and (self._ended or not alive):
            self._over = True
            if self._in_background:
                processes.hurry()  # somebody may be waiting at the end of a script
            names = [relay.name for relay in self.relays]
            self._movement = Movement(self.directory, names, self._patience)

    def _trainer_lives(self) -> bool:
        if self._here:
            return self._trainer.alive()
        return status.trainer_lives(self.directory, self.run_file)

    def _beat(self) -> None:
        """Show whoever looks from another host that the run is watched over, and so alive."""
        if self._here and time.monotonic() - self._beat_at > BEAT:
            self._beat_at = time.monotonic()
            with contextlib.suppress(OSError):
                (self.directory / status.BEAT).touch()

    def _end_for_the_dead(self) -> bool:
        """Append the `RunFinished` that the trainer could not; False while there is no room."""
        # A keeper that came later knows only when the run was written to last.
        when = time.time() if self._saw_it_live else self._last_write()
        writer = Writer(self.directory, "keeper")
        try:
            return writer.finish(RunFinished(when, "KILLED", status.UNSAID))
        finally:
            writer.close()

    def _last_write(self) -> float:
        newest = 0.0
        for name in segments(self.directory):
            with contextlib.suppress(OSError):
                newest = max(newest, (self.directory / name).stat().st_mtime)
        return newest or time.time()

    def _all_done(self) -> bool:
        done = self._ended and all(relay.done for relay in self.relays)
        return done and not (self._in_background and self.relays and self._child_may_log())

    def _child_may_log(self) -> bool:
        """Tell whether a process that has logged to the run, and is not its trainer, still lives."""
        if not self._here:
            return False
        for name in segments(self.directory):
            if name not in self._writers:
                with contextlib.suppress(JournalCorrupt, OSError):
                    header = reader.header(self.directory, name)
                    if header is not None:
                        self._writers[name] = Holder(header.pid, header.started)
        others = {*self._writers.values()} - {self.run_file.trainer, this_process()}
        return any(writer.alive for writer in others)

    def _is_stuck(self) -> bool:
        """Tell whether nothing has been acknowledged for too long since the end."""
        return self._movement is not None and self._movement.stalled()

    def _to_disk(self) -> None:
        """Ask the disk for what has grown, with durability "second"; keep the logs short."""
        for path in self.directory.glob("*.log"):
            processes.limit_log(path)
        if self.run_file.durability != "second":
            return
        blobs.to_disk(self.directory, self._synced)  # before the records that name them
        for name in segments(self.directory):
            with contextlib.suppress(OSError):
                size = (self.directory / name).stat().st_size
                if self._sizes.get(name) != size:
                    fd = os.open(self.directory / name, os.O_RDONLY)
                    try:
                        getattr(os, "fdatasync", os.fsync)(fd)
                    finally:
                        os.close(fd)
                    self._sizes[name] = size
