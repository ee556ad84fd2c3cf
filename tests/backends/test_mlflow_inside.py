"""MLflow's own calls in the training process, as `attach` leads them: the client and its store are real."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service import utils

from tests.backends.conftest import WARNINGS, Store
from tracelet.backends.mlflow.inside import attach

pytestmark = [pytest.mark.slow, *WARNINGS]

STACK: Final = "_active_run_stack"
CLIENT: Final = "MlflowClient"


class Live:
    """A live run whose id is known, and which counts how often it was asked for."""

    online = True

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.asked = 0

    def restored(self, uri: str) -> str:
        return uri

    def remote(self) -> str:
        self.asked += 1
        return self.run_id

    def when_imported(self, module: str, then: Callable[[ModuleType], None]) -> None:
        assert module == "mlflow.tracking.fluent"
        then(fluent)


@pytest.fixture(autouse=True)
def clean(untold: None) -> Iterator[None]:  # noqa: ARG001  it cleans up after this has looked
    yield

    assert type(fluent._active_run_stack).__name__ == "ThreadLocalVariable"


@pytest.fixture
def live(store: Store) -> Live:
    store.open()
    return Live(store.id)


@pytest.fixture
def attached(store: Store, live: Live) -> Iterator[Live]:
    detach = attach(store.options, live)
    yield live
    detach()


def metrics(store: Store, run_id: str) -> dict[str, float]:
    return dict(store.client.get_run(run_id).data.metrics)


def elsewhere(function: Callable[[], Any]) -> Any:
    """Call a function on a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_call_on_any_thread_lands_on_the_run(store: Store, attached: Live) -> None:
    mlflow.log_metric("here", 1.0)
    elsewhere(lambda: mlflow.log_metric("there", 2.0))

    assert metrics(store, store.id) == {"here": 1.0, "there": 2.0}
    assert mlflow.active_run().info.run_id == store.id  # pyright: ignore[reportOptionalMemberAccess]
    assert attached.asked == 1
    assert len(store.runs()) == 1


def test_what_is_put_back_is_the_very_same(store: Store, live: Live) -> None:
    before = (fluent._active_run_stack, getattr(fluent, CLIENT), utils._tracking_uri)
    registry = dict(vars(utils._tracking_store_registry))

    detach = attach(store.options, live)
    assert mlflow.get_tracking_uri() == store.uri
    mlflow.log_metric("m", 1.0)
    waiting, go_on = threading.Event(), threading.Event()
    other = threading.Thread(
        target=lambda: (mlflow.log_metric("n", 1.0), waiting.set(), go_on.wait(60), mlflow.end_run())
    )
    other.start()
    assert waiting.wait(60)
    detach()
    go_on.set()
    other.join()

    after = (fluent._active_run_stack, getattr(fluent, CLIENT), utils._tracking_uri)
    assert all(one is another for one, another in zip(before, after, strict=True))
    assert dict(vars(utils._tracking_store_registry)) == registry
    assert mlflow.active_run() is None
    assert store.run.info.status == "RUNNING"
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.usefixtures("attached")
def test_the_first_start_run_is_given_the_run_and_does_not_end_it(store: Store) -> None:
    mlflow.log_metric("before", 1.0)
    with mlflow.start_run(run_name="ignored", tags={"by": "hand"}, description="words") as run:
        mlflow.log_metric("inside", 1.0)
    mlflow.log_metric("after", 1.0)
    mlflow.end_run()

    assert run.info.run_id == store.id
    assert metrics(store, store.id).keys() == {"before", "inside", "after"}
    kept = store.run
    assert (kept.info.run_name, kept.info.status) == ("a name", "RUNNING")
    assert kept.data.tags["by"] == "hand"
    assert kept.data.tags["mlflow.note.content"] == "words"
    assert len(store.runs()) == 1


@pytest.mark.usefixtures("attached")
def test_a_run_that_fails_inside_with_is_not_ended_either(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run():
        mlflow.log_metric("inside", 1 / 0)

    assert store.run.info.status == "RUNNING"


@pytest.mark.usefixtures("attached")
def test_the_second_start_run_makes_a_run_of_its_own(store: Store) -> None:
    with mlflow.start_run():
        pass
    mlflow.log_metric("between", 1.0)
    with mlflow.start_run(run_name="mine") as mine:
        mlflow.log_metric("mine", 1.0)

    own = store.client.get_run(mine.info.run_id)
    assert own.info.run_id != store.id
    assert (own.info.run_name, own.info.status) == ("mine", "FINISHED")
    assert own.info.experiment_id == store.run.info.experiment_id
    assert "mlflow.parentRunId" not in own.data.tags
    assert metrics(store, store.id) == {"between": 1.0}


@pytest.mark.usefixtures("attached")
def test_a_nested_run_is_a_child(store: Store) -> None:
    with mlflow.start_run(nested=True) as child:
        mlflow.log_metric("child", 1.0)
    mlflow.log_metric("ours", 1.0)

    found = store.client.get_run(child.info.run_id)
    assert found.data.tags["mlflow.parentRunId"] == store.id
    assert found.info.status == "FINISHED"
    assert found.info.experiment_id == store.run.info.experiment_id
    assert (metrics(store, child.info.run_id), metrics(store, store.id)) == ({"child": 1.0}, {"ours": 1.0})


@pytest.mark.usefixtures("attached")
def test_a_started_run_refuses_another_as_mlflow_alone_does() -> None:
    with mlflow.start_run(), pytest.raises(Exception, match="already active"):
        mlflow.start_run()


@pytest.mark.usefixtures("attached")
def test_runs_that_are_asked_for_by_id_or_experiment_are_those(store: Store) -> None:
    other = store.client.create_experiment("another")
    there = store.client.create_run(other)

    with mlflow.start_run(run_id=there.info.run_id) as resumed:
        pass
    with mlflow.start_run(experiment_id=other) as new:
        pass
    with mlflow.start_run() as ours:
        pass

    assert resumed.info.run_id == there.info.run_id
    assert new.info.experiment_id == other
    assert ours.info.run_id == store.id


def test_a_run_that_was_open_before_is_beneath_and_can_be_ended(store: Store, live: Live) -> None:
    mlflow.set_tracking_uri(store.uri)
    with mlflow.start_run(run_name="outer") as outer:
        detach = attach(store.options, live)
        mlflow.log_metric("inside", 1.0)
        elsewhere(lambda: mlflow.log_metric("thread", 1.0))
    mlflow.log_metric("after", 1.0)
    detach()

    assert metrics(store, store.id).keys() == {"inside", "thread", "after"}
    assert store.client.get_run(outer.info.run_id).info.status == "FINISHED"
    assert store.run.info.status == "RUNNING"


@pytest.mark.usefixtures("attached")
def test_a_run_that_the_script_opened_since_is_left_alone(store: Store) -> None:
    mlflow.log_metric("ours", 1.0)
    mlflow.start_run()
    mlflow.end_run()
    with mlflow.start_run() as mine:
        mlflow.log_metric("mine", 1.0)
        assert mlflow.active_run().info.run_id == mine.info.run_id  # pyright: ignore[reportOptionalMemberAccess]

    assert metrics(store, store.id) == {"ours": 1.0}
    assert metrics(store, mine.info.run_id) == {"mine": 1.0}


def test_an_adopted_run_is_the_scripts_to_end(store: Store, live: Live) -> None:
    mlflow.set_tracking_uri(store.uri)
    with mlflow.start_run() as mine:
        detach = attach({**store.options, "run": mine.info.run_id}, live)
        mlflow.log_metric("here", 1.0)
        elsewhere(lambda: mlflow.log_metric("there", 1.0))
    assert store.client.get_run(mine.info.run_id).info.status == "FINISHED"
    with mlflow.start_run() as other:
        pass
    detach()

    assert live.asked == 0
    assert metrics(store, mine.info.run_id) == {"here": 1.0, "there": 1.0}
    assert other.info.run_id not in {mine.info.run_id, store.id}


def test_a_run_that_does_not_come_leaves_mlflow_alone(
    store: Store, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.run_id = ""
    detach = attach(store.options, live)
    assert mlflow.get_tracking_uri() == store.uri

    assert mlflow.active_run() is None
    assert mlflow.active_run() is None
    assert utils._tracking_uri is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    with mlflow.start_run() as mine:
        pass
    detach()

    assert live.asked == 1
    assert store.client.get_run(mine.info.run_id).info.status == "FINISHED"


def test_a_store_that_does_not_answer_raises_as_mlflow_does(
    store: Store, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    detach = attach({**store.options, "tracking_uri": "http://127.0.0.1:9"}, live)

    assert mlflow.active_run() is None
    with pytest.raises(MlflowException, match="Connection refused"):
        mlflow.log_metric("m", 1.0)

    detach()


@pytest.mark.usefixtures("attached")
def test_a_script_that_goes_to_another_store_goes_there(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow.log_metric("ours", 1.0)
    other = f"sqlite:///{tmp_path}/other/../mlflow-2.db"
    mlflow.set_tracking_uri(other)

    assert mlflow.active_run() is None
    assert mlflow.active_run() is None
    (message,) = [record.getMessage() for record in caplog.records if record.name == "tracelet"]
    assert message.startswith(f"MLflow's tracking URI is {other}, and the run is in {store.uri}")

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/./mlflow.db")  # the same again, written in another way
    mlflow.log_metric("ours again", 1.0)
    assert metrics(store, store.id).keys() == {"ours", "ours again"}


def test_a_uri_that_the_script_sets_stays_also_if_it_is_the_same(store: Store, live: Live) -> None:
    detach = attach(store.options, live)
    mlflow.set_tracking_uri(store.uri)
    detach()

    assert mlflow.get_tracking_uri() == store.uri
    assert os.environ["MLFLOW_TRACKING_URI"] == store.uri


def test_an_experiment_that_the_script_sets_keeps_its_store(store: Store, live: Live) -> None:
    detach = attach(store.options, live)
    chosen = mlflow.set_experiment("chosen here")
    with mlflow.start_run() as ours:
        pass
    detach()

    with mlflow.start_run() as later:
        pass
    assert ours.info.run_id == store.id
    assert later.info.experiment_id == chosen.experiment_id
    assert store.client.get_run(later.info.run_id).info.status == "FINISHED"


def test_an_offline_run_says_so_only_when_mlflow_is_called(store: Store, live: Live) -> None:
    live.online, live.run_id = False, ""
    detach = attach(store.options, live)
    assert utils._tracking_uri is None
    assert live.asked == 0

    assert mlflow.active_run() is None
    assert mlflow.active_run() is None
    detach()

    assert live.asked == 1


def test_a_database_that_the_relay_is_making_is_waited_for(store: Store, live: Live) -> None:
    kept = store.file.with_suffix(".kept")
    store.file.rename(kept)
    come: list[bool] = []

    def remote() -> str:
        come.append(True)
        kept.rename(store.file)
        return store.id

    live.remote = remote
    detach = attach(store.options, live)
    utils._tracking_store_registry._get_store_with_resolved_uri.cache_clear()  # or it is known already

    mlflow.set_experiment("first thing")
    detach()

    assert come == [True]
    assert store.client.get_experiment_by_name("first thing") is not None


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent(store: Store, live: Live) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def remote() -> str:
        entered.set()
        assert go_on.wait(60)
        return store.id

    live.remote = remote
    detach = attach(store.options, live)
    waiting = threading.Thread(target=mlflow.active_run)
    waiting.start()
    assert entered.wait(60)
    child = os.fork()
    if child == 0:
        live.remote = lambda: store.id
        found = mlflow.active_run()
        os._exit(0 if found is not None and found.info.run_id == store.id else 1)
    go_on.set()
    waiting.join()
    _, status = os.waitpid(child, 0)
    detach()

    assert os.waitstatus_to_exitcode(status) == 0


def test_a_version_that_is_not_known_is_left_alone(
    store: Store, live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stack = fluent._active_run_stack
    with monkeypatch.context() as patched:
        patched.setattr(fluent, STACK, [])
        attach(store.options, live)()
        assert fluent._active_run_stack == []

    assert "this version of MLflow is not known" in caplog.text
    assert fluent._active_run_stack is stack
