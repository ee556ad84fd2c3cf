"""Where a run goes when it goes to MLflow."""

from pathlib import Path

import pytest

from tracelet import backends
from tracelet.backend import Configuration
from tracelet.errors import ConfigError

BACKEND = backends.load("mlflow")

pytestmark = pytest.mark.usefixtures("untold")  # what another test told MLflow would count


def configured(
    tmp_path: Path, settings: dict[str, str] | None = None, environ: dict[str, str] | None = None
) -> dict[str, str]:
    return BACKEND.configure(
        Configuration(
            settings=settings or {},
            environ=environ or {},
            project="p",
            directory=tmp_path / "here",
            script_directory=tmp_path / "script",
        )
    )


def test_without_a_word_a_run_goes_into_a_database_beside_the_script(tmp_path: Path) -> None:
    options = configured(tmp_path)

    assert options["tracking_uri"] == f"sqlite:///{tmp_path}/script/mlflow.db"
    assert options["artifact_location"] == f"{tmp_path}/script/mlruns"
    assert options["experiment"] == "p"


def test_a_setting_beats_the_environment_and_the_url_beats_both(tmp_path: Path) -> None:
    environ = {"MLFLOW_TRACKING_URI": "http://third"}

    assert configured(tmp_path, {}, environ)["tracking_uri"] == "http://third"
    assert configured(tmp_path, {"tracking_uri": "http://second"}, environ)["tracking_uri"] == "http://second"
    both = {"tracking_uri": "http://second", "backend_url": "http://first"}
    assert configured(tmp_path, both, environ)["tracking_uri"] == "http://first"


def test_a_relative_database_is_the_one_where_the_user_stands(tmp_path: Path) -> None:
    options = configured(tmp_path, {"tracking_uri": "sqlite:///runs/all.db"})

    assert options["tracking_uri"] == f"sqlite:///{tmp_path}/here/runs/all.db"
    assert options["artifact_location"] == f"{tmp_path}/here/runs/mlruns"


def test_credentials_are_not_among_the_options(tmp_path: Path) -> None:
    options = configured(tmp_path, {"backend_url": "http://user:secret@host:5000"})

    assert options["tracking_uri"] == "http://host:5000"
    assert "secret" not in str(options)


def test_a_server_keeps_its_artifacts_itself(tmp_path: Path) -> None:
    assert configured(tmp_path, {"tracking_uri": "https://host"})["artifact_location"] == ""


def test_artifacts_of_a_shared_database_lie_where_the_user_stands(tmp_path: Path) -> None:
    options = configured(tmp_path, {"tracking_uri": "postgresql://host/db"})

    assert options["artifact_location"] == f"{tmp_path}/here/mlruns"


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "file:///tmp/mlruns", "C:\\mlruns"])
def test_a_directory_is_refused_with_what_to_use_instead(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:///mlflow\.db"):
        configured(tmp_path, {"tracking_uri": uri})


@pytest.mark.parametrize(
    ("uri", "instead"),
    [
        ("localhost:5000", "'http://localhost:5000'"),
        ("sqlite://mlflow.db", "'sqlite:///mlflow.db'"),
        ("sqlite:///:memory:", "Use a file"),
        ("sqlite://", "Use a file"),
    ],
)
def test_a_mistaken_uri_is_answered_with_the_right_one(tmp_path: Path, uri: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=instead):
        configured(tmp_path, {"tracking_uri": uri})


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile", "mysql+pymysql://h/db", "arn:aws:x:y"])
def test_every_other_uri_is_left_to_mlflow(tmp_path: Path, uri: str) -> None:
    assert configured(tmp_path, {"tracking_uri": uri})["tracking_uri"] == uri
