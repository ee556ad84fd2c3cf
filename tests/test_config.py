"""What a script hands in as `config`: settings by exact names, hyperparameters all the rest."""

import argparse
import logging
from pathlib import Path

import pytest

from tracelet.settings import CONFIG_KEYS, Resolved, TraceletSettings, resolve


def resolved(
    place: Path,
    arguments: dict[str, object] | None = None,
    config: dict[str, object] | None = None,
    in_code: TraceletSettings | None = None,
    environ: dict[str, str] | None = None,
) -> Resolved:
    return resolve(arguments or {}, config or {}, in_code, place, environ or {})


def test_a_script_s_own_arguments_redirect_nothing(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`config=vars(args)` of a training script that has words of its own for the same names."""
    args = argparse.Namespace(
        backend="nccl",
        mode="train",
        project=7,
        relay=True,
        lr=0.1,
        nested={"a": [1]},
        python=3.11,
        exp_name="e",
    )

    found = resolved(place, config=vars(args))

    assert found.hyperparameters == vars(args)
    assert (found.backend, found.mode, found.project, found.relay, found.exp_name) == (
        (),
        "online",
        "",
        "process",
        "",
    )
    assert not caplog.records


def test_exactly_the_documented_keys_of_config_are_settings(place: Path) -> None:
    values: dict[str, object] = {
        "tags": {"a": "b"},
        "notes": "n",
        "group": "g",
        "job_type": "j",
        "run_name": "r",
        "experiment_name": "e",
        "backend_url": "u",
        "track_system": True,
        "track_git": True,
        "track_env": True,
        "track_tensorboard": False,
        "track_lightning": False,
        "automagic": True,
        "metrics_interval": 3.0,
        "max_image_size": 4,
    }

    found = resolved(place, config={**values, "lr": 0.1})

    assert set(values) == CONFIG_KEYS
    assert {name: getattr(found, name) for name in values} == values
    assert found.hyperparameters == {"lr": 0.1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group", 7),
        ("tags", 3),
        ("notes", 1.5),
        ("metrics_interval", "often"),
        ("max_image_size", (224, 224)),
    ],
)
def test_a_value_of_config_that_does_not_fit_is_a_hyperparameter(
    place: Path, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    found = resolved(place, config={name: value, "lr": 1})

    assert found.hyperparameters == {name: value, "lr": 1}
    assert getattr(found, name) == getattr(Resolved(), name)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{name}={value!r} (from config) does not fit" in record.getMessage()
    assert "it is logged as a hyperparameter" in record.getMessage()


def test_a_near_miss_is_kept_and_told_once(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = resolved(place, config={"run_nam": "x", "lr": 1, "track_gti": True})

    assert found.hyperparameters == {"run_nam": "x", "lr": 1, "track_gti": True}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "Did you mean the setting 'run_name'?" in messages[0]
    assert "Did you mean the setting 'track_git'?" in messages[1]


@pytest.mark.parametrize(
    "name", ["lr", "batch_size", "backend", "epochs", "seed", "model", "optimizer", "data_dir"]
)
def test_ordinary_hyperparameters_are_no_near_misses(
    place: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    resolved(place, config={name: "x"})

    assert not caplog.records


def test_names_of_hyperparameters_need_not_be_text(place: Path) -> None:
    assert resolved(place, config={1: "a", None: "b"}).hyperparameters == {"1": "a", "None": "b"}  # pyright: ignore[reportArgumentType]


def test_an_argument_that_was_not_given_is_no_mistake(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    args = argparse.Namespace(notes=None, tags=None, run_name=None, lr=0.1)

    found = resolved(place, config=vars(args), environ={"TRACELET_NOTES": "from outside"})

    assert found.hyperparameters == vars(args)
    assert found.notes == "from outside"
    assert not caplog.records
