"""A script of somebody who has never heard of tracelet, with W&B's own client; and what it has noted."""

import json
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tracelet.backend import Reader
from tracelet.events import (
    SERIES,
    Artifact,
    Bundle,
    Definition,
    Event,
    Metric,
    Params,
    RunFinished,
    RunStarted,
    Text,
)

KEY: Final = "a1" * 20
"""What W&B takes for a key."""
RUN: Final = "abc123"
ROWS: Final = 3000
"""More than any sample has."""
GAP: Final = 7
"""Steps from one row to the next."""
BEGAN: Final = 1_700_000_000.125

# Times are the script's own, so that they can be known.
TRAINING: Final = f"""
    import math, os, pathlib, signal
    import numpy, wandb

    run = wandb.init(
        project="vision", name="baseline", id="{RUN}", group="sweep", job_type="train", notes="what it is",
        tags=["good", "team:b"], config={{"lr": 0.1, "layers": [1, 2], "net": {{"width": 3, "bias": None}}}},
        settings=wandb.Settings(x_stats_sampling_interval=1.0, init_timeout=30),
    )
    run.define_metric("epoch")
    run.define_metric("val/*", step_metric="epoch", summary="min")
    time = {BEGAN}
    for at in range({ROWS}):
        row = {{"loss": 1.0 / (at + 1)}}
        if at % 100 == 0:
            row |= {{"val/acc": at / 3000, "epoch": at // 100}}
        run.log(row | {{"_timestamp": time + at}}, step=at * {GAP})
    print("half way")
    run.log({{"loss": 5.0}}, step=3)  # which W&B drops: it is out of order
    if os.environ.get("DIES"):
        pathlib.Path("ready").touch()
        signal.pause()
    odd = {{
        "a.b/c ü": 3, "flag": True, "none": None, "text": "NaN is no text", "list": [1, "x"],
        "nested": {{"a": 1.5, "b": {{"c": 2}}}}, "lower": -math.inf, "upper": math.inf, "odd": math.nan,
    }}
    run.log(odd | {{"_timestamp": time + {ROWS}}}, step={ROWS * GAP}, commit=True)
    boxes = {{"all": {{"box_data": [
        {{"position": {{"minX": 0.2, "maxX": 0.4, "minY": 0.25, "maxY": 0.5}}, "class_id": 0}},
        {{"position": {{"middle": [2, 1], "width": 2, "height": 2}}, "domain": "pixel", "class_id": 1}},
    ], "class_labels": {{0: "cat", 1: "dog"}}}}}}
    black, white = numpy.zeros((4, 5, 3), numpy.uint8), numpy.full((4, 5, 3), 255, numpy.uint8)
    pathlib.Path("film.gif").write_bytes(bytes.fromhex(
        "47494638396101000100800000000000ffffff21f90400000000002c00000000010001000002024401003b"
    ))
    pathlib.Path("sound.wav").write_bytes(b"RIFF")
    run.log({{
        "picture": wandb.Image(black, caption="black", boxes=boxes),
        "pictures": [wandb.Image(black, caption="one"), wandb.Image(white, caption="two")],
        "spread": wandb.Histogram(np_histogram=([1, 2], [0.0, 1.0, 2.0])),
        "rows": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None]]),
        "page": wandb.Html("<p>hello</p>", inject=False),
        "sound": wandb.Audio("sound.wav", caption="beep"),
        "film": wandb.Video("film.gif", caption="short"),
        "points": wandb.Object3D(numpy.zeros((3, 3))),
        "_timestamp": time + {ROWS} + 1,
    }}, step={ROWS * GAP} + 1, commit=True)
    run.summary["best"] = 0.9
    pathlib.Path("notes.txt").write_text("notes")
    pathlib.Path("weights.bin").write_bytes(b"weights")
    run.save("notes.txt", policy="now")
    net = wandb.Artifact("net", type="model", metadata={{"lr": 0.1}})
    net.add_file("weights.bin", name="model/weights.bin")
    net.add_reference("s3://bucket/data", name="data", checksum=False)
    run.log_artifact(net, aliases=["best"])
    elsewhere = wandb.Artifact("elsewhere", type="dataset")
    elsewhere.add_reference("s3://bucket/other", name="other", checksum=False)
    run.log_artifact(elsewhere)
    run.finish(exit_code=3)
"""


def environment(place: Path, **more: str) -> dict[str, str]:
    """Return the environment of somebody whose home is a directory of the test's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    return {**kept, **quiet, "HOME": str(place), **more}


def train(place: Path, code: str = TRAINING, **more: str) -> None:
    """Run a script in a directory."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    made = subprocess.run(
        command,
        env=environment(place, **more),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr


def content(reader: Reader, run: str, events: list[Event], to: Path) -> dict[str, bytes]:
    """Download all that a run's events name, by their paths."""
    found: dict[str, bytes] = {}
    for event in events:
        data: Any = getattr(event, "data", None)
        path = event.path if isinstance(event, Artifact) else data.path if data is not None else ""
        if path:
            reader.download(run, path, to)
            found[path] = to.read_bytes()
    return found


def check(reader: Reader, run: str, to: Path) -> list[Event]:
    """Compare what `TRAINING` has noted with what comes back of it; return all that does."""
    events = [*reader.events(run)]
    points: dict[str, list[Metric]] = {}
    for event in events:
        if isinstance(event, Metric) and not event.name.startswith("system/"):
            points.setdefault(event.name, []).append(event)
    said = {name: [(one.value, one.step, one.time) for one in found] for name, found in points.items()}
    assert said.pop("loss") == [(1.0 / (at + 1), at * GAP, BEGAN + at) for at in range(ROWS)]
    assert said.pop("val/acc") == [(at / 3000, at // 100, BEGAN + at) for at in range(0, ROWS, 100)]
    assert said.pop("epoch") == [(at // 100, at * GAP, BEGAN + at) for at in range(0, ROWS, 100)]
    assert math.isnan(said.pop("odd")[0][0])
    assert [one[:2] for one in said.pop("best")] == [(0.9, None)]
    then = (ROWS * GAP, BEGAN + ROWS)
    odd = {"a.b/c ü": 3, "flag": 1, "nested.a": 1.5, "nested.b.c": 2, "lower": -math.inf, "upper": math.inf}
    assert said == {name: [(value, *then)] for name, value in odd.items()}
    texts = {event.name: event.text for event in events if isinstance(event, Text)}
    assert {name: texts[name] for name in ("text", "list")} == {"text": "NaN is no text", "list": '[1, "x"]'}
    assert json.loads(texts["points"])["_type"] == "object3D-file"
    there = content(reader, run, events, to)
    _check_media(events, there)
    _check_rest(events, there)
    return events


def _check_media(events: list[Event], there: Mapping[str, bytes]) -> None:
    found: dict[str, Any] = {}
    for event in events:
        if isinstance(event, SERIES) and not isinstance(event, Text):
            assert (event.step, event.time) == (ROWS * GAP + 1, BEGAN + ROWS + 1)
            found[getattr(event, "caption", "") or event.name] = event
    assert {*found} == {"black", "one", "two", "spread", "rows", "page", "beep", "short"}
    assert found["black"].boxes == ((1.0, 1.0, 2.0, 2.0), (1.0, 0.0, 3.0, 2.0))
    assert found["black"].labels == ("cat", "dog")
    assert (found["spread"].counts, found["spread"].limits) == ((1.0, 2.0), (0.0, 1.0, 2.0))
    assert found["rows"].data.shape == (2, 2)
    for what, begin in {
        "one": b"\x89PNG",
        "two": b"\x89PNG",
        "page": b"<p>hello</p>",
        "beep": b"RIFF",
        "short": b"GIF89a",
        "rows": b'{"columns":["a","b"],"data":[[1,"x"],[2.5,null]]}',
    }.items():
        assert there[found[what].data.path].startswith(begin)
        assert len(there[found[what].data.path]) == found[what].data.size


def _check_rest(events: list[Event], there: Mapping[str, bytes]) -> None:
    start, end = events[0], events[-1]
    assert isinstance(start, RunStarted)
    assert (start.run_id, start.name, start.project) == (RUN, "baseline", "vision")
    assert (start.group, start.job_type, start.note) == ("sweep", "train", "what it is")
    assert start.tags == {"good": "true", "team:b": "true"}
    assert isinstance(end, RunFinished)
    assert (end.status, end.reason) == ("FAILED", "")
    assert start.time < end.time
    (params,) = (event.params for event in events if isinstance(event, Params))
    assert params == {"lr": 0.1, "layers": [1, 2], "net.width": 3, "net.bias": None}
    defined = {event.name: event for event in events if isinstance(event, Definition)}
    assert (defined["val/*"].step_metric, defined["val/*"].summary) == ("epoch", ("min",))
    bundles = {event.name: event for event in events if isinstance(event, Bundle)}
    assert (bundles["elsewhere"].reference, bundles["elsewhere"].files) == ("s3://bucket/other", 0)
    net = bundles["net"]
    assert (net.kind, {*net.aliases}, net.files) == ("model", {"latest", "best"}, 1)
    assert net.metadata == {"lr": 0.1, "references": {"data": "s3://bucket/data"}}
    assert there["notes.txt"] == b"notes"
    assert b"half way" in there["output.log"]
    assert net.data is not None
    assert [*json.loads(there[net.data.path])] == [f"{net.path}/model/weights.bin"]
    assert there[f"{net.path}/model/weights.bin"] == b"weights"
