"""Leading a script's own calls of a tracker to the live run: what a backend is given for it."""

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import tracelet
from tests.conftest import eventually
from tests.recording import MEMORY, recorded
from tracelet.backend import Live, Options
from tracelet.events import RunFinished, RunStarted
from tracelet.experiment import Experiment
from tracelet.journal import status
from tracelet.testing import memory

if TYPE_CHECKING:
    from types import ModuleType


class Attached:
    """A backend's `attach`, and what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.options: Options = {}
        self.live: Any = None
        self.detached: list[str] = []
        self.imported: list[ModuleType] = []

    def __call__(self, options: Options, live: Live) -> Callable[[], None]:
        if self.error is not None:
            raise self.error
        self.options, self.live = options, live
        live.when_imported("imaplib", self.imported.append)  # what nobody else here imports
        exp = tracelet.get_active_experiment()
        return lambda: self.detached.append("ended" if _has_ended(exp) else "live")


def _has_ended(experiment: Experiment | None) -> bool:
    assert experiment is not None
    return any(isinstance(event, RunFinished) for event in recorded(experiment))


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch) -> Attached:
    attached = Attached()
    monkeypatch.setattr(memory, "BACKEND", dataclasses.replace(memory.BACKEND, attach=attached))
    return attached


def said(experiment: Experiment, **fields: Any) -> None:
    """Write what a relay would have said."""
    assert experiment.directory is not None
    status.write_delivery(experiment.directory, "memory", status.DeliveryStatus(**fields))


def test_a_backend_is_attached_with_its_options_and_detached_before_the_end(attached: Attached) -> None:
    exp = tracelet.start_logging("r", "p", MEMORY, mode="offline")
    options = attached.options
    tracelet.stop_logging()

    assert options == status.read_run(exp.directory).targets["memory"].options  # pyright: ignore[reportArgumentType]
    assert attached.detached == ["live"]


def test_an_import_is_waited_for_and_not_after_the_end(attached: Attached) -> None:
    tracelet.start_logging("r", "p", MEMORY, mode="offline")
    waiting = attached.imported.copy()
    import imaplib

    assert (waiting, attached.imported) == ([], [imaplib])
    attached.live.when_imported("imaplib", attached.imported.append)
    assert attached.imported == [imaplib, imaplib]
    tracelet.stop_logging()


def test_a_backend_that_cannot_be_attached_does_no_harm(
    attached: Attached, swallowed: list[BaseException]
) -> None:
    attached.error = ValueError("a mistake")

    tracelet.start_logging("r", "p", MEMORY, mode="offline")
    summary = tracelet.stop_logging()

    assert [str(error) for error in swallowed] == ["a mistake"]
    assert summary is not None


def test_runs_of_ones_own_handle_attach_nothing(attached: Attached) -> None:
    tracelet.start_experiment("r", "p", MEMORY, mode="offline").stop()

    assert attached.live is None


def test_the_id_comes_from_the_relay(attached: Attached) -> None:
    exp = tracelet.start_logging("r", "p", MEMORY)

    found = attached.live.remote()

    assert attached.live.online
    assert found == exp.remote_id() == exp.remote_id("memory")
    assert found
    tracelet.stop_logging()


@pytest.mark.parametrize(
    "state",
    [
        {"state": "refused", "error": "no such thing"},
        {"state": "unavailable", "since": time.time() - 60, "error": "away"},
    ],
)
def test_who_refuses_or_has_been_away_is_not_waited_for(exp: Experiment, state: dict[str, Any]) -> None:
    said(exp, **state)

    assert exp.remote_id("memory", 1000.0) is None


def test_nobody_waits_for_an_id_when_the_run_has_ended(exp: Experiment) -> None:
    exp.stop()

    assert exp.remote_id("memory", 1000.0) is None
    assert exp.remote_id("nobody", 1000.0) is None


@pytest.mark.slow
def test_an_id_that_does_not_come_is_told_of_once(
    attached: Attached, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tracelet.attaching.TIMEOUT", 0.0)
    exp = tracelet.start_logging("r", "p", MEMORY)
    eventually(lambda: bool(exp.remote_id()))
    monkeypatch.setattr(Experiment, "remote_id", lambda *_: None)

    with caplog.at_level(logging.WARNING, "tracelet"):
        found = [attached.live.remote(), attached.live.remote()]

    assert found == ["", ""]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("memory: the run has not been made there within 0 s; what the script logs")
    tracelet.stop_logging()


def test_an_offline_run_has_no_id(attached: Attached, caplog: pytest.LogCaptureFixture) -> None:
    tracelet.start_logging("r", "p", MEMORY, mode="offline")

    assert not attached.live.online
    assert attached.live.remote() == ""
    assert "memory: the run is offline" in caplog.text
    tracelet.stop_logging()


def test_credentials_come_back_from_where_they_were_given(
    attached: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_BACKEND_URL", "http://me:secret@host/a")
    tracelet.start_logging("r", "p", MEMORY, mode="offline", backend_url="http://you:word@host/b")

    assert attached.live.restored("http://host/a") == "http://me:secret@host/a"
    assert attached.live.restored("http://host/b") == "http://you:word@host/b"
    assert attached.live.restored("http://host/c") == "http://host/c"
    tracelet.stop_logging()


def test_what_the_script_told_a_tracker_names_the_run_where_its_user_did_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {"path": "memory", "name": "theirs", "project": "their project", "parent": "17"}
    backend = dataclasses.replace(memory.BACKEND, configure=lambda _: told)
    monkeypatch.setattr(memory, "BACKEND", backend)

    with (
        tracelet.start_logging(backend=MEMORY, mode="offline") as unnamed,
        tracelet.start_experiment("ours", "our project", MEMORY, mode="offline") as named,
    ):
        pass

    assert [_named(exp) for exp in (unnamed, named)] == [
        ("theirs", "their project", "17"),
        ("ours", "our project", "17"),
    ]


def _named(experiment: Experiment) -> tuple[str, str, str]:
    started = recorded(experiment)[0]
    assert isinstance(started, RunStarted)
    assert (started.name, started.project) == (experiment.name, experiment.project)
    return started.name, started.project, started.parent
