"""What an experiment is given, on its way into the journal: all but the points of metrics.

Large data is written to a blob on the calling thread, from where it lies in memory, and its record
follows. Nothing is encoded here: that is for the process that delivers. `Intake` has what all kinds
share; what one kind needs besides is a function in `series`, `tables`, `files` or `plans`.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from tracelet import backends, guard, inputs
from tracelet.arrays import Raw
from tracelet.errors import suggestion
from tracelet.events import Packed, Payload
from tracelet.inputs.texts import Raised, attempt
from tracelet.journal import blobs
from tracelet.journal.blobs import Blob
from tracelet.journal.recorder import Directed, Recorder
from tracelet.journal.status import RunFile
from tracelet.life import Life

JOURNAL: Final = "local"  # the backend whose store the journal is: it has everything
_BACKENDS_MAX: Final = 100  # that one record is for
_BACKEND_MAX: Final = 300  # characters
_AT_ONCE: Final = 500  # params in one record
_REASON_MAX: Final = 1000  # characters
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Intake:
    """Takes in what one experiment is given.

    Args:
        directory: The run's directory; None if nothing is recorded.
        run: Its `run.json`.
        recorder: Where records go.
        life: Tells whether the run has ended.

    Attributes:
        sync: Whether bytes are on disk before the record that names them.
    """

    def __init__(self, directory: Path | None, run: RunFile, recorder: Recorder, life: Life) -> None:
        self.run = run
        self.recorder = recorder
        self.sync = run.durability == "record"
        self._directory = directory
        self._life = life
        self._ordinals: dict[tuple[str, str], itertools.count[int]] = {}

    def only(self, given: object) -> tuple[str, ...]:
        """Find the backends that something is for, by their names in the run; the journal, if for none."""
        listed = (part.strip() for one in inputs.names("backend", given) for part in one.split(","))
        names = dict.fromkeys(self.run.called(name) or name[:_BACKEND_MAX] for name in listed if name)
        for name in names:
            if self._directory is not None and name not in self.run.targets and name != JOURNAL:
                self._say_absent(name)
        return tuple(names)[:_BACKENDS_MAX] or (JOURNAL,)

    @guard.contained
    def _say_absent(self, name: str) -> None:
        there = ", ".join(self.run.targets) or "none"
        if name in backends.names() or ":" in name:
            with contextlib.suppress(OSError):  # on a full disk, its bytes may not wait for it
                blobs.await_by(self.directory, name)
            message = (
                "the run goes to %s, and not to %r: what is logged to that alone stays in the journal;"
                " `tracelet sync %s --backend %s` delivers it"
            )
            guard.warn_once(message, there, name, self.run.run_id, name, key=name)
            return
        hint = suggestion(name, {*self.run.targets, *backends.names()})
        message = "no backend called %r; the run goes to %s.%s What is logged to that stays in the journal"
        guard.warn_once(message, name, there, hint, key=name)

    def directed(self, only: tuple[str, ...]) -> "Intake":
        """Make the one of what is for these backends alone; it numbers on where this one does."""
        made = Intake(self._directory, self.run, Directed(self.recorder, only), self._life)
        made._ordinals = self._ordinals
        return made

    @property
    def directory(self) -> Path:
        """The run's directory; there is one where `is_open` holds."""
        assert self._directory is not None  # noqa: S101  whoever asks has asked `is_open`
        return self._directory

    def event(self, event: Packed) -> None:
        """Record an event, or say why it is not."""
        if not self.recorder.event(event):
            self.missed(type(event).__name__)

    def missed(self, what: str) -> None:
        """Say why something was not recorded, once."""
        if self._life.ended:
            message = "%s comes after the run %s has ended; it is not logged"
            guard.warn_once(message, what, self.run.name, key=self.run.run_id)
        elif self.recorder.reason:
            guard.warn_once(
                "the journal in %s cannot be written: %s. Training goes on, and what is lost is counted",
                self._directory,
                self.recorder.reason,
            )

    @guard.contained
    def point(self, name: object, value: object, step: object, time: float | None) -> None:
        """Record a value that still has to be understood, or say why it cannot be."""
        point = inputs.point(name, value, step, time)
        if point is None:
            return
        name, number, whole, now = point
        if whole is None:
            written = self.recorder.stepless(name, number, now)
        else:
            written = self.recorder.scalar(name, number, whole, now)
        if not written:
            self.missed(f"metric {name!r}")

    def parts(self, pairs: Sequence[tuple[str, Any]], make: Callable[[Any], Packed]) -> None:
        """Record names and values, in as many records as they need."""
        for begin in range(0, len(pairs), _AT_ONCE):
            part = pairs[begin : begin + _AT_ONCE]
            try:
                self.event(make(part))
            except ValueError:  # together they are too large for one
                if len(part) == 1:
                    guard.warn_once("%r is too large to be logged", part[0][0][:100], key=part[0][0][:100])
                    continue
                self.parts(part[: len(part) // 2], make)
                self.parts(part[len(part) // 2 :], make)

    def is_open(self, what: str) -> bool:
        """Tell whether there is a run to record something in; else its bytes would be left behind."""
        if self._directory is None:
            return False
        if self._life.ended:
            self.missed(what)
            return False
        return True

    def place(self, what: str, name: object, step: object, time: float | None) -> inputs.Place | None:
        """Find the place of an entry; None if there is nothing to record it in, or it has no name."""
        return inputs.place(what, name, step, time) if self.is_open(what) else None

    def ordinal(self, what: str, at: inputs.Place) -> int:
        """Number what has no step; a forked child goes on from its parent's number."""
        if at.step is not None:
            return 0
        return next(self._ordinals.setdefault((what, at.name), itertools.count()))

    def payload(
        self, what: str, name: str, given: Any, take: Callable[[Any], Raw | bytes], kind: str
    ) -> Payload | None:
        """Keep what an entry is made of; None if that cannot be, which has been said.

        Args:
            what: What is logged: "image".
            name: What it is called.
            given: What the user gave: a path, or anything that `take` understands.
            take: Makes an array of it, or a file's bytes. What it raises costs this call only.
            kind: The format of a file: of such bytes, and of a path that does not say it.
        """
        if isinstance(given, (str, os.PathLike)):
            return self.file(what, name, cast("str", given), kind)
        found = attempt(take, given)
        if isinstance(found, Raised):
            self.refused(what, name, found.error)
            return None
        if isinstance(found, Raw):
            return self.array(what, name, found)
        return self.written(what, name, kind, lambda blob: blob.write(found))

    def array(self, what: str, name: str, raw: Raw) -> Payload | None:
        """Write an array's bytes to a blob."""
        try:
            digest, size = blobs.keep_bytes(self.directory, raw.pieces, sync=self.sync)
        except OSError as error:
            self.unwritten(what, name, error)
            return None
        return Payload(digest, size, dtype=raw.dtype, shape=raw.shape)

    def file(self, what: str, name: str, given: str | os.PathLike[str], kind: str) -> Payload | None:
        """Keep a file of the user's."""
        source = attempt(source_of, given)
        if isinstance(source, Raised):
            self.refused(what, name, source.error)
            return None
        try:
            if not source.is_file():
                raise OSError(errno.ENOENT, "there is no such file", str(source))
            digest, size = blobs.keep(self.directory, source, sync=self.sync)
        except OSError as error:
            self.unwritten(what, error.filename or name, error)
            return None
        except ValueError as error:  # a null byte in its name
            self.refused(what, name, error)
            return None
        return Payload(digest, size, format=format_of(source) or kind)

    def written(self, what: str, name: str, kind: str, write: Callable[[Blob], object]) -> Payload | None:
        """Keep a file that is written here; what `write` raises costs this call only."""
        kept = attempt(lambda: blobs.keep_written(self.directory, write, sync=self.sync))
        if not isinstance(kept, Raised):
            return Payload(*kept, format=kind)
        error = _no_room_in(kept.error)
        if error is None:
            self.refused(what, name, kept.error)
        else:
            self.unwritten(what, name, error)
        return None

    def refused(self, what: str, name: str, reason: Exception | str) -> None:
        """Say once that something cannot be logged, and why."""
        if isinstance(reason, Exception) and not isinstance(reason, (TypeError, OverflowError)):
            reason = f"{type(reason).__name__}: {reason}"  # the user's own code, or a library's
        reason = str(reason).partition("\n")[0][:_REASON_MAX]  # torch has some of sixty lines
        guard.warn_once("%s %r: %s. It is not logged", what, name, reason, key=(what, name))

    def unwritten(self, what: str, which: object, error: OSError) -> None:
        """Say that a file cannot be read, or that there is no room; the journal is told of the second."""
        reason = error.strerror or str(error)
        guard.warn_once("%s %s cannot be logged: %s", what, which, reason, key=str(which))
        if error.errno in _NO_ROOM:
            self.recorder.lose(f"{what} {which}: {reason}")


def _no_room_in(error: BaseException | None) -> OSError | None:
    """Find out whether a library's error came of the disk's."""
    while error is not None:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None


def source_of(given: str | os.PathLike[str]) -> Path:
    """Make a path of one that a user gave.

    Raises:
        ValueError: It is empty, which is a mistake, and not all of the working directory.
    """
    if not os.fspath(given):
        raise ValueError("the path is empty")
    return Path(os.path.expanduser(given))  # noqa: PTH111  Path's raises where no home is known


def format_of(source: Path) -> str:
    """Tell a file's format by its name: "png"; "plotly.json" has two parts."""
    name = source.name.lower()
    return "plotly.json" if name.endswith(".plotly.json") else source.suffix[1:].lower()
