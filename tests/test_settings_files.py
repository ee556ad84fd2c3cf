"""`tracelet.toml` and `[tool.tracelet]`: where they are looked for, what they say, what is wrong there."""

import os
import re
from pathlib import Path

import pytest

from tracelet import settings
from tracelet.errors import ConfigError
from tracelet.settings import Resolved, TraceletSettings, resolve


def resolved(directory: Path, environ: dict[str, str] | None = None) -> Resolved:
    return resolve({}, {}, None, directory, environ or {})


def toml(directory: Path, text: str, name: str = "tracelet.toml") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_kind_of_setting_stands_in_a_toml_file(place: Path) -> None:
    toml(
        place,
        """
        project = "Käfer"
        backend = ["mlflow", "local"]
        track_git = true
        max_image_size = "512KB"
        metrics_interval = 2.5
        [tags]
        team = "vision"
        fold = 3
        """,
    )

    found = resolved(place)

    assert (found.project, found.backend, found.track_git) == ("Käfer", ("mlflow", "local"), True)
    assert (found.max_image_size, found.metrics_interval) == (512 * 1024, 2.5)
    assert found.tags == {"team": "vision", "fold": "3"}
    assert found.sources == {
        "project": "tracelet.toml:2",
        "backend": "tracelet.toml:3",
        "track_git": "tracelet.toml:4",
        "max_image_size": "tracelet.toml:5",
        "metrics_interval": "tracelet.toml:6",
        "tags": "tracelet.toml:7",
    }


def test_pyproject_counts_only_with_a_table_of_ours(place: Path) -> None:
    toml(place, '[tool.tracelet]\nproject = "above"\n[tool.tracelet.tags]\na = "b"', "pyproject.toml")
    below = place / "below"
    toml(below, '[project]\nname = "x"\ndependencies = [\n"tracelet==1",\n]', "pyproject.toml")

    here, there = resolved(place), resolved(below)

    assert (here.project, here.tags) == ("above", {"a": "b"})
    assert here.sources == {"project": "pyproject.toml:2", "tags": "pyproject.toml:3"}
    assert there.sources["project"] == f"{place / 'pyproject.toml'}:2"


@pytest.mark.parametrize(
    "text",
    [
        'tool.tracelet.project = "p"',
        '[tool]\ntracelet.project = "p"',
        '[tool]\ntracelet = { project = "p" }',
        '\ufeff[ tool . "tracelet" ]\r\nproject = "p"',
        '[tool.uv.sources]\ntracelet = { path = ".." }\n[tool.tracelet]\nproject = "p"',
    ],
)
def test_the_table_is_found_however_toml_lets_one_write_it(place: Path, text: str) -> None:
    toml(place, text, "pyproject.toml")

    assert resolved(place).project == "p"


def test_a_pyproject_of_somebody_else_is_no_affair_of_ours(place: Path) -> None:
    for text in ("[broken", '[tool.uv.sources]\ntracelet = { path = "" }', "tracelet = [", "tool = 3"):
        toml(place, text, "pyproject.toml")
        assert resolved(place) == Resolved()
    (place / "pyproject.toml").write_bytes(b"\xff[tool.tracelet]")
    assert resolved(place) == Resolved()


def test_the_nearest_file_upwards_is_the_only_one_that_is_read(place: Path) -> None:
    toml(place, 'project = "far"\ngroup = "far"')
    toml(place / "a", 'project = "near"')
    (place / "a" / "b").mkdir()

    found = resolved(place / "a" / "b")

    assert (found.project, found.group) == ("near", "")


def test_in_one_directory_ours_wins_and_says_so(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    toml(place, 'project = "ours"')
    toml(place, '[tool.tracelet]\nproject = "theirs"', "pyproject.toml")

    assert resolved(place).project == "ours"
    assert caplog.messages == [
        f"{place / 'tracelet.toml'} holds; [tool.tracelet] in pyproject.toml beside it does not"
    ]


def test_the_search_ends_at_the_git_root_and_at_home(place: Path) -> None:
    toml(place, 'project = "outside"')
    toml(place / "repository" / "src", "")
    (place / "repository" / "src" / "tracelet.toml").unlink()
    (place / "repository" / ".git").mkdir()

    assert resolved(place / "repository" / "src").project == ""
    toml(place / "repository", 'project = "root"')
    assert resolved(place / "repository" / "src").project == "root"
    (place / "home" / "work").mkdir(parents=True)
    assert resolved(place / "home" / "work", {"HOME": str(place / "home")}).project == ""
    assert resolved(place / "home" / "work", {"HOME": "/elsewhere"}).project == "outside"


def test_what_a_stranger_left_in_a_directory_for_everybody_redirects_no_run(place: Path) -> None:
    toml(place / "tmp", 'python = "/tmp/evil"')
    (place / "tmp").chmod(0o1777)
    (place / "tmp" / "mine").mkdir()

    assert resolved(place / "tmp" / "mine").python == ""
    assert resolved(place / "tmp").python == "/tmp/evil"  # noqa: S108  as with .env, one went there oneself


def test_a_directory_that_may_not_be_looked_into_has_no_file(place: Path) -> None:
    """Under a file nothing can be, for root neither, who may look everywhere."""
    (place / "file").touch()

    assert resolved(place / "file" / "below") == Resolved()


def test_toml_is_weaker_than_dotenv_and_all_above_it(place: Path) -> None:
    toml(place, 'run_name = "toml"\ngroup = "toml"\n[tags]\na = "toml"')
    (place / ".env").write_text("TRACELET_RUN_NAME=dotenv")

    found = resolve({}, {"tags": {"b": "config"}}, None, place, {})

    assert (found.run_name, found.group, found.tags) == ("dotenv", "toml", {"b": "config"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prjct = "x"', r"no setting called 'prjct' in tracelet\.toml:1; .*Did you mean 'project'\?"),
        ("\nmode = 3", r"mode=3 \(from tracelet\.toml:2\) does not fit; it takes online or offline"),
        ("stop_timeout = 1979-05-27", r"stop_timeout=.* does not fit; it takes seconds"),
        ('project = "x\n', r"tracelet\.toml is no TOML: .*line 1"),
        ("[mlflow]\ntracking_uri = 'x'", r"no setting called 'mlflow' in tracelet\.toml:1"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_reason(place: Path, text: str, said: str) -> None:
    toml(place, text)

    with pytest.raises(ConfigError, match=said):
        resolved(place)
    with pytest.raises(ConfigError, match=said):
        TraceletSettings()


def test_a_mistake_in_pyproject_is_told_too(place: Path) -> None:
    toml(place, '[tool.tracelet]\nprjct = "x"', "pyproject.toml")
    with pytest.raises(ConfigError, match=r"no setting called 'prjct' in pyproject\.toml:2"):
        resolved(place)
    toml(place, '[tool]\ntracelet = "x"', "pyproject.toml")
    with pytest.raises(ConfigError, match="takes a table of settings"):
        resolved(place)
    toml(place, "[tool.tracelet]\nproject = \n", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"pyproject\.toml is no TOML: .*line 2"):
        resolved(place)


def test_bytes_that_are_no_text_are_told_with_their_line(place: Path) -> None:
    (place / "tracelet.toml").write_bytes(b'project = "x"\ngroup = "\xe9"')

    with pytest.raises(ConfigError, match=re.escape("it is not UTF-8 (at line 2)")):
        resolved(place)


def test_credentials_in_a_toml_file_reach_the_relay_and_nothing_else_does(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml(place, 'backend_url = "http://h"\nmlflow_tracking_uri = "http://u:p@h"\nproject = "p"')
    environ = {"HOME": str(place)}
    monkeypatch.setattr(os, "environ", environ)

    settings.lend_environment(place, ["MLFLOW_"])
    assert environ == {"HOME": str(place)}
    settings.lend_environment(place, ["MLFLOW_", "TRACELET_"])

    assert environ == {"HOME": str(place), "TRACELET_MLFLOW_TRACKING_URI": "http://u:p@h"}
    assert resolved(place).dotenv == {"TRACELET_MLFLOW_TRACKING_URI": "http://u:p@h"}
    assert "u:p" not in repr(resolved(place))


def test_a_file_that_broke_after_the_start_does_not_stop_the_relay(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toml(place, "[")

    settings.lend_environment(place, ["TRACELET_"])

    assert "is no TOML" in caplog.text
