"""A thousand images, and histograms of ten million values: time, memory and disk, while a relay delivers."""

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.measure import check, quantile, turns
from bench.media import BARE, OURS, SIDE, size_of
from bench.place import Place, answer, given, until
from bench.table import Check, Table
from bench.wall import MB, look, watched
from tracelet.journal import removal

BLOCK: Final = 50  # images in a turn
PAUSE: Final = 10e-3  # seconds of work between two calls, which a training step takes at least
PATIENCE: Final = 900.0  # seconds for the delivery of everything
RELAY: Final = "relay.mlflow"
BASE: Final = "relay, before anything is logged"


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    found: dict[str, Any] = place.child("bench.bulk", seconds=2 * PATIENCE, quick=quick)
    blobs = Path(found["directory"], "blobs")
    with contextlib.suppress(TimeoutError):  # the figure then says so
        until(lambda: not removal.size_of(blobs), 60, "the keeper has deleted what every backend has")
    left = removal.size_of(blobs) / MB
    table = Table(
        "bulk",
        "many images and large histograms, while a relay delivers to MLflow",
        ["what", "by", "thread s", "ms p50", "ms p99", "longest", "× SummaryWriter", "trainer + MB"],
    )
    for what, kinds in found["kinds"].items():
        ratios = [
            ours / bare for ours, bare in zip(kinds[OURS]["blocks"], kinds[BARE]["blocks"], strict=True)
        ]
        for by in (BARE, OURS):
            row = kinds[by]
            ratio = statistics.median(ratios) if by == OURS else 1.0
            cells = [row[name] for name in ("total", "p50", "p99", "longest")]
            table.rows.append([what, by, *cells, ratio, row["memory"]])
        table.checks.append(check(f"{what}: exp.log_* / SummaryWriter, seconds", ratios, 0.5))
    grew = found["relay"] - found["base"]
    table.checks.append(
        Check("relay's peak above what it has before anything is logged", grew, 200, unit="MB")
    )
    memory = f"relay {found['base']:,.0f} MB connected and {found['relay']:,.0f} MB at most"
    disk = {name: f"{size:,.0f} MB" for name, size in found["disk"].items()}
    table.notes = [
        "Turns of both writers in one process; thread s: the sum of the calls. trainer + MB: the most that",
        "the process had in a turn above what it had before it.",
        f"Memory: {memory}; keeper {found['keeper']:,.0f} MB.",
        f"The relay had delivered everything {found['behind']:,.0f} s after the last call.",
        f"Disk: {disk['blobs']} of blobs, {left:,.0f} MB once the run's process was gone;",
        f"{disk['mlflow']} in MLflow; {disk['events']} of the bare writer's event files.",
    ]
    return table


def main(root: Path, *, quick: bool) -> None:
    """Measure in this process: one run, and one bare SummaryWriter."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    import tracelet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = 100 if quick else 1000
    floats = torch.nn.functional.interpolate(torch.rand(1, 3, 32, 32), SIDE, mode="bilinear")[0]
    bytes_ = (floats * 255).to(torch.uint8)
    many = torch.randn(1_000_000 if quick else 10_000_000)
    # Another array each time, as in training: equal ones would be one blob.
    kinds: list[tuple[str, str, Callable[[int], Any], int]] = [
        (
            f"{images:,} images, 3×512×512 uint8",
            "image",
            lambda i: bytes_.roll((i, i // SIDE), (1, 2)),
            images,
        ),
        (f"{images:,} images, 3×512×512 float32", "image", lambda i: floats + i * 1e-6, images),
        (f"10 histograms, {len(many):,} float32", "histogram", lambda i: many + i * 1e-6, 10),
    ]
    bare = SummaryWriter(str(root / "bare"))  # made before tracelet listens
    bare_calls = {
        kind: getattr(SummaryWriter, f"add_{kind}").__get__(bare) for kind in ("image", "histogram")
    }
    experiment = tracelet.start_logging(
        "bulk", "bench", "mlflow", mlflow_tracking_uri=f"sqlite:///{root}/mlflow.db", stop_timeout=PATIENCE
    )
    directory = experiment.directory
    assert directory is not None
    experiment.flush(timeout=120)  # the relay is connected
    seen: dict[str, tuple[float, float]] = {}
    look(directory, seen)
    base = seen.get(RELAY, (0.0, 0.0))[1]
    found: dict[str, Any] = {}
    with watched(directory, seen):
        for what, kind, make, count in kinds:
            calls = {BARE: bare_calls[kind], OURS: getattr(experiment, f"log_{kind}")}
            found[what] = compared(calls, make, count, bare.flush)
        blobs = size_of(directory / "blobs")
        began = time.perf_counter()
        tracelet.stop_logging()
        behind = time.perf_counter() - began
    bare.close()
    events = size_of(root / "bare")
    mlflow = size_of(root) - size_of(root / "shelf") - events
    disk = {"blobs": blobs, "events": events, "mlflow": mlflow}
    answer(
        {
            "directory": str(directory),
            "kinds": found,
            "base": base,
            "relay": seen[RELAY][1],
            "keeper": seen["keeper"][1],
            "behind": behind,
            "disk": {name: size / MB for name, size in disk.items()},
        }
    )


def compared(
    calls: dict[str, Callable[..., object]],
    make: Callable[[int], Any],
    count: int,
    flush: Callable[[], object],
) -> dict[str, Any]:
    """Make `count` calls by each, in turns."""
    took: dict[str, list[int]] = {by: [] for by in calls}
    blocks: dict[str, list[float]] = {by: [] for by in calls}
    memory = dict.fromkeys(calls, 0.0)
    size = min(BLOCK, max(1, count // 5))
    for number, order in turns(list(calls), count // size):
        for by in order:
            before = restarted_peak()
            block = [timed(calls[by], make(at), at) for at in range(number * size, (number + 1) * size)]
            memory[by] = max(memory[by], status("VmHWM") - before)
            flush()  # what the writer's thread still does is not our turn's
            took[by] += block
            blocks[by].append(sum(block) / 1e9)
    return {
        by: {
            "total": sum(each) / 1e9,
            "p50": quantile(each, 0.5) / 1e6,
            "p99": quantile(each, 0.99) / 1e6,
            "longest": max(each) / 1e6,
            "blocks": blocks[by],
            "memory": memory[by],
        }
        for by, each in took.items()
    }


def timed(call: Callable[..., object], array: Any, step: int) -> int:
    """Make one call, having worked a little, and return its nanoseconds."""
    end = time.perf_counter() + PAUSE
    while time.perf_counter() < end:
        array.sum()  # the training's own work
    began = time.perf_counter_ns()
    call("bulk", array, step)
    return time.perf_counter_ns() - began


def restarted_peak() -> float:
    """Let the kernel forget this process's peak memory; return what it has now, in MB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def status(name: str) -> float:
    """Read a size of this process, in MB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / MB


if __name__ == "__main__":
    GIVEN = given()
    main(Path(GIVEN["root"]), quick=GIVEN["quick"])
