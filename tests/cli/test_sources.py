"""The help says where runs can be read from, whoever brings the backend."""

import dataclasses
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

import pytest

from tests.cli.inside import inside
from tracelet import backends

OTHER: Final = dataclasses.replace(
    backends.load("local"),
    name="other",
    scheme="",
    examples=("HERE", "THERE"),
    client="no_such",
    install="get it",
)
DOCS: Final = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.mark.parametrize("command", ["ls", "show", "compare", "export"])
def test_the_help_lists_every_source_that_there_is(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    entry = EntryPoint("other", f"{__name__}:OTHER", backends.GROUP)
    monkeypatch.setattr(
        backends, "_joined", lambda: {"other": entry, "broken": EntryPoint("broken", "no", "")}
    )

    said = inside(command, "--help").out

    listed = re.findall(r"^  (\w+):  ", said.partition("Sources, for --from:")[2], re.MULTILINE)
    assert listed == ["aim", "clearml", "journal", "mlflow", "other", "tensorboard", "trackio", "wandb"]
    assert "other:HERE, other:THERE (get it)" in said


def test_the_documentation_has_an_example_of_each() -> None:
    documented = set(re.findall(r"^\| `(\w+):", DOCS.read_text(), re.MULTILINE))

    loaded = map(backends.load, backends._own())
    assert documented == {backend.scheme or backend.name for backend in loaded if backend.reader is not None}
