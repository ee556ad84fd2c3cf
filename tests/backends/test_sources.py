"""Finding what to read from, by a text such as `mlflow:sqlite:///mlflow.db`."""

from pathlib import Path

import pytest

from tracelet import backends
from tracelet.errors import ConfigError

BROKEN = """
from tracelet.backend import Backend, Limits

BACKEND = Backend(name="mute", client="", install="", limits=Limits(), configure=lambda _: {}, writer=None)
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two backends of another package: one that cannot be read, and one that cannot be imported."""
    (tmp_path / "mute_package.py").write_text(BROKEN)
    information = tmp_path / "mute_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mute-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[tracelet.backends]\nmute = mute_package:BACKEND\nbroken = no_such_module_of_anybody:BACKEND\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_source_is_a_backends_name_and_a_place(tmp_path: Path) -> None:
    backend, options = backends.source("mlflow:sqlite:///a.db")

    assert (backend.name, options["tracking_uri"]) == ("mlflow", f"sqlite:///{tmp_path}/a.db")
    assert backends.source("mlflow:") == backends.source("mlflow")


@pytest.mark.usefixtures("other")
def test_a_backend_may_call_its_sources_otherwise(tmp_path: Path) -> None:
    (tmp_path / ".tracelet").mkdir()

    backend, _ = backends.source("journal:.tracelet")

    assert backend.name == "local"


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "mlfow:./mlruns",
            r"'mlfow:\./mlruns' is no source; there are aim:PLACE, clearml:PLACE, .*Did you mean 'mlflow'\?",
        ),
        ("./mlruns", r"'\./mlruns' is no source; there are aim:PLACE, clearml:PLACE, journal:PLACE, "),
        ("local:.", r"'local:\.' is no source"),
        ("mute:place", r"'mute' cannot be read"),
        ("", r"'' is no source"),
    ],
)
def test_what_names_no_source_is_answered_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        backends.reader(text)
