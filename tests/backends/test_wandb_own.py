"""What W&B's own client, command line and users see of a run that tracelet wrote."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.emulators.wandb import WandbServer
from tracelet import backends
from tracelet.backend import Configuration, Options
from tracelet.errors import ConfigError, Refused, Unavailable
from tracelet.events import Definition, Image, Metric, Note, Params, Payload, RunStarted, Table, Tags
from tracelet.journal.writer import Writer as Journal
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.samples import table
from tracelet.testing.contract.scene import BEGAN, Run, Scene

BACKEND: Final = backends.load("wandb")
KEYS: Final = 20
ROWS: Final = 40


@pytest.fixture(scope="session")
def emulator() -> Iterator[WandbServer]:
    emulator = WandbServer()
    emulator.start()
    yield emulator
    emulator.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server often, and send what is not confirmed early, with a client that is nobody else's."""
    monkeypatch.setattr("tracelet.backends.wandb.session._OURS", True)
    monkeypatch.setattr("tracelet.backends.wandb.confirming.POLL", 0.02)
    monkeypatch.setattr("tracelet.backends.wandb.writer.FLUSH", 0.1)


@pytest.fixture
def login(emulator: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WandbServer:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))  # where W&B's interface leaves directories
    for name, text in emulator.environment.items():
        monkeypatch.setenv(name, text)
    emulator.store.runs.clear()
    return emulator


def ran(code: str, place: Path, **more: str) -> str:
    """Run a script of a user's in a process of its own; return what it prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    made = subprocess.run(
        command,
        env={**os.environ, **more},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout + made.stderr


def of_two_processes(scene: Scene) -> tuple[Run, list[Metric]]:
    """Log rows of many keys in two processes, in turns, with steps that go back."""
    run = scene.run()
    child = Journal(run.directory, "child")
    other: list[Metric] = []
    for at in range(ROWS):
        step = at if at % 7 else ROWS - at
        run.log(*(Metric(f"a/{key}", at + key / 100, step, BEGAN + at) for key in range(KEYS)))
        for key in range(KEYS):
            point = Metric(f"b/{key}", at - key / 100, step, BEGAN + at + 0.5)
            assert child.scalar(point.name, point.value, step, point.time)
            other.append(point)
    child.close()
    return run.finish(), other


class TestOnline(Contract):
    backend = BACKEND

    @pytest.fixture
    def options(self, login: WandbServer) -> Options:
        return {"mode": "online", "base_url": login.url, "entity": "tester"}

    @pytest.mark.crash
    @pytest.mark.slow
    def test_rows_of_two_processes_are_joined_and_there_once_however_often_the_relay_dies(
        self, scene: Scene, login: WandbServer
    ) -> None:
        import wandb

        run, other = of_two_processes(scene)

        for call in (3, 4):
            assert run.relay(kill=call, late=call % 2 > 0, batch=200) < 0
        assert run.relay(batch=200) == 0

        client: Any = wandb
        found = client.Api({"base_url": login.url}).run(f"tester/a project/{run.started.run_id}")
        joined = [*found.scan_history(keys=["a/0", "a/19", "tracelet/step"], use_cache=False)]
        assert sorted((row["a/0"], row["a/19"]) for row in joined) == [(at, at + 0.19) for at in range(ROWS)]
        assert len(login.run(run.started.run_id).history) == 2 * ROWS
        run.events += other
        assert run.problems() == []

    @pytest.mark.slow
    def test_a_run_looks_as_its_users_know_it(self, scene: Scene, login: WandbServer) -> None:
        content, data = table(["threshold", "fpr", "tpr"], [[0.5, 0.1, 0.9], [0.25, 0.3, 1.0]])
        run = scene.run(
            Params(BEGAN, {"model.lr": 0.1, "model.layers": [1, 2], "model": "in the way", "seed": 1.0}),
            Tags(BEGAN, {"team": "vision", "good": "true", "long": "x" * 100}),
            Note(BEGAN, "what it is"),
            Definition(time=BEGAN, name="loss", summary=("min",), goal="minimize"),
            Metric("loss", 0.25, 7, BEGAN + 1),
            Metric("accuracy", 0.5, 7, BEGAN + 1.5),
            Metric("alone", 0.75, None, BEGAN + 3),
            group="sweep 7",
            job_type="train",
        )
        run.log(run.keep(Table(time=BEGAN + 4, name="roc", step=8, data=data, chart="roc_curve"), content))
        run.finish()

        run.deliver()
        run.go_on(Metric("late", 1.0, 9, BEGAN + 9))
        run.deliver()

        found = login.run(run.started.run_id)
        hidden = {"_runtime", "tracelet/more"}
        rows = [{key: row[key] for key in row if key not in hidden} for row in found.history]
        assert rows[:2] == [
            {"_step": 0, "_timestamp": BEGAN + 1, "tracelet/step": 7, "loss": 0.25, "accuracy": 0.5},
            {"_step": 1, "_timestamp": BEGAN + 3, "alone": 0.75},
        ]
        assert rows[2]["roc_table"]["_type"] == "table-file"
        assert found.settled["model"] == {"lr": 0.1, "layers": [1, 2]}
        assert {"team:vision", "good"} <= set(found.tags)
        assert (found.notes, found.group, found.job_type) == ("what it is", "sweep 7", "train")
        assert (found.display_name, found.state, found.exit_code) == ("run 1", "finished", 0)
        said = found.config["_wandb"]["value"]
        defined = {one["1"]: one for one in said["m"] if "1" in one}
        assert {"loss", "tracelet/step", "alone"} <= set(defined)
        assert said["visualize"]["roc"]["panel_config"]["panelDefId"] == "wandb/area-under-curve/v0"
        assert run.problems() == []

    def test_a_run_of_somebody_elses_is_refused_and_nothing_is_written_to_it(
        self, scene: Scene, login: WandbServer, tmp_path: Path
    ) -> None:
        run = scene.run(Metric("loss", 0.5, 0, BEGAN))
        code = f"""
            import wandb
            with wandb.init(id={run.started.run_id!r}, entity="tester", project="a project") as run:
                run.log({{"theirs": 1}})
        """
        ran(code, tmp_path, WANDB_SILENT="true")

        before = len(login.operations)
        with pytest.raises(Refused, match="tracelet has not written: delete it"):
            run.deliver()

        theirs = login.run(run.started.run_id)
        assert "UpsertBucket" not in [name for name, _ in login.operations[before:]]
        assert ("tracelet" in theirs.config, theirs.state) == (False, "finished")

    def test_names_that_are_too_long_for_wandb_are_shown_cut_and_come_back_whole(
        self, scene: Scene, login: WandbServer
    ) -> None:
        long = {"name": "n" * 300, "group": "g" * 300, "job_type": "j" * 300}
        run = scene.run(Metric("loss", 0.5, 0, BEGAN), **long).finish()
        run.deliver()

        found = login.run(run.started.run_id)
        assert (found.display_name, found.group, found.job_type) == ("n" * 128, "g" * 128, "j" * 64)
        assert run.problems() == []

    def test_a_row_of_which_all_is_rejected_leaves_no_gap(self, scene: Scene, login: WandbServer) -> None:
        run = scene.run(Metric("loss", 0.5, 0, BEGAN))
        others = [*run.events]
        picture = Image(time=BEGAN + 1, name="picture", step=1, data=Payload("", 0, format="png"))
        run.log(run.keep(picture, b"no picture"))
        run.log(Metric("loss", 0.25, 2, BEGAN + 2))
        run.finish().deliver()

        assert len(run.rejects) == 1
        assert [row["_step"] for row in login.run(run.started.run_id).history] == [0, 1, 2]
        run.events = [*others, *run.events[-2:]]
        assert run.problems() == []

    def test_wrong_credentials_are_refused_and_a_busy_server_is_not(
        self, scene: Scene, login: WandbServer
    ) -> None:
        import wandb

        wandb.teardown()  # what it was told before is no relay's
        run = scene.run(Metric("loss", 0.5, 0, BEGAN))

        for fault in ("unauthorized", "forbidden"):
            with login.failing(fault), pytest.raises(Refused, match="credentials"):
                scene.writer(run).open(run.started)
        with login.failing("rate_limit", seconds=1.0), pytest.raises(Unavailable):
            scene.writer(run).open(run.started)
        run.finish().deliver()

        assert run.problems() == []


class TestOffline(Contract):
    backend = BACKEND

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"mode": "offline", "dir": str(tmp_path / "here")}

    @pytest.mark.crash
    @pytest.mark.slow
    def test_one_directory_is_left_however_often_the_relay_dies_and_wandb_sync_takes_it(
        self, scene: Scene, emulator: WandbServer, tmp_path: Path
    ) -> None:
        run, other = of_two_processes(scene)

        assert run.relay(kill=3, late=True, batch=400) < 0
        assert run.relay(batch=400) == 0

        (directory,) = (tmp_path / "here" / "wandb").glob("offline-run-*")
        command = [sys.executable, "-m", "wandb", "sync", str(directory)]
        environ = {**os.environ, **emulator.environment, "WANDB_ENTITY": "tester"}
        subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, timeout=90, check=True)
        rows = emulator.run(run.started.run_id).history
        assert sorted(row["a/0"] for row in rows if "a/0" in row) == [*map(float, range(ROWS))]
        assert all(f"a/{key}" in row for row in rows if "a/0" in row for key in range(KEYS))
        assert [row["_step"] for row in rows] == [*range(2 * ROWS)]
        run.events += other
        assert run.problems() == []

    def test_a_finished_directory_is_never_touched(self, scene: Scene, tmp_path: Path) -> None:
        run = scene.run(Metric("loss", 0.5, 0, BEGAN), Params(BEGAN, {"lr": 0.1})).finish()
        run.deliver()
        (first,) = (tmp_path / "here" / "wandb").glob("offline-run-*")
        before = {file: file.read_bytes() for file in first.rglob("*.wandb")}

        run.deliver_anew()
        assert [*(tmp_path / "here" / "wandb").glob("offline-run-*")] == [first]
        run.go_on(Metric("late", 1.0, 1, BEGAN + 1))
        run.deliver()

        assert {file: file.read_bytes() for file in first.rglob("*.wandb")} == before
        assert len([*(tmp_path / "here" / "wandb").glob("offline-run-*")]) == 2


SCRIPT: Final = """
    import tracelet
    exp = tracelet.start_logging("a run", "a project", "wandb", {"lr": 0.1})
    for step in range(3):
        exp.log_metric("loss", 1 / (step + 1), step)
    print(exp.url("wandb"))
    tracelet.stop_logging()
"""


@pytest.mark.slow
def test_without_credentials_the_journal_waits_and_a_sync_delivers(
    emulator: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", emulator.url)
    emulator.store.runs.clear()

    said = ran(SCRIPT, tmp_path, WANDB_ENTITY="tester")
    assert said.count("wandb login") == 1
    assert emulator.store.runs == []
    command = [sys.executable, "-m", "tracelet", "sync"]
    environ = {**os.environ, **emulator.environment}
    subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, timeout=90, check=True)

    (found,) = emulator.store.runs
    assert [row["loss"] for row in found.history] == [1, 0.5, 1 / 3]
    assert (found.display_name, found.project, found.state) == ("a run", "a project", "finished")


def configured(place: Path, environ: dict[str, str], **settings: str) -> dict[str, str]:
    return BACKEND.configure(
        Configuration(settings=settings, environ=environ, project="", directory=place, script_directory=place)
    )


def test_options_come_from_settings_variables_and_the_clients_own_files(tmp_path: Path) -> None:
    own = {"WANDB_CONFIG_DIR": str(tmp_path / "config")}
    (tmp_path / "wandb").mkdir()
    told = "[default]\nmode = offline\nentity = a team\nproject = told\n"
    (tmp_path / "wandb" / "settings").write_text(told)

    environ = {**own, "WANDB_TAGS": "a,b", "WANDB_ENTITY": "me"}
    found = configured(tmp_path, environ, backend_url="http://h:1/")
    assert found == {
        "mode": "offline",
        "base_url": "http://h:1",
        "entity": "me",
        "project": "told",
        "dir": str(tmp_path),
        "tags": "a,b",
    }
    assert configured(tmp_path, {**own, "WANDB_MODE": "online"})["mode"] == "online"
    assert configured(tmp_path, {"WANDB_MODE": "dryrun", "WANDB_DIR": "x"})["dir"] == str(tmp_path / "x")
    assert "s3cret" not in str(configured(tmp_path, {}, backend_url="http://me:s3cret@h"))
    for environ in ({"WANDB_MODE": "shared"}, {"WANDB_MODE": "never"}, {"WANDB_BASE_URL": "h:1"}):
        with pytest.raises(ConfigError):
            configured(tmp_path, environ)


def test_a_disabled_run_waits_in_its_journal(tmp_path: Path) -> None:
    assert BACKEND.writer is not None
    options = configured(tmp_path, {"WANDB_MODE": "disabled"})
    writer = BACKEND.writer(options, lambda digest: tmp_path / digest)

    with pytest.raises(Refused, match="WANDB_MODE=online"):
        writer.open(RunStarted(time=BEGAN, run_id="20231114-221320-000001", name="n", project="p"))
