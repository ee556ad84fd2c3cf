"""What stands in `.env` is read, and never put into the environment."""

import logging
import os
from pathlib import Path

import pytest

from tracelet import settings
from tracelet.settings import Resolved, TraceletSettings, resolve


def resolved(
    place: Path,
    arguments: dict[str, object] | None = None,
    config: dict[str, object] | None = None,
    in_code: TraceletSettings | None = None,
    environ: dict[str, str] | None = None,
) -> Resolved:
    return resolve(arguments or {}, config or {}, in_code, place, environ or {})


def dotenv(place: Path, *lines: str) -> None:
    (place / ".env").write_text("\n".join(lines))


def test_dotenv_is_read_and_never_put_into_the_environment(place: Path) -> None:
    dotenv(
        place,
        "TRACELET_PROJECT=p",
        "MLFLOW_TRACKING_PASSWORD=secret",
        "export PATH_TO_X='a b'",
        "EMPTY",
        "# no",
    )
    before = dict(os.environ)

    found = resolved(place)

    assert dict(os.environ) == before
    assert found.project == "p"
    assert found.dotenv["MLFLOW_TRACKING_PASSWORD"] == "secret"  # noqa: S105  an example
    assert found.dotenv["PATH_TO_X"] == "a b"
    assert "EMPTY" not in found.dotenv


def test_what_stands_in_dotenv_is_not_shown(place: Path) -> None:
    dotenv(place, "WANDB_API_KEY=secret")

    assert "secret" not in repr(resolved(place))


def test_a_changed_dotenv_is_read_again(place: Path) -> None:
    dotenv(place, "TRACELET_PROJECT=one")
    assert resolved(place).project == "one"

    dotenv(place, "TRACELET_PROJECT=two")
    os.utime(place / ".env", ns=(1, 1))
    assert resolved(place).project == "two"

    (place / ".env").unlink()
    assert resolved(place).project == ""


def test_what_was_read_of_dotenv_is_the_caller_s_own(place: Path) -> None:
    dotenv(place, "A=1")
    settings.read_dotenv(place)["B"] = "2"

    assert settings.read_dotenv(place) == {"A": "1"}


def test_a_directory_called_dotenv_is_no_dotenv(place: Path) -> None:
    (place / ".env").mkdir()

    assert resolved(place) == Resolved()


@pytest.mark.parametrize("content", [b"TRACELET_PROJECT=\xe9t\xe9\n", b"\xff\xfe\x00", b"\x00"])
def test_a_dotenv_that_is_no_text_is_a_warning(
    place: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (place / ".env").write_bytes(content)

    assert resolved(place).project == ""
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_a_tracker_s_variables_are_lent_below_what_is_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv(place, "MLFLOW_A=dotenv", "MLFLOW_B=dotenv", "WANDB_C=dotenv", "OTHER_D=dotenv")
    environ = {"MLFLOW_A": "there"}
    monkeypatch.setattr(os, "environ", environ)

    settings.lend_environment(place, ["MLFLOW_", ""])

    assert environ == {"MLFLOW_A": "there", "MLFLOW_B": "dotenv"}


def test_the_directory_of_the_runs_cannot_be_named_there(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dotenv(place, "TRACELET_DIR=elsewhere")

    assert resolved(place).sources == {}
    assert caplog.messages == ["TRACELET_DIR in .env has no effect; set it in the environment"]
