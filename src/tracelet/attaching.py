"""Leading the user's own calls of a tracker's client, in the training process, to the live run.

How that is done is the backend's (`Backend.attach`). Here is what it is given: imports that are
waited for, and the id that the tracker has given to the run, once the relay has made it there.
"""

import os
from collections.abc import Callable
from types import ModuleType
from typing import Final

from tracelet import backends
from tracelet.backend import Backend
from tracelet.experiment import Experiment
from tracelet.guard import contained, warn_once
from tracelet.journal import status
from tracelet.journal.status import Target
from tracelet.patching import Patches
from tracelet.scrub import restore_userinfo
from tracelet.settings import Resolved

TIMEOUT: Final = 30.0  # seconds; of a backend that has no setting for it


class Attachments:
    """What leads the calls of one live run's process.

    Args:
        experiment: The live run.
        patches: Where the imports that are waited for are registered, and forgotten.
        settings: The run's.
    """

    def __init__(self, experiment: Experiment, patches: Patches, settings: Resolved) -> None:
        self._experiment = experiment
        self._patches = patches
        self._settings = settings
        self._detach: list[Callable[[], None]] = []

    @contained
    def start(self) -> None:
        """Attach every backend of the run that can be."""
        if self._experiment.directory is None:
            return
        run = status.read_run(self._experiment.directory)
        for target in run.targets.values():
            self._attach(target, online=run.mode == "online")

    @contained
    def _attach(self, target: Target, *, online: bool) -> None:
        backend = backends.load(target.load)
        if backend.attach is not None:
            live = _Live(self._experiment, backend, self._patches, self._settings, online=online)
            self._detach.append(backend.attach(target.options, live))

    def stop(self) -> None:
        """Take all of it back."""
        detach, self._detach = self._detach, []
        for take_back in detach:
            contained(take_back)()


class _Live:
    """See `tracelet.backend.Live`."""

    def __init__(
        self, experiment: Experiment, backend: Backend, patches: Patches, settings: Resolved, *, online: bool
    ) -> None:
        self._experiment = experiment
        self._backend = backend
        self._patches = patches
        self._settings = settings
        self._online = online
        self._given_up = False

    @property
    def online(self) -> bool:
        """See `Live.online`."""
        return self._online

    def restored(self, uri: str) -> str:
        """See `Live.restored`."""
        prefixes = ("TRACELET_", self._backend.variables or "TRACELET_")
        variables = {**self._settings.dotenv, **os.environ}
        said = [text for name, text in variables.items() if name.startswith(prefixes)]
        return restore_userinfo(uri, [*self._settings.of(self._backend.name).values(), *said])

    def remote(self) -> str:
        """See `Live.remote`."""
        name = self._backend.name
        if self._given_up:
            return ""
        if not self._online:
            self._give_up("the run is offline")
            return ""
        timeout: float = getattr(self._settings, f"{name}_attach_timeout", TIMEOUT)
        found = self._experiment.remote_id(name, timeout) or ""
        if not found and not self._experiment.ended:
            self._give_up(self._delay(timeout))
        return found

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        warn_once(
            "%s: %s; what the script logs there with calls of its own is not part of the run %s",
            self._backend.name,
            reason,
            self._experiment.name,
        )

    def _delay(self, timeout: float) -> str:
        """Tell why the id has not come, as the relay says it."""
        if self._experiment.directory is not None:
            said = status.read_delivery(self._experiment.directory, self._backend.name)
            if said.state in {"refused", "unavailable"}:
                return f"the delivery is {said.state} ({said.error})"
        return f"the run has not been made there within {timeout:g} s"

    def when_imported(self, module: str, then: Callable[[ModuleType], None]) -> None:
        """See `Live.when_imported`."""
        self._patches.when_imported(module, then)
