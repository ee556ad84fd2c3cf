"""Every method of both writers: the event files are what they would be, and the run has all of it."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pytest
import tensorboardX
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2, graph_pb2
from tensorboardX.proto import event_pb2 as other_event_pb2
from torch.utils.tensorboard import writer as torch_writer

from tests.captures import elsewhere
from tests.captures.all_methods import ARRIVES, STEP, WHEN
from tracelet.captures import tensorboard, tensorboardx
from tracelet.events import Artifact, Bundle, Layout, Params, RunFinished, Table
from tracelet.journal import blobs, history

GraphDef: Final[Any] = vars(graph_pb2)["GraphDef"]  # made when it is imported, unseen by type checkers
ROOT: Final = Path(__file__).parents[2]
ELSEWHERE: Final = {"add_scalar": "_add_scalar", "add_graph": "FileWriter.add_graph"}
"""Methods that the table does not have: one has no time for it, one is heard in what it calls."""
PASSED_OVER: Final[set[str]] = set()
"""Methods that are not heard, on purpose."""


class Library(NamedTuple):
    writer: Any
    capture: Any
    event: Any


LIBRARIES: Final = {
    "torch": Library(torch_writer.SummaryWriter, tensorboard, vars(event_pb2)["Event"]),
    "tensorboardx": Library(tensorboardX.SummaryWriter, tensorboardx, vars(other_event_pb2)["Event"]),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_method_is_heard_or_passed_over_on_purpose(library: str) -> None:
    writer, capture, _ = LIBRARIES[library]

    there = {name for name in dir(writer) if name.startswith("add_")}

    heard = {method.__name__ for method in capture.METHODS} | set(ELSEWHERE)
    assert heard | PASSED_OVER == there
    assert set(ARRIVES[library]) == heard


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_hears_a_method_takes_what_the_method_takes(library: str) -> None:
    writer, capture, _ = LIBRARIES[library]

    for method in capture.METHODS:
        ours = list(inspect.signature(method).parameters.values())[2:]  # the capture's and the writer
        theirs = list(inspect.signature(getattr(writer, method.__name__)).parameters.values())[1:]
        named = [one for one in theirs if one.kind is not one.VAR_KEYWORD]
        assert [(one.name, one.default) for one in ours] == [(one.name, one.default) for one in named]


def script(library: str, directory: Path, *backend: str) -> str:
    """Call all methods in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.captures.all_methods", library, directory, *backend],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "failed in" not in done.stderr
    return done.stdout


def written(directory: Path, kind: Any) -> list[tuple[str, Any]]:
    """Read what lies below a directory: of event files the events, without their times."""
    found: list[tuple[str, Any]] = []
    for file in sorted(directory.rglob("*")):
        place = str(file.relative_to(directory))
        if "tfevents" in file.name:
            events = [kind.FromString(content) for content in RawEventFileLoader(str(file)).Load()]
            suffix = file.name.endswith(".suffix")
            found.append((f"{file.parent.relative_to(directory)} {suffix}", [*map(plain, events)]))
        elif file.is_file():
            found.append((place, file.read_bytes()))
    return found


def plain(event: Any) -> str:
    event.wall_time = 0
    if event.WhichOneof("what") != "graph_def":
        return str(event)
    return str(GraphDef.FromString(event.graph_def))  # the order of some of its bytes is chance


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_script_that_calls_all_methods_writes_what_it_always_wrote_and_the_run_has_it(
    library: str, tmp_path: Path
) -> None:
    printed = script(library, tmp_path / "bare")

    assert script(library, tmp_path / "heard", "local") == printed

    kind = LIBRARIES[library].event
    bare = written(tmp_path / "bare", kind)
    assert sum(len(events) for place, events in bare if place.endswith(("True", "False"))) > 30
    assert written(tmp_path / "heard", kind) == bare
    (run,) = (tmp_path / ".tracelet").glob("*/run.json")
    events = list(history.whole(run.parent, lambda damage: pytest.fail(str(damage))))
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "FINISHED"
    expected = {each for arriving in ARRIVES[library].values() for each in arriving}
    assert expected <= {each for event in events for each in called(event)}
    assert [event.time for event in events if getattr(event, "step", None) == STEP].count(WHEN) >= 16
    check_bundles(run.parent, events)
    check_curve(run.parent, events, tmp_path / "heard", kind)
    elsewhere.shown(run.parent, events)
    assert elsewhere.signs(elsewhere.read_back(run.parent, events, tmp_path)) == elsewhere.expected(events)


def called(event: Any) -> list[tuple[str, str]]:
    """Say what an event is, and what it is of, as in `ARRIVES`."""
    names = [getattr(event, "name", "")]
    if isinstance(event, Params):
        names = list(event.params)
    if isinstance(event, Layout):
        names = [chart.title for chart in event.charts]
    return [(type(event).__name__, name) for name in names]


def check_bundles(run: Path, events: list[Any]) -> None:
    """Look whether each bundle has its files, and no other has them."""
    files = {event.path: event for event in events if isinstance(event, Artifact)}
    bundles = [event for event in events if isinstance(event, Bundle)]
    assert len({bundle.path for bundle in bundles}) == len(bundles)
    assert sum(bundle.files for bundle in bundles) == len(files)
    for bundle in bundles:
        below = [files[path] for path in files if path.startswith(f"{bundle.path}/")]
        assert len(below) == bundle.files
        assert all(blobs.path_of(run, one.digest).stat().st_size == one.size for one in below)
    (graph,) = (one for path, one in files.items() if path == "graphs/graph/no-step/graph.pb")
    nodes = GraphDef.FromString(blobs.path_of(run, graph.digest).read_bytes()).node
    assert any(node.op == "aten::relu" for node in nodes)


def check_curve(run: Path, events: list[Any], directory: Path, kind: Any) -> None:
    """Compare the table of a curve with what the writer has counted."""
    (table,) = (event for event in events if isinstance(event, Table) and event.name == "pr_curve")
    rows = msgspec.json.decode(blobs.path_of(run, table.data.digest).read_bytes())["data"]
    summaries = [
        value
        for file in (directory / "first").glob("events*")
        for content in RawEventFileLoader(str(file)).Load()
        for value in kind.FromString(content).summary.value
        if value.tag == "pr_curve"
    ]
    (theirs,) = (np.array(value.tensor.float_val).reshape(6, -1) for value in summaries)
    assert np.array_equal(np.array(rows, "f4")[:, 1:].T, theirs.astype("f4"))
