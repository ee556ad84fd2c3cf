"""A package of somebody else's that brings a backend, installed as its users install it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.making import tracelet
from tracelet.testing.contract import plugin

GUIDE: Final = Path(__file__).parents[2] / "docs" / "writing-a-backend.md"
PROJECT: Final = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tracelet-lines"
version = "1.0"
dependencies = ["tracelet"]

[project.entry-points."tracelet.backends"]
lines = "tracelet_lines:BACKEND"

[tool.setuptools]
py-modules = ["tracelet_lines"]
"""
TRAIN: Final = """
import tracelet

exp = tracelet.start_logging(
    "a run", "a project", ["lines", "tracelet.testing.memory:BACKEND"], {"lr": 0.1},
    routes={"lines": {"exclude": ["*/debug"], "rename": {"train/*": "*"}}},
)
for step in range(100):
    exp.log_metric("train/loss", 1.0 / (step + 1), step)
    exp.log_metric("train/debug", 0.0, step)
exp.log_metric("mine", 7.0, 1, backends=["lines"])
exp.to("lines").log_artifact(b"abc", "data/a.bin")
print(exp.active_backends)
summary = tracelet.stop_logging()
assert summary.delivered, summary
"""
CONTRACT: Final = """
import pytest

from tracelet import backends
from tracelet.testing import BackendContract


class TestLines(BackendContract):
    backend = backends.load("lines")
    exempt = {"poison": "it takes whatever the relay gives it", "server": "files have none"}

    @pytest.fixture
    def options(self, tmp_path):
        return {"directory": str(tmp_path / "lines")}

    @pytest.fixture
    def away(self, tmp_path):
        (tmp_path / "a file").touch()
        return {"directory": str(tmp_path / "a file" / "lines")}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the backend of the guide, as a package with an entry point; return where."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert code is not None
    (source / "tracelet_lines.py").write_text(code[1], encoding="utf-8")
    (source / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--target", str(target), str(source)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def joined(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process that a test starts see what is installed."""
    monkeypatch.setenv("PYTHONPATH", str(installed))


@pytest.mark.usefixtures("joined")
def test_an_installed_package_joins_by_its_entry_point_alone(place: Path) -> None:
    (place / "train.py").write_text(TRAIN, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "train.py"], capture_output=True, text=True, timeout=200, env=os.environ, check=False
    )
    config = tracelet("config", "--json", TRACELET_BACKEND="lines")
    doctor = tracelet("doctor", "--json", TRACELET_BACKEND="lines")
    unknown = tracelet("sync", "--backend", "lnes")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "['lines', 'memory']\n"
    (file,) = place.glob("lines/*/events.jsonl")
    found = [json.loads(line) for line in file.read_text().splitlines() if line]
    points = [(one["name"], one["step"], one["value"]) for kind, one in found if kind == "Metric"]
    assert points == [*(("loss", step, 1.0 / (step + 1)) for step in range(100)), ("mine", 1, 7.0)]
    assert [one["params"] for kind, one in found if kind == "Params"] == [{"lr": 0.1}]
    assert [one["path"] for kind, one in found if kind == "Artifact"] == ["data/a.bin"]
    assert [one["status"] for kind, one in found if kind == "RunFinished"] == ["FINISHED"]
    assert "lines: delivered, 100 not routed here" in done.stderr
    assert "memory: delivered, 2 not routed here" in done.stderr
    assert (config.code, config.json["errors"]) == (0, [])
    said = {finding["what"]: finding["level"] for finding in doctor.json["findings"]}
    assert said["backend lines: needs no client"] == "ok"
    assert any(what.startswith("lines: a run of a script in this directory is delivered") for what in said)
    assert "Did you mean 'lines'?" in unknown.err


@pytest.mark.usefixtures("joined")
def test_what_has_joined_can_be_held_to_the_contract(place: Path) -> None:
    (place / "test_lines.py").write_text(CONTRACT, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tracelet.testing.contract.plugin", "--strict-markers"]
    command += ["--contract-results", "found.json", "-q", "-p", "no:cacheprovider", "-k", "twice or kind"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=os.environ, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = plugin.read(place / "found.json")["lines"]
    assert found.broken == []
    assert found.kept
    assert found.ways
