"""The import contracts hold, and they bite: a violation of each is caught, and by that one alone.

`lint-imports` itself runs, with the project's own configuration, over a copy of `src/tracelet`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = pytest.mark.slow

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: Final[dict[str, dict[str, Any]]] = {contract["id"]: contract for contract in CONFIG["contracts"]}

# Each case adds lines to files of the copy (made where they are missing) and breaks one contract.
VIOLATIONS: Final[list[tuple[str, str, dict[str, str]]]] = [
    ("layers", "an upward import", {"errors.py": "import tracelet.guard"}),
    ("layers", "an import along a line", {"scrub.py": "import tracelet.guard"}),
    ("layers", "a module in no layer", {"helpers.py": "import os"}),
    (
        "independent-backends",
        "a backend that uses another",
        {"backends/one.py": "import tracelet.backends.two", "backends/two.py": "import os"},
    ),
    (
        "independent-captures",
        "a capture that uses another",
        {"captures/one.py": "import tracelet.captures.two", "captures/two.py": "import os"},
    ),
    (
        "independent-collectors",
        "a collector that uses another",
        {
            "collectors/__init__.py": '"""A family."""',
            "collectors/one.py": "import tracelet.collectors.two",
            "collectors/two.py": "import os",
        },
    ),
    (
        "protected-backends",
        "a relay that imports one backend",
        {"backends/one.py": "import os", "relay/__init__.py": "import tracelet.backends.one"},
    ),
    (
        "protected-backends",
        "a loader that imports a member",
        {"backends/one.py": "import os", "backends/__init__.py": "import tracelet.backends.one"},
    ),
    (
        "protected-backends",
        "a capture that imports a backend",
        {"backends/one.py": "import os", "captures/one.py": "from tracelet.backends import one"},
    ),
    (
        "protected-captures",
        "a session that imports one capture",
        {"captures/one.py": "import os", "session.py": "import tracelet.captures.one"},
    ),
    (
        "protected-collectors",
        "a keeper that imports one collector",
        {
            "collectors/__init__.py": '"""A family."""',
            "collectors/one.py": "import os",
            "keeper/__init__.py": "import tracelet.collectors.one",
        },
    ),
    ("trackers", "a session that uses MLflow", {"session.py": "import mlflow"}),
    ("trackers", "a relay that uses W&B inside a function", {"relay/x.py": "def f():\n    import wandb.sdk"}),
    ("training-libraries", "a capture that imports torch", {"captures/one.py": "import torch.nn"}),
    ("light-processes", "a keeper that uses the handle", {"keeper/x.py": "import tracelet.experiment"}),
    ("light-processes", "a relay that patches", {"relay/x.py": "import wrapt"}),
    ("light-processes", "a backend that prints with rich", {"backends/one.py": "import rich.table"}),
    (
        "acyclic",
        "two siblings in a ring",
        {"journal/a.py": "from . import b", "journal/b.py": "from . import a"},
    ),
    (
        "acyclic",
        "a longer ring",
        {
            "cli/a.py": "import tracelet.cli.b",
            "cli/b.py": "import tracelet.cli.c",
            "cli/c.py": "import tracelet.cli.a",
        },
    ),
]


def layers() -> dict[str, bool]:
    """Every layer's module, and whether it may be absent."""
    names = [name.strip() for line in CONTRACTS["layers"]["layers"] for name in line.split("|")]
    return {name.strip("()"): name.startswith("(") for name in names}


def copy_with(directory: Path, additions: Mapping[str, str]) -> Path:
    """Copy `src/tracelet`, and add lines to files."""
    source = directory / "tracelet"
    shutil.copytree(ROOT / "src" / "tracelet", source, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in additions.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        path.write_text(f"{before}\n{text}\n")
    return source


def broken_contracts(directory: Path) -> list[str]:
    """Run `lint-imports` over the package in `directory`; return the ids of the broken contracts."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    result = subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"],
        env={**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "200", "NO_COLOR": "1"},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", result.stdout, re.MULTILINE))
    ids = {contract["name"]: name for name, contract in CONTRACTS.items()}
    assert {ids.get(name) for name in verdicts} == set(CONTRACTS), result.stdout + result.stderr
    broken = [ids[name] for name, verdict in verdicts.items() if verdict == "BROKEN"]
    assert result.returncode == (1 if broken else 0), result.stdout + result.stderr
    return broken


def test_the_tree_keeps_every_contract(tmp_path: Path) -> None:
    copy_with(tmp_path, {})

    assert broken_contracts(tmp_path) == []


@pytest.mark.parametrize(
    ("contract", "additions"),
    [pytest.param(contract, additions, id=f"{contract}: {what}") for contract, what, additions in VIOLATIONS],
)
def test_a_violation_breaks_its_contract_and_no_other(
    contract: str, additions: dict[str, str], tmp_path: Path
) -> None:
    copy_with(tmp_path, additions)

    assert broken_contracts(tmp_path) == [contract]


def test_every_contract_has_a_violation_that_it_catches() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)


def test_no_contract_ignores_an_import() -> None:
    assert [name for name, contract in CONTRACTS.items() if "ignore_imports" in contract] == []


@pytest.mark.parametrize(
    ("contract", "exempt"), [("trackers", {"backends"}), ("training-libraries", {"integrations"})]
)
def test_a_contract_about_clients_names_every_layer_but_the_exempt_one(
    contract: str, exempt: set[str]
) -> None:
    package = ROOT / "src" / "tracelet"
    there = {name for name in layers() if (package / name).is_dir() or (package / f"{name}.py").is_file()}

    named = {name.removeprefix("tracelet.") for name in CONTRACTS[contract]["source_modules"]}

    assert named == there - exempt
