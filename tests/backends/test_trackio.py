"""Trackio keeps the promises of every backend, and its own client finds what was delivered."""

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from tracelet import backends
from tracelet.backend import Configuration, Options
from tracelet.backends.trackio.store import Store
from tracelet.errors import ConfigError, Refused, Unavailable
from tracelet.events import (
    Artifact,
    Audio,
    Bundle,
    Histogram,
    Html,
    Image,
    Metric,
    Note,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Table,
    Tags,
    Text,
)
from tracelet.testing.contract import BackendContract
from tracelet.testing.contract.scene import BEGAN, Scene, points

BACKEND: Final = backends.load("trackio")
FILE: Final = Payload("", 0, format="html")

# What its own client says of the one run of a project.
ASKING: Final = """
    import json, sys
    from trackio.sqlite_storage import SQLiteStorage as storage

    project = sys.argv[1]
    (run,) = storage.get_run_records(project)
    said = {"project": project, "run": run["name"], "run_id": run["id"]}
    print(json.dumps({
        "run": run,
        "logs": storage.get_logs(**said),
        "system": storage.get_system_logs(**said),
        "config": storage.get_run_config(**said),
        "artifacts": storage.get_run_artifacts(project, run["name"], run["id"])["output"],
    }))
"""
# A script of somebody who has never heard of tracelet.
TRAINING: Final = """
    import pathlib
    import numpy, trackio

    trackio.init(project="vision", name="baseline", group="sweep", config={"lr": 0.1, "layers": [1, 2]})
    for step in range(3):
        trackio.log({"loss": 1.0 / (step + 1), "step": 10.0 * step}, step=step)
    trackio.log({"odd": float("inf"), "how": "well", "none": None}, step=5)
    trackio.log({
        "picture": trackio.Image(numpy.zeros((4, 5, 3), numpy.uint8), caption="black"),
        "sound": trackio.Audio(numpy.zeros(80, numpy.int16), sample_rate=8000),
        "page": trackio.Html("<p>hello</p>"),
        "rows": trackio.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None]]),
        "spread": trackio.Histogram(np_histogram=([1, 2], [0.0, 1.0, 2.0])),
        "report": trackio.Markdown("# Report"),
    }, step=7)
    trackio.log_system({"gpu": 0.5})
    trackio.alert("hot", "very", level=trackio.AlertLevel.ERROR)
    pathlib.Path("weights.bin").write_bytes(b"weights")
    trackio.log_artifact("weights.bin", name="net", type="model", aliases=["best"])
    trackio.finish()
"""


def run(code: str, place: Path, *arguments: str) -> str:
    """Run code in an interpreter of its own, with Trackio's directory at a place."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(place), "TRACKIO_DIR": str(place / "trackio")}
    environ["HF_HUB_OFFLINE"] = "1"
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    made = subprocess.run(
        command, env=environ, cwd=place, capture_output=True, text=True, timeout=120, check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


def asked(place: Path, project: str) -> dict[str, Any]:
    """Ask Trackio's own client for the one run of a project."""
    return json.loads(run(ASKING, place, project))


def configured(place: Path, environ: dict[str, str], **settings: str) -> dict[str, str]:
    return BACKEND.configure(
        Configuration(settings=settings, environ=environ, project="", directory=place, script_directory=place)
    )


class TestTrackio(BackendContract):
    backend = BACKEND
    poison = (Metric("loss", 1.0, 0, BEGAN), Metric("loss", 2.0, 1, 1e30))  # a time that no calendar has
    exempt: ClassVar = {"server": "databases on this machine have none"}

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"dir": str(tmp_path / "trackio")}

    @pytest.fixture
    def away(self, tmp_path: Path) -> Options:
        (tmp_path / "a file").touch()
        return {"dir": str(tmp_path / "a file" / "trackio")}

    @pytest.fixture
    def forget(self, options: Options) -> Callable[[str], None]:
        def deleted(run: str) -> None:
            project, _, run_id = run.partition("/")
            with Store(Path(options["dir"]), project, ("", run_id)).at() as storage:
                assert storage.delete_run(project, "", run_id)

        return deleted

    def test_a_database_that_is_taken_away_meanwhile_is_made_again(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        writer = scene.writer(run)
        writer.open(run.started)
        shutil.rmtree(scene.options["dir"])

        with pytest.raises(Unavailable, match="deleted"):
            writer.write(points("loss", range(5, 8), 5))
        run.log(*points("loss", range(5, 8), 5))
        run.finish().deliver()

        assert run.problems() == []

    def test_its_own_client_finds_a_run_as_its_users_know_it(self, scene: Scene, tmp_path: Path) -> None:
        logged = scene.run(
            Params(BEGAN, {"lr": 0.1, "_private": 1, "tracelet": "too"}),
            Tags(BEGAN, {"team": "vision"}),
            Note(BEGAN, "what it is"),
            Metric("loss", 0.1, 3, BEGAN + 1),
            Metric("step", 5.0, 4, BEGAN + 2),
            Metric("system/gpu", 0.5, None, BEGAN + 3),
            Text(time=BEGAN + 4, name="said", text="# hello", step=5),
            group="sweep 7",
        )
        logged.log(logged.keep(Artifact(time=BEGAN, path="model/weights.bin", size=0), b"weights"))
        logged.finish(RunFinished(BEGAN + 9, "FAILED", "why"))

        logged.deliver()

        found = asked(tmp_path, "aproject")
        assert found["run"]["id"] == logged.started.run_id
        assert found["run"]["name"] == "run 1"
        assert found["run"]["created_at"] == "2023-11-14T22:13:20.125000+00:00"
        text = {"_type": "trackio.markdown", "_value": "# hello", "tracelet": {"kind": "Text"}}
        assert found["logs"][1:] == [
            {"loss": 0.1, "step": 3, "timestamp": "2023-11-14T22:13:21.125000+00:00"},
            {"__step": 5.0, "step": 4, "timestamp": "2023-11-14T22:13:22.125000+00:00"},
            {"said": text, "step": 5, "timestamp": "2023-11-14T22:13:24.125000+00:00"},
        ]
        assert found["system"] == [{"gpu": 0.5, "timestamp": "2023-11-14T22:13:23.125000+00:00"}]
        assert (found["config"]["lr"], found["config"]["_Group"]) == (0.1, "sweep 7")
        ours = found["config"]["tracelet"]
        assert (ours["status"], ours["tags"], ours["note"]) == ("FAILED", {"team": "vision"}, "what it is")
        assert ours["params"] == {"_private": 1, "tracelet": "too"}
        assert [(one["name"], one["type"]) for one in found["artifacts"]] == [("model-weights.bin", "file")]

    def test_of_a_path_the_file_counts_that_was_logged_last(self, scene: Scene, tmp_path: Path) -> None:
        logged = scene.run()
        for at, content in enumerate((b"one", b"two", b"one")):
            logged.log(logged.keep(Artifact(time=BEGAN + at, path="a/b.bin", size=0), content))
        logged.log(logged.keep(Artifact(time=BEGAN, path="a-b.bin", size=0), b"another"))
        logged.finish()

        logged.deliver()
        logged.deliver_anew()

        back = {}
        for path in ("a/b.bin", "a-b.bin"):
            scene.reader().download(logged.remote, path, tmp_path / "back")
            back[path] = (tmp_path / "back").read_bytes()
        assert back == {"a/b.bin": b"one", "a-b.bin": b"another"}

    def test_two_runs_of_one_name_are_apart(self, scene: Scene) -> None:
        runs = [scene.run(Metric("loss", float(at), at, BEGAN), name="the same") for at in range(2)]

        for one in runs:
            one.finish().deliver()

        assert [one.problems() for one in runs] == [[], []]

    @pytest.mark.parametrize("name", ["registry-a", "a_system", "registry-a_traces", "..", "größer/noch"])
    def test_a_project_may_have_any_name(self, scene: Scene, name: str) -> None:
        logged = scene.run(Metric("loss", 1.0, 0, BEGAN), project=name).finish()

        logged.deliver()

        assert logged.problems() == []
        assert [one.project for one in scene.reader().runs(name)] == [name]

    @pytest.mark.parametrize("name", ["../../out", "..", "files", "a/b", "x" * 300])
    def test_a_runs_name_leads_nowhere_else(self, scene: Scene, tmp_path: Path, name: str) -> None:
        logged = scene.run(name=name)
        logged.log(logged.keep(Html(time=BEGAN, name="page", data=FILE, step=0), b"<p>"))

        logged.finish().deliver()

        assert logged.problems() == []
        there = tmp_path / "trackio" / "media" / "aproject"
        assert [*there.iterdir()] == [there / logged.started.run_id]

    def test_a_database_that_is_none_refuses(self, scene: Scene, tmp_path: Path) -> None:
        (tmp_path / "trackio").mkdir()
        (tmp_path / "trackio" / "aproject.db").write_bytes(b"no database" * 1000)
        logged = scene.run()

        with pytest.raises(Refused, match="not a database"):
            scene.writer(logged).open(logged.started)

    def test_a_network_file_system_is_refused(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACKIO_STORAGE_MODE", "jsonl")
        logged = scene.run()

        with pytest.raises(Refused, match="TRACKIO_STORAGE_MODE=sqlite"):
            scene.writer(logged).open(logged.started)


def test_what_trackios_own_users_have_logged_is_read(tmp_path: Path) -> None:
    run(TRAINING, tmp_path)
    reader = backends.reader(f"trackio:{tmp_path / 'trackio'}")

    (summary,) = reader.runs("vision")
    events = [*reader.events(summary.id)]

    assert summary.name == "baseline"
    first = events[0]
    assert isinstance(first, RunStarted)
    assert (first.name, first.project, first.group, first.tags) == ("baseline", "vision", "sweep", {})
    assert not any(isinstance(event, RunFinished) for event in events)
    (params,) = (event.params for event in events if isinstance(event, Params))
    assert params == {"lr": 0.1, "layers": [1, 2]}
    metrics = [(event.name, event.value, event.step) for event in events if isinstance(event, Metric)]
    assert metrics == [
        ("loss", 1.0, 0),
        ("step", 0.0, 0),
        ("loss", 0.5, 1),
        ("step", 10.0, 1),
        ("loss", 1 / 3, 2),
        ("step", 20.0, 2),
        ("odd", float("inf"), 5),
        ("system/gpu", 0.5, None),
    ]
    texts = [(event.name, event.text, event.step) for event in events if isinstance(event, Text)]
    assert texts == [("how", "well", 5), ("report", "# Report", 7), ("alerts/error", "hot\n\nvery", 7)]
    (spread,) = (event for event in events if isinstance(event, Histogram))
    assert (spread.counts, spread.limits) == ((1.0, 2.0), (0.0, 1.0, 2.0))
    (bundle,) = (event for event in events if isinstance(event, Bundle))
    assert (bundle.name, bundle.kind, {*bundle.aliases}) == ("net", "model", {"best", "latest"})
    content: dict[str, bytes] = {}
    for event in events:
        if isinstance(event, (Image, Audio, Html, Table, Bundle)) and event.data is not None:
            reader.download(summary.id, event.data.path, tmp_path / "back")
            content[event.name] = (tmp_path / "back").read_bytes()
        elif isinstance(event, Artifact):
            reader.download(summary.id, event.path, tmp_path / "back")
            content[event.path] = (tmp_path / "back").read_bytes()
    assert content["picture"].startswith(b"\x89PNG")
    assert content["sound"].startswith(b"RIFF")
    assert b"<p>hello</p>" in content["page"]
    assert json.loads(content["rows"]) == {"columns": ["a", "b"], "data": [[1, "x"], [2.5, None]]}
    assert [*json.loads(content["net"])] == ["net/weights.bin"]
    assert content["net/weights.bin"] == b"weights"


def test_the_directory_is_the_settings_then_trackios(tmp_path: Path) -> None:
    environ = {"TRACKIO_DIR": "/of/trackio", "HF_HOME": "/of/hf"}

    assert configured(tmp_path, environ, dir="here") == {"dir": str(tmp_path / "here")}
    assert configured(tmp_path, environ) == {"dir": "/of/trackio"}
    assert configured(tmp_path, {"HF_HOME": "/of/hf"}) == {"dir": "/of/hf/trackio"}


def test_a_source_is_a_directory_or_a_database(tmp_path: Path) -> None:
    (tmp_path / "vision.db").touch()

    assert backends.source(f"trackio:{tmp_path}")[1] == {"dir": str(tmp_path)}
    only = backends.source(f"trackio:{tmp_path / 'vision.db'}")[1]
    assert only == {"dir": str(tmp_path), "project": "vision"}
    with pytest.raises(ConfigError, match="no database of Trackio's"):
        backends.source(f"trackio:{tmp_path / 'nowhere'}")
