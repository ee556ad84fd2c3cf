"""`TraceletSettings` is a model of pydantic's, and what it was given is what `settings=` says."""

import copy
import inspect
import os
import pickle  # noqa: TID251  a user's own program may; nothing of ours does
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pydantic
import pydantic_settings
import pytest

import tracelet
from tests.recording import MEMORY
from tracelet.errors import ConfigError
from tracelet.settings import Resolved, TraceletSettings, resolve
from tracelet.settings.table import SETTINGS


def test_it_is_made_from_the_one_table() -> None:
    fields = TraceletSettings.model_fields

    assert issubclass(TraceletSettings, pydantic_settings.BaseSettings)
    assert list(fields) == list(SETTINGS) == list(inspect.signature(TraceletSettings).parameters)
    for name, setting in SETTINGS.items():
        assert fields[name].default == setting.default == getattr(Resolved(), name)
        assert setting.about in (fields[name].description or "")
    schema = TraceletSettings.model_json_schema()["properties"]
    assert schema["mode"]["enum"] == ["online", "offline", "disabled"]
    assert (schema["linger"]["type"], schema["backend"]["type"]) == ("number", "array")


def test_the_settings_of_the_specification_are_understood(place: Path) -> None:
    given = TraceletSettings(
        project="backend_specific_demo",
        backend=["mlflow", "wandb"],
        track_system=True,
        mlflow_tracking_uri="http://localhost:5000",
        wandb_entity="your_team_name",
        wandb_project="comparison_study",
    )

    found = resolve({"exp_name": "configured_multi_backend"}, {}, given, place, {})

    assert found.backend == ("mlflow", "wandb")
    assert found.of("mlflow") == {"tracking_uri": "http://localhost:5000"}
    assert found.of("wandb") == {"entity": "your_team_name", "project": "comparison_study"}
    assert set(found.sources) == {*dict(given.items()), "exp_name"}


@pytest.mark.usefixtures("unset")
def test_its_attributes_are_what_holds_and_only_what_was_given_counts_as_settings(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "tracelet.toml").write_text('notes = "toml"\ngroup = "toml"\n[tags]\na = "toml"')
    (place / ".env").write_text("TRACELET_GROUP=dotenv\nTRACELET_LINGER=5m")
    monkeypatch.setenv("TRACELET_LINGER", "7m")
    monkeypatch.setenv("TRACELET_JOB_TYPE", "variable")

    given = TraceletSettings(job_type="given", tags={"b": 1})
    (place / ".env").unlink()
    found = resolve({}, {}, given, place, os.environ)

    assert (given.notes, given.group, given.linger, given.job_type) == ("toml", "dotenv", 420.0, "given")
    assert given.tags == {"b": "1"}
    assert given.model_fields_set == {"job_type", "tags"}
    assert given.model_dump(exclude_unset=True) == {"tags": {"b": "1"}, "job_type": "given"}
    assert (found.group, found.job_type) == ("toml", "given")
    assert found.sources == {
        "notes": "tracelet.toml:1",
        "group": "tracelet.toml:2",
        "linger": "TRACELET_LINGER",
        "job_type": "settings=",
        "tags": "settings=",
    }


def test_it_can_be_changed_copied_compared_and_pickled(place: Path) -> None:
    given = TraceletSettings(project="p")

    given.linger = "10m"
    other = given.model_copy(update={"group": "g"})
    again = pickle.loads(pickle.dumps(other))  # noqa: S301  our own bytes

    assert (given.linger, given.model_fields_set) == (600.0, {"project", "linger"})
    assert given != other
    assert again == other == copy.deepcopy(other)
    assert resolve({}, {}, again, place, {}).group == "g"


@pytest.mark.parametrize(
    "make",
    [
        lambda name: TraceletSettings(**{name: "x"}),
        lambda name: setattr(TraceletSettings(), name, "x"),
        # pydantic checks nothing here; the start of a run does.
        lambda name: resolve({}, {}, TraceletSettings().model_copy(update={name: "x"}), Path.cwd(), {}),
    ],
)
def test_mistakes_are_ours_whichever_way_they_are_made(make: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match=r"no setting called 'prjct'; .*Did you mean 'project'\?"):
        make("prjct")
    with pytest.raises(ConfigError, match=r"mode='x' \(from settings=\) does not fit; it takes online"):
        make("mode")


def test_pydantic_s_own_ways_in_tell_the_same() -> None:
    with pytest.raises(pydantic.ValidationError, match="Did you mean 'project'"):
        TraceletSettings.model_validate({"prjct": "x"})
    assert TraceletSettings.model_validate({"linger": "1m"}).linger == 60.0


def test_what_is_wrong_outside_is_told_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACELET_MODE", "x")

    with pytest.raises(ConfigError, match="from TRACELET_MODE in the environment"):
        TraceletSettings(project="p")


def test_it_shows_no_credentials() -> None:
    given = TraceletSettings(mlflow_tracking_uri="http://u:hunter2@h", tags={"data": "s3://k:hunter2@b"})

    assert "hunter2" not in f"{given!r} {given}"
    assert given.mlflow_tracking_uri == "http://u:hunter2@h"
    with pytest.raises(ConfigError) as caught:
        TraceletSettings(mode="http://u:hunter2@h")
    assert "hunter2" not in str(caught.value)


def test_a_run_starts_with_it() -> None:
    given = tracelet.settings.TraceletSettings(project="p", backend=MEMORY, mode="offline", exp_name="e")

    with tracelet.start_experiment(settings=given) as exp:
        assert (exp.name, exp.project, exp.active_backends) == ("e", "p", ["memory"])


LIGHT = """
    import sys
    import tracelet
    from tracelet.settings import resolve

    exp = tracelet.start_logging("x", backend="{memory}", mode="offline")
    exp.log_metric("loss", 1.0, 1)
    tracelet.stop_logging()
    import tracelet.keeper.__main__, tracelet.relay.__main__
    from tracelet import backends
    backends.load("mlflow")
    heavy = {{"pydantic", "pydantic_settings", "tomllib", "tomli", "dotenv"}}
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
    tracelet.settings.TraceletSettings
    assert "pydantic" in sys.modules
"""


@pytest.mark.slow
def test_who_does_not_use_it_does_not_load_pydantic(place: Path) -> None:
    """Nor what reads files that are not there."""
    (place / "train.py").write_text(textwrap.dedent(LIGHT.format(memory=MEMORY)))

    done = subprocess.run(
        [sys.executable, "train.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
