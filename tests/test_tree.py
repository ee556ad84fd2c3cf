"""The tree keeps its shape: families complete, files small, the import light."""

import ast
import io
import re
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tracelet import backends

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "src" / "tracelet"
MODULES: Final = sorted(PACKAGE.rglob("*.py"))
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

LINES: Final = 400
LONG: Final[dict[str, str]] = {}
"""Files that may be longer than `LINES`, each with the reason why it is one thing."""

SWALLOWING: Final = 12
"""Lines in all of src that catch everything and raise nothing; with many, errors are being hidden."""


def named(paths: list[Path]) -> list[str]:
    """Give paths as test ids, from the repository's root."""
    return [str(path.relative_to(ROOT)) for path in paths]


def members(family: str) -> list[str]:
    """List a family's members: its files, and its packages, but for what begins with an underscore."""
    there = [
        *(PACKAGE / family).glob("*.py"),
        *(path.parent for path in (PACKAGE / family).glob("*/__init__.py")),
    ]
    return sorted(path.stem for path in there if not path.name.startswith("_"))


@pytest.mark.parametrize("name", members("backends"))
def test_a_backend_has_its_test_its_page_and_its_extra(name: str) -> None:
    missing = [
        path
        for path in (f"tests/backends/test_{name}.py", f"docs/backends/{name}.md")
        if not (ROOT / path).is_file()
    ]

    assert missing == []
    if backends.load(name).client:
        assert name in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("name", members("captures"))
def test_a_capture_has_its_test_and_its_page(name: str) -> None:
    missing = [
        path
        for path in (f"tests/captures/test_{name}.py", f"docs/captures/{name}.md")
        if not (ROOT / path).is_file()
    ]

    assert missing == []


def test_the_extra_called_all_holds_what_the_others_do() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    everything = extras.pop("all")
    for for_developers in ("dev", "testing"):
        extras.pop(for_developers)

    assert sorted(everything) == sorted({requirement for extra in extras.values() for requirement in extra})


@pytest.mark.parametrize("path", MODULES, ids=named(MODULES))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_a_long_file_has_a_reason() -> None:
    long = {str(path.relative_to(PACKAGE)) for path in MODULES if path.read_text().count("\n") > LINES}

    assert long == set(LONG)
    assert all(LONG.values())


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if PACKAGE / "cli" not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert printing == []


def broad_excepts() -> Iterator[tuple[str, str, bool]]:
    """Find the lines that catch everything: where, the comment in the line, and whether they raise again."""
    for path in MODULES:
        text = path.read_text()
        comments = {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        }
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = (
                {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
                if node.type
                else set()
            )
            if node.type is None or caught & {"Exception", "BaseException"}:
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield where, comments.get(node.lineno, ""), isinstance(node.body[-1], ast.Raise)


def test_whoever_catches_everything_says_why() -> None:
    found = list(broad_excepts())

    # A `noqa` with its codes is no reason; what follows it is.
    unexplained = [
        where for where, comment, _ in found if not re.sub(r"#\s*noqa:\s*[A-Z0-9, ]+|\W", "", comment)
    ]
    assert unexplained == []
    swallowing = [where for where, _, raises in found if not raises]
    assert len(swallowing) <= SWALLOWING, swallowing


def run(code: str) -> str:
    """Run code in a fresh interpreter; return what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_tracelet_loads_nothing_else() -> None:
    code = """
        import os, sys
        before = set(sys.modules)
        import tracelet
        print(*sorted(set(sys.modules) - before))
    """

    assert run(textwrap.dedent(code)).split() == ["tracelet"]


def test_tracelet_can_be_imported_where_the_working_directory_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"

    assert run(f"{leave}; import tracelet; print(tracelet._started_in)").strip() == "None"


def test_the_working_directory_is_remembered_from_the_import_on(tmp_path: Path) -> None:
    assert run("import os, tracelet; os.chdir('/'); print(tracelet._started_in)").strip() == str(tmp_path)


def test_the_public_names_are_those_that_are_announced() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.If)
        for imported in node.body
        if isinstance(imported, ast.ImportFrom)
        for alias in imported.names
    }
    code = """
        import types, tracelet
        for name in tracelet.__all__:
            getattr(tracelet, name)
        assert dir(tracelet) == sorted(tracelet.__all__)
        public = {name: value for name, value in vars(tracelet).items() if not name.startswith("_")}
        print(*(name for name, value in public.items() if not isinstance(value, types.ModuleType)))
    """

    import tracelet

    found = set(run(textwrap.dedent(code)).split()) - {"TYPE_CHECKING"}
    assert found | {"errors", "settings", "__version__"} == set(tracelet.__all__)
    assert typed | {"__version__"} == set(tracelet.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tracelet

    with pytest.raises(AttributeError, match="module 'tracelet' has no attribute 'start_loging'"):
        _ = tracelet.start_loging


def pages() -> list[Path]:
    """List what is written for readers."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])


@pytest.mark.parametrize("page", pages(), ids=named(pages()))
def test_the_python_of_a_page_compiles(page: Path) -> None:
    fence = re.compile(r"^( *)```(?:python|py)\b[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
    text = page.read_text()

    for block in fence.finditer(text):
        # Blank lines in front, so that an error names the page's own line.
        before = "\n" * text.count("\n", 0, block.start(2))
        compile(before + textwrap.dedent(block[2]), str(page), "exec")
