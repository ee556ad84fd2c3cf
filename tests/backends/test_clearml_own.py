"""What is ClearML's own: its client finds what was delivered, and its users' tasks are read."""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.backends.clearmls import asked, serving
from tests.emulators.clearml import ClearML
from tracelet import backends
from tracelet.backend import Reader
from tracelet.errors import Refused
from tracelet.events import (
    Artifact,
    Bundle,
    Event,
    Figure,
    Histogram,
    Image,
    Metric,
    Note,
    Params,
    Payload,
    RunFinished,
    Table,
    Tags,
    Text,
)
from tracelet.testing.contract.samples import png
from tracelet.testing.contract.scene import BEGAN, Scene, points

BACKEND: Final = backends.load("clearml")
SCALAR: Final = "training_stats_scalar"
LISTED: Final = b'{"model/a.bin": {"digest": "", "size": 3}, "model/b.bin": {"digest": "", "size": 3}}'

# What its own client says of a task.
ASKING: Final = """
    import json, sys, pathlib
    from clearml import Task

    task = Task.get_task(project_name="a project", task_name="run 1")
    images = task.get_debug_samples("pictures", "cat")
    model = task.models["output"][0]
    weights = pathlib.Path(model.get_local_copy(extract_archive=True))
    print(json.dumps({
        "id": task.id, "status": task.get_status(), "tags": task.get_tags(), "comment": task.comment,
        "reason": task.data.status_message, "type": task.task_type.value,
        "params": task.get_parameters(cast=True),
        "scalars": task.get_all_reported_scalars(),
        "plots": [(plot["metric"], plot["variant"], plot["iter"]) for plot in task.get_reported_plots()],
        "images": [(image["iter"], image["url"]) for image in images],
        "artifact": pathlib.Path(task.artifacts["notes/a.txt"].get_local_copy()).read_text(),
        "model": [model.name, sorted(one.name for one in weights.iterdir())],
    }))
"""
# A script of somebody who has never heard of tracelet.
TRAINING: Final = """
    import json, pathlib
    import numpy
    from clearml import Task

    Task.force_store_standalone_script()  # it need not look for git
    frameworks = {"auto_connect_frameworks": False, "auto_connect_arg_parser": False}
    task = Task.init("vision", "baseline", auto_resource_monitoring=False, tags=["sweep"], **frameworks)
    task.set_comment("what it is")
    task.connect({"lr": 0.1, "layers": [1, 2], "flag": True, "nothing": None})
    log = task.get_logger()
    for step in range(3):
        log.report_scalar("train", "loss", 1.0 / (step + 1), step)
    log.report_scalar("loss", "loss", 0.25, 7)
    log.report_single_value("best", 0.5)
    log.report_table("rows", "all", 3, table_plot=[["a", "b"], [1, "x"], [2, "y"]])
    log.report_histogram("spread", "weights", [1, 2, 3], iteration=2)
    log.report_image("picture", "black", 4, image=numpy.zeros((4, 5, 3), numpy.uint8))
    log.report_text("a line of the console", print_console=False)
    pathlib.Path("weights.bin").write_bytes(b"weights")
    task.upload_artifact("net", "weights.bin", wait_on_upload=True)
    task.close()
    print(json.dumps(task.id))
"""
# The same run's script, which calls ClearML too, with its capture of TensorBoard.
BESIDE: Final = """
    import json, sys
    from clearml import Task
    from torch.utils.tensorboard import SummaryWriter

    Task.force_store_standalone_script()  # it need not look for git
    task = Task.init(
        "a project", "run 1", reuse_last_task_id=sys.argv[1], continue_last_task=0,
        auto_resource_monitoring=False, auto_connect_arg_parser=False,
    )
    with SummaryWriter("logs") as writer:
        for step in range(5):
            writer.add_scalar("train/loss", float(step), step)
            writer.add_scalar("loss", float(step), step)
    task.flush(wait_for_uploads=True)
    task.close()
    print(json.dumps(task.id))
"""


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearML]:
    with serving(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def reader(emulator: ClearML) -> Iterator[Reader]:
    assert emulator.running
    assert BACKEND.reader is not None
    made = BACKEND.reader({})
    yield made
    made.close()


@pytest.fixture
def scene(emulator: ClearML, reader: Reader, tmp_path: Path) -> Scene:
    assert emulator.running
    return Scene(
        place=tmp_path,
        backend=BACKEND,
        load="clearml",
        options={},
        project="a project",
        reader=lambda: reader,
    )


def points_of(events: list[Event]) -> list[tuple[str, float, int | None]]:
    return [(event.name, event.value, event.step) for event in events if isinstance(event, Metric)]


@pytest.mark.slow
def test_its_own_client_finds_a_run_as_its_users_know_it(scene: Scene, tmp_path: Path) -> None:
    run = scene.run(
        Params(BEGAN, {"lr": 0.1, "optimizer/name": "adam", "layers": [1, 2], "flag": True, "none": None}),
        Tags(BEGAN, {"team": "vision", "baseline": "true"}),
        Note(BEGAN, "what it is"),
        *points("train/loss", [0.5, 0.25]),
        Metric("train/loss", math.nan, 2, BEGAN + 2),
        Metric("system/gpu", 50.0, 0, BEGAN),
        Histogram(time=BEGAN, name="weights", step=1, counts=(1.0, 2.0), limits=(0.0, 0.5, 1.0)),
        job_type="eval",
    )
    run.log(run.keep(Artifact(time=BEGAN, path="notes/a.txt", size=0), b"a note"))
    picture = Image(time=BEGAN, name="pictures/cat", data=Payload("", 0, format="png"), step=3)
    run.log(run.keep(picture, png(4, 4)))
    files = [run.keep(Artifact(time=BEGAN, path=f"model/{name}.bin", size=0), name.encode()) for name in "ab"]
    run.log(*files)
    listed = {one.path: {"digest": one.digest, "size": 1} for one in files if isinstance(one, Artifact)}
    model = Bundle(
        time=BEGAN, name="net", kind="model", path="model", files=2, data=Payload("", 0, format="json")
    )
    run.log(run.keep(model, json.dumps(listed).encode()))
    run.finish(RunFinished(BEGAN + 9, "FAILED", "why"))

    run.deliver()

    found = asked(ASKING, tmp_path)
    assert (found["id"], found["status"], found["reason"]) == (run.remote, "failed", "why")
    assert (found["tags"], found["comment"]) == (["team=vision", "baseline"], "what it is")
    assert found["type"] == "testing"
    logged = {
        "General/lr": 0.1,
        "optimizer/name": "adam",
        "General/layers": [1, 2],
        "General/flag": True,
    }
    assert {name: found["params"][name] for name in logged} == logged
    assert found["scalars"]["train"]["loss"] == {"name": "loss", "x": [0, 1], "y": [0.5, 0.25]}
    assert found["scalars"]["NaN and infinity"]["train/loss"]["x"] == [2]
    assert found["plots"] == [["weights", "weights", 1]]
    assert [step for step, _ in found["images"]] == [3]
    assert found["artifact"] == "a note"
    assert found["model"] == ["net", ["a.bin", "b.bin"]]


@pytest.mark.slow
def test_what_clearmls_own_users_have_logged_is_read(reader: Reader, tmp_path: Path) -> None:
    task = asked(TRAINING, tmp_path)

    (summary,) = reader.runs("vision")
    events = [*reader.events(task)]

    assert (summary.id, summary.name, summary.status) == (task, "baseline", "FINISHED")
    started: Any = events[0]
    assert (started.name, started.project, started.note) == ("baseline", "vision", "what it is")
    assert started.tags == {"sweep": "true"}
    assert isinstance(events[-1], RunFinished)
    params = {name: value for one in events if isinstance(one, Params) for name, value in one.params.items()}
    assert params == {"lr": 0.1, "layers": [1, 2], "flag": True, "nothing": None}
    assert sorted(points_of(events), key=repr) == [
        ("Summary/best", 0.5, None),
        ("loss", 0.25, 7),
        ("train/loss", 0.3333333333333333, 2),
        ("train/loss", 0.5, 1),
        ("train/loss", 1.0, 0),
    ]
    content: dict[str, bytes] = {}
    for event in events:
        path = (
            event.path if isinstance(event, Artifact) else getattr(getattr(event, "data", None), "path", "")
        )
        if path:
            reader.download(task, path, tmp_path / "back")
            content[getattr(event, "name", path)] = (tmp_path / "back").read_bytes()
    assert content.keys() == {"rows/all", "spread/weights", "picture/black", "net", "clearml/console.log"}
    assert json.loads(content["rows/all"]) == {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}
    assert json.loads(content["spread/weights"])["data"][0]["type"] == "bar"
    assert content["net"] == b"weights"
    assert b"a line of the console" in content["clearml/console.log"]


@pytest.mark.slow
def test_what_clearml_captures_beside_a_run_is_there_once(
    scene: Scene, emulator: ClearML, tmp_path: Path
) -> None:
    run = scene.run(*points("train/loss", range(5)), *points("loss", range(5)))
    run.deliver()

    task = asked(BESIDE, tmp_path, run.remote)
    run.finish(RunFinished(BEGAN + 9, "KILLED")).deliver()

    assert task == run.remote
    assert len(emulator.events.of(task, SCALAR)) == 10
    assert emulator.tasks.by_id[task]["status"] == "stopped"
    values = sorted((name, step, value) for name, value, step in points_of(run.back()) if step is not None)
    assert values == [(name, step, float(step)) for name in ("loss", "train/loss") for step in range(5)]


def test_a_clone_of_a_task_is_another_run(scene: Scene, emulator: ClearML) -> None:
    run = scene.run(*points("loss", range(3)))
    run.deliver()
    original = emulator.tasks.by_id[run.remote]
    clone = emulator.tasks.create({"type": "training", "parent": run.remote} | original | {"name": "a clone"})
    run.log(*points("loss", range(3, 6), 3))

    run.finish().deliver()

    assert len(emulator.events.of(run.remote, SCALAR)) == 6
    assert emulator.events.of(clone["id"], SCALAR) == []
    assert run.problems() == []


def test_a_parent_that_is_another_trackers_is_kept_and_not_shown(scene: Scene, emulator: ClearML) -> None:
    first = scene.run().finish()
    first.deliver()
    runs = [scene.run(*points("loss", range(3)), parent=one).finish() for one in (first.remote, "0" * 32)]

    for run in runs:
        run.deliver()

    shown = [emulator.tasks.by_id[run.remote].get("parent") or "" for run in runs]
    assert shown == [first.remote, ""]
    assert [run.problems() for run in runs] == [[], []]


def test_tags_that_somebody_gives_a_task_stay(scene: Scene, emulator: ClearML) -> None:
    run = scene.run(tags={"stage": "first", "team": "vision"})
    run.deliver()
    emulator.tasks.by_id[run.remote]["tags"].append("mine")
    run.log(Tags(BEGAN, {"stage": "last"}))

    run.finish().deliver()

    assert emulator.tasks.by_id[run.remote]["tags"] == ["mine", "stage=last", "team=vision"]


def test_what_arrives_after_the_end_leaves_the_end_as_it_was(scene: Scene, emulator: ClearML) -> None:
    run = scene.run(*points("loss", range(3))).finish(RunFinished(BEGAN + 9, "FAILED", "why"))
    run.deliver()
    run.go_on(
        Params(BEGAN, {"lr": 0.1}),
        Tags(BEGAN, {"late": "true"}),
        run.keep(Artifact(time=BEGAN, path="late.txt", size=0), b"late"),
    )

    run.deliver()

    task = emulator.tasks.by_id[run.remote]
    assert (task["status"], task["status_message"]) == ("failed", "why")
    assert run.problems() == []


def test_the_client_prints_nothing(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    run = scene.run(*points("loss", range(3))).finish()

    run.deliver()

    assert run.problems() == []
    assert capfd.readouterr() == ("", "")


def test_two_artifacts_of_one_name_are_apart(scene: Scene, tmp_path: Path) -> None:
    run = scene.run()
    for path in ("a/model.bin", "b/model.bin"):
        run.log(run.keep(Artifact(time=BEGAN, path=path, size=0), path.encode()))
    run.finish().deliver()

    back: dict[str, bytes] = {}
    for path in ("a/model.bin", "b/model.bin"):
        scene.reader().download(run.remote, path, tmp_path / "back")
        back[path] = (tmp_path / "back").read_bytes()

    assert back == {"a/model.bin": b"a/model.bin", "b/model.bin": b"b/model.bin"}


def test_files_may_go_to_a_directory_and_leave_nothing_elsewhere(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLEARML_CACHE_DIR")
    for variable in ("HOME", "TMPDIR"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr(tempfile, "tempdir", None)
    scene.options = {"files_host": f"file://{tmp_path}/files"}
    run = scene.run()
    run.log(run.keep(Artifact(time=BEGAN, path="notes/a.txt", size=0), b"a note"))
    run.log(run.keep(Image(time=BEGAN, name="cat", data=Payload("", 0, format="png"), step=3), png(4, 4)))
    run.finish()

    run.deliver()

    assert run.problems() == []
    assert [path.suffix for path in sorted((tmp_path / "files").rglob("*")) if path.is_file()] == [
        ".txt",
        ".png",
    ]
    left = [path for variable in ("HOME", "TMPDIR") for path in (tmp_path / variable).iterdir()]
    assert left == []


def test_what_is_too_long_for_its_place_is_a_file_and_comes_back(scene: Scene, tmp_path: Path) -> None:
    run = scene.run(Text(time=BEGAN, name="long", text="größer " * 4000, step=1))
    rows = {"columns": ["a", "b"], "data": [[at, f"row {at} of a large table" * 3] for at in range(15_000)]}
    plot = {"data": [{"type": "scatter", "y": list(range(1_500_000))}], "layout": {}}
    contents = {"table": json.dumps(rows).encode(), "plot": json.dumps(plot).encode()}
    shape = Payload("", 0, format="json", shape=(15_000, 2))
    run.log(run.keep(Table(time=BEGAN, name="table", data=shape, step=1), contents["table"]))
    figure = Figure(time=BEGAN, name="plot", data=Payload("", 0, format="plotly.json"), step=1)
    run.log(run.keep(figure, contents["plot"]))
    boxes = tuple((float(at), 0.0, at + 1.0, 1.0) for at in range(1000))
    labels = tuple(f"thing {at}" for at in range(1000))
    image = Image(
        time=BEGAN, name="boxes", data=Payload("", 0, format="png"), boxes=boxes, labels=labels, step=1
    )
    run.log(run.keep(image, png(20, 20)))

    run.finish().deliver()

    assert run.problems() == []
    back: dict[str, bytes] = {}
    for event in run.back():
        if isinstance(event, (Table, Figure)):
            scene.reader().download(run.remote, event.data.path, tmp_path / "back")
            back[event.name] = (tmp_path / "back").read_bytes()
    assert back == contents


def test_a_source_is_a_project_or_everything(reader: Reader, scene: Scene) -> None:
    runs = [scene.run(*points("loss", range(2)), project=name).finish() for name in ("one/deep", "other")]
    for run in runs:
        run.deliver()

    listed = {
        source: [found.id for found in backends.reader(source).runs(None)]
        for source in ("clearml:one/deep", "clearml:other", "clearml:")
    }

    ids = [run.remote for run in runs]
    assert listed == {
        "clearml:one/deep": ids[:1],
        "clearml:other": ids[1:],
        "clearml:": ids,
    }
    assert [found.project for found in reader.runs(None)] == ["one/deep", "other"]
    assert msgspec.to_builtins([*reader.runs("other")])[0]["name"] == "run 2"
    with pytest.raises(Refused, match=r"no project called 'othr'; there are one, one/deep, other\. Did you"):
        list(backends.reader("clearml:othr").runs(None))
