"""What the contract promises of a server's bad days is kept by who is right, and not by who is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.journal.support import DEEP
from tests.testing import served
from tests.testing.served import MISTAKES
from tracelet.backend import Options
from tracelet.testing import Server, ServerContract

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

CONTRACT: Final = """
    from tests.testing import served
    from tests.testing.test_server_states import TestServed as Right


    class TestBroken(Right):
        backend = served.MISTAKES["{name}"].backend
        load = "tests.testing.served:{name}"
        grace = 3.0


    del Right
"""


class TestServed(ServerContract):
    backend = served.BACKEND
    load = "tests.testing.served:BACKEND"
    grace = 20.0

    @pytest.fixture
    def port(self) -> Iterator[int]:
        yield from served.serving()

    @pytest.fixture
    def options(self, port: int, tmp_path: Path) -> Options:
        return {"path": str(tmp_path / "tracked"), "port": str(port)}

    @pytest.fixture
    def server(self, port: int, options: Options) -> Server:
        return Server(port, lambda other: {**options, "port": str(other)}, 1.0, self.grace)


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_breaks_the_promises_that_it_concerns_and_no_others(
    pytester: pytest.Pytester, name: str
) -> None:
    file = pytester.makepyfile(test_broken=CONTRACT.format(name=name))
    breaks = sorted(MISTAKES[name].breaks)
    only = [] if DEEP else [f"{file}::TestBroken::{breaks[0]}"]  # the rest takes ten seconds each
    results = Path("results.json").absolute()

    pytester.runpytest_inprocess(
        "-p", "tracelet.testing.contract.plugin", "--contract-results", str(results),
        "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "-q", *only,
    )  # fmt: skip

    found = json.loads(results.read_text())["served"]
    assert sorted(found["broken"]) == (breaks if DEEP else breaks[:1])
