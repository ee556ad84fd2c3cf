"""What a run takes over from what the script has told MLflow: its store, its experiment, its open run."""

import os
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.backends.conftest import RUN, WARNINGS, Store
from tracelet import backends
from tracelet.backend import Configuration
from tracelet.backends.mlflow import told
from tracelet.errors import Refused
from tracelet.events import RunFinished

pytestmark = [*WARNINGS, pytest.mark.usefixtures("untold")]

BACKEND: Any = backends.load("mlflow")


@pytest.fixture(autouse=True)
def here(store: Store) -> Store:
    """The store that MLflow uses by default here: `mlflow.db` in the working directory."""
    assert store.file.parent == Path.cwd()
    return store


def configured(
    name: str = "", project: str = "", uri: str = "", environ: dict[str, str] | None = None
) -> dict[str, str]:
    return BACKEND.configure(
        Configuration(
            settings={"tracking_uri": uri} if uri else {},
            environ={**os.environ, **(environ or {})},
            project=project,
            name=name,
            directory=Path.cwd(),
            script_directory=Path.cwd() / "script",
        )
    )


def taken_over(options: dict[str, str]) -> dict[str, str]:
    usual = {"tracking_uri", "experiment", "artifact_location", "user"}
    return {name: value for name, value in options.items() if name not in usual}


def test_nothing_is_taken_over_from_a_script_that_told_nothing() -> None:
    options = configured()

    assert taken_over(options) == {}
    assert options["tracking_uri"] == f"sqlite:///{Path.cwd()}/script/mlflow.db"


def test_the_store_that_the_script_has_set_or_used(here: Store, tmp_path: Path) -> None:
    mlflow.set_experiment("vision")
    used = configured()
    mlflow.set_tracking_uri("sqlite:///other.db")
    said = configured(environ={"MLFLOW_TRACKING_URI": "http://elsewhere"})
    setting = configured(uri="http://setting")

    assert used["tracking_uri"] == here.uri
    assert taken_over(used) == {"experiment_id": "1", "project": "vision"}
    assert said["tracking_uri"] == f"sqlite:///{tmp_path}/other.db"
    assert setting["tracking_uri"] == "http://setting"
    assert taken_over(setting) == {}  # an experiment of another store


def test_an_experiment_of_the_environment_and_one_that_the_user_names() -> None:
    server = {"MLFLOW_TRACKING_URI": "http://host", "MLFLOW_EXPERIMENT_ID": "7"}

    assert taken_over(configured(environ=server)) == {"experiment_id": "7", "project": "experiment 7"}
    assert taken_over(configured(environ={**server, "MLFLOW_EXPERIMENT_NAME": "named"})) == {}
    assert taken_over(configured(project="mine", environ=server)) == {}


def test_an_open_run_is_adopted_or_is_the_parent() -> None:
    with mlflow.start_run(run_name="outer") as outer:
        unnamed, named = configured(), configured("mine", "a project")
        in_another_store = configured(uri="sqlite:///other.db")

    assert taken_over(unnamed) == {
        "run": outer.info.run_id,
        "name": "outer",
        "experiment_id": "0",
        "project": "Default",
    }
    assert taken_over(named) == {"parent": outer.info.run_id}
    assert taken_over(in_another_store) == {}


def test_a_run_is_adopted_once_and_is_the_parent_then() -> None:
    with mlflow.start_run() as outer:
        told.adopted.add(outer.info.run_id)
        options = configured()

    assert options["parent"] == outer.info.run_id
    assert "run" not in options


def test_a_run_that_mlflow_opened_by_itself_is_adopted_and_is_no_parent() -> None:
    mlflow.log_metric("m", 1.0)

    assert "run" in configured()
    assert taken_over(configured("mine", "p")) == {}


@pytest.mark.parametrize(
    "how", [{"run_name": "x"}, {"tags": {"a": "b"}}, {"description": "words"}, {"parent_run_id": ""}]
)
def test_a_run_that_only_the_script_can_have_opened_is_a_parent(here: Store, how: dict[str, Any]) -> None:
    if "parent_run_id" in how:
        how = {"parent_run_id": here.client.create_run("0").info.run_id}
    mlflow.start_run(**how)

    assert "parent" in configured("mine", "p")


def test_a_kept_run_is_a_parent_and_a_bare_one_cannot_be_told_from_mlflows_own() -> None:
    mlflow.start_run()
    assert "parent" not in configured("mine", "p")

    kept = mlflow.active_run()
    assert kept is not None
    assert configured("mine", "p")["parent"] == kept.info.run_id


def test_a_run_that_was_opened_for_this_process_is_adopted() -> None:
    handed = {"MLFLOW_RUN_ID": "0" * 32}

    assert taken_over(configured(environ=handed)) == {"run": "0" * 32, "name": ""}
    assert taken_over(configured("mine", "p", environ=handed)) == {}


def test_a_run_of_our_own_on_the_stack_is_not_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow.start_run() as ours:
        monkeypatch.setattr(told, "made", {ours.info.run_id})
        options = configured()

    assert "run" not in options


def test_an_adopted_run_gets_our_tags_once_and_keeps_its_name_and_end(here: Store) -> None:
    run = here.client.create_run("0", run_name="theirs", tags={"team": "before"})
    here.options["run"] = run.info.run_id

    writer = here.open()
    here.client.set_tag(here.id, "team", "later")
    again = here.open()
    again.write([RunFinished(RUN.time, "FAILED")])
    writer.close()

    found = here.run
    assert here.id == run.info.run_id
    assert (found.info.run_name, found.info.status) == ("theirs", "RUNNING")
    tags = found.data.tags
    assert tags["tracelet.uid"] == RUN.run_id
    assert (tags["team"], tags["mlflow.note.content"]) == ("later", "what it is")
    assert len(here.runs()) == 1


def test_a_child_is_made_in_its_experiment_below_its_parent(here: Store) -> None:
    chosen = here.client.create_experiment("by id")
    here.options.update(experiment_id=chosen, parent="1" * 32)

    here.open()

    assert here.run.info.experiment_id == chosen
    assert here.run.data.tags["mlflow.parentRunId"] == "1" * 32


def test_a_deleted_or_missing_run_or_experiment_is_refused(here: Store) -> None:
    run = here.client.create_run("0").info.run_id
    here.client.delete_run(run)

    for options in ({"run": run}, {"run": "2" * 32}, {"experiment_id": "99"}):
        store = Store(here.file.parent)
        store.options.update(options)
        with pytest.raises(Refused):
            store.open()
