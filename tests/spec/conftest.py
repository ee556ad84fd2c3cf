"""A place to run the specification's snippets in, and the trackers that they name."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients import Run, asked
from tests.emulators.clearml import ClearML
from tests.emulators.wandb import WandbServer

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An MLflow database without runs: making one takes seconds."""
    from mlflow import MlflowClient

    directory = tmp_path_factory.mktemp("store")
    MlflowClient(f"sqlite:///{directory}/mlflow.db").search_experiments()
    with sqlite3.connect(directory / "mlflow.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (directory / "mlflow.db").read_bytes()


@pytest.fixture
def run(tmp_path: Path, empty_store: bytes) -> Callable[[str], "MlflowClient"]:
    """Run a script in a directory of its own; return MLflow's client of the store beside it."""

    def running(code: str) -> "MlflowClient":
        from mlflow import MlflowClient

        (tmp_path / "mlflow.db").write_bytes(empty_store)
        (tmp_path / "train.py").write_text(code, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "train.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env=os.environ,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")

    return running


@pytest.fixture
def has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], list[Run]]]:
    """Give servers of W&B and of ClearML to the scripts; return what says which runs a tracker has."""
    with contextlib.ExitStack() as running:
        wandb, clearml = WandbServer(), ClearML()
        for server in (wandb, clearml):
            server.start()
            running.callback(server.close)
        for name, text in {**wandb.environment, **clearml.environment(tmp_path)}.items():
            monkeypatch.setenv(name, text)
        places = {"wandb": wandb.url, "clearml": clearml.url, "aim": str(tmp_path)}
        places["mlflow"] = f"sqlite:///{tmp_path}/mlflow.db"
        yield lambda tracker, project: asked(tracker, places[tracker], project)
