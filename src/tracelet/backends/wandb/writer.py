"""Writing a run to W&B."""

import itertools
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from tracelet import media
from tracelet.backend import BlobPath, Options, Placed, Remote, patience
from tracelet.backends.wandb import LIMITS
from tracelet.backends.wandb.account import Account
from tracelet.backends.wandb.confirming import Confirming, Sent, Waiting
from tracelet.backends.wandb.failures import mapped
from tracelet.backends.wandb.filing import Filing
from tracelet.backends.wandb.offline import Directories, digest_of
from tracelet.backends.wandb.options import DISABLED, OFFLINE, mode_of
from tracelet.backends.wandb.rows import Row, Rows
from tracelet.backends.wandb.session import PATIENCE, Session, check_credentials
from tracelet.backends.wandb.words import STEP, key_of, ours_of
from tracelet.errors import Refused, Unavailable
from tracelet.events import Artifact, Bundle, Definition, Event, Metric, Note, RunFinished, RunStarted
from tracelet.names import NameMap
from tracelet.scrub import without_userinfo

FLUSH: Final = 10.0  # seconds after which what is not confirmed is sent by finishing the session
_SUMMARIES: Final = frozenset({"min", "max", "mean", "last"})
CODES: Final = {"FINISHED": 0, "FAILED": 1, "KILLED": 255}


class Writer:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._options = options
        self._offline = _mode(options) == OFFLINE
        self._filing = Filing(blob, links=not self._offline)
        self._rows = Rows(self._filing, media.most(options))
        self._session: Session | None = None
        self._account: Account | None = None
        self._directories: Directories | None = None
        self._confirming = Confirming(patience(options, PATIENCE))
        self._server: Any = None
        self._is_new = False
        self._run: RunStarted | None = None
        self._written = 0
        self._next = 0  # the row that comes next; all before it are there, or sent

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        if _mode(self._options) == DISABLED:
            raise Refused(
                "WANDB_MODE=disabled: nothing goes to W&B. Set WANDB_MODE=online, then `tracelet sync`"
            )
        self._run = run
        with mapped(opening=True):
            if self._offline:
                return self._open_offline(run)
            check_credentials(self._options.get("base_url", ""))
            self._is_new = free = self._is_free(run)
            session = self._opened()
            self._server = session.server()
            url = without_userinfo(str(session.run.url or ""))
            return Remote(id=str(session.run.path), url=url, rows=self._next, anew=free)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        with mapped():
            wanted = self._wanted(batch)
            if wanted:
                self._write([*wanted])
            self._written += len(batch)

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        if self._offline:
            return None
        with mapped():
            if self._confirming.quiet > FLUSH and self._session is not None:
                self._end()
            self._confirming.ask(self._server)
        return self._confirming.confirmed if self._confirming.waits else None

    def close(self) -> None:
        """See `Writer.close`."""
        with mapped():
            self._end()

    def _open_offline(self, run: RunStarted) -> Remote:
        place = Path(self._options["dir"])
        self._directories = Directories(place, run.run_id)
        anew = self._directories.clear()
        self._next = self._directories.finished.rows
        if self._directories.last is None:
            place.mkdir(parents=True, exist_ok=True)
            self._opened()
        directory = self._session.directory.parent if self._session else self._directories.last
        return Remote(id=run.run_id, view=f"wandb sync {shlex.quote(str(directory))}", anew=anew)

    def _opened(self) -> Session:
        """Return the session, opened if there is none."""
        if self._session is not None:
            return self._session
        run = self._run
        if run is None:
            raise Unavailable("the run is not open")
        if self._directories is not None and self._account is None:
            self._account = Account(self._directories.finished.config)
        session = self._begun(run, ends=self._account is not None and self._account.ended)
        known = self._known(session)
        if known.ended and not session.ends:
            self._end()
            session = self._begun(run, ends=True)
        there = int(session.run.starting_step or 0)
        if not self._offline and there < self._next:
            raise Unavailable(
                f"W&B has {there} of the {self._next} rows that it was sent; they are sent again"
            )
        self._next = max(self._next, there)
        self._introduce(session, known, run)
        return session

    def _begun(self, run: RunStarted, *, ends: bool) -> Session:
        session = Session(self._options, run, Path(self._options["dir"]) if self._offline else None)
        session.begin(ends=ends, first=self._first(run) if self._is_new else {})
        self._is_new = False
        self._session = session
        return session

    def _is_free(self, run: RunStarted) -> bool:
        """Tell whether the server has no such run yet.

        Raises:
            Refused: It has one that is somebody else's: a run of ours is made with our account of it.
        """
        session = Session(self._options, run)
        try:
            config = session.found()
        finally:
            session.end()
        if config is not None and ours_of(config).get("run_id") != run.run_id:
            raise Refused(
                f"W&B has a run {run.run_id} that tracelet has not written: delete it, then `tracelet sync`"
            )
        return config is None

    def _first(self, run: RunStarted) -> dict[str, Any]:
        """Return what a run is made with."""
        account = Account({})
        account.begin(run)
        said = {
            "config": account.changes(),
            "tags": account.words(self._tags),
            "notes": run.note or self._options.get("notes", ""),
        }
        return {name: value for name, value in said.items() if value}

    @property
    def _tags(self) -> list[str]:
        return self._options.get("tags", "").split(",")

    def _known(self, session: Session) -> Account:
        """Return our account of the run: what we had, or what the server has if that is more."""
        known = self._account
        if known is not None and self._offline:
            return known
        found = Account(session.run.config)
        if known is None or found.revision > known.revision:
            known = self._account = found
        elif found.revision < known.revision:
            known.repeat()
        return known

    def _introduce(self, session: Session, known: Account, run: RunStarted) -> None:
        """Say what the run is, if that is new, and what its metrics are, which each session forgets."""
        if not known.ours:
            known.begin(run)
            if note := run.note or self._options.get("notes", ""):
                session.run.notes = note
        elif self._directories is not None:
            known.repeat()
            session.run.notes = self._directories.finished.note or run.note
        for definition in known.definitions():
            _define(session, definition)
        for name in known.stepless:
            _let_stand(session, key_of(name))
        self._push(session)

    def _wanted(self, batch: Sequence[Event]) -> list[tuple[int, Event]]:
        """Leave out what is there: rows that the server has, and all that finished directories hold.

        Of a row that the server has, the files may be missing: they go by another way, and later.
        """
        wanted: list[tuple[int, Event]] = []
        for at, event in enumerate(batch):
            if isinstance(event, Placed):
                if event.row >= self._next or not (self._offline or isinstance(event.event, Metric)):
                    wanted.append((at, event))
            elif self._directories is None or digest_of(event) not in self._directories.finished.others:
                wanted.append((at, event))
        return wanted

    def _write(self, batch: list[tuple[int, Event]]) -> None:
        session, sent = self._opened(), Sent(through=0)
        with session.temporary():
            rows = [*self._made(session, batch)]
        self._let_stand(session, batch)
        others = [event for _, event in batch if not isinstance(event, Placed)]
        for row in rows:
            if row.number >= self._next:
                self._log(session, row)
            sent.rows = self._next
            sent.files |= row.files
            sent.artifacts += [] if self._offline else [Waiting(made) for made in row.artifacts]
        for event in others:
            if isinstance(event, Artifact):
                sent.files |= self._filing.artifact(session, event)
            elif isinstance(event, Bundle):
                with session.temporary():
                    made = self._filing.bundle(session, event, self._server)
                sent.artifacts += [] if self._offline else [Waiting(made)]
        sent.revision = self._say(session, others)
        self._note(others)
        if any(isinstance(event, RunFinished) for event in others):
            self._finish()
            sent.ended = True
        sent.through = self._written + len(batch)
        if not self._offline:
            self._confirming.add(sent)

    def _made(self, session: Session, batch: Iterable[tuple[int, Event]]) -> Iterable[Row]:
        """Make all rows of a batch, before any is sent."""
        placed = [(at, event) for at, event in batch if isinstance(event, Placed)]
        for _, events in itertools.groupby(placed, lambda one: one[1].row):
            yield self._rows.made(session, [*events])

    def _let_stand(self, session: Session, batch: Iterable[tuple[int, Event]]) -> None:
        """Note which metrics have points without a step."""
        events = [event.event for _, event in batch if isinstance(event, Placed)]
        names = {one.name for one in events if isinstance(one, Metric) and one.step is None}
        if names and self._account is not None:
            for name in self._account.is_stepless(sorted(names)):
                _let_stand(session, key_of(name))
            self._push(session)

    def _log(self, session: Session, row: Row) -> None:
        """Hand a row to the client; rows that were rejected whole leave none out."""
        for hole in range(self._next, row.number):
            session.run.log({"_timestamp": row.values["_timestamp"]}, step=hole, commit=True)
        session.run.log(row.values, step=row.number, commit=True)
        self._next = row.number + 1

    def _say(self, session: Session, events: list[Event]) -> int:
        """Put into the config what belongs there; return the revision that the server must show."""
        known = self._account
        assert known is not None  # noqa: S101  the session is open
        if known.take(events):
            for event in events:
                if isinstance(event, Note):
                    session.run.notes = event.text
                elif isinstance(event, Definition):
                    _define(session, event)
            self._push(session)
            return known.revision
        return 0

    def _push(self, session: Session) -> None:
        known = self._account
        assert known is not None  # noqa: S101  the session is open
        changes = known.changes()
        if not changes:
            return
        words = known.words(self._tags)
        if words != tuple(session.run.tags or ()):
            session.run.tags = words
        session.run.config.update(changes, allow_val_change=True)

    def _finish(self) -> None:
        """End the run at the server, or its directory."""
        if not self._offline:
            self._end()
            self._opened()
        self._end()

    def _end(self) -> None:
        """End the session; where the run has ended, its end ends the run again."""
        session, self._session = self._session, None
        known = self._account
        if session is None:
            return
        directory = session.directory.parent
        ended = known is not None and known.ended
        session.end(CODES.get(str(known.ours.get("status")), 1) if known is not None and ended else 0)
        self._confirming.flushed()
        if self._directories is not None and ended:
            self._directories.finish(directory)

    def _note(self, events: Iterable[Event]) -> None:
        """Remember what the directory holds, if there is one."""
        if self._directories is None or self._account is None:
            return
        held = self._directories.finished
        held.others |= {digest_of(event) for event in events}
        held.rows, held.config = self._next, self._account.config
        for event in events:
            held.note = event.text if isinstance(event, Note) else held.note


def _mode(options: Options) -> str:
    """Return how to deliver; one that was disabled when it began may be let go on by WANDB_MODE."""
    said = options.get("mode", "")
    now = os.environ.get("WANDB_MODE", "").strip()
    return mode_of(now) if said == DISABLED and now else mode_of(said)


def _define(session: Session, event: Definition) -> None:
    """Say what a metric is, as far as W&B takes it: a `*` only at the end."""
    if "*" in event.name[:-1] or not event.name:
        return
    best = "max" if event.goal == "maximize" else "min"
    wanted = [best if one == "best" else one for one in event.summary]
    summary = ",".join(dict.fromkeys(one for one in wanted if one in _SUMMARIES))
    session.run.define_metric(
        _key(event.name),
        step_metric=_key(event.step_metric) if event.step_metric else STEP,
        step_sync=False,
        summary=summary or None,
        overwrite=True,
    )


def _let_stand(session: Session, key: str) -> None:
    """Have a metric without steps drawn by the numbers of its rows."""
    if "*" not in key:
        session.run.define_metric(key, overwrite=True)


def _key(name: str) -> str:
    """Return the key of a row for a name as the user has it."""
    return key_of(name if name.endswith("*") else NameMap(LIMITS).to_tracker(name))
