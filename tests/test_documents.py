"""Every Python block of the README and the documentation runs as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS: Final = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL))
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_as_it_is_written(block: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a file of the user's")
    (tmp_path / "train.py").write_text(block, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "train.py"], capture_output=True, text=True, timeout=240, env=os.environ, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "WARNING" not in done.stderr
