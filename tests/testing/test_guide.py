"""The backend of docs/writing-a-backend.md is as whole as the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tracelet.testing.contract import plugin

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-backend.md"

pytestmark = pytest.mark.slow


def test_the_backend_of_the_guide_keeps_every_promise(tmp_path: Path) -> None:
    code, test = (
        re.search(rf"```{fence}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) for fence in ("python", "py")
    )
    assert code is not None
    assert test is not None
    (tmp_path / "lines.py").write_text(code[1], encoding="utf-8")
    (tmp_path / "test_lines.py").write_text(test[1], encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tracelet.testing.contract.plugin", "--strict-markers"]
    command += ["--contract-results", "found.json", "-q", "-p", "no:cacheprovider", "-k", "not hundred"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = plugin.read(tmp_path / "found.json")["lines"]
    assert found.broken == []
    assert {*found.exempt.values()} == {"it takes whatever the relay gives it", "files have none"}
    assert "test_a_relay_that_is_killed_three_times_delivers_everything_once" in found.kept
    assert {way.what: way.outcome for way in found.ways if way.outcome != "equal"} == {
        "records that were lost": "absent"
    }
