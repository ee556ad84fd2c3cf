"""W&B's real client against the emulator: it logs, resumes, syncs, reads, and sees every fault."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import eventually
from tests.emulators.wandb import WandbServer, client

if TYPE_CHECKING:
    import subprocess

    from tests.emulators.serving import Kind

pytestmark = pytest.mark.live

LOGGING = """
import numpy, os, wandb
run = wandb.init(
    project="logged", id="one", name="the first", config={"lr": 0.1, "deep": {"a": [1, None]}},
    tags=["x", "y"], group="g", job_type="train", notes="why",
)
run.log({"loss": 1.5, "a/b.c": 2**53 + 1, "_timestamp": 1000.25})
run.log({"loss": float("nan")})
run.log({"loss": float("-inf"), "acc": 0.5})
pixels = numpy.zeros((2, 3, 3), dtype="uint8")
run.log({
    "picture": wandb.Image(pixels),
    "weights": wandb.Histogram([1, 2, 2, 3]),
    "table": wandb.Table(columns=["k", "v"], data=[["a", 1]]),
    "page": wandb.Html("<b>hello</b>"),
})
run.summary["best"] = 7
run.config["late"] = True
run.alert("look", "here")
for name, content in {"weights.bin": os.urandom(70_000), "ü.txt": b"text"}.items():
    with open(name, "wb") as file:
        file.write(content)
artifact = wandb.Artifact("model", "model", metadata={"q": 1}, description="d")
artifact.add_file("weights.bin")
artifact.add_file("ü.txt", "deep/ü.txt")
run.log_artifact(artifact, aliases=["best"]).wait()
run.link_artifact(artifact, "tester/logged/shelf", aliases=["prod"])
run.finish()
run = wandb.init(project="logged", id="two", tags=["y"], group="g")
run.use_artifact("model:best")
for step in range(1200):
    run.log({"x": step} | ({"every": step} if step % 2 else {}))
run.finish(exit_code=1)
wandb.init(project="logged", id="three").finish()
"""

READING = """
import json, wandb
api = wandb.Api()
one, two = api.run("tester/logged/one"), api.run("tester/logged/two")
model = api.artifact("logged/model:v0")
print(json.dumps({
    "projects": [project.name for project in api.projects()],
    "oldest first": [run.id for run in api.runs("logged", per_page=1)],
    "newest first": [run.id for run in api.runs("logged", order="-created_at")],
    "by filter": [
        [run.id for run in api.runs("logged", filters=wanted)]
        for wanted in (
            {"display_name": "the first"}, {"group": "g"}, {"jobType": "train"}, {"tags": {"$in": ["x"]}},
            {"name": "two"}, {"config.lr": 0.1}, {"state": "failed"},
        )
    ],
    "state": [one.state, two.state], "name": one.name, "config": one.config, "best": one.summary["best"],
    "lines": two.load(force=True)["historyLineCount"], "last step": two.lastHistoryStep,
    "rows": list(one.scan_history()), "with keys": list(one.scan_history(keys=["loss", "acc"])),
    "words": [row["loss"] for row in one.scan_history(keys=["loss"])],
    "scanned": len(list(two.scan_history())), "scanned every": len(list(two.scan_history(keys=["every"]))),
    "window": [row["_step"] for row in two.scan_history(min_step=5, max_step=8)],
    "history": len(two.history(pandas=False)), "sampled": len(two.history(keys=["x"], pandas=False)),
    "files": sorted(file.name for file in one.files()),
    "page": [file.download(root="files").read() for file in one.files(pattern="media/html/%")],
    "logged": [artifact.name for artifact in one.logged_artifacts()],
    "used": [artifact.name for artifact in two.used_artifacts()],
    "aliases": model.aliases, "about": [model.metadata, model.description, model.type],
    "downloaded": api.artifact("logged/model:best").download("down"),
    "within": sorted(file.name for file in model.files()),
    "one of": model.files(names=["deep/ü.txt"])[0].size,
    "linked": api.artifact("logged/shelf:prod").source_name,
    "made by": model.logged_by().id, "used by": [run.id for run in model.used_by()],
    "deleted": api.run("tester/logged/three").delete(),
    "again": api.artifact("logged/model:latest").version,
}))
"""


@pytest.fixture(scope="module")
def logged(running_wandb: WandbServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which two runs were logged."""
    directory = tmp_path_factory.mktemp("logged")
    running_wandb.errors.clear()
    client.run(running_wandb, LOGGING, directory)
    assert running_wandb.errors == []
    return directory


def user(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the client adds to a row."""
    return {key: value for key, value in row.items() if not key.startswith("_")}


@pytest.mark.usefixtures("logged")
def test_what_is_logged_arrives(wandb_server: WandbServer) -> None:
    run = wandb_server.run("one", "logged")

    assert (run.state, run.exit_code) == ("finished", 0)
    assert (run.display_name, run.tags) == ("the first", ["x", "y"])
    assert (run.group, run.job_type, run.notes) == ("g", "train", "why")
    assert run.settled == {"lr": 0.1, "deep": {"a": [1, None]}, "late": True}
    assert user(run.history[0]) == {"loss": 1.5, "a/b.c": 2**53 + 1}
    assert run.history[0]["_timestamp"] == 1000.25
    assert math.isnan(run.history[1]["loss"])
    assert user(run.history[2]) == {"loss": -math.inf, "acc": 0.5}
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3]
    assert run.summary["best"] == 7
    assert run.alerts == [{"title": "look", "text": "here", "severity": "INFO"}]
    failed = wandb_server.run("two", "logged")
    assert (failed.state, failed.exit_code, len(failed.history)) == ("failed", 1, 1200)


@pytest.mark.usefixtures("logged")
def test_media_arrive_as_entries_of_a_row_and_as_files(wandb_server: WandbServer) -> None:
    run = wandb_server.run("one", "logged")
    media = run.history[3]

    assert [media[key]["_type"] for key in ("picture", "weights", "table", "page")] == [
        "image-file",
        "histogram",
        "table-file",
        "html-file",
    ]
    assert run.files[media["picture"]["path"]].startswith(b"\x89PNG")
    assert json.loads(run.files[media["table"]["path"]])["data"] == [["a", 1]]
    assert b"<b>hello</b>" in run.files[media["page"]["path"]]
    assert sum(media["weights"]["values"]) == 4


def test_what_was_logged_is_read_back(wandb_server: WandbServer, logged: Path) -> None:
    read = json.loads(client.run(wandb_server, READING, logged).splitlines()[-1])

    assert "logged" in read["projects"]
    assert (read["oldest first"], read["newest first"]) == (
        ["one", "two", "three"],
        ["three", "two", "one"],
    )
    assert read["by filter"] == [["one"], ["one", "two"], ["one"], ["one"], ["two"], ["one"], ["two"]]
    assert (read["state"], read["name"]) == (["finished", "failed"], "the first")
    assert read["config"] == {"lr": 0.1, "deep": {"a": [1, None]}, "late": True}
    assert read["best"] == 7
    assert (read["lines"], read["last step"]) == (1200, 1199)
    assert user(read["rows"][0]) == {"loss": 1.5, "a/b.c": 2**53 + 1}
    assert [(row["_step"], row["acc"]) for row in read["with keys"]] == [(2, 0.5)]
    assert read["words"] == [1.5, "NaN", "-Infinity"]
    assert (read["scanned"], read["scanned every"], read["window"]) == (1200, 600, [5, 6, 7])
    assert (read["history"], read["sampled"]) == (500, 500)
    assert "config.yaml" in read["files"]
    assert "<b>hello</b>" in read["page"][0]
    assert (read["logged"][-1], read["used"], read["linked"]) == ("model:v0", ["model:v0"], "model:v0")
    assert (sorted(read["aliases"]), read["about"]) == (["best", "latest"], [{"q": 1}, "d", "model"])
    assert (read["made by"], read["used by"], read["again"]) == ("one", ["two"], "v0")
    assert ("tester", "logged", "three") in wandb_server.store.deleted
    assert (read["within"], read["one of"]) == (["deep/ü.txt", "weights.bin"], 4)
    down = logged / read["downloaded"]
    assert (down / "weights.bin").read_bytes() == (logged / "weights.bin").read_bytes()
    assert (down / "deep" / "ü.txt").read_bytes() == b"text"


ROWS = """
import sys, wandb
run = wandb.init(project="rows", id=sys.argv[1], resume=sys.argv[2] or None)
print("ready", flush=True)
for step in range(int(sys.stdin.readline())):  # the client leaves out what the server has
    run.log({"x": step}, step=step, commit=True)
sys.stdin.readline()
run.finish()
"""


def tell(process: "subprocess.Popen[str]", line: str) -> None:
    """Wait until a process is ready, and hand it a line."""
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


@pytest.mark.crash
def test_a_killed_run_is_resumed_and_has_each_row_once(wandb_server: WandbServer, tmp_path: Path) -> None:
    with client.start(wandb_server, ROWS, tmp_path, ["killed", "allow"]) as process:
        tell(process, "5")
        eventually(lambda: len(wandb_server.run("killed").lines()) == 5, 30)
        process.kill()
    assert wandb_server.run("killed").state == "running"

    with client.start(wandb_server, ROWS, tmp_path, ["killed", "allow"]) as process:
        tell(process, "9")
        process.communicate("finish\n", timeout=60)

    run = wandb_server.run("killed")
    assert [row["_step"] for row in run.history] == list(range(9))
    assert (run.state, run.overwritten) == ("finished", [])


def test_of_two_writers_on_one_run_one_overwrites_the_other(
    wandb_server: WandbServer, tmp_path: Path
) -> None:
    with (
        client.start(wandb_server, ROWS, tmp_path, ["shared", ""]) as first,
        client.start(wandb_server, ROWS, tmp_path, ["shared", ""]) as second,
    ):
        tell(first, "5")
        tell(second, "5")
        first.communicate("finish\n", timeout=60)
        second.communicate("finish\n", timeout=60)

    run = wandb_server.run("shared")
    assert (len(run.lines()), len(run.overwritten)) == (5, 5)


OFFLINE = """
import wandb
run = wandb.init(project="synced", id="offline", config={"lr": 1}, mode="offline")
for step in range(7):
    run.log({"x": step, "_timestamp": 1000.0 + step})
run.finish(exit_code=2)
"""


def test_an_offline_run_is_synced_and_a_second_sync_doubles_its_rows(
    wandb_server: WandbServer, tmp_path: Path
) -> None:
    client.run(wandb_server, OFFLINE, tmp_path)
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")

    client.command(wandb_server, "sync", directory)

    run = wandb_server.run("offline", "synced")
    assert [(row["x"], row["_timestamp"]) for row in run.history] == [(x, 1000.0 + x) for x in range(7)]
    assert (run.settled, run.state, run.exit_code) == ({"lr": 1}, "failed", 2)
    client.command(wandb_server, "sync", "--include-synced", directory)
    assert [row["x"] for row in run.history] == [*range(7), *range(7)]


FAULTS = """
import sys, wandb
for name in map(str.strip, sys.stdin):
    try:
        run = wandb.init(project="faults", id=name, settings=wandb.Settings(init_timeout=0.5))
        run.log({"x": 1})
        run.finish()
        print("went well", flush=True)
    except wandb.Error as error:
        print(type(error).__name__, str(error).replace("\\n", " "), flush=True)
"""


def test_the_client_sees_every_fault(wandb_server: WandbServer, tmp_path: Path) -> None:
    seen: dict[Kind, str] = {}
    expected: dict[Kind, str] = {
        "refuse": "connection refused",
        "black_hole": "deadline exceeded",
        "error": "HTTP 500",
        "unauthorized": "CommError unauthorized",
        "forbidden": "CommError forbidden",
        "rate_limit": "HTTP 429",
        "cut": "EOF",
        "slow": "went well",
    }

    with client.start(wandb_server, FAULTS, tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for kind in expected:
            with wandb_server.failing(kind, "UpsertBucket" if kind != "refuse" else "", seconds=0.2):
                process.stdin.write(f"{kind}\n")
                process.stdin.flush()
                seen[kind] = process.stdout.readline()
        wandb_server.store.deleted.append(("tester", "faults", "deleted"))
        refused, _ = process.communicate("deleted\n", timeout=60)

    assert "previously created and deleted" in refused
    assert {kind: message for kind, message in seen.items() if expected[kind] not in message} == {}
    made = {run.name for run in wandb_server.store.runs if run.project == "faults"}
    assert made == {"cut", "slow"}
