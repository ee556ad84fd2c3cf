"""What becomes of each kind of event in each backend, as the contract finds it: docs/backends/index.md.

    python -m tests.backends.kinds      writes the page anew, and the table of degradations in mlflow.md

The samples are the contract's own. A backend's contract fails if it finds something else than its column
says (see `page_says_so` in conftest.py); `test_kinds.py` if the rest of the page is not what is made of
the columns and of the declarations.
"""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracelet import backends
from tracelet.events import Metric
from tracelet.testing.contract import plugin
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.samples import NOW, SAMPLES
from tracelet.testing.contract.ways import Way


class Column(NamedTuple):
    """A backend on the page.

    Attributes:
        title: As its users know it.
        module: Where the contract is applied to it.
    """

    title: str
    module: str


ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "backends" / "index.md"
MLFLOW_PAGE: Final = PAGE.with_name("mlflow.md")
KINDS: Final = "test_every_kind_of_event_arrives_or_is_declared_absent"
COLUMNS: Final = {
    "mlflow": Column("MLflow", "test_mlflow_contract"),
    "wandb": Column("W&B", "test_wandb"),
    "clearml": Column("ClearML", "test_clearml"),
    "aim": Column("Aim", "test_aim"),
    "trackio": Column("Trackio", "test_trackio"),
    "tensorboard": Column("TensorBoard", "test_tensorboard"),
    "local": Column("local", "test_local_contract"),
}
OFFLINE: Final = Column("ClearML, offline", "test_clearml_offline")
MEANINGS: Final = {
    "same": "what was logged",
    "time": "rounded: the tracker's page says to what",
    "numbered": "with the step 0, 1, 2 … of its name",
    "counts": "counts in bins, instead of the values",
    "PNG": "a PNG, instead of an array",
    "WAV": "a WAV, instead of an array",
    "GIF": "a GIF, instead of an array",
    "another value": "the largest float64 there is",
    "as text": "each value as text",
    "no reason": "the status, and not why",
    "with moments": "besides the counts, the smallest and the largest value that they can be of; sums are 0",
    "nothing": "it stays in the journal",
}
"""Of each word in the table."""

_WHOLE: Final = 10**15  # characters; what is longer has no limit
_BEGIN: Final = "<!-- made by python -m tests.backends.kinds -->\n"
_END: Final = "<!-- end -->\n"
_ENCODED: Final = {f"data ({ending.lower()})": ending for ending in ("PNG", "WAV", "GIF")}
_LEFT_OUT: Final = {"layout", "rate"}  # of an array: the file has them
_COUNTED: Final = {"data ()", "data", "counts", "limits", "moments"}
_SHORT: Final = {
    ("Metric", "step"): "numbered",
    ("Metric", "value"): "another value",
    ("Params", "params"): "as text",
    ("RunFinished", "reason"): "no reason",
    ("Histogram", "moments"): "with moments",
}
_EXEMPT: Final = {
    "server": "a server's bad days",
    "poison": "a record that the tracker rejects",
    "away": "a tracker that is away",
    "reader": "reading",
    "forget": "a run that was deleted there",
}


def word(way: Way) -> str:
    """Say in a word or two what became of a sample."""
    if way.outcome == "absent":
        return "nothing"
    if way.became:
        return f"as {way.became}"
    left, said = set(way.differs), list[str]()
    if "counts" in left:
        said, left = ["counts"], left - _COUNTED
    for field in left & {*_ENCODED}:
        said, left = [_ENCODED[field]], left - {field} - _LEFT_OUT
    times = ["time"] if "time" in left else []
    said += [_SHORT.get((way.kind, field), f"all but {field}") for field in sorted(left - {"time"})]
    return ", ".join([*(said or ["same"]), *times])


def found() -> dict[str, dict[str, str]]:
    """Apply the contract to all backends; return what it finds, by backend and sample, in words."""
    paths = [str(Path(__file__).with_name(f"{column.module}.py")) for column in COLUMNS.values()]
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory, "results.json")
        command = [sys.executable, "-m", "pytest", "-q", "-p", plugin.__name__, "-p", "no:randomly"]
        command += ["--contract-results", str(results), "-k", f"{KINDS} and not Offline", *paths]
        subprocess.run(command, check=True, cwd=ROOT)
        return {name: {way.what: word(way) for way in one.ways} for name, one in plugin.read(results).items()}


def columns() -> dict[str, dict[str, str]]:
    """Read what the page says: by backend and sample."""
    lines = iter(PAGE.read_text("utf-8").splitlines())
    next(line for line in lines if line.startswith("| kind |"))
    next(lines)
    said: dict[str, dict[str, str]] = {name: {} for name in COLUMNS}
    for line in lines:
        if not line:
            break
        _, what, *words = (cell.strip() for cell in line.strip("|").split(" | "))
        for name, one in zip(COLUMNS, words, strict=True):
            said[name][what] = one
    return said


def page(said: Mapping[str, Mapping[str, str]]) -> str:
    """Make the page of all backends."""
    tables = (_kinds(said), _meanings(said), _declared(), _exempt())
    return _between(PAGE, "\n".join(map("".join, tables)))


def lost() -> str:
    """Make the page of MLflow, with the table of what does not survive there."""
    table = [_row(one.what, one.becomes) for one in backends.load("mlflow").degradations]
    return _between(MLFLOW_PAGE, "".join((*_head("what", "becomes"), *table)))


def _kinds(said: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield from _head("kind", "what is logged", *_linked())
    for sample in SAMPLES:
        yield _row(type(sample.event).__name__, sample.what, *(said[name][sample.what] for name in COLUMNS))


def _meanings(said: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    words = {part for column in said.values() for cell in column.values() for part in cell.split(", ")}
    unknown = words - {*MEANINGS}
    assert not unknown, f"MEANINGS does not say what these are: {unknown}"
    yield from _head("word", "what comes back")
    yield from (_row(one, meaning) for one, meaning in MEANINGS.items() if one in words)


def _declared() -> Iterator[str]:
    """Tell what the backends say of themselves, to which the contract holds them."""
    all_of_them = [backends.load(name) for name in COLUMNS]
    yield "## What is one, what is cut\n\n"
    yield "Declared by each backend; the contract holds it to that.\n\n"
    yield from _head("", *_linked())
    yield _row("points are one if they share", *map(_shared, all_of_them))
    rows = (f"one time, within {one.rows.seconds:g} s" if one.rows else "its own time" for one in all_of_them)
    yield _row("what is logged together has", *rows)
    for what, field in {
        "characters of a name": "name_length",
        "of a param": "param_value",
        "of a tag": "tag_value",
        "of a note": "note",
    }.items():
        yield _row(what, *(_number(getattr(one.limits, field)) for one in all_of_them))


def _shared(backend: Any) -> str:
    """Tell what two points have in common that are one; found by asking `Backend.identity`."""
    point = Metric("a", 1.0, 3, NOW)
    others = {
        "value": Metric("a", 2.0, 3, NOW),
        "step": Metric("a", 1.0, 4, NOW),
        "time": Metric("a", 1.0, 3, NOW + 1),
    }
    if backend.identity is None:
        return "all are kept"
    apart = [field for field, other in others.items() if backend.identity(other) != backend.identity(point)]
    return ", ".join(["name", *sorted(apart, key=["step", "time", "value"].index)])


def _exempt() -> Iterator[str]:
    """List the promises that are not asked of a backend, with the reasons."""
    yield "## What is not tested\n\n"
    yield from _head("backend", "promise", "why it does not apply")
    for column in (*COLUMNS.values(), OFFLINE):
        module = importlib.import_module(f"tests.backends.{column.module}")
        for one in vars(module).values():
            if isinstance(one, type) and issubclass(one, Contract) and one.__module__ == module.__name__:
                for what, why in one.exempt.items():
                    promise = _EXEMPT.get(what) or what.removeprefix("test_").replace("_", " ")
                    yield _row(column.title, promise, why)


def _linked() -> Iterator[str]:
    return (f"[{column.title}]({name}.md)" for name, column in COLUMNS.items())


def _number(characters: int) -> str:
    return f"{characters:,}" if characters < _WHOLE else "any"


def _head(*cells: str) -> Iterable[str]:
    return _row(*cells), _row(*["---"] * len(cells))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _between(page: Path, made: str) -> str:
    """Put what is made in its place on a page."""
    before, _, rest = page.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{made}\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(found()), "utf-8")
    MLFLOW_PAGE.write_text(lost(), "utf-8")
