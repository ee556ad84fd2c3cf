"""Opening a run of Aim's that is to be ours: with a hash and a beginning of our own."""

import contextlib
import datetime as dt
import threading
import time
from typing import Any, Final

from tracelet.backends.aim.params import ROOT
from tracelet.errors import Unavailable

_SOON: Final = 5.0  # seconds until a new run is in the list of a repository, which is half a second old
_STALE: Final = 0.6  # seconds after which that list has been made anew


def opened(repo: Any, wanted: str, uid: str, began: float) -> Any:
    """Open a run for writing; make it, if it is not there.

    Aim's public way makes a run with a hash and a beginning of its own. `request_props` and
    `request_tree`, by which Aim itself copies runs, make one with ours, which then is a run like any
    other. Where that is not possible, a run is found by its param.

    Args:
        repo: Aim's repository.
        wanted: The hash that it should have.
        uid: Our own id of it.
        began: When it began.
    """
    is_there = _exists(repo, wanted)
    if not is_there:
        if not _prepared(repo, wanted, began):
            wanted = _found(repo, uid)
        elif not _exists_soon(repo, wanted):
            raise Unavailable(f"Aim does not list the run {wanted}, which was just made")
    # A server that waits for a lock answers nobody meanwhile, for ten seconds; and the one of a relay that
    # has lost its connection stays for five minutes. Only one at a time writes to a run of ours.
    run = _forced(repo, wanted) if is_there and repo.is_remote_repo else _writable(repo, wanted)
    resources: Any = getattr(run, "_resources", None)
    if hasattr(resources, "set_run_end_time"):
        resources.set_run_end_time = lambda: None  # closing a run does not end it: `RunFinished` does
    return run


def _exists(repo: Any, wanted: str) -> bool:
    if repo.run_exists(wanted):
        return True
    if not repo.is_remote_repo:
        return False
    threading.Event().wait(_STALE)  # the list may be older than what a relay has made that died just now
    return bool(repo.run_exists(wanted))


def _prepared(repo: Any, wanted: str, began: float) -> bool:
    """Make a run's row and its files; tell whether that could be done."""
    when = dt.datetime.fromtimestamp(began, dt.timezone.utc)
    if not repo.is_remote_repo:
        when = when.replace(tzinfo=None)  # the database holds UTC, without saying so
    try:
        repo.request_props(wanted, read_only=False, created_at=when)
        repo.request_tree("meta", wanted, read_only=False)
    except (AttributeError, TypeError):  # not public: they may go, or take other arguments
        return False
    return True


def _exists_soon(repo: Any, wanted: str) -> bool:
    deadline = time.monotonic() + _SOON
    while not repo.run_exists(wanted):
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.1)
    return True


def _found(repo: Any, uid: str) -> str:
    """Find the run of a uid among all; empty if there is none."""
    found = _listed(repo, uid)
    if not found:
        threading.Event().wait(_STALE)
        found = _listed(repo, uid)
    return found


def _listed(repo: Any, uid: str) -> str:
    for candidate in repo.list_all_runs():
        with contextlib.suppress(KeyError, ValueError, TypeError):  # a run that cannot be read is not it
            tree = repo.request_tree("meta", candidate, read_only=True)
            if tree.subtree(("meta", "chunks", candidate, "attrs", ROOT)).get("uid", "") == uid:
                return str(candidate)
    return ""


def _forced(repo: Any, wanted: str) -> Any:
    from aim.sdk.run import BasicRun

    return BasicRun(run_hash=wanted, repo=repo, force_resume=True)


def _writable(repo: Any, wanted: str) -> Any:
    from aim.sdk.errors import RunLockingError
    from aim.sdk.run import BasicRun  # unlike `Run` it neither watches the machine nor swallows errors
    from filelock import Timeout

    given: dict[str, Any] = {"repo": repo} if not wanted else {"repo": repo, "run_hash": wanted}
    try:
        return BasicRun(**given)
    except (RunLockingError, Timeout):
        return BasicRun(**given, force_resume=True)  # left by a relay that was killed
    except Exception as error:  # a server's lock that is taken is a bare `Exception`
        if not repo.is_remote_repo or "lock" not in str(error).lower():
            raise
        return BasicRun(**given, force_resume=True)  # a server tells of it in these words only
