"""A script's own calls of MLflow beside tracelet, against a real server on loopback."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.live.servers import MlflowServer

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.xdist_group("mlflow-server"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # MLflow's own
]

SCRIPT: Final = """
import sys
import mlflow
import tracelet

uri, with_password = sys.argv[1:]
tracelet.start_logging("ours", "calls", "mlflow", config={"backend_url": with_password})
assert mlflow.get_tracking_uri() == with_password
mlflow.log_text("words", "a/text.txt")
with mlflow.start_run(run_name="child", nested=True):
    mlflow.log_metric("child", 1.0)
tracelet.stop_logging()
assert mlflow.get_tracking_uri() not in {uri, with_password}

mlflow.set_tracking_uri(uri)
mlflow.set_experiment("theirs")
with mlflow.start_run(run_name="outer"):
    with tracelet.start_logging("inner", backend="mlflow"):
        mlflow.log_metric("inner", 1.0)
    with tracelet.start_logging(backend="mlflow", tags=["adopted"]) as adopting:
        adopting.log_metric("outer", 2.0, 0)
        assert adopting.name == "outer"
    mlflow.log_metric("after", 3.0)
with tracelet.start_logging("unasked", backend="mlflow"):
    pass
"""


def test_a_scripts_own_calls_land_where_they_are_meant_to(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    with_password = mlflow_server.uri.replace("http://", "http://me:secret@")
    done = subprocess.run(
        [sys.executable, "train.py", mlflow_server.uri, with_password],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "TRACELET_MLFLOW_ATTACH_TIMEOUT": "200"},  # the machine may be busy
        check=False,
    )

    assert done.returncode == 0, done.stderr
    client = MlflowClient(mlflow_server.uri)
    calls, theirs = _runs(client, "calls"), _runs(client, "theirs")
    assert calls.keys() == {"ours", "child"}
    assert [file.path for file in client.list_artifacts(calls["ours"].info.run_id, "a")] == ["a/text.txt"]
    assert _parent(calls["child"]) == calls["ours"].info.run_id
    assert theirs.keys() == {"outer", "inner", "unasked"}
    assert _parent(theirs["inner"]) == theirs["outer"].info.run_id
    assert theirs["inner"].data.metrics == {"inner": 1.0}
    assert theirs["outer"].data.metrics == {"outer": 2.0, "after": 3.0}
    assert theirs["outer"].data.tags["adopted"] == "true"
    assert {run.info.status for run in (*calls.values(), *theirs.values())} == {"FINISHED"}
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.glob(".tracelet/*/*.json"))


def _runs(client: Any, experiment: str) -> dict[str, Any]:
    found = client.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def _parent(run: Any) -> str:
    return run.data.tags["mlflow.parentRunId"]
