"""`tracelet config` tells what holds and why; `tracelet init` writes a file that changes nothing yet."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.inside import inside
from tracelet.cli import init
from tracelet.settings import Resolved, resolve
from tracelet.settings.table import SETTINGS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def uncommented(text: str) -> str:
    """Remove the mark from the lines that are settings, as the file itself says one may."""
    return re.sub(r"^#(?=[\w\[])", "", text, flags=re.MULTILINE)


def row(out: str, name: str) -> str:
    """Find a setting's line; the columns a single space apart."""
    (found,) = [line for line in out.splitlines() if line.split()[:1] == [name]]
    return " ".join(found.split())


def test_each_setting_is_shown_with_where_it_came_from(place: Path) -> None:
    (place / "tracelet.toml").write_text('project = "vision"\n\n[tags]\nteam = "ml"\n')
    (place / ".env").write_text("TRACELET_LINGER=90\nMLFLOW_TRACKING_TOKEN=hunter2")

    done = inside(
        "config",
        TRACELET_MLFLOW_TRACKING_URI="http://u:hunter2@h",
        MLFLOW_TRACKING_URI="http://u:hunter2@server/",
        MLFLOW_TRACKING_USERNAME="hunter2",
    )

    assert (done.code, done.err) == (0, "")
    assert row(done.out, "project") == "project vision tracelet.toml:1"
    assert row(done.out, "tags") == "tags team=ml tracelet.toml:3"
    assert row(done.out, "linger") == "linger 90s TRACELET_LINGER in .env"
    assert row(done.out, "mlflow_tracking_uri") == "mlflow_tracking_uri http://h TRACELET_MLFLOW_TRACKING_URI"
    assert row(done.out, "mode") == "mode online default"
    assert row(done.out, "MLFLOW_TRACKING_URI") == "MLFLOW_TRACKING_URI http://server/ environment"
    assert row(done.out, "MLFLOW_TRACKING_TOKEN") == "MLFLOW_TRACKING_TOKEN (set, and not shown) .env"
    assert f"files read   {place}/tracelet.toml, {place}/.env\n" in done.out
    assert f"runs are in  {place}/.tracelet\n" in done.out
    assert "hunter2" not in done.out
    assert {line.split()[0] for line in done.out.splitlines() if line} >= set(SETTINGS)


def test_the_document_says_the_same(place: Path) -> None:
    (place / "tracelet.toml").write_text('backend = ["mlflow"]\ntrack_git = true\nmetrics_interval = "1m"')

    document = inside("config", "--json", MLFLOW_TRACKING_URI="http://h", TRACELET_XYZ="1").json

    assert set(document["settings"]) == set(SETTINGS)
    assert document["settings"]["backend"] == {"value": ["mlflow"], "source": "tracelet.toml:1"}
    assert document["settings"]["track_git"] == {"value": True, "source": "tracelet.toml:2"}
    assert document["settings"]["metrics_interval"] == {"value": 60.0, "source": "tracelet.toml:3"}
    assert document["settings"]["tags"] == {"value": {}, "source": "default"}
    assert document["variables"] == {
        "mlflow": {"MLFLOW_TRACKING_URI": {"value": "http://h", "source": "environment"}}
    }
    assert document["files"] == [str(place / "tracelet.toml")]
    assert document["errors"] == []
    assert document["warnings"] == ["TRACELET_XYZ in the environment is no setting of tracelet."]


def test_one_setting_is_its_value_and_nothing_else() -> None:
    tags = inside("config", "tags", TRACELET_TAGS="a,b=2", TRACELET_XYZ="1")
    wrong = inside("config", "prjct")

    assert (tags.code, tags.out) == (0, "a=true,b=2\n")
    assert "TRACELET_XYZ" in tags.err
    assert inside("config", "linger", "--json", TRACELET_LINGER="1m").json == {
        "name": "linger",
        "value": 60.0,
        "source": "TRACELET_LINGER",
    }
    assert (wrong.code, wrong.out) == (2, "")
    assert "no setting called 'prjct'" in wrong.err
    assert wrong.err.endswith("Did you mean 'project'?\n")


@pytest.mark.parametrize(
    ("file", "environ", "code", "said"),
    [
        ("", {"TRACELET_MODES": "x"}, 1, "TRACELET_MODES in the environment is no setting"),
        ("", {"TRACELET_MODE": "x"}, 2, "mode='x' (from TRACELET_MODE in the environment) does not fit"),
        ("", {"TRACELET_BACKEND": "mlfow"}, 2, "no backend called 'mlfow'"),
        ("prjct = 1", {}, 2, "no setting called 'prjct' in tracelet.toml:1"),
        ("project", {}, 2, "tracelet.toml is no TOML"),
    ],
)
def test_what_is_wrong_is_told_and_the_rest_is_shown(
    place: Path, file: str, environ: dict[str, str], code: int, said: str
) -> None:
    (place / "tracelet.toml").write_text(file)

    done = inside("config", columns=0, TRACELET_GROUP="g", **environ)

    assert done.code == code
    assert said in done.err
    assert row(done.out, "group") == "group g TRACELET_GROUP"


def test_a_fresh_file_changes_nothing(place: Path) -> None:
    done = inside("init")
    text = (place / "tracelet.toml").read_text()

    assert done.code == 0
    assert resolve({}, {}, None, place, {}) == Resolved()
    assert tomllib.loads(text) == {}
    assert tomllib.loads(uncommented(text)).keys() == SETTINGS.keys()
    (place / "tracelet.toml").write_text(uncommented(text))
    found = resolve({}, {}, None, place, {})
    assert {name: getattr(found, name) for name in SETTINGS} == {
        name: setting.default for name, setting in SETTINGS.items()
    }
    assert max(map(len, text.splitlines())) <= 100


def test_backend_and_project_are_filled_in(place: Path) -> None:
    done = inside("init", "--project", 'my "Käfer" \\ \x7f', "-b", "mlflow", "-b", "local", "--json")
    found = resolve({}, {}, None, place, {})

    assert done.json == {"path": str(place / "tracelet.toml")}
    assert (found.project, found.backend) == ('my "Käfer" \\ \x7f', ("mlflow", "local"))
    assert set(found.sources) == {"project", "backend"}


def test_any_value_can_stand_in_the_file() -> None:
    given: dict[str, Any] = {
        "linger": 90.0,
        "max_image_size": 1 << 20,
        "quiet": True,
        "notes": "a\nb\t'''",
        "backend": (),
    }

    read = tomllib.loads(init.template(given))

    assert {name: SETTINGS[name].parse(value, "") for name, value in read.items()} == given


def test_a_file_that_is_there_is_not_overwritten_unasked(place: Path) -> None:
    (place / "tracelet.toml").write_text("[broken")

    refused = inside("init")
    kept = (place / "tracelet.toml").read_text()
    forced = inside("init", "--force")

    assert (refused.code, kept) == (1, "[broken")
    assert "is there already; --force overwrites it" in refused.err
    assert forced.code == 0
    assert resolve({}, {}, None, place, {}) == Resolved()
    assert [path.name for path in place.iterdir() if path.name.startswith("tracelet")] == ["tracelet.toml"]


def test_an_unknown_backend_is_not_written_and_a_hidden_file_is_told(place: Path) -> None:
    (place / "pyproject.toml").write_text('[tool.tracelet]\nproject = "p"')

    wrong = inside("init", "--backend", "mlfow")
    assert (wrong.code, (place / "tracelet.toml").exists()) == (2, False)
    assert "Did you mean 'mlflow'?" in wrong.err

    assert f"the settings of {place}/pyproject.toml no longer hold" in inside("init").err


def test_a_backend_that_another_interpreter_delivers_to_needs_no_client_here(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setitem(sys.modules, "aim", None)  # as if it were not installed

    without = inside("config", TRACELET_BACKEND="aim")
    elsewhere = inside("config", TRACELET_BACKEND="aim", TRACELET_AIM_PYTHON=sys.executable)

    assert without.code != 0
    assert "which is not installed" in without.err
    assert elsewhere.code == 0, elsewhere.err
