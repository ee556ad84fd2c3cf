"""A repository of Aim's, local or at a server, that neither talks nor hangs.

Aim's client for a server puts what is written into a queue of its own, whose thread ends with the first
error: nobody learns of it, and closing waits for ever. So here the queue is exchanged for one that does
at once what it is given; what `write` returned for, the server has confirmed. `get_queue` and `_client`
are private: where they are not, the client's own queue is used and waited for.

A client may wait without an end, for its server or a lock. All calls to a server are made on one thread
of this connection, which is given up when an answer does not come; what the client would do at the end
of the process is then taken back, or that would hang too.
"""

import contextlib
import gc
import logging
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, Final, TypeVar

from tracelet.backends.aim.failures import is_networks, translated
from tracelet.backends.aim.options import REMOTE, repository_name, with_credentials
from tracelet.errors import BackendError, JournalLocked, Refused, Rejected, Unavailable
from tracelet.journal.locks import take
from tracelet.scrub import without_userinfo

PATIENCE: Final = 150.0  # seconds that a call to a server may take
LEAVING: Final = 20.0  # seconds for taking leave of it
_MAKING: Final = 60.0  # seconds to wait for a process that makes the same repository
_LOOK: Final = 0.1  # seconds between two looks
_LOCK: Final = ".tracelet.lock"
# What a client of Aim's asks a server for. Of one that was given up, something may be freed later, on any
# thread, by a finalizer that is not found: Aim takes runs of one hash for one, also of several clients.
_QUESTIONS: Final = ("run_instruction", "get_resource_handler", "release_resource", "disconnect")
T = TypeVar("T")


class Missing(Refused):
    """There is no repository where one is looked for."""


class Connection:
    """One repository, and at most one run of it that is written to.

    Args:
        place: A directory, or the URL of a server, as the options have it.
        patience: Seconds that a call to a server may take.

    Attributes:
        repo: Aim's own; None before `open` and after `close`.
        run: The run; nothing else may refer to it when this is closed, or it stays locked.
    """

    def __init__(self, place: str, patience: float = PATIENCE) -> None:
        self.place = place
        self._patience = patience
        self.remote = place.startswith(REMOTE)
        self.repo: Any = None
        self.run: Any = None
        self._client: Any = None
        self._desk: _Desk | None = None
        self._direct = self._broken = False

    def call(self, work: Callable[[], T], seconds: float = 0.0) -> T:
        """Do something with the repository, quietly.

        Args:
            work: What to do.
            seconds: How long a server may take for it; 0 for as long as for any call.

        Raises:
            Unavailable: The server has not answered for long; this connection is of no use any more.
        """
        if not self.remote:
            with _quiet():
                return work()
        if self._desk is None:
            self._desk = _Desk()
        try:
            return self._desk.do(lambda: self._tried(work), seconds or self._patience)
        except FutureTimeout:
            self._abandon()
            shown = without_userinfo(self.place)
            raise Unavailable(f"no answer from {shown} within {seconds or self._patience:.0f} s") from None

    def open(self, *, make: bool) -> None:
        """Open it.

        Args:
            make: Whether to make a local repository that is not there.

        Raises:
            Missing: It is not there, and is not to be made.
            Unavailable: No server answers.
        """
        if self.remote:
            self._open_remote()
        else:
            self._open_local(make=make)

    def flush(self) -> None:
        """Wait until the server has all that was written."""
        if self.remote and not self._direct:
            self._client.get_queue().wait_for_finish()

    @contextlib.contextmanager
    def together(self, run: str) -> Generator[None, None, None]:
        """Send what is written meanwhile to a run in one message, which a server answers once."""
        if not self._direct:
            yield
            return
        self._client.start_instructions_batch(run)
        yield
        self._client.flush_instructions_batch(run)

    def recover(self) -> None:
        """Connect anew: after an error a server hangs up."""
        if self._direct:
            with contextlib.suppress(Exception):
                self._client.refresh_ws()

    def close(self) -> None:
        """Let go of the run and of the repository, with their locks."""
        if self.repo is None and self.run is None:
            return
        repo = self.repo
        try:
            if not self._broken:
                self.call(self._let_go, min(LEAVING, self._patience))
        finally:
            self.repo = repo
            self._abandon()

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except BaseException as error:  # noted, and raised again
            meaning = error if isinstance(error, BackendError) else translated(error)
            if not isinstance(meaning, Rejected):
                self._broken = True
                # Now, while the error holds on to what Aim would ask the server to free.
                _detach(self.repo, self._client, self.place)
            raise

    def _open_local(self, *, make: bool) -> None:
        from aim.sdk.repo import Repo

        root = Path(self.place)
        directory = root / repository_name(os.environ)
        if not (directory / "VERSION").exists():
            if not make:
                raise Missing(f"there is no Aim repository in {root}")
            _made(root, directory)
        # Not from its pool: another's containers may be open there, in a trainer's own process.
        self.repo = Repo(self.place)

    def _open_remote(self) -> None:
        from aim.sdk.repo import Repo

        desk = self._desk
        try:
            repo = Repo(with_credentials(self.place))
        except RuntimeError as error:
            if not is_networks(error.__context__):
                raise
            raise Unavailable(f"no Aim server answers at {without_userinfo(self.place)}") from None
        if self._desk is not desk:
            raise Unavailable(f"{without_userinfo(self.place)} has answered too late")
        self.repo = repo
        self._client = getattr(repo, "_client", None)
        needed = ("get_queue", "refresh_ws", "start_instructions_batch", "flush_instructions_batch")
        self._direct = all(callable(getattr(self._client, name, None)) for name in needed)
        if self._direct:
            unused, direct = self._client.get_queue(), _Direct()
            self._client.get_queue = lambda: direct
            unused.stop()
            if desk is not None:
                _free_there(self._client, desk)
            # One message for several points: `together` opens and ends it, and not each point.
            self.repo.atomic_track = _at_once

    def _let_go(self) -> None:
        run, repo = self.run, self.repo
        self.run = self.repo = None
        try:
            if run is not None:
                run.close()
        finally:
            del run
            if repo is not None:
                _free(repo)
                repo.close()

    def _abandon(self) -> None:
        """Take back what Aim would do for a server's client later: at the end of the process, or before."""
        repo, client, desk = self.repo, self._client, self._desk
        self.repo = self.run = self._client = self._desk = None
        if self.remote:
            _detach(repo, client, self.place)
        for name in _QUESTIONS if client is not None else ():
            setattr(client, name, _nothing)
        if desk is not None:  # it may do something still, or for ever, and make more meanwhile
            desk.stop(lambda: _detach(repo, client, self.place) if self.remote else None)


def _free_there(client: Any, desk: "_Desk") -> None:
    """Have the thread of a client ask for what is to be freed at its server.

    Python frees what is garbage on any thread, which would wait for the server, or hang.
    """
    release: Any = getattr(client, "release_resource", None)

    def released(*of: Any) -> None:
        if desk.is_here:
            release(*of)
        else:
            desk.later(lambda: release(*of))

    if release is not None:
        client.release_resource = released


def _at_once(_: object) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""


class _Direct:
    """In place of the client's queue: what it is given is done before it returns."""

    def register_task(self, _client: object, task: Callable[..., None], *arguments: object) -> None:
        task(*arguments)

    def wait_for_finish(self) -> None:
        """There is nothing to wait for."""

    def stop(self) -> None:
        """There is nothing to stop."""


class _Desk:
    """A thread that does one thing after the other, and that nobody has to wait for."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._last: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._serve, name="tracelet-aim", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether this is its thread."""
        return threading.current_thread() is self._thread

    def do(self, work: Callable[[], T], seconds: float) -> T:
        future: Future[T] = Future()
        self._work.put((work, future))
        return future.result(seconds)

    def later(self, work: Callable[[], Any]) -> None:
        """Do something when there is time, whatever comes of it; never, once it has ended."""
        self._work.put((work, Future()))

    def stop(self, last: Callable[[], None]) -> None:
        """End it, once it has done what it does; until then its thread may end with the process."""
        self._last = last
        self._work.put(None)

    def _serve(self) -> None:
        while (task := self._work.get()) is not None:
            with _Answer(task[1]), _quiet():
                task[1].set_result(task[0]())
            del task  # or a run would live on in this frame
        self._last()


class _Answer:
    """Hands what is raised inside to whoever waits for a result."""

    def __init__(self, future: "Future[Any]") -> None:
        self._future = future

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if error is not None:
            self._future.set_exception(error)
        return isinstance(error, Exception)


@contextlib.contextmanager
def _quiet() -> Generator[None, None, None]:
    """Let Aim log nothing: what is wrong is raised, and told by us."""
    logger = logging.getLogger("aim")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _detach(repo: Any, client: Any, place: str) -> None:
    """Let Aim do nothing at the end of the process for a client that was given up.

    One that fails there would keep the process from ending. A client that is not known was given up
    while it was made; then it is every one of the same server, and the others lose nothing by it.
    """
    from aim.ext.cleanup import AutoClean

    pool: Any = AutoClean
    address = with_credentials(place).removeprefix(REMOTE).rstrip("/")

    def is_mine(instance: Any) -> bool:
        owner = getattr(instance, "_rpc_client", None) or getattr(instance, "_client", None)
        if client is None:
            return owner is not None and getattr(owner, "_remote_path", "") == address
        whose = getattr(instance, "repo", None)
        return owner is client or (repo is not None and (instance is repo or whose is repo))

    with contextlib.suppress(AttributeError, RuntimeError):  # private; and others may be closing
        for instance, (_, finalizer) in list(pool._finalizers.items()):  # noqa: SLF001
            if is_mine(instance):
                finalizer.detach()
    with contextlib.suppress(AttributeError):
        client._heartbeat_sender._shutdown = True  # noqa: SLF001  `stop` would wait for an answer


def _made(root: Path, directory: Path) -> None:
    """Make a repository, once, whoever else tries."""
    from aim.sdk.repo import Repo

    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{directory.name}{_LOCK}"
    deadline = time.monotonic() + _MAKING
    while True:
        try:
            lock = take(path)
            break
        except JournalLocked as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"another process has been making {directory} for long: {error}") from None
        threading.Event().wait(_LOOK)
    try:
        if not (directory / "VERSION").exists():  # Aim writes that last
            made = Repo(str(root), init=True)
            made.close()
            _free(made)
    finally:
        path.unlink(missing_ok=True)  # whoever waits for it finds the repository made
        lock.close()


def _free(repo: Any) -> None:
    """Free the locks of a repository's containers: they are freed when nothing refers to them."""
    repo.container_pool.clear()
    gc.collect()
