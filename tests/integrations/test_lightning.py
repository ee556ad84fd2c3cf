"""TraceletLogger is a Logger as Lightning expects one to be, and each value arrives once."""

import contextlib
import copy
import gc
import importlib
import pickle  # noqa: TID251  Lightning sends its loggers to other processes
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
    points,
    trainer,
    written,
)
from tests.recording import MEMORY, recorded
from tracelet.events import Bundle, Params, RunFinished

pytestmark = [pytest.mark.slow, *QUIET]

FIRST: Final = NAMESPACES[0]


@pytest.fixture
def made() -> Iterator[list[Any]]:
    """The loggers that a test makes; their runs are ended with it."""
    found: list[Any] = []
    yield found
    for logger in found:
        logger.experiment.stop()


def logger(made: list[Any], namespace: str = FIRST, **more: Any) -> Any:
    importlib.import_module(namespace)
    from tracelet.integrations.lightning import TraceletLogger

    given: dict[str, Any] = {"backend": MEMORY, "mode": "offline", "quiet": True, **more}
    made.append(TraceletLogger("own", "p", **given))
    return made[-1]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_it_is_a_logger_of_each_namespace(namespace: str, made: list[Any]) -> None:
    own, csv = logger(made, namespace), loggers(namespace).CSVLogger(".")
    assert (own.name, own.version) == ("own", None)

    fitting = trainer(namespace, logger=[own, csv], enable_checkpointing=True, max_epochs=1)
    fitting.fit(model(namespace), data(), data(2))
    fitting.test(fitting.lightning_module, data(2), verbose=False)

    assert isinstance(own, loggers(namespace).Logger)
    assert points(own.experiment) == written(csv.log_dir)
    assert [event.params for event in recorded(own.experiment) if isinstance(event, Params)] == [
        {"lr": 0.1, "head.size": 3}
    ]
    assert own.version == own.experiment.run_id
    assert (
        Path(fitting.checkpoint_callback.best_model_path).parent
        == Path.cwd() / f"own/{own.version}/checkpoints"
    )
    assert not own.experiment.ended  # a `test` may follow


@pytest.mark.parametrize("others", ["before", "after"])
def test_with_start_logging_each_value_arrives_once(others: str, made: list[Any]) -> None:
    from tracelet.integrations.lightning import TraceletLogger

    run = tracelet.start_logging("r", "p", MEMORY, mode="offline", quiet=True)
    own, csv = TraceletLogger(), loggers(FIRST).CSVLogger(".")
    rates = callbacks(FIRST).LearningRateMonitor("step")
    pair = [csv, own] if others == "before" else [own, csv]

    trainer(FIRST, logger=pair, callbacks=[rates]).fit(model(FIRST), data(), data(2))
    own.log_metrics({"direct": 1.0}, 5)
    tracelet.stop_logging()

    assert own.experiment is run
    assert [point for point in points(run) if point[0] != "direct"] == written(csv.log_dir)
    assert ("direct", 5, 1.0) in points(run)
    assert len([event for event in recorded(run) if isinstance(event, Params)]) == 1
    assert made == []


def test_arguments_that_the_active_run_overrides_are_warned_of(
    caplog: pytest.LogCaptureFixture, made: list[Any]
) -> None:
    run = tracelet.start_logging("r", "p", MEMORY, mode="offline", quiet=True)

    assert logger(made).experiment is run
    assert "uses the active run 'r', and its own arguments have no effect" in caplog.text


def test_a_prefix_stands_before_each_name_and_an_experiment_can_be_given(exp: Any) -> None:
    from tracelet.integrations.lightning import TraceletLogger

    own = TraceletLogger(experiment=exp, prefix="fold1")
    own.log_metrics({"loss": torch.tensor(0.5), "deep": {"a": 1}}, step=2)
    own.log_metrics({"loss": 0.25})
    own.log_hyperparams({"lr": 0.1}, {"score": 3})
    own.finalize("success")

    assert points(exp) == [
        ("fold1-deep/a", 2, 1.0),
        ("fold1-loss", None, 0.25),
        ("fold1-loss", 2, 0.5),
        ("fold1-score", None, 3.0),
    ]
    assert not exp.ended


def test_a_copy_and_a_pickled_one_write_to_the_same_run(made: list[Any]) -> None:
    own = logger(made)
    fitting = trainer(FIRST, logger=own)

    copy.deepcopy(own).log_metrics({"copy": 1.0}, 0)
    sent = pickle.loads(pickle.dumps(fitting))  # noqa: S301  our own bytes
    sent.logger.log_metrics({"sent": 2.0}, 0)

    assert points(own.experiment) == [("copy", 0, 1.0), ("sent", 0, 2.0)]
    assert sent.logger.version == own.version


def test_above_rank_zero_nothing_is_made(made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_utilities.core.rank_zero import rank_zero_only

    own = logger(made)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    own.log_metrics({"a": 1.0}, 0)
    own.log_hyperparams({"lr": 1})
    own.experiment.log_image("x", torch.zeros(3, 2, 2))
    own.finalize("success")

    assert own.version is None
    assert own.experiment.directory is None
    monkeypatch.undo()


@pytest.mark.parametrize("kept", [True, "all"])
def test_checkpoints_are_kept_if_asked_for(kept: Any, made: list[Any]) -> None:
    own = logger(made, log_model=kept)
    saving = callbacks(FIRST).ModelCheckpoint(save_top_k=-1, filename="{epoch}")

    fitting = trainer(FIRST, logger=own, enable_checkpointing=True, callbacks=[saving])
    fitting.fit(model(FIRST), data(2))

    found = [event for event in recorded(own.experiment) if isinstance(event, Bundle)]
    paths = [(event.path, event.aliases) for event in found]
    last = ("checkpoints/epoch=1.ckpt", ("best", "last"))
    assert paths == ([last] if kept is True else [("checkpoints/epoch=0.ckpt", ("best", "last")), last])


@pytest.mark.parametrize("goes", ["well", "wrong"])
def test_the_run_of_a_forgotten_logger_ends_as_its_fit_did(goes: str, made: list[Any]) -> None:
    class Model(importlib.import_module(FIRST).LightningModule):
        def training_step(self, batch: Any) -> Any:
            if goes == "wrong":
                raise ValueError("too much")
            return batch.mean().requires_grad_()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)

    fitting = trainer(FIRST, logger=logger(made), max_epochs=1)
    first = fitting.logger.experiment
    with pytest.raises(ValueError, match="too much") if goes == "wrong" else contextlib.nullcontext():
        fitting.fit(Model(), data(1))
    made.clear()
    del fitting
    gc.collect()
    second = logger(made).experiment

    assert second is not first
    (end,) = [event for event in recorded(first) if isinstance(event, RunFinished)]
    how = ("FINISHED", "") if goes == "well" else ("FAILED", "ValueError: too much")
    assert (end.status, end.reason) == how
