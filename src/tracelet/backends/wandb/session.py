"""A stretch of a run's life in W&B's client: from `wandb.init` to `finish`, and quiet.

The client sends what it has once a second, and all of it when it finishes. A session that does not
end the run leaves its state at the server alone, and the next one goes on with `resume="allow"`.
What the server has is asked of the server: the client drops rows in silence once it is refused, and
its `finish` then returns as if all were well.
"""

import contextlib
import logging
import math
import netrc
import os
import shutil
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tracelet.backend import Options, patience
from tracelet.backends.wandb.failures import LOGIN
from tracelet.backends.wandb.options import project_of, with_credentials
from tracelet.backends.wandb.places import environment, load_client, new_place, temporary
from tracelet.backends.wandb.reaching import knock
from tracelet.backends.wandb.words import MORE, STEP
from tracelet.errors import Refused
from tracelet.events import RunStarted

PATIENCE: Final = 30.0  # seconds that a call of the client may take
_NAME: Final = 128  # characters of a name, or a group; the server answers more with an error, again and again
_KIND: Final = 64  # characters of a job type
INTERVAL: Final = 1.0  # seconds between two sendings; the client takes less for its default, 15
_OURS: Final = "wandb" not in sys.modules  # else the script uses the client too, in this very process
_TRIES: Final = {  # for what is asked without a run; the relay tries again, and says so
    "WANDB_X_GRAPHQL_RETRY_MAX": "2",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "2",
}
_QUIET: Final[Mapping[str, Any]] = {
    "silent": True,
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "save_code": False,
    "label_disable": True,
    "sagemaker_disable": True,
    "x_disable_meta": True,  # it would be the relay's
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_disable_viewer": True,
    "x_save_requirements": False,
    "finish_timeout_raises": True,
    "x_file_stream_transmit_interval": INTERVAL,
    "x_graphql_retry_max": 2,  # the relay tries again, and says so
    "x_graphql_retry_wait_max_seconds": 2.0,
}


class Session:
    """The client, with one run open.

    Args:
        options: The run's.
        run: What it is.
        place: Where the client may write; None for a place of its own, which goes with the session.

    Attributes:
        run: W&B's own `Run`; None before `begin` and after `end`.
        ends: Whether the end of this session ends the run.
    """

    def __init__(self, options: Options, run: RunStarted, place: Path | None = None) -> None:
        self._options = options
        self._started = run
        self._place = place
        self._own: Path | None = None
        self._patience = patience(options, PATIENCE)
        self.run: Any = None
        self.ends = False

    def found(self) -> Mapping[str, Any] | None:
        """Return the config of the run at the server, before anything is written; None if it has no such."""
        url = with_credentials(self._options.get("base_url", ""))
        self._own = self._own or new_place(self._started.run_id)
        with self._alone(), environment(WANDB_DIR=str(self._own)):
            import wandb

            client: Any = wandb
            knock(url, client, self._patience)
            said = self._said()
            place = {"base_url": url} if url else {}
            api = client.Api(overrides=place, timeout=math.ceil(self._patience))
            entity = said.get("entity") or api.default_entity
            try:
                run = api.run(f"{entity}/{said['project']}/{self._started.run_id}")
            except (client.errors.Error, ValueError) as error:
                if "could not find run" in str(error).lower():
                    return None
                raise
            return dict(run.rawconfig or {})

    def begin(self, *, ends: bool, first: Mapping[str, Any]) -> None:
        """Open the run: find it, or make it.

        Args:
            ends: As the attribute.
            first: What is said of a run that is made, with its very making.
        """
        self.ends = ends
        offline = self._place is not None
        if not offline:
            self._own = self._own or new_place(self._started.run_id)
        with self._alone():
            import wandb

            client: Any = wandb
            more: dict[str, Any] = {
                "symlink": not offline,
                "x_update_finish_state": ends,
                "init_timeout": self._patience,
                "finish_timeout": self._patience,
                "x_graphql_timeout_seconds": self._patience,
            }
            if not offline:
                more |= {"x_skip_transaction_log": True}
            if url := self._options.get("base_url", ""):
                more |= {"base_url": with_credentials(url)}
            if program := self._options.get("program", ""):
                more |= {"program": program}
            try:
                self.run = client.init(
                    id=self._started.run_id,
                    mode="offline" if offline else "online",
                    resume=None if offline else "allow",
                    dir=str(self._place or self._own),
                    reinit="create_new",
                    settings=client.Settings(**{**_QUIET, **more}),
                    **self._said(),
                    **first,
                )
            except BaseException:  # whatever it was, the run must not stay in use
                _end_client()
                self._leave()
                raise
        self.run.define_metric(STEP, hidden=True)
        self.run.define_metric(MORE, hidden=True, summary="none")
        self.run.define_metric("*", step_metric=STEP, step_sync=False)

    def end(self, code: int = 0) -> None:
        """Send what there is, and let go of the run.

        Raises:
            TimeoutError: It took too long; what was not sent is not at the server.
        """
        run, self.run = self.run, None
        try:
            if run is not None:
                run.finish(exit_code=code)
        except BaseException:  # as above
            _end_client()
            raise
        finally:
            self._leave()

    def _leave(self) -> None:
        """Remove the place of the session's own."""
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            self._own = None

    @property
    def directory(self) -> Path:
        """Where the files of the run lie that the client sends."""
        return Path(self.run.dir)

    def server(self) -> Any:
        """Return the run as W&B's public interface has it, which asks the server."""
        import wandb

        client: Any = wandb
        own: Any = self.run.settings
        place = {"base_url": own.base_url, "entity": self.run.entity, "project": self.run.project}
        with environment(WANDB_DIR=str(self._own)):  # it makes a directory of the run's
            # With the key that is known already: else the client asks the server whether it is one.
            api = client.Api(overrides=place, timeout=math.ceil(self._patience), api_key=own.api_key)
            return api.run(f"{self.run.entity}/{self.run.project}/{self.run.id}")

    @contextlib.contextmanager
    def temporary(self) -> Generator[None]:
        """Have temporary files made where the session has its own."""
        if self._own is None:
            yield
            return
        with temporary(self._own):
            yield

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Be alone with the client, which is imported."""
        with alone():
            load_client(self._started.run_id)  # whose directories outlive the session's
            with self.temporary():
                yield

    def _said(self) -> dict[str, Any]:
        run, options = self._started, self._options
        said = {
            "project": project_of(options.get("project", "") or run.project),
            "entity": options.get("entity", ""),
            "name": run.name[:_NAME],
            "group": (run.group or options.get("group", ""))[:_NAME],
            "job_type": (run.job_type or options.get("job_type", ""))[:_KIND],
        }
        return {name: value for name, value in said.items() if value}


def check_credentials(url: str) -> None:
    """Make sure that there are credentials where W&B itself looks: it would ask for them.

    Raises:
        Refused: There are none.
    """
    if os.environ.get("WANDB_API_KEY", "").strip() or os.environ.get("WANDB_IDENTITY_TOKEN_FILE", "").strip():
        return
    file = os.environ.get("NETRC", "")
    places = [Path(file).expanduser()] if file else [Path("~/.netrc"), Path("~/_netrc")]
    for place in places:
        with contextlib.suppress(OSError, netrc.NetrcParseError, RuntimeError):
            if _has(netrc.netrc(str(place.expanduser())), url):
                return
    raise Refused(LOGIN)


def _has(found: netrc.netrc, url: str) -> bool:
    """Tell whether a file of credentials has some for an address; without one, for any of W&B's."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    wanted = [host] if host else [name for name in found.hosts if "wandb" in name or "coreweave" in name]
    # W&B has moved, and takes what was said of the address that it had.
    if host.startswith("api."):
        wanted += [name for name in found.hosts if name.startswith("api.")]
    return any(found.authenticators(name) for name in wanted)


@contextlib.contextmanager
def alone() -> Generator[None]:
    """Start the client's own process as one of ours: not the script's, and one that reports nothing home.

    It says nothing: of a login it would show the address, with what a password in it is.
    """
    there: dict[str, str | None] = {"WANDB_ERROR_REPORTING": os.environ.get("WANDB_ERROR_REPORTING", "false")}
    if _OURS:
        there |= {"WANDB_SERVICE": None, "WANDB_SILENT": "true", **_TRIES}
    with environment(**there):
        yield
    if _OURS:
        logging.getLogger("wandb").propagate = False  # it keeps a log of its own


def _end_client() -> None:
    """End the client's own process: a run that could not be opened, or let go of, stays "in use" there.

    Where the script uses the client in this process too, it is left alone, and so is the run until then.
    """
    import wandb

    client: Any = wandb
    if _OURS and client.run is None:
        client.teardown(exit_code=1)
