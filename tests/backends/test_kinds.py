"""The page of what becomes of each kind of event is made of its columns, and says all that is declared."""

from pathlib import Path
from typing import Final

from tests.backends import kinds
from tracelet import backends

FAMILY: Final = Path(backends.__file__).parent
AGAIN: Final = "write it anew: python -m tests.backends.kinds"


def test_every_backend_is_a_column() -> None:
    there = {place.stem for place in FAMILY.iterdir() if not place.name.startswith("_")}

    assert {*kinds.COLUMNS} == there


def test_the_page_of_mlflow_says_all_that_is_declared() -> None:
    assert kinds.lost() == kinds.MLFLOW_PAGE.read_text("utf-8"), AGAIN


def test_the_page_of_backends_is_made_of_its_columns_and_of_what_is_declared() -> None:
    assert kinds.page(kinds.columns()) == kinds.PAGE.read_text("utf-8"), AGAIN
