"""`doctor` finds what keeps tracelet from working, says what to do, and leaves everything as it was."""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.inside import inside
from tests.cli.making import new_run, tracelet
from tracelet import backends
from tracelet.cli import asking, doctor, installation, premises, reaching
from tracelet.cli.findings import Finding
from tracelet.settings.resolving import survey

pytestmark = pytest.mark.slow
PATIENT = "2m"  # on a busy machine

READABLE = '''
"""A tracker that can be read, or not, as its option says."""

import dataclasses
import sys

from tracelet.errors import Refused
from tracelet.testing import memory


class Reader:
    def __init__(self, options):
        self._options = options

    def runs(self, project):
        print("what a client prints")
        if "refused" in self._options["path"]:
            raise Refused("the key http://me:hunter2@there is wrong")
        if "broken" in self._options["path"]:
            raise ZeroDivisionError("a mistake")
        if "dead" in self._options["path"]:
            sys.exit(3)
        return iter(())

    def close(self):
        pass


BACKEND = dataclasses.replace(memory.BACKEND, name="readable", reader=Reader)
'''


def findings(result: Any, part: str) -> list[tuple[str, str]]:
    return [(f["level"], f["what"]) for f in result.json["findings"] if f["part"] == part]


def everything(place: Path) -> dict[str, tuple[float, int]]:
    found = {path: path.stat() for path in place.rglob("*") if "__pycache__" not in path.parts}
    return {str(path): (stat.st_mtime, stat.st_size) for path, stat in found.items() if path.is_file()}


def test_where_all_is_well_it_says_so_and_changes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACELET_BACKEND", "local")
    before = everything(place)

    result = tracelet("doctor", "--json")
    plain = inside("doctor", "--timeout", PATIENT)

    assert result.code == 0
    assert (result.json["fine"], result.json["problems"]) == (True, 0)
    assert {finding["part"] for finding in result.json["findings"]} == {
        "installed", "settings", "shelf", "runs", "processes", "backends",
    }  # fmt: skip
    assert any("a keeper starts" in what for _, what in findings(result, "processes"))
    assert any("the first run makes it" in what for _, what in findings(result, "shelf"))
    assert any("mlflow 3" in what for _, what in findings(result, "installed"))
    assert plain.code == 0
    assert "\n0 problems, " in plain.out
    assert everything(place) == before
    assert not (place / ".tracelet").exists()
    assert not list(place.glob(".doctor-*"))


@contextlib.contextmanager
def server(code: int) -> Iterator[str]:
    """Serve nothing but one HTTP status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own signature
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


def test_a_server_that_is_away_is_a_problem_and_its_password_stays_secret(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("TRACELET_BACKEND", "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@127.0.0.1:{port}")
    (place / ".env").write_text("MLFLOW_TRACKING_TOKEN=hunter3\n")

    result = inside("doctor", "--json", "--timeout", PATIENT)

    assert result.code == 1
    assert "hunter" not in result.out + result.err
    said = findings(result, "backends")
    assert (
        "problem",
        f"mlflow: http://127.0.0.1:{port} does not answer: [Errno 111] Connection refused",
    ) in said
    assert (
        "ok",
        "mlflow: credentials in effect: MLFLOW_TRACKING_TOKEN (in .env or a toml file), MLFLOW_TRACKING_URI",
    ) in said


def test_a_proxy_without_its_server_is_no_server() -> None:
    with server(503) as away, server(401) as there:
        assert asking._knock(f"http://{away}") == "503 Service Unavailable"
        assert asking._knock(f"http://{there}") == ""


@pytest.mark.slow
def test_a_server_that_never_answers_is_not_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACELET_BACKEND", "mlflow")
    assert place.is_dir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")

        result = tracelet("doctor", "--json", "--timeout", "2")

    assert result.code == 1
    assert ("problem", "mlflow: it did not answer in time") in findings(result, "backends")


@pytest.mark.slow
def test_what_hangs_in_a_file_system_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place / ".env")  # reading it never ends

    result = tracelet("doctor", "--json", "--timeout", "2")

    assert result.code == 1
    assert findings(result, "settings") == [("problem", "this did not end in time")]
    assert len(findings(result, "shelf")) > 2


def test_a_part_that_hangs_ends_no_process_but_the_commands_own(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.is_dir()
    let_go = threading.Event()

    def hangs() -> Iterator[Finding]:
        let_go.wait(60)
        yield from ()

    for part in ("installed", "of_settings", "of_shelf", "of_processes", "of_backends"):
        monkeypatch.setattr(doctor, part, lambda *_, **__: iter(()))
    monkeypatch.setattr(doctor, "installed", hangs)

    result = inside("doctor", "--json", "--timeout", "100ms")  # whoever calls `main` lives on
    let_go.set()

    assert result.code == 1
    assert findings(result, "installed") == [("problem", "this did not end in time")]


@pytest.mark.parametrize(
    ("file", "level", "what"),
    [
        ("fine", "ok", "readable: its client has no runs yet, in "),
        ("refused", "problem", "readable: the key http://there is wrong"),
        (
            "broken",
            "problem",
            "readable: the process that asked it ended with 1: ZeroDivisionError: a mistake",
        ),
        ("dead", "problem", "readable: the process that asked it ended with 3: "),
    ],
)
def test_a_trackers_own_client_is_asked(
    place: Path, monkeypatch: pytest.MonkeyPatch, file: str, level: str, what: str
) -> None:
    (place / "readable.py").write_text(READABLE)
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("TRACELET_BACKEND", "readable:BACKEND")
    monkeypatch.setenv("MEMORY_BACKEND_FILE", str(place / file))

    asked = _in_time(place)

    sys.modules.pop("readable", None)
    assert asked[-1].level == level
    assert asked[-1].what.startswith(what)


def _in_time(place: Path) -> list[Finding]:
    """Look at the backends; the settings were read by a test before this one."""
    installation._surveyed.cache_clear()
    try:
        assert place.is_dir()
        return list(reaching.of_backends(time.monotonic() + 60))
    finally:
        installation._surveyed.cache_clear()


@pytest.mark.slow
def test_a_database_of_mlflows_is_looked_at_and_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("TRACELET_BACKEND", "mlflow")
    file = place / "mlflow.db"
    absent = _in_time(place)
    MlflowClient(f"sqlite:///{file}").create_experiment("one")
    there = inside("doctor", "--json", "--timeout", PATIENT)
    file.write_text("this is no database, and long enough to be taken for one\n" * 100)
    broken = inside("doctor", "--json", "--timeout", PATIENT)

    assert [result.code for result in (there, broken)] == [0, 1]
    assert absent[-1].what == f"mlflow: {file} is not there yet; the first delivery makes it"
    assert findings(there, "backends")[-1][1].startswith("mlflow: its client has no runs yet")
    assert findings(broken, "backends")[-1][0] == "problem"


def test_a_directory_that_a_tracker_cannot_write_to_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv("TRACELET_BACKEND", "tensorboard")
    monkeypatch.setenv("TRACELET_TENSORBOARD_DIR", str(place / "file" / "runs"))

    found = [(finding.level, finding.what) for finding in _in_time(place)]

    assert (
        "problem",
        f"tensorboard: {place}/file/runs cannot be a directory: {place}/file is a file",
    ) in found


def test_mistaken_settings_are_told_each_with_its_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACELET_LINGER", "soon")
    monkeypatch.setenv("TRACELET_BACKEN", "mlflow")
    (place / "tracelet.toml").write_text('mode = "offlin"\n')
    (place / "pyproject.toml").write_text('[tool.tracelet]\nmode = "offline"\n')

    result = inside("doctor", "--json", "--timeout", PATIENT)

    said = findings(result, "settings")
    assert result.code == 1
    assert [level for level, _ in said].count("problem") == 2
    assert any("linger='soon'" in what and "TRACELET_LINGER" in what for _, what in said)
    assert any("tracelet.toml:1" in what for _, what in said)
    assert any("Did you mean 'TRACELET_BACKEND'?" in what for level, what in said if level == "warning")
    assert any("pyproject.toml" in what for level, what in said if level == "warning")


def test_an_interpreter_without_tracelet_is_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.is_dir()
    monkeypatch.setenv("TRACELET_PYTHON", "/bin/false")
    monkeypatch.setenv("TRACELET_BACKEND", "local")

    result = inside("doctor", "--json", "--timeout", PATIENT)

    assert result.code == 1
    ((level, what),) = [said for said in findings(result, "processes") if "/bin/false" in said[1]]
    assert (level, what) == ("problem", "a keeper cannot be started with /bin/false: without a word")


def test_a_place_where_no_journal_can_be_kept_is_found(place: Path) -> None:
    (place / "file").write_text("")

    by_variable = inside(
        "doctor", "--json", "--timeout", PATIENT, TRACELET_DIR=str(place / "file"), TRACELET_BACKEND="local"
    )
    by_option = inside("doctor", "--dir", place / "nothing")
    below = [finding.level for finding in premises.of_shelf(place / "file" / "below", named=False)]

    assert by_variable.code == 1
    assert findings(by_variable, "runs") == []
    assert "is no directory" in findings(by_variable, "shelf")[0][1]
    assert by_option.code == 2
    assert "there is no directory" in by_option.err
    assert "problem" in below


def test_the_json_of_a_finding_says_what_to_do(place: Path) -> None:
    new_run(place)

    result = inside("doctor", "--json", "--timeout", PATIENT, TRACELET_BACKEND="local")

    (warned,) = [f for f in json.loads(result.out)["findings"] if f["part"] == "runs" and f["level"] != "ok"]
    assert warned == {
        "level": "warning",
        "what": "1 run ended undelivered: 20231114-221320-aaaaaa",
        "do": "`tracelet sync` delivers what is left; `tracelet status` says why",
        "part": "runs",
    }


def test_a_backend_with_an_interpreter_of_its_own_is_asked_about_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "has_client", lambda backend: backend.name != "aim")  # here it is not
    said: dict[str, Finding] = {}
    for name, answer in (("own", "echo tracelet; echo aim"), ("bare", "echo tracelet")):
        python = place / name
        python.write_text(f"#!/bin/sh\n: > '{place}/{name}-was-asked'\n{answer}\n")
        python.chmod(0o755)
        monkeypatch.setenv("TRACELET_AIM_PYTHON", str(python))
        installation._surveyed.cache_clear()
        (said[name],) = installation._client("aim")
    monkeypatch.setenv("TRACELET_AIM_PYTHON", str(place / "own"))
    (place / "own-was-asked").unlink()
    resolved = survey(place, os.environ).resolved()
    found = reaching.destination("aim", resolved)
    reaching._ask(found, resolved).communicate()

    assert (said["own"].level, said["own"].what) == (
        "ok",
        f"backend aim: aim is installed for {place / 'own'}",
    )
    assert said["bare"].level == "problem"
    assert "which lacks 'aim'" in said["bare"].what
    assert found.python == str(place / "own")
    assert (place / "own-was-asked").exists()
