"""What one would write without tracelet: each client's fastest call, in a loop."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

Point: TypeAlias = tuple[str, float, int, float]
"""Name, value, step, time."""
Options: TypeAlias = Mapping[str, str]


class Bare(NamedTuple):
    """A loop over one run: `step` writes points, and `end` waits until the tracker has them."""

    step: Callable[[Sequence[Point]], object]
    end: Callable[[], object] = lambda: None


class Rival(NamedTuple):
    """One client's call.

    Attributes:
        call: As the table names it.
        begin: Make a run, in the place that the options tell.
        whole: Whether the client sends by itself, and so only a whole run can be timed.
    """

    call: str
    begin: Callable[[Options], Bare]
    whole: bool = False


def client(uri: str) -> Any:
    """Make MLflow's client."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _mlflow(options: Options) -> Bare:
    from mlflow.entities import Metric

    made = client(options["mlflow_tracking_uri"])
    experiment = made.get_experiment_by_name("bench")
    run = made.create_run(experiment.experiment_id if experiment else made.create_experiment("bench"))

    def step(points: Sequence[Point]) -> None:
        metrics = [Metric(name, value, round(when * 1000), step) for name, value, step, when in points]
        made.log_batch(run.info.run_id, metrics=metrics)

    return Bare(step)


def _aim_run(options: Options) -> Any:
    from aim import Run

    return Run(repo=options["aim_repo"], system_tracking_interval=None, capture_terminal_logs=False)


def _aim(options: Options) -> Bare:
    run = _aim_run(options)

    def step(points: Sequence[Point]) -> None:
        for name, value, step, _ in points:
            run.track(value, name=name, step=step)

    return Bare(step)


def _aim_private(options: Options) -> Bare:
    run = _aim_run(options)
    track = run._tracker._track  # noqa: SLF001  the only way to give a time

    def step(points: Sequence[Point]) -> None:
        for name, value, step, when in points:
            track(value, when, name, step, context=None)

    return Bare(step)


def _trackio(options: Options) -> Bare:
    os.environ["TRACKIO_DIR"] = options["trackio_dir"]
    from trackio import sqlite_storage, utils

    for module in (utils, sqlite_storage):  # it keeps what it saw when it was imported
        vars(module)["TRACKIO_DIR"] = Path(options["trackio_dir"])
    log = sqlite_storage.SQLiteStorage.bulk_log

    def step(points: Sequence[Point]) -> None:
        rows = [{name: value} for name, value, _, _ in points]
        times = [datetime.fromtimestamp(when, timezone.utc).isoformat() for _, _, _, when in points]
        log("bare", "bare", rows, steps=[step for _, _, step, _ in points], timestamps=times)

    return Bare(step)


def _torch(options: Options) -> Bare:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(f"{options['tensorboard_dir']}/bare")

    def step(points: Sequence[Point]) -> None:
        for name, value, step, when in points:
            writer.add_scalar(name, value, step, when)
        writer.flush()

    return Bare(step, writer.close)


def _tensorboard(options: Options) -> Bare:
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    event: Any = event_pb2
    summary: Any = summary_pb2
    writer: Any = EventFileWriter(f"{options['tensorboard_dir']}/bare")

    def step(points: Sequence[Point]) -> None:
        for name, value, step, when in points:
            said = summary.Summary(value=[summary.Summary.Value(tag=name, simple_value=value)])
            writer.add_event(event.Event(wall_time=when, step=step, summary=said))
        writer.flush()

    return Bare(step, writer.close)


def _wandb(_: Options) -> Bare:
    import wandb

    quiet: Any = {"x_disable_meta": True, "x_disable_stats": True, "disable_git": True}
    run = wandb.init(project="bench", settings=wandb.Settings(silent=True, console="off", **quiet))

    def step(points: Sequence[Point]) -> None:
        row: dict[str, Any] = {}
        for name, value, step, when in points:
            if name in row:
                run.log(row)
                row = {}
            if not row:
                row = {"_timestamp": when, "global_step": step}
            row[name] = value
        run.log(row)

    return Bare(step, run.finish)


def _clearml(_: Options) -> Bare:
    from clearml.backend_api import Session
    from clearml.backend_api.session.client import APIClient

    task = APIClient().tasks.create(name="bare", type="training").id
    session: Any = Session()
    common = {"type": "training_stats_scalar", "task": task, "worker": "bench"}

    def step(points: Sequence[Point]) -> None:
        lines: list[str] = []
        for name, value, step, when in points:
            title, _, series = name.partition("/")
            event = {"metric": title, "variant": series, "iter": step, "value": value}
            lines.append(json.dumps({**common, **event, "timestamp": round(when * 1000)}))
        body, headers = "\n".join(lines).encode(), {"Content-Type": "application/json-lines"}
        session.send_request(
            "events", "add_batch", data=body, headers=headers, method="post"
        ).raise_for_status()

    return Bare(step)


RIVALS: Final = {
    "mlflow": (Rival("MlflowClient.log_batch", _mlflow),),
    "wandb": (Rival("Run.log, 20 in a row", _wandb, whole=True),),
    "clearml": (Rival("events.add_batch", _clearml),),
    "aim": (Rival("Run.track", _aim), Rival("Run._tracker._track", _aim_private)),
    "trackio": (Rival("SQLiteStorage.bulk_log", _trackio),),
    "tensorboard": (Rival("SummaryWriter.add_scalar", _torch), Rival("EventFileWriter", _tensorboard)),
}
