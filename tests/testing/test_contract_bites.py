"""The contract notices what is wrong with a backend, and blames nothing else."""

import json
from pathlib import Path
from typing import Final

import pytest

from tests.journal.support import DEEP
from tests.testing.broken import MISTAKES

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

TRIED: Final = [*MISTAKES] if DEEP else [*MISTAKES][::4]
"""All mistakes, or every fourth: each runs the whole contract."""
CONTRACT: Final = """
    from pathlib import Path

    import pytest

    from tests.testing import broken
    from tracelet.events import Metric
    from tracelet.testing import BackendContract, memory


    class TestBroken(BackendContract):
        backend = broken.MISTAKES["{name}"].backend
        load = "tests.testing.broken:{name}"
        poison = (Metric(memory.POISON, 1.0, 0, 1.0),)
        exempt = {{"server": "a file has none"}}

        @pytest.fixture
        def options(self, tmp_path):
            return {{"path": str(tmp_path / "tracked")}}

        @pytest.fixture
        def away(self, tmp_path):
            return {{"path": str(tmp_path / "no" / "such" / "directory")}}

        @pytest.fixture
        def forget(self, options):
            return lambda _: Path(options["path"]).unlink()
"""


def broken_promises(pytester: pytest.Pytester, name: str, *arguments: str) -> set[str]:
    """Run the contract for a backend; return the promises that it does not keep, without parameters."""
    pytester.makepyfile(test_broken=CONTRACT.format(name=name))
    results = Path("results.json").absolute()
    pytester.runpytest_inprocess(
        "-p", "tracelet.testing.contract.plugin", "--contract-results", str(results),
        "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "-q", *arguments,
    )  # fmt: skip
    found = json.loads(results.read_text())["memory"]
    assert found["kept"]
    return {promise.partition("[")[0] for promise in found["broken"]}


@pytest.mark.parametrize("name", TRIED)
def test_a_mistake_breaks_the_promises_that_it_concerns_and_no_others(
    pytester: pytest.Pytester, name: str
) -> None:
    found = broken_promises(pytester, name, "-m", "not slow")

    assert found == MISTAKES[name].breaks
