"""What a run hears of Lightning is what Lightning's own CSVLogger writes, each value once."""

import importlib
import logging
import pickle  # noqa: TID251  users keep their trainers so
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import torch

import tracelet
from tests.captures.lightnings import (
    NAMESPACES,
    QUIET,
    callbacks,
    data,
    loggers,
    model,
    ordered,
    points,
    trainer,
    written,
)
from tests.recording import MEMORY, recorded
from tracelet.events import Artifact, Bundle, Image, Params
from tracelet.experiment import Experiment

pytestmark = [pytest.mark.slow, *QUIET]

FIRST: Final = NAMESPACES[0]


@pytest.fixture
def run() -> Iterator[Experiment]:
    experiment = tracelet.start_logging("r", "p", MEMORY, mode="offline", quiet=True)
    yield experiment
    tracelet.stop_logging()


def params(experiment: Experiment) -> list[dict[str, Any]]:
    return [event.params for event in recorded(experiment) if isinstance(event, Params)]


def all_that_happens(namespace: str, **more: Any) -> None:
    """Train with validations inside an epoch and gradients accumulated, then test."""
    fitting = trainer(namespace, accumulate_grad_batches=2, val_check_interval=0.5, **more)
    module = model(namespace)
    fitting.fit(module, data(), [data(2), data(3)])
    fitting.test(module, data(2), verbose=False)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_each_value_is_recorded_as_the_csv_logger_writes_it(namespace: str, run: Experiment) -> None:
    csv = loggers(namespace).CSVLogger(".")

    all_that_happens(namespace, logger=csv)

    found = points(run)
    assert found == written(csv.log_dir)
    assert {name for name, _, _ in found} == {
        "epoch", "half", "infinite", "loss_epoch", "loss_step", "most", "number", "test/loss", "val/end",
        "val/each/dataloader_idx_0", "val/each/dataloader_idx_1", "val/loss/dataloader_idx_0",
        "val/loss/dataloader_idx_1", "val/own0", "val/own1",
    }  # fmt: skip
    assert len({(name, step) for name, step, _ in found}) == len(found)


@pytest.mark.parametrize(("namespace", "kind"), [(FIRST, "none"), (FIRST, "default"), (NAMESPACES[1], "two")])
def test_other_loggers_or_none_change_nothing(namespace: str, kind: str, run: Experiment) -> None:
    csv, also = (loggers(namespace).CSVLogger(".", name=name) for name in ("silent", "heard"))
    board = loggers(namespace).TensorBoardLogger(".")
    chosen = {"none": {"logger": False}, "default": {}, "two": {"logger": [also, board]}}[kind]

    all_that_happens(namespace, **chosen)
    heard = points(run)
    tracelet.stop_logging()
    all_that_happens(namespace, logger=csv)

    assert heard == written(csv.log_dir)
    assert params(run) == [{"lr": 0.1, "head.size": 3}]


def test_a_resumed_fit_and_a_second_one_go_on(run: Experiment) -> None:
    csv, second = (loggers(FIRST).CSVLogger(".", name=name) for name in ("one", "two"))
    fitting, module = trainer(FIRST, logger=csv, max_epochs=1), model(FIRST)
    fitting.fit(module, data(), data(2))
    fitting.save_checkpoint("half.ckpt")
    fitting.fit_loop.max_epochs = 2
    fitting.fit(module, data(), data(2))

    resumed = trainer(FIRST, logger=second)
    resumed.fit(model(FIRST), data(), data(2), ckpt_path="half.ckpt")

    assert points(run) == written(csv.log_dir, second.log_dir)
    assert {step for _, step, _ in written(second.log_dir)} >= {8, 15}
    assert len(params(run)) == 1


def test_what_a_module_logs_as_step_is_the_step(run: Experiment) -> None:
    csv, module = loggers(FIRST).CSVLogger("."), model(FIRST)
    module.on_train_epoch_end = lambda: module.log_dict({"step": 70.0 + module.current_epoch, "x": 1.0})

    trainer(FIRST, logger=csv).fit(module, data())

    assert points(run) == written(csv.log_dir)
    assert [point for point in points(run) if point[0] in {"x", "step"}] == [("x", 70, 1.0), ("x", 71, 1.0)]


@pytest.mark.parametrize("prefix", ["", "mine"])
def test_what_loggers_are_told_directly_is_heard_once(prefix: str, run: Experiment) -> None:
    csv, board = loggers(FIRST).CSVLogger("."), loggers(FIRST).TensorBoardLogger(".", prefix=prefix)
    module = model(FIRST)

    def on_train_start() -> None:
        module.loggers[1].log_metrics({"direct": torch.tensor(0.5)}, step=3)
        module.loggers[1].experiment.add_image("image", torch.zeros(3, 2, 2), 4)
        module.loggers[1].log_hyperparams({"batch": 2}, {"hp/accuracy": 0.9})

    module.on_train_start = on_train_start
    rates = callbacks(FIRST).LearningRateMonitor("step")
    trainer(FIRST, logger=[csv, board], callbacks=[rates], max_epochs=1).fit(module, data())

    found = points(run)
    direct = [("direct", 3, 0.5), ("hp/accuracy", None, 0.9)]
    assert [point for point in found if point[0] in {"direct", "hp/accuracy"}] == direct
    assert ordered(point for point in found if point not in direct) == written(csv.log_dir)
    assert [step for name, step, _ in found if name == "lr-SGD"] == [2, 5]
    assert [event.name for event in recorded(run) if isinstance(event, Image)] == ["image"]
    assert params(run) == [{"lr": 0.1, "head.size": 3}, {"batch": 2}]


def test_trials_are_kept_from_the_run_as_from_every_logger(run: Experiment) -> None:
    tuner = importlib.import_module(f"{FIRST}.tuner")

    trainer(FIRST, fast_dev_run=2).fit(model(FIRST), data(), data())
    for logger in (False, loggers(FIRST).CSVLogger(".")):
        fitting = trainer(FIRST, logger=logger)
        tuner.Tuner(fitting).lr_find(model(FIRST), data(), num_training=5, attr_name="", update_attr=False)

    assert points(run) == []
    assert params(run) == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_the_trials_of_the_batch_size_finder_are_kept_from_the_run(namespace: str, run: Experiment) -> None:
    csv = loggers(namespace).CSVLogger(".")
    tuner = importlib.import_module(f"{namespace}.tuner")
    for logger in (False, csv):
        module: Any = model(namespace)
        module.batch_size, module.train_dataloader, module.val_dataloader = 2, data, data
        fitting = trainer(namespace, logger=logger)
        tuner.Tuner(fitting).scale_batch_size(module, max_trials=2, steps_per_trial=3)

        assert points(run) == []

    fitting.fit(module)

    assert points(run) == written(csv.log_dir)


def test_hyperparameters_of_module_and_data_are_recorded_without_a_logger(run: Experiment) -> None:
    class Data(importlib.import_module(FIRST).LightningDataModule):
        def __init__(self, size: int, path: Path) -> None:
            super().__init__()
            self.save_hyperparameters()
            del size, path

        def train_dataloader(self) -> Any:
            return data()

    fitting = trainer(FIRST, logger=False, max_steps=1)
    fitting.fit(model(FIRST), datamodule=Data(4, Path("a")))
    fitting.fit(model(FIRST), datamodule=Data(5, Path("a")))

    assert params(run) == [{"lr": 0.1, "head.size": 3}, {"size": 4, "path": "a"}, {"size": 5}]


@pytest.mark.parametrize("namespace", ["lightning.fabric", "lightning_fabric"])
def test_fabric_logs(namespace: str, run: Experiment) -> None:
    fabric = importlib.import_module(namespace)
    csv = importlib.import_module(f"{namespace}.loggers").CSVLogger(".")
    for given in ([], [csv]):
        one = fabric.Fabric(accelerator="cpu", devices=1, loggers=given)
        one.log("loss", torch.tensor(0.1, requires_grad=True), step=1)
        one.log_dict({"deep": {"a": 1, "b": torch.tensor(2)}, "c": 3.0})

    one = ("deep/a", None, 1.0), ("deep/b", None, 2.0), ("c", None, 3.0), ("loss", 1, 0.10000000149011612)
    assert points(run) == ordered([*one, *one])


@pytest.mark.parametrize("which", ["best", "all"])
def test_checkpoints_become_artifacts_if_asked_for(which: str) -> None:
    run = tracelet.start_logging("r", "p", MEMORY, mode="offline", quiet=True, log_checkpoints=which)
    module, scores = model(FIRST), iter([0.0, 3.0, 1.0, 2.0])
    module.on_validation_epoch_end = lambda: module.log("score", next(scores))
    best = callbacks(FIRST).ModelCheckpoint("c", monitor="score", save_last=True, filename="{epoch}")

    fitting = trainer(
        FIRST, max_epochs=3, logger=False, enable_checkpointing=True, callbacks=[best], limit_train_batches=2
    )
    fitting.fit(module, data(), data(1))
    tracelet.stop_logging()

    kept = [event for event in recorded(run) if isinstance(event, Bundle)]
    assert {one.kind for one in kept} == {"checkpoint"}
    found = [(Path(one.path).name, one.aliases, one.step, one.metadata.get("score")) for one in kept]
    if which == "best":
        assert found == [("epoch=1.ckpt", ("best",), 4, 1.0)]
    else:
        assert found == [
            ("epoch=0.ckpt", ("best", "last"), 2, 3.0),
            ("last.ckpt", ("last",), 2, None),
            ("epoch=1.ckpt", ("best", "last"), 4, 1.0),
            ("last.ckpt", ("last",), 4, None),
        ]
    files = {event.path for event in recorded(run) if isinstance(event, Artifact)}
    assert files == {f"checkpoints/{name}" for name, *_ in found}


def test_a_lightning_that_hands_its_values_on_otherwise_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = importlib.import_module(f"{FIRST}.trainer.connectors.logger_connector.logger_connector")
    original = module._LoggerConnector.log_metrics

    def later(self: Any, values: Any, step: Any = None) -> None:
        original(self, values, step)

    monkeypatch.setattr(module._LoggerConnector, "log_metrics", later)
    with caplog.at_level(logging.WARNING, "tracelet"):
        run = tracelet.start_logging("r", "p", MEMORY, mode="offline", quiet=True)
    csv, board = loggers(FIRST).CSVLogger("."), loggers(FIRST).TensorBoardLogger(".")

    trainer(FIRST, logger=[csv, board]).fit(model(FIRST), data(), data(2))

    assert caplog.text.count("in a way that tracelet does not know") == 1
    heard = [point for point in points(run) if point[0] != "epoch"]
    assert heard == [point for point in written(csv.log_dir) if point[0] != "epoch"]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("ended", [False, True])
def test_a_pickled_trainer_can_be_loaded_without_tracelet(ended: bool) -> None:
    fitting = trainer(FIRST, logger=False, max_epochs=7)
    if ended:
        tracelet.stop_logging()

    content = pickle.dumps(fitting)

    assert b"tracelet" not in content.replace(b"_tracelet", b"")
    assert pickle.loads(content).max_epochs == 7  # noqa: S301  our own bytes
    assert ("_tracelet" in vars(fitting)) is not ended


def test_the_very_same_methods_are_back_afterwards(run: Experiment) -> None:
    def methods() -> list[Any]:
        found: list[Any] = []
        for namespace in NAMESPACES:
            package = f"{namespace}.trainer.connectors"
            connector = importlib.import_module(f"{package}.logger_connector.logger_connector")
            signals = importlib.import_module(f"{package}.signal_connector")
            found += [vars(connector._LoggerConnector)[name] for name in ("log_metrics", "on_trainer_init")]
            found += [connector.convert_tensors_to_scalars, vars(signals._SignalConnector)["teardown"]]
            found += [vars(loggers(namespace).CSVLogger)["log_hyperparams"]]
        return found

    methods()  # whatever is not imported yet is patched as it is
    during = methods()
    tracelet.stop_logging()
    after = methods()
    tracelet.start_logging("r", "p", MEMORY, mode="offline", quiet=True).stop()

    assert run.ended
    assert methods() == after
    assert not set(map(id, during)) & set(map(id, after))
    assert not any(hasattr(one, "__tracelet_site__") for one in after)
