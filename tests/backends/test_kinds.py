"""The table of what becomes of each kind of event in each backend says what is found there."""

from pathlib import Path

import pytest

from tests.backends import kinds
from tests.backends.conftest import WARNINGS, Store

pytestmark = WARNINGS


def test_every_class_of_event_has_a_sample() -> None:
    shown = {type(sample.event) for sample in kinds.SAMPLES}

    assert shown == set(kinds.CLASSES)


def test_the_page_of_mlflow_says_all_that_is_declared() -> None:
    assert kinds.lost() == kinds.MLFLOW_PAGE.read_text("utf-8"), (
        "write it anew: python -m tests.backends.kinds"
    )


@pytest.mark.slow
def test_the_page_of_backends_says_what_is_found(store: Store, tmp_path: Path) -> None:
    made = kinds.page(store, tmp_path / ".tracelet")

    assert made == kinds.PAGE.read_text("utf-8"), "write it anew: python -m tests.backends.kinds"
