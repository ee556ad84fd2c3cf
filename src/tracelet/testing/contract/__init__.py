"""What every backend promises, as tests that anybody's backend can inherit.

    class TestMine(BackendContract):
        backend = backends.load("mine")

        @pytest.fixture
        def options(self, tmp_path): ...      # of a fresh, empty store

Each test of it is a promise. A backend says with `Backend.held`, `identity` and `confirms` what comes
back, and is held to exactly that. See `Contract` for what else can be said, and
docs/writing-a-backend.md.

    points       the same float64 at the same step and time, and all of them
    naming       a name comes back as it was
    kinds        every kind of event arrives, or is declared absent
    repetition   nothing is doubled, whoever dies
    limits       much, and large
    endings      the run itself, and how it ended
    failures     one bad record, and what a Writer may raise
    servers      a server that is slow, hangs, refuses, fails, or whose answers are lost
    reading      what a Reader gives, and that it changes nothing
"""

import pkgutil

import pytest

# Before they are imported: then a failing `assert` of theirs tells what it compared.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

from tracelet.testing.contract.endings import Endings  # noqa: E402
from tracelet.testing.contract.failures import Failures  # noqa: E402
from tracelet.testing.contract.kinds import Kinds  # noqa: E402
from tracelet.testing.contract.limits import Limited  # noqa: E402
from tracelet.testing.contract.naming import Names  # noqa: E402
from tracelet.testing.contract.points import Points  # noqa: E402
from tracelet.testing.contract.reading import Reading  # noqa: E402
from tracelet.testing.contract.repetition import Repetition  # noqa: E402
from tracelet.testing.contract.servers import Server, Servers  # noqa: E402

__all__ = ["BackendContract", "Server", "ServerContract"]

ServerContract = Servers
"""The promises about a server alone, where the others are tested with another store of the backend."""


class BackendContract(Points, Names, Kinds, Repetition, Limited, Endings, Failures, Servers, Reading):
    """All promises of a backend. See `tracelet.testing.contract.base.Contract` for what it can say."""
