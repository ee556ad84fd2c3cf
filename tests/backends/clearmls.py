"""An emulated ClearML server for tests, and ClearML's own client in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.clearml import ClearML


@contextlib.contextmanager
def serving(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearML]:
    """Serve, where the client looks for its server; nothing of what it is asked may be unknown to it."""
    home = place / "clearml"
    home.mkdir()
    made = ClearML()
    made.start()
    for name, value in made.environment(home).items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()
    assert (made.errors, made.unknown) == ([], [])


def asked(code: str, place: Path, *arguments: str) -> Any:
    """Run code that uses ClearML's client; return what it says in its last line, in JSON."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    environ = {**os.environ, "CLEARML_LOG_LEVEL": "ERROR"}
    made = subprocess.run(
        command, cwd=place, env=environ, capture_output=True, text=True, timeout=150, check=False
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1])
