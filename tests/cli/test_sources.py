"""The help says where runs can be read from, whoever brings the backend."""

import dataclasses
import os
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

import pytest

from tests.cli.inside import inside
from tests.cli.making import new_run
from tracelet import backends

OTHER: Final = dataclasses.replace(
    backends.load("local"),
    name="other",
    scheme="",
    examples=("HERE", "THERE"),
    client="no_such",
    install="get it",
)
TOLD: Final = dataclasses.replace(
    OTHER,
    name="told",
    variables="TOLD_",
    client="",
    source=lambda place: {"shelf": place or os.environ["TOLD_PLACE"]},
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


def test_a_trackers_variables_may_stand_in_dotenv(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("told", f"{__name__}:TOLD", backends.GROUP)
    monkeypatch.setattr(backends, "_joined", lambda: {"told": entry})
    new_run(place / "elsewhere", name="over there")
    (place / ".env").write_text(f"TOLD_PLACE={place / 'elsewhere' / '.tracelet'}\nOTHERS_PLACE=nowhere\n")

    listed = inside("ls", "--from", "told:")
    shown = inside("show", "over there", "--from", "told:")
    stronger = inside("ls", "--from", "told:", TOLD_PLACE=str(place))

    assert "over there" in listed.out
    assert "over there" in shown.out
    assert "no runs" in stronger.err
    assert not {"TOLD_PLACE", "OTHERS_PLACE"} & os.environ.keys()


def test_the_documentation_has_an_example_of_each() -> None:
    documented = set(re.findall(r"^\| `(\w+):", DOCS.read_text(), re.MULTILINE))

    loaded = map(backends.load, backends._own())
    assert documented == {backend.scheme or backend.name for backend in loaded if backend.reader is not None}
