"""The emulator of ClearML: its unmodified client works with it, and it errs as the server does."""

import json
import math
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.emulators.clearml import ClearML
from tests.emulators.serving import Answer, Request

SCRIPTS: Final = Path(__file__).parent / "clearml"
SCALAR: Final = "training_stats_scalar"
LATE: Final = 120.0  # seconds that a client may take


@pytest.fixture
def server() -> Iterator[ClearML]:
    server = ClearML()
    server.start()
    yield server
    server.close()
    assert server.errors == []
    assert server.unknown == []


def begin(server: ClearML, home: Path, *command: str, **more: str) -> "subprocess.Popen[str]":
    """Start ClearML's client in a process of its own."""
    home.mkdir(exist_ok=True)
    environ = {**os.environ, "HOME": str(home), "CI": "1", **server.environment(home), **more}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *command], env=environ, cwd=home, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def ended(process: "subprocess.Popen[str]") -> str:
    """Wait for a process, or kill it; return all that it has said."""
    with process:
        try:
            return process.communicate(timeout=LATE)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"it did not end: {process.args}\n{process.communicate()[0]}")


def said(process: "subprocess.Popen[str]") -> str:
    """Wait for a process, and return what it says at its end."""
    output = ended(process)
    assert process.returncode == 0, output
    return output.rpartition("\nSAID ")[2].strip()


def asked(server: ClearML, name: str, /, **body: Any) -> Answer:
    """Make a call, without a client."""
    content = json.dumps(body).encode()
    return server.answer(Request("POST", f"/{name}", {}, {"authorization": "Bearer token"}, content))


def told(server: ClearML, name: str, /, **body: Any) -> Any:
    """Make a call that succeeds; return its data."""
    answer = asked(server, name, **body)
    assert answer.status == 200, answer.body["meta"]
    return answer.body["data"]


def refused(server: ClearML, name: str, /, **body: Any) -> str:
    """Make a call that fails; return its codes and what it says."""
    meta = asked(server, name, **body).body["meta"]
    return f"{meta['result_code']}/{meta['result_subcode']}: {meta['result_msg']}"


def begun(server: ClearML) -> str:
    """Make a task that runs."""
    task = told(server, "tasks.create", name="a run", type="training")["id"]
    told(server, "tasks.started", task=task)
    return task


def point(task: str, iteration: int, value: object, **more: object) -> dict[str, Any]:
    place = {"type": SCALAR, "task": task, "metric": "train", "variant": "loss"}
    return {**place, "iter": iteration, "value": value, "timestamp": 1_700_000_000_000 + iteration, **more}


def added(server: ClearML, *events: Mapping[str, Any]) -> Answer:
    """Send a batch, as lines."""
    content = "\n".join(json.dumps(event) for event in events).encode()
    return server.answer(Request("POST", "/events.add_batch", {}, {"authorization": "Bearer token"}, content))


@pytest.mark.live
@pytest.mark.slow
def test_what_the_client_reports_and_what_it_imports_from_an_offline_session_read_the_same(
    server: ClearML, tmp_path: Path
) -> None:
    script = str(SCRIPTS / "reported.py")
    homes = [tmp_path / "online", tmp_path / "offline"]
    # At once, because a client waits for ten seconds when it closes.
    with (
        begin(server, homes[0], script) as online,
        begin(server, homes[1], script, CLEARML_OFFLINE_MODE="1") as offline,
    ):
        task, archive = said(online), said(offline)
    assert list(server.tasks.by_id) == [task]

    said(begin(server, tmp_path / "import", "-m", "clearml.cli.task", "--import-offline-session", archive))
    [imported] = set(server.tasks.by_id) - {task}
    found = json.loads(said(begin(server, tmp_path / "read", str(SCRIPTS / "read.py"), task, imported)))

    first, second = found[task], found[imported]
    assert first["scalars"]["train"]["loss"]["y"] == [1 / (step + 1) for step in range(50)]
    assert len(first["sampled"]["train"]["loss"]["y"]) == 10
    assert first["single"] == {"best": 0.25}
    assert first["parameters"]["hparams/net/layers"] == 3
    assert first["plots"] == {"table 1": 1, "histogram 1": 1}
    assert set(first["samples"]) == {"picture 3", "sound 1"}
    assert set(first["artifacts"]) == {"numbers", "file"}
    assert set(first["models"]) == {"a model"}
    assert first["status"] == "completed"
    assert all("a line of the log" in one.pop("log") for one in found.values())
    assert second | {"models": first["models"]} == first


@pytest.mark.live
def test_the_client_needs_its_key_gets_over_faults_and_sends_nothing_twice(
    server: ClearML, tmp_path: Path
) -> None:
    task = begun(server)
    server.fail("cut", '"metric": "cut"', times=1)
    server.fail("rate_limit", '"metric": "limited"', times=1, seconds=1)
    server.fail("unauthorized", '"metric": "token"', times=1)
    server.fail("error", '"metric": "error"', times=1)
    names = ("cut", "limited", "token", "error")

    found = json.loads(said(begin(server, tmp_path / "home", str(SCRIPTS / "sent.py"), task, *names)))

    assert "failed to locate provided credentials" in found.pop("wrong")
    assert found == {"cut": 200, "limited": 200, "token": 200, "error": 500}
    assert [event["metric"] for event in server.events.of(task, SCALAR)] == ["cut", "limited", "token"]
    assert len(server.seen('"metric": "cut"')) == 2


def test_a_point_that_comes_again_takes_the_place_of_the_first(server: ClearML) -> None:
    task = begun(server)

    added(server, point(task, 1, 0.5), point(task, 2, 0.25))
    added(server, point(task, 1, 0.75, timestamp=1), {"type": "log", "task": task, "msg": "a"})
    added(server, {"type": "log", "task": task, "msg": "a"})

    assert [(one["iter"], one["value"]) for one in server.events.of(task, SCALAR)] == [(1, 0.75), (2, 0.25)]
    assert len(server.events.of(task, "log")) == 2
    assert server.tasks.by_id[task]["last_iteration"] == 2


def test_of_a_batch_the_good_events_are_kept_and_a_text_for_a_value_spoils_it_all(server: ClearML) -> None:
    task = begun(server)
    bad = [{"type": "nothing", "task": task}, point("no task", 1, 1.0), point(task, 1, math.nan)]

    partly = added(server, point(task, 3, 0.5), *bad).body["data"]
    wholly = added(server, *bad)
    spoilt = added(server, point(task, 4, 0.5), point(task, 5, "high"))

    assert (partly["added"], partly["errors"]) == (1, 3)
    assert (wholly.status, spoilt.status) == (400, 500)
    assert [one["iter"] for one in server.events.of(task, SCALAR)] == [3]


def test_a_published_task_is_locked(server: ClearML) -> None:
    task = begun(server)
    told(server, "tasks.publish", task=task, force=True)

    assert added(server, point(task, 1, 0.5)).status == 400
    assert added(server, point(task, 1, 0.5, allow_locked=True)).status == 200


def test_names_are_three_characters_long(server: ClearML) -> None:
    assert refused(server, "tasks.create", name="ab", type="training").startswith("400/12: Validation error")
    assert refused(server, "projects.create", name="ab").startswith("400/12: Validation error")
    assert refused(server, "tasks.get_by_id", task="none").startswith("400/101: Invalid task id")


def test_a_status_follows_only_some_others_and_locks_what_was_said(server: ClearML) -> None:
    task = begun(server)
    lr = {"section": "General", "name": "lr", "value": "0.1"}

    assert refused(server, "tasks.started", task=task).startswith("400/110")
    assert refused(server, "tasks.edit_hyper_params", task=task, hyperparams=[lr]).startswith("400/110")
    told(server, "tasks.edit_hyper_params", task=task, hyperparams=[lr], force=True)
    number = lr | {"value": 0.1}
    assert refused(server, "tasks.edit_hyper_params", task=task, hyperparams=[number]).startswith("400/12")
    told(server, "tasks.completed", task=task)
    ended = refused(server, "tasks.edit_hyper_params", task=task, hyperparams=[lr], force=True)
    told(server, "tasks.edit_hyper_params", task=task, hyperparams=[lr | {"section": "properties"}])
    told(server, "tasks.update", task=task, tags=["late"])

    assert ended.startswith("400/110")
    assert server.tasks.by_id[task]["tags"] == ["late"]


def test_only_a_scroll_gives_the_whole_history(server: ClearML) -> None:
    task = begun(server)
    added(server, *(point(task, number, number) for number in range(10_500)))

    curve = told(server, "events.scalar_metrics_iter_histogram", task=task)["train"]["loss"]
    pages: list[Any] = [
        told(server, "events.get_task_events", task=task, event_type=SCALAR, batch_size=10_000)
    ]
    while pages[-1]["returned"]:
        scroll = pages[-1]["scroll_id"]
        pages.append(told(server, "events.get_task_events", task=task, event_type=SCALAR, scroll_id=scroll))

    assert len(curve["y"]) <= 2000
    assert [page["total"] for page in pages] == [10_000] * 3
    assert [one["iter"] for page in pages for one in page["events"]] == [*range(10_500)]
    too_many = refused(server, "events.get_task_events", task=task, event_type=SCALAR, batch_size=10_001)
    assert too_many.startswith("400/12")


def test_tasks_are_found_by_their_fields_a_page_at_a_time(server: ClearML) -> None:
    project = told(server, "projects.create", name="group/a project")["id"]
    for number in range(5):
        tags = ["even" if number % 2 == 0 else "odd"]
        told(server, "tasks.create", name=f"run {number}", type="training", project=project, tags=tags)

    def names(**query: object) -> list[str]:
        return [task["name"] for task in told(server, "tasks.get_all_ex", **query)["tasks"]]

    assert names(project=[project], order_by=["-name"], page=1, page_size=2) == ["run 2", "run 1"]
    assert names(tags=["odd"]) == ["run 1", "run 3"]
    assert names(tags=["-odd"], name="^run [0-3]$") == ["run 0", "run 2"]
    assert names(status=["in_progress"]) == []
    [first] = told(server, "tasks.get_all_ex", name="run 0", only_fields=["project.name"])["tasks"]
    assert first == {"id": first["id"], "project": {"name": "group/a project"}}
    assert [one["name"] for one in told(server, "projects.get_all")["projects"]] == [
        "group",
        "group/a project",
    ]


@pytest.mark.live
def test_the_command_serves_and_keeps_its_state(tmp_path: Path) -> None:
    before = ClearML(directory=tmp_path)
    port, task = before.port, begun(before)
    before.files["a/b.txt"] = b"text"
    before.close()
    command = ["-m", "tests.emulators.clearml", "--port", str(port), "--directory", str(tmp_path)]

    with subprocess.Popen(
        [sys.executable, *command], cwd=SCRIPTS.parents[2], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[0]
        with urllib.request.urlopen(f"{url}/a/b.txt") as answer:  # noqa: S310  of the emulator
            content = answer.read()
        process.terminate()
    after = ClearML(directory=tmp_path)
    after.close()

    assert (process.returncode, content) == (0, b"text")
    assert after.tasks.by_id[task]["status"] == "in_progress"
