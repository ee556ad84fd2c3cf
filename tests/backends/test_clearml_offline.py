"""Offline sessions of ClearML: written, read, and taken to a server by ClearML's own command."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final
from zipfile import ZipFile

import pytest

from tests.emulators.clearml import ClearML
from tracelet import backends
from tracelet.backend import Options, Reader
from tracelet.errors import Refused, Unavailable
from tracelet.events import (
    Artifact,
    Bundle,
    Event,
    Metric,
    RunFinished,
    RunStarted,
    Text,
)
from tracelet.journal import status
from tracelet.testing import BackendContract
from tracelet.testing.contract.comparing import differences
from tracelet.testing.contract.samples import SAMPLES, named
from tracelet.testing.contract.scene import BEGAN, Run, Scene, points

BACKEND: Final = backends.load("clearml")
REPORTED: Final = Path(__file__).parents[1] / "emulators" / "clearml" / "reported.py"
LATE: Final = 120.0  # seconds that ClearML's client may take


def reading(place: Path) -> Reader:
    """Open what lies at a place."""
    assert BACKEND.source is not None
    assert BACKEND.reader is not None
    return BACKEND.reader(BACKEND.source(str(place)))


class TestOffline(BackendContract):
    backend = BACKEND
    exempt: ClassVar = {"server": "there is none", "poison": "it takes whatever the relay gives it"}

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"offline": str(tmp_path / "offline")}

    @pytest.fixture
    def reader(self, options: Options) -> Reader:
        return reading(Path(options["offline"]))

    @pytest.fixture
    def away(self, tmp_path: Path) -> Options:
        (tmp_path / "a file").touch()
        return {"offline": str(tmp_path / "a file" / "offline")}

    @pytest.fixture
    def forget(self, options: Options) -> Callable[[str], None]:
        return lambda _: shutil.rmtree(options["offline"])


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearML]:
    home = tmp_path / "home"
    home.mkdir()
    made = ClearML()
    made.start()
    for name, value in {**made.environment(home), "HOME": str(home), "CI": "1"}.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()
    assert (made.errors, made.unknown) == ([], [])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(
        place=tmp_path,
        backend=BACKEND,
        load="clearml",
        options={"offline": str(tmp_path / "offline")},
        project="a project",
        reader=lambda: reading(tmp_path / "offline"),
    )


def of_everything(scene: Scene) -> Run:
    """Make a run that has some of every kind, and names that need care."""
    run = scene.run(name="a/run: größer #1", tags={"team": "vision"}, note="a note", parent="no task")
    run.log(*points("train/loss", range(1200)), *points("loss", range(3)))
    for number, sample in enumerate(SAMPLES):
        if isinstance(sample.event, (RunStarted, RunFinished)):
            continue
        made = named(sample, number)
        for event, content in (*made.before, (made.event, made.content)):
            run.log(run.keep(event, content) if content else event)
    run.log(Text(time=BEGAN, name="long", text="word " * 20_000, step=1))
    run.log(Bundle(time=BEGAN, name="elsewhere", kind="model", reference="https://nowhere.test/w.bin"))
    return run.finish(RunFinished(BEGAN + 100, "KILLED", "SIGTERM"))


def imported(server: ClearML, view: str, place: Path) -> str:
    """Type the command that a summary shows; return the task's id that is at the server afterwards."""
    before = set(server.tasks.by_id)
    # Of somebody who has set the variable for all that is typed into this shell.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path, "CLEARML_OFFLINE_MODE": "1"}
    done = subprocess.run(  # noqa: S602  what is shown is for a shell
        view, shell=True, env=environ, cwd=place, capture_output=True, text=True, timeout=LATE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [task] = set(server.tasks.by_id) - before
    return task


def files_of(run: str, events: list[Event], reader: Any, to: Path) -> dict[str, bytes]:
    """Download all files of a run; of encoded ones, too."""
    found: dict[str, bytes] = {}
    for event in events:
        data: Any = getattr(event, "data", None)
        path = event.path if isinstance(event, Artifact) else data.path if data is not None else ""
        if path:
            reader.download(run, path, to)
            name = getattr(event, "name", path)
            found[f"{type(event).__name__} {name}"] = to.read_bytes()
    return found


@pytest.mark.live
@pytest.mark.slow
def test_clearml_imports_a_session_and_everything_is_at_the_server(
    scene: Scene, emulator: ClearML, tmp_path: Path
) -> None:
    run = of_everything(scene)
    run.deliver()
    assert (run.rejects, run.problems()) == ([], [])
    view = status.read_delivery(run.directory, "clearml").view

    task = imported(emulator, view, tmp_path)

    assert BACKEND.reader is not None
    there, here = BACKEND.reader({}), scene.reader()
    back = [*there.events(task)]
    assert differences(run.events, back, BACKEND) == []
    kept = files_of(run.id, run.back(), here, tmp_path / "one file")
    assert files_of(task, back, there, tmp_path / "one file") == kept
    assert len(kept) > 10
    plots = [json.loads(plot["plot_str"])["layout"] for plot in emulator.events.of(task, "plot")]
    sources = [image["source"] for layout in plots for image in layout.get("images", ())]
    assert len(sources) == 2
    assert {source.removeprefix(f"{emulator.url}/") for source in sources} <= set(emulator.files)
    assert emulator.tasks.by_id[task]["status"] == "completed"  # as the importer leaves every task
    assert not emulator.models.by_id

    # The same run, delivered to that server, is that task.
    scene.options = {}
    run.deliver_anew()

    assert (run.remote, list(emulator.tasks.by_id)) == (task, [task])
    assert differences(run.events, [*there.events(task)], BACKEND) == []


@pytest.mark.live
@pytest.mark.slow
def test_a_session_that_clearml_has_made_is_read(tmp_path: Path, emulator: ClearML) -> None:
    environ = {**os.environ, "CLEARML_OFFLINE_MODE": "1"}
    subprocess.run([sys.executable, str(REPORTED)], env=environ, cwd=tmp_path, check=True, timeout=LATE)
    assert not emulator.requests
    [archive] = Path(os.environ["CLEARML_CACHE_DIR"], "offline").glob("*.zip")

    places = {archive: "FINISHED", archive.with_suffix(""): "RUNNING", archive.parent: "FINISHED"}
    for place, shown in places.items():
        reader = reading(place)
        [summary] = reader.runs("a project")
        events = [*reader.events(summary.id)]
        loss = [event.value for event in events if isinstance(event, Metric) and event.name == "train/loss"]

        assert (summary.name, summary.status) == ("a run", shown)
        assert loss == [1 / (step + 1) for step in range(50)]
        files = files_of(summary.id, events, reader, tmp_path / "one file")
        assert files["Artifact file"] == b"weights"
        assert json.loads(files["Artifact numbers"]) == {"a": 1}
        assert files["Audio sound/one"] == b"RIFF"
        assert files["Image picture/one"].startswith(b"\xff\xd8")
        assert b"a line of the log" in files["Artifact clearml/console.log"]


@pytest.mark.crash
@pytest.mark.slow
def test_after_any_number_of_relays_there_is_one_archive_that_nobody_touches_again(
    scene: Scene, tmp_path: Path
) -> None:
    run = scene.run(*points("loss", range(30)))
    run.log(run.keep(Artifact(time=BEGAN, path="a.bin", size=0), b"bytes"))
    run.finish()

    codes = [run.relay(kill=kill, late=True, batch=10) for kill in (1, 3)]
    left = sorted(path.suffix for path in (tmp_path / "offline").iterdir())
    run.deliver()
    [archive] = (tmp_path / "offline").iterdir()
    before = archive.stat()
    run.deliver_anew()
    after = archive.stat()

    assert codes == [-signal.SIGKILL] * 2
    assert left == ["", ".part"]
    assert archive.suffix == ".zip"
    assert [*(tmp_path / "offline").iterdir()] == [archive]
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert run.problems() == []


def test_what_is_logged_after_the_end_takes_its_place_in_the_archive(scene: Scene, tmp_path: Path) -> None:
    run = scene.run(*points("loss", range(3)))
    late = run.keep(Artifact(time=BEGAN, path="late.bin", size=0), b"late")
    run.finish().deliver()

    run.go_on(*points("child", range(3)), late)
    run.deliver()

    [archive] = (tmp_path / "offline").iterdir()
    with ZipFile(archive) as opened:
        assert len(opened.namelist()) == len(set(opened.namelist()))
    assert run.problems() == []


def test_an_artifact_that_is_logged_again_is_in_the_archive_once(scene: Scene, tmp_path: Path) -> None:
    run = scene.run()
    for content in (b"first", b"second", b"third"):
        run.log(run.keep(Artifact(time=BEGAN, path="model.bin", size=0), content))
    run.finish().deliver()

    [archive] = (tmp_path / "offline").iterdir()
    with ZipFile(archive) as opened:
        [name] = [name for name in opened.namelist() if name.endswith("model.bin")]
        assert opened.read(name) == b"third"


def test_a_session_that_is_taken_away_is_written_anew(scene: Scene, tmp_path: Path) -> None:
    run = scene.run(*points("loss", range(10)))
    run.deliver()
    writer = scene.writer(run)
    writer.open(run.started)

    shutil.rmtree(tmp_path / "offline")
    with pytest.raises(Unavailable, match="is gone"):
        writer.write(points("loss", range(3)))
    writer.close()
    run.finish().deliver()

    assert run.problems() == []


def test_what_is_no_archive_is_refused_and_the_others_are_read(scene: Scene, tmp_path: Path) -> None:
    run = scene.run(*points("loss", range(3))).finish()
    run.deliver()
    broken = tmp_path / "offline" / "offline-broken.zip"
    broken.write_bytes(b"no ZIP")

    with pytest.raises(Refused, match="no archive of an offline session"):
        list(reading(broken).runs(None))
    assert [found.id for found in scene.reader().runs(None)] == [run.id]
