"""Event files keep the promises of every backend, and TensorBoard's own client finds what was delivered."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from tensorboard.backend.event_processing.directory_watcher import DirectoryWatcher
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto import graph_pb2
from tensorboard.plugins.hparams import metadata

from tracelet import backends
from tracelet.backend import Configuration, Options
from tracelet.errors import ConfigError, Unavailable
from tracelet.events import (
    Artifact,
    Bundle,
    Chart,
    Histogram,
    Layout,
    Metric,
    Note,
    Params,
    Payload,
    RunFinished,
    Table,
    Text,
)
from tracelet.testing.contract import BackendContract
from tracelet.testing.contract.scene import BEGAN, Run, Scene, points

BACKEND: Final = backends.load("tensorboard")
CURVE: Final = {
    "columns": ["threshold", "tp", "fp", "tn", "fn", "precision", "recall"],
    "data": [[0.0, 2, 2, 0, 0, 0.5, 1.0], [1.0, 1, 0, 2, 1, 1.0, 0.5]],
}
EVENTS: Final = "events.out.tfevents.*.tracelet.*"
LEDGERS: Final = "tracelet.*.ledger"


def directory(run: Run) -> Path:
    """Return a run's directory."""
    return Path(run.scene.options["dir"]) / run.remote


def looked_at(run: Run) -> EventAccumulator:
    """Look at a run as TensorBoard does."""
    found = EventAccumulator(str(directory(run)), size_guidance={"scalars": 0, "tensors": 0})
    return found.Reload()


def growing(run: Run) -> Path:
    """Return the event file that is appended to."""
    return max(file for file in directory(run).iterdir() if "tfevents" in file.name)


def configured(place: Path, **settings: str) -> dict[str, str]:
    given = Configuration(settings=settings, environ={}, project="", directory=place, script_directory=place)
    return BACKEND.configure(given)


class TestTensorboard(BackendContract):
    backend = BACKEND
    exempt: ClassVar = {"poison": "it takes whatever the relay gives it", "server": "files have none"}

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        return {"dir": str(tmp_path / "tb")}

    @pytest.fixture
    def away(self, tmp_path: Path) -> Options:
        (tmp_path / "a file").touch()
        return {"dir": str(tmp_path / "a file" / "tb")}

    @pytest.fixture
    def forget(self, options: Options) -> Callable[[str], None]:
        return lambda run: shutil.rmtree(Path(options["dir"], run))

    def test_tensorboard_finds_everything_where_its_users_look(self, scene: Scene) -> None:
        run = scene.run(
            Params(BEGAN, {"lr": 0.1, "layers": [1, 2], "flag": True}),
            Note(BEGAN, "what it is"),
            Metric("loss", 0.1, 3, BEGAN + 1),
            Text(time=BEGAN + 2, name="said", text="# hello", step=5),
            Histogram(time=BEGAN + 3, name="spread", step=6, counts=(1.0, 2.0), limits=(0.0, 1.0, 2.0)),
            Layout(BEGAN, (Chart("all", "both", "multiline", ("loss", "acc.*")),)),
        )
        shape = Payload("", 0, format="json", shape=(2, 7))
        table = Table(time=BEGAN + 4, name="curve", step=7, data=shape, chart="pr_curve")
        run.log(run.keep(table, json.dumps(CURVE).encode()))
        run.finish(RunFinished(BEGAN + 9, "FAILED", "why"))

        run.deliver()

        found = looked_at(run)
        (loss,) = found.Scalars("loss")
        assert (loss.step, loss.wall_time, round(loss.value, 6)) == (3, BEGAN + 1, 0.1)
        (spread,) = found.Histograms("spread")
        assert spread.histogram_value.bucket == [0.0, 1.0, 2.0]
        tensors: Any = {tag: found.Tensors(tag)[0].tensor_proto for tag in found.Tags()["tensors"]}
        assert tensors["said"].string_val == [b"# hello"]
        assert tensors["tracelet/note"].string_val == [b"what it is"]
        assert [*tensors["curve"].float_val][-2:] == [1.0, 0.5]
        told = found.PluginTagToContent("hparams")
        start = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
        params = start.hparams
        assert (params["lr"].number_value, params["flag"].bool_value) == (0.1, True)
        assert params["layers"].string_value == "[1, 2]"
        end = metadata.parse_session_end_info_plugin_data(told[metadata.SESSION_END_INFO_TAG])
        assert (end.status, end.end_time_secs) == (2, BEGAN + 9)
        assert {*found.PluginTagToContent("pr_curves")} == {"curve"}
        assert b"acc.*" in tensors["custom_scalars__config__"].string_val[0]

    def test_a_torn_record_is_left_and_another_file_begun(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        watcher = DirectoryWatcher(str(directory(run)), EventFileLoader, lambda path: "tfevents" in path)
        before = [*watcher.Load()]
        torn = growing(run)
        with torn.open("ab") as file:
            file.write(b"\x20\x00\x00\x00\x00\x00\x00\x00torn")
        run.log(*points("loss", range(5, 9), 5))

        run.finish().deliver()

        assert run.problems() == []
        assert growing(run) > torn
        later = [value.tag for event in watcher.Load() for value in event.summary.value]
        assert len(before) > 5
        assert later.count("loss") == 4  # what TensorBoard sees that has looked all the time

    def test_a_record_that_was_noted_and_not_written_is_written(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        os.truncate(growing(run), growing(run).stat().st_size - 10)

        run.finish().deliver_anew()

        assert run.problems() == []

    @pytest.mark.parametrize(
        "gone",
        [
            pytest.param((EVENTS, LEDGERS), id="both"),
            pytest.param((EVENTS,), id="the event file"),
            pytest.param((LEDGERS,), id="its ledger"),
        ],
    )
    def test_what_was_in_a_file_that_is_gone_is_written_again_once(
        self, scene: Scene, gone: tuple[str, ...]
    ) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        for file in [file for pattern in gone for file in directory(run).glob(pattern)]:
            file.unlink()
        dying = scene.writer(run)
        dying.open(run.started)
        dying.close()
        run.log(*points("loss", range(5, 8), 5))

        run.finish().deliver()

        assert [point.value for point in looked_at(run).Scalars("loss")] == [*map(float, range(8))]
        assert run.problems() == []

    @pytest.mark.parametrize("pattern", [EVENTS, LEDGERS])
    def test_a_file_that_is_taken_away_meanwhile_is_written_again(self, scene: Scene, pattern: str) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        writer = scene.writer(run)
        writer.open(run.started)
        for file in directory(run).glob(pattern):
            file.unlink()

        with pytest.raises(Unavailable):
            writer.write(points("loss", range(5, 8), 5))
        writer.close()
        run.log(*points("loss", range(5, 8), 5))
        run.finish().deliver()

        assert [point.value for point in looked_at(run).Scalars("loss")] == [*map(float, range(8))]
        assert run.problems() == []

    def test_a_file_that_a_relay_died_on_while_it_began_it_is_no_loss(self, scene: Scene) -> None:
        run = scene.run(*points("loss", range(5)))
        run.deliver()
        begun = growing(run).read_bytes()[:20]
        growing(run).with_name(f"{growing(run).name[:-6]}000002").write_bytes(begun)
        writer = scene.writer(run)

        remote = writer.open(run.started)
        writer.close()
        run.finish().deliver()

        assert not remote.anew
        assert run.problems() == []

    def test_a_graph_that_was_torn_from_its_model_is_written_again(self, scene: Scene) -> None:
        graph: Any = vars(graph_pb2)["GraphDef"]()
        for number in range(20):
            graph.node.add(name=f"node {number}", op="Const")
        run = scene.run()
        file: Any = run.keep(Artifact(time=BEGAN, path="net/graph.pb", size=0), graph.SerializeToString())
        listed = {file.path: {"digest": file.digest, "size": file.size}}
        bundle = Bundle(time=BEGAN, name="net", path="net", kind="graph", data=Payload("", 0, format="json"))
        run.log(file, run.keep(bundle, json.dumps(listed).encode()))
        run.deliver()
        os.truncate(growing(run), growing(run).stat().st_size - 10)

        run.finish().deliver_anew()

        assert looked_at(run).Graph() == graph
        assert run.problems() == []

    def test_a_name_may_be_that_of_several_kinds(self, scene: Scene) -> None:
        run = scene.run(
            Text(time=BEGAN, name="a", text="first", step=0),
            Metric("a", 0.1, 0, BEGAN),
            Metric("a (text)", 0.2, 0, BEGAN),
            Text(time=BEGAN, name="a (scalars)", text="second", step=0),
            Histogram(time=BEGAN, name="a", step=6, counts=(1.0, 2.0), limits=(0.0, 1.0, 2.0)),
        ).finish()

        run.deliver()
        run.deliver_anew()

        assert run.problems() == []
        tags = looked_at(run).Tags()
        assert len(tags["scalars"]) == 2  # else one of them would hide the others
        assert "a" not in tags["scalars"]

    def test_runs_of_one_name_and_somebody_elses_event_files_stay_apart(self, scene: Scene) -> None:
        theirs = Path(scene.options["dir"]) / "a project" / "the same"
        theirs.mkdir(parents=True)
        (theirs / "events.out.tfevents.1700000000.host").touch()
        runs = [scene.run(Metric("loss", float(at), at, BEGAN), name="the same") for at in range(2)]

        for one in runs:
            one.finish().deliver()

        assert [one.problems() for one in runs] == [[], []]
        assert len({one.remote for one in runs}) == 2
        assert [file.name for file in theirs.iterdir()] == ["events.out.tfevents.1700000000.host"]

    @pytest.mark.parametrize("name", ["../../out", "..", ".hidden", "a/b", "x" * 300, "größer"])
    def test_a_runs_name_leads_nowhere_else(self, scene: Scene, name: str) -> None:
        run = scene.run(Metric("loss", 0.5, 0, BEGAN), name=name).finish()

        run.deliver()

        assert run.problems() == []
        assert [one.name for one in scene.reader().runs("a project")] == [name]
        assert directory(run).parent == Path(scene.options["dir"]) / "a project"

    def test_an_event_file_among_the_artifacts_is_no_run(self, scene: Scene) -> None:
        run = scene.run()
        path = "logs/events.out.tfevents.1700000000.host"
        run.log(run.keep(Artifact(time=BEGAN, path=path, size=0), b"not even one"))
        run.finish().deliver()

        assert run.problems() == []
        assert [one.id for one in scene.reader().runs(None)] == [run.remote]


def test_the_directory_is_the_setting_or_runs(tmp_path: Path) -> None:
    assert configured(tmp_path) == {"dir": str(tmp_path / "runs")}
    assert configured(tmp_path, dir="/of/mine") == {"dir": "/of/mine"}


def test_a_source_has_event_files(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "events.out.tfevents.1700000000.host").touch()

    assert backends.source("tensorboard:")[1] == {"dir": str(tmp_path / "runs")}
    with pytest.raises(ConfigError, match="no event files"):
        backends.source(f"tensorboard:{tmp_path / 'nowhere'}")
