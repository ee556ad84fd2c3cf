"""A pytest plugin that writes down what the contract has found of each backend.

    pytest -p tracelet.testing.contract.plugin --contract-results found.json

The file says, by the backend's name, what became of each sample (see `Way`), which promises were
kept, and which do not apply, with the reason. `table` makes Markdown of it. The plugin also knows
the marker `slow`, which the longest promises bear.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import msgspec
import pytest

from tracelet.testing.contract.base import PROPERTY
from tracelet.testing.contract.ways import Way

Results: TypeAlias = "dict[str, Found]"
"""What was found, by the backend's name."""
_OPTION: Final = "--contract-results"
_SKIPPED: Final = "Skipped: "


class Found(msgspec.Struct, kw_only=True):
    """What was found of one backend.

    Attributes:
        ways: What became of each sample.
        kept: The promises that it keeps.
        broken: Those that it does not keep.
        exempt: Those that do not apply, each with the reason.
    """

    ways: list[Way] = []
    kept: list[str] = []
    broken: list[str] = []
    exempt: dict[str, str] = {}


def read(path: Path) -> Results:
    """Read a file of results."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Found])


def table(results: Mapping[str, Found]) -> str:
    """Make a table of what became of each sample in each backend, in Markdown."""
    ways = {name: {one.what: one for one in found.ways} for name, found in results.items()}
    samples = {one.what: one.kind for found in results.values() for one in found.ways}
    lines = [_row(["kind", "what is logged", *results]), _row(["---"] * (len(results) + 2))]
    lines += [
        _row([kind, what, *(word(ways[name].get(what)) for name in results)])
        for what, kind in samples.items()
    ]
    return "".join(lines)


def word(way: Way | None) -> str:
    """Say in a few words what became of a sample."""
    if way is None:
        return "not tried"
    if way.became:
        return f"as {way.became}"
    if way.differs:
        return f"all but {', '.join(f'`{field}`' for field in way.differs)}"
    return {"equal": "the same", "absent": "nothing", "degraded": "less"}[way.outcome]


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    group = parser.getgroup("tracelet")
    group.addoption(_OPTION, metavar="FILE", help="write what the contracts find of each backend, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """See pytest."""
    config.addinivalue_line("markers", "slow: takes longer than a few seconds")
    path = cast("str | None", config.getoption(_OPTION))
    if path is not None and not hasattr(config, "workerinput"):  # xdist's workers report to this process
        config.pluginmanager.register(_Collecting(Path(path).absolute()))


class _Collecting:
    """Collects the reports of contracts, and writes them down at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: Results = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See pytest."""
        said = [value for name, value in report.user_properties if name == PROPERTY]
        if not said or not (report.when == "call" or report.outcome != "passed"):
            return
        told = cast("dict[str, Any]", dict(pair for one in said for pair in cast("Any", one).items()))
        found = self._found.setdefault(told["backend"], Found())
        found.ways = msgspec.convert(told.get("ways", found.ways), list[Way])
        promise = report.nodeid.rpartition("::")[2]
        if report.skipped:
            found.exempt[promise] = _reason(report)
        elif report.passed:
            found.kept.append(promise)
        else:
            found.broken.append(promise)

    def pytest_sessionfinish(self) -> None:
        """See pytest."""
        for found in self._found.values():
            found.kept, found.broken = sorted({*found.kept}), sorted({*found.broken})
            found.exempt = dict(sorted(found.exempt.items()))
        told = {name: msgspec.to_builtins(found) for name, found in sorted(self._found.items())}
        self._path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _reason(report: pytest.TestReport) -> str:
    """Tell why a test was skipped."""
    where = report.longrepr
    return str(where[2]).removeprefix(_SKIPPED) if isinstance(where, tuple) else str(where)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
