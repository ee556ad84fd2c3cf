"""An error about a value of a backend's says where that value came from."""

from pathlib import Path
from typing import Any

import pytest

import tracelet
from tests.cli.inside import inside
from tests.cli.making import new_run
from tracelet.errors import ConfigError, MissingDependency
from tracelet.settings import Resolved, places_told

WRONG = "localhost:8080"


@pytest.mark.parametrize(
    ("arguments", "environ", "files", "said"),
    [
        ({}, {"WANDB_BASE_URL": WRONG}, {}, f"'{WRONG}' (from WANDB_BASE_URL in the environment) is no"),
        ({}, {}, {".env": f"WANDB_BASE_URL={WRONG}"}, f"'{WRONG}' (from WANDB_BASE_URL in .env) is no"),
        ({}, {"WANDB_MODE": "onlin"}, {}, "WANDB_MODE='onlin' (from the environment) is no mode"),
        (
            {"backend_url": WRONG},
            {"WANDB_BASE_URL": "http://me:hunter2@there"},
            {},
            f"'{WRONG}' (from start_logging(backend_url=…)) is no",
        ),
        ({}, {}, {"tracelet.toml": f'backend_url = "{WRONG}"'}, f"'{WRONG}' (from tracelet.toml:1) is no"),
        ({"backend": None}, {"TRACELET_BACKEND": "wnb"}, {}, "'wnb' (from TRACELET_BACKEND); there are"),
    ],
)
def test_a_start_that_is_refused_says_whose_value_it_was(
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    environ: dict[str, str],
    files: dict[str, str],
    said: str,
) -> None:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    for name, text in files.items():
        Path(name).write_text(text)

    with pytest.raises(ConfigError) as refused:
        tracelet.start_logging("r", **{"backend": "wandb", **arguments})

    assert said in str(refused.value)
    assert "hunter" not in str(refused.value)


def test_a_backend_that_is_added_later_and_the_doctor_say_it_too(place: Path) -> None:
    new_run(place)

    added = inside("sync", "first", "--backend", "wandb", WANDB_BASE_URL=WRONG)
    moved = inside("sync", "first", "--backend", "wandb", "--backend-url", WRONG)
    looked = inside("doctor", "--timeout", "2m", TRACELET_BACKEND="aim", TRACELET_AIM_PYTHON="/no/python")

    assert added.code == 2
    assert f"'{WRONG}' (from WANDB_BASE_URL in the environment) is no" in added.err
    assert f"'{WRONG}' (from --backend-url) is no" in moved.err
    assert looked.out.count("aim_python='/no/python' (from TRACELET_AIM_PYTHON) is no program") == 2


def test_the_value_is_named_that_is_wrong_and_not_the_backends_name() -> None:
    resolved = Resolved(
        backend=("aim",),
        aim_python="/usr/bin/python3",
        sources={"backend": "TRACELET_BACKEND", "aim_python": "tracelet.toml:2"},
    )
    message = "backend 'aim' is delivered by aim_python='/usr/bin/python3', which lacks 'aim'"

    with pytest.raises(MissingDependency) as refused, places_told(resolved, "aim"):
        raise MissingDependency(message)

    assert str(refused.value) == message.replace("python3'", "python3' (from tracelet.toml:2)")


def test_an_error_that_shows_no_value_stays_as_it_is() -> None:
    resolved = Resolved(backend_url="http://there", sources={"backend_url": "config['backend_url']"})

    with pytest.raises(MissingDependency, match=r"^it lacks everything$"), places_told(resolved, "x", "X_"):
        raise MissingDependency("it lacks everything")
