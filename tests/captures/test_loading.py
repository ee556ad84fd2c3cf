"""Captures are found by name, ours and other packages'."""

import sys
from pathlib import Path

import pytest

from tracelet import captures
from tracelet.errors import ConfigError


def test_a_capture_of_ours_is_found_by_its_files_name() -> None:
    assert captures.load("tensorboard").name == "tensorboard"
    assert "tensorboard" in captures.names()


def test_a_name_that_nobody_has_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"no capture called 'tensorbord'; there are .*'tensorboard'\?"):
        captures.load("tensorbord")


@pytest.mark.parametrize("value", ["other_capture", "other_capture:CAPTURE"])
def test_another_package_joins_through_its_entry_point(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "other_capture.py").write_text(
        "from tracelet.capture import Capture\nCAPTURE = Capture(name='other', install=print)\n"
    )
    package = tmp_path / "other-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        f"[tracelet.captures]\nother = {value}\nbroken = no_such_module\nwrong = os:sep\n"
    )

    assert captures.load("other").name == "other"
    assert {"broken", "other", "tensorboard"} <= set(captures.names())
    with pytest.raises(ConfigError, match="'broken' at no_such_module cannot be loaded"):
        captures.load("broken")
    with pytest.raises(ConfigError, match=r"'wrong' is a str, not a tracelet\.capture\.Capture"):
        captures.load("wrong")
    monkeypatch.delitem(sys.modules, "other_capture")
