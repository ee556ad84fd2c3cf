"""What the server has confirmed: it is asked, and says what it has.

a row               the server counts at least as many lines of history
the config, tags    the server's config shows the account's revision
a file              the server lists it, with its size and its digest
an artifact         the client has waited for it
the end             the server's run is not "running" any more
"""

import base64
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracelet.backend import UPLOAD_RATE
from tracelet.backends.wandb.filing import Kept
from tracelet.backends.wandb.words import ours_of
from tracelet.errors import Unavailable

POLL: Final = 0.5  # seconds between two questions, and before the first, while little time has passed
SELDOM: Final = 5.0  # seconds, when much has, or more is being sent
MUCH: Final = 5000  # events that are not confirmed; of so many the server is asked more often
SETTLES: Final = 10.0  # seconds in which the server shows what the client says that it has sent
STALLS: Final = 3.0  # times the patience without any progress, after which the run is opened again
NAMES: Final = 50  # files that the server is asked for at once
_RUNNING: Final = frozenset({"running", "pending"})


@dataclass(slots=True, kw_only=True)
class Sent:
    """What the server must have before `through` events are confirmed."""

    through: int
    rows: int = 0
    revision: int = 0
    files: dict[str, Kept] = field(default_factory=dict[str, Kept])
    artifacts: list["Waiting"] = field(default_factory=list["Waiting"])
    ended: bool = False


class Confirming:
    """What was sent and is not confirmed.

    Args:
        patience: Seconds that a call of the client may take.

    Attributes:
        confirmed: How many events are.
    """

    def __init__(self, patience: float) -> None:
        self.confirmed = 0
        self._patience = patience
        self._sent: deque[Sent] = deque()
        self._asked = 0.0
        self._moved = self._added = time.monotonic()
        self._flushed = math.inf

    def add(self, sent: Sent) -> None:
        """Note what was sent."""
        self._added = time.monotonic()
        self._flushed = self._added if sent.ended else math.inf
        if not self._sent:
            self._moved = self._added
        for earlier in self._sent:  # of a file that is replaced, the first content may never be seen
            if earlier.files.keys() & sent.files.keys():
                kept = {name: file for name, file in earlier.files.items() if name not in sent.files}
                earlier.files = kept
        self._sent.append(sent)

    @property
    def waits(self) -> bool:
        """Whether anything is not confirmed."""
        return bool(self._sent)

    @property
    def quiet(self) -> float:
        """For how many seconds the server has confirmed nothing; 0 while it may have much to take."""
        if not self._sent or any(sent.artifacts for sent in self._sent):
            return 0.0
        size = sum(file.size for sent in self._sent for file in sent.files.values())
        return 0.0 if size > self._patience * UPLOAD_RATE / 2 else time.monotonic() - self._moved

    def ask(self, server: Any) -> None:
        """Ask the server what it has, if it is time to.

        Args:
            server: W&B's own `Run` of its public interface.

        Raises:
            Unavailable: It has confirmed nothing for long, or does not have what the client has sent.
        """
        if not self._sent or not self._is_due(time.monotonic()):
            return
        server.load(force=True)
        lines = int(server.historyLineCount or 0)
        revision = int(ours_of(server.config).get("revision", 0))
        running = str(server.state) in _RUNNING
        self._look_for_files(server)
        while self._sent:
            first = self._sent[0]
            if lines < first.rows or revision < first.revision or (first.ended and running):
                break
            if first.files or not _has_artifacts(first):
                break
            self.confirmed = first.through
            self._moved = time.monotonic()
            self._sent.popleft()
        self._asked = time.monotonic()
        if self._sent and self._waits_in_vain():
            missing = _missing(self._sent, lines, revision, running=running)
            waited = time.monotonic() - self._moved
            raise Unavailable(f"W&B has confirmed nothing for {waited:.0f} s: {missing}. It is sent again")

    def flushed(self) -> None:
        """Note that the client has ended, and has nothing left that it would send."""
        self._flushed = time.monotonic()

    def _is_due(self, now: float) -> bool:
        """Tell whether it is time to ask: the longer nothing has changed, the less often.

        While more is being sent, as a run trains, a question would be about what is on its way.
        """
        rests, asked = now - self._added, now - self._asked
        if self._flushed < math.inf:
            return asked >= min(max(POLL / 2, (now - self._flushed) / 4), SELDOM)
        if rests < POLL:
            ahead = self._sent[-1].through - self.confirmed
            return asked >= (SELDOM if ahead < MUCH else 2 * POLL)
        return asked >= min(max(POLL, rests / 4), SELDOM)

    def _look_for_files(self, server: Any) -> None:
        """Take from what was sent the files that the server lists, up to some that are missing."""
        wanted = {name: sent.files for sent in self._sent for name in sent.files}
        names = [*wanted]
        for at in range(0, len(names), NAMES):
            some = names[at : at + NAMES]
            for found in server.files(names=some, per_page=NAMES):
                name = str(found.name)
                if name in wanted and _is_same(wanted[name][name], found):
                    del wanted.pop(name)[name]
            if not wanted.keys().isdisjoint(some):
                return

    def _waits_in_vain(self) -> bool:
        """Tell whether to begin anew: a client that could not say where a file goes has dropped it."""
        first, now = self._sent[0], time.monotonic()
        if now - max(self._flushed, self._moved) > min(SETTLES, self._patience) and not first.artifacts:
            return True
        sizes = [*first.files.values(), *first.artifacts]
        return now - self._moved > STALLS * self._patience + sum(one.size for one in sizes) / UPLOAD_RATE


def _missing(sent: Sequence[Sent], lines: int, revision: int, *, running: bool) -> str:
    """Say what the server does not have of all that was sent."""
    rows = max(one.rows for one in sent)
    found = [f"it has {lines} of {rows} rows"] if lines < rows else []
    if revision < max(one.revision for one in sent):
        found.append("it does not show all that was said of the run")
    if sent[-1].ended and running:
        found.append("it takes the run for one that goes on")
    if files := [name for one in sent for name in one.files]:
        others = f" and {len(files) - 1} other files" if len(files) > 1 else ""
        found.append(f"it does not list {files[0]}{others}")
    if any(one.artifacts for one in sent):
        found.append("an artifact is not there")
    return ", and ".join(found)


def _is_same(wanted: Kept, found: Any) -> bool:
    said: str = getattr(found, "md5", "") or ""
    own = base64.b64encode(bytes.fromhex(wanted.md5)).decode()
    differs = len(said) in {len(own), len(wanted.md5)} and said not in {own, wanted.md5}
    return int(found.size) == wanted.size and not differs


def _has_artifacts(sent: Sent) -> bool:
    """Take from what was sent the artifacts that are there; tell whether that is all of them."""
    sent.artifacts = [artifact for artifact in sent.artifacts if not artifact.is_there()]
    return not sent.artifacts


class Waiting:
    """Waits for an artifact, beside everything else: the client can be asked for one only once.

    Args:
        artifact: W&B's own, which the client has been given.
    """

    def __init__(self, artifact: Any) -> None:
        self.size = int(artifact.size)
        self._artifact = artifact
        self._there = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._wait, name="tracelet-wandb-artifact", daemon=True)
        self._thread.start()

    def is_there(self) -> bool:
        """Tell whether the server has it.

        Raises:
            Exception: What the client says of it.
        """
        if self._there or self._thread.is_alive():
            return self._there
        raise self._error or Unavailable("W&B's client has given up an artifact; it is sent again")

    def _wait(self) -> None:
        import wandb

        client: Any = wandb
        try:
            self._artifact.wait()
            self._there = True
        except (client.errors.Error, ValueError, RuntimeError, OSError) as error:
            self._error = error
