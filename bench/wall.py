"""Training's wall time, whatever the tracking server does; and what works beside it."""

import contextlib
import logging
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from bench.measure import check, turns
from bench.place import Place, end_run, workers
from bench.table import Table

NONE: Final = "no tracelet"
STATES: Final = ("good", "refusing", "silent", "failing")
STEPS: Final = 800
SCALARS: Final = 5  # in a step
LOOK: Final = 0.1  # seconds between two looks at keeper and relay
MB: Final = 1e6


def measure(place: Place, *, quick: bool) -> Table:
    """Measure, and judge."""
    uris = {NONE: "", **{state: place.uri(state) for state in STATES}}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in uris}
    with fresh_processes(place) as run:
        run(train, str(place.root / "warm"), "", stop=False)  # torch's files are in memory
        for number, order in turns(list(uris), 3 if quick else 7):
            for name in order:
                logs = str(place.root / f"{name}-{number}")
                one = run(train, logs, uris[name], stop=number == 0)
                found[name].append(one)
                if one["directory"]:
                    end_run(Path(one["directory"]))
    return judged(found)


def judged(found: dict[str, list[dict[str, Any]]]) -> Table:
    """Make the table of what the rounds gave."""
    table = Table(
        "wall",
        f"{STEPS} steps on one thread, {SCALARS} add_scalar each",
        ["server", "loop s", "× none", "CPU × none", "stop s", "keeper CPU s", "MB", "relay CPU s", "MB"],
    )
    base, base_cpu = ([one[kind] for one in found[NONE]] for kind in ("loop", "cpu"))
    for name, all_of in found.items():
        loop = [one["loop"] for one in all_of]
        ratios = [a / b for a, b in zip(loop, base, strict=True)]
        cpu = statistics.median(one["cpu"] / b for one, b in zip(all_of, base_cpu, strict=True))
        row: list[str | float | None] = [name, statistics.median(loop), statistics.median(ratios), cpu]
        row.append(next((one["stop"] for one in all_of if one["stop"]), None))
        for who in ("keeper", "relay.mlflow"):
            seen = [one["seen"][who] for one in all_of if who in one["seen"]]
            row.append(max((cpu for cpu, _ in seen), default=None))
            row.append(max((peak for _, peak in seen), default=None))
        table.rows.append(row)
        if name != NONE:
            table.checks.append(check(f"{name} / no tracelet, in pairs", ratios, 1.03))
    table.notes = [
        "The loop is the training alone; CPU × none compares its CPU seconds, which others disturb less.",
        "stop: one stop_logging with its waiting, as it comes by default.",
        "CPU seconds and peak resident memory are the most seen in a run, up to the loop's end, and in",
        "one run up to the end of stop_logging. no tracelet: the same SummaryWriter, nothing else.",
    ]
    return table


@contextlib.contextmanager
def fresh_processes(place: Place) -> Iterator[Callable[..., Any]]:
    """Give a way to call a function in a new process, which has torch imported already."""
    mine = dict(os.environ)
    os.environ.clear()
    os.environ.update(place.environ)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.utils.tensorboard"])
    try:
        with context.Pool(1, maxtasksperchild=1) as pool:
            # A worker that dies answers never, so nothing is waited for without an end.
            yield lambda function, *args, **kwargs: pool.apply_async(function, args, kwargs).get(180)
            pool.close()
            pool.join()
    finally:
        os.environ.clear()
        os.environ.update(mine)


def train(logs: str, uri: str, *, stop: bool) -> dict[str, Any]:
    """Train once, in this process; with `stop`, wait at the end as a script would."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.getLogger("tracelet").setLevel(logging.CRITICAL)  # that a server is away is what is measured
    import tracelet  # also where it is not used: it loads nothing

    directory: Path | None = None
    if uri:
        directory = tracelet.start_logging("wall", "bench", "mlflow", mlflow_tracking_uri=uri).directory
    with SummaryWriter(logs) as writer:
        began, before = time.perf_counter(), time.process_time()
        loop(torch, writer)
        took, cpu = time.perf_counter() - began, time.process_time() - before
    seen: dict[str, tuple[float, float]] = {}
    result: dict[str, Any] = {"loop": took, "cpu": cpu, "seen": seen, "stop": None, "directory": ""}
    if directory is None:
        return result
    result["directory"] = str(directory)
    look(directory, seen)
    began = time.perf_counter()
    if stop:
        with watched(directory, seen):
            tracelet.stop_logging()
        result["stop"] = time.perf_counter() - began
    return result


def loop(torch: Any, writer: Any) -> None:
    """Train a small network."""
    inputs, targets = torch.rand(512, 64), torch.randint(0, 10, (512,))
    network = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(STEPS):
        loss = torch.nn.functional.cross_entropy(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
        for number in range(SCALARS):
            writer.add_scalar(f"loss/{number}", value, step)


@contextlib.contextmanager
def watched(directory: Path, seen: dict[str, tuple[float, float]]) -> Iterator[None]:
    """Look at a run's keeper and relay now and then, from a thread."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK):
            look(directory, seen)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def look(directory: Path, seen: dict[str, tuple[float, float]]) -> None:
    """Note the CPU seconds and the peak memory (MB) of keeper and relay."""
    for name, process in workers(directory).items():
        with contextlib.suppress(psutil.Error, OSError, StopIteration):
            times = process.cpu_times()
            text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            peak = next(line for line in text.splitlines() if line.startswith("VmHWM"))
            seen[name] = times.user + times.system, int(peak.split()[1]) * 1024 / MB
