"""Finding a backend by its name."""

import subprocess
import sys
from pathlib import Path

import pytest

from tracelet import backends
from tracelet.backend import Backend, Limits
from tracelet.errors import ConfigError, MissingDependency

OTHER = """
from tracelet.backend import Backend, Limits

BACKEND = Backend(
    name="other", client="", install="", limits=Limits(), configure=lambda _: {}, writer=lambda *_: None
)
NOT_ONE = 7
"""


def backend_with(client: str) -> Backend:
    return Backend(
        name="other",
        client=client,
        install='pip install "other"',
        limits=Limits(),
        configure=lambda _: {},
        writer=lambda options, blob: pytest.fail(f"not asked for: {options}, {blob}"),
    )


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another package that brings a backend, installed as far as Python can tell."""
    (tmp_path / "other_package.py").write_text(OTHER)
    information = tmp_path / "other_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[tracelet.backends]\nother = other_package:BACKEND\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_package", raising=False)
    return tmp_path


def test_a_backend_is_loaded_by_its_files_name() -> None:
    assert backends.load("mlflow").name == "mlflow"


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"no backend called 'mlfow'; there are .*Did you mean 'mlflow'\?"):
        backends.load("mlfow")


def test_an_attribute_of_any_module_is_a_backend(other: Path) -> None:
    assert (other / "other_package.py").exists()
    assert backends.load("other_package:BACKEND").name == "other"


def test_another_package_joins_by_an_entry_point(other: Path) -> None:
    assert (other / "other_package.py").exists()
    assert "other" in backends.names()
    assert backends.load("other").name == "other"


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    "name", ["no_such_module:BACKEND", "other_package:NO_SUCH", "other_package:NOT_ONE", ":BACKEND"]
)
def test_what_is_no_backend_is_said_to_be_none(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        backends.load(name)


def test_a_missing_client_is_answered_with_what_to_type() -> None:
    with pytest.raises(MissingDependency, match=r'needs \'no_such_client\'.*pip install "other"'):
        backends.check_client(backend_with("no_such_client"))


def test_a_client_inside_a_missing_package_is_missing_too() -> None:
    with pytest.raises(MissingDependency):
        backends.check_client(backend_with("no_such_package.client"))


def test_a_directory_that_a_client_left_behind_is_no_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_client" / "run-1").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)

    assert not backends.has_client(backend_with("other_client"))


def test_a_backend_without_a_client_needs_none() -> None:
    backends.check_client(backend_with(""))


def test_looking_for_a_client_and_configuring_import_no_client() -> None:
    program = """
import sys
from pathlib import Path
from tracelet import backends
from tracelet.backend import Configuration

backend = backends.load("mlflow")
backends.check_client(backend)
here = Path.cwd()
backend.configure(
    Configuration(settings={}, environ={}, project="p", directory=here, script_directory=here)
)
loaded = {"mlflow", "sqlalchemy", "requests", "sqlite3", "importlib.metadata"} & set(sys.modules)
sys.exit(f"loaded {loaded}" if loaded else 0)
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
