"""Runs of W&B's own users are read from a server, whole, and nothing is asked or left behind."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import wandbs
from tests.cli.inside import inside
from tests.emulators.serving import Answer, EmulatedServer, Request
from tests.emulators.wandb import WandbServer
from tracelet import backends
from tracelet.backends.wandb import server as served
from tracelet.errors import ConfigError, Refused, Unavailable
from tracelet.events import Metric, RunStarted

# A run whose steps are far apart, but for some; and one that goes on.
SPARSE = """
    import wandb

    run = wandb.init(project="sparse", name="far apart", id="far", mode="online")
    for step in (*range(300), *range(10_000_000, 2_000_000_000, 90_000_000)):
        run.log({"loss": float(step)}, step=step)
    run.finish()
"""


class EmulatedPages(EmulatedServer):
    """A server of something else."""

    def answer(self, request: Request) -> Answer:
        return Answer(b"<!DOCTYPE html><html><title>Welcome</title></html>", 404 if request.query else 200)


@pytest.fixture(scope="module")
def emulator() -> Iterator[WandbServer]:
    emulator = WandbServer()
    emulator.start()
    yield emulator
    emulator.close()


@pytest.fixture
def place(emulator: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log in; return an empty directory, which is the home too."""
    for name, text in emulator.environment.items():
        monkeypatch.setenv(name, text)
    place = tmp_path / "somebody"
    place.mkdir()
    return place


@pytest.mark.slow
def test_a_run_comes_back_as_the_script_has_logged_it(
    emulator: WandbServer, place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wandbs.train(place, **emulator.environment)
    before = sorted(place.rglob("*"))
    capfd.readouterr()
    reader = backends.reader("wandb:vision")

    (summary,) = reader.runs("vision")
    events = wandbs.check(reader, summary.id, tmp_path / "back")
    reader.close()

    assert summary.id == f"tester/vision/{wandbs.RUN}"
    assert (summary.name, summary.project, summary.status) == ("baseline", "vision", "FAILED")
    machine = [event for event in events if isinstance(event, Metric) and event.name == "system/cpu"]
    assert machine
    assert [one.step for one in machine] == [None] * len(machine)
    assert not emulator.errors
    assert capfd.readouterr() == ("", "")  # nothing is printed, and nothing asked
    assert sorted(place.rglob("*")) == before  # no cache, no log
    assert not [*Path.cwd().rglob("vision")]  # nor the client's directory of the run


def test_a_run_with_steps_far_apart_is_read_in_few_questions(
    emulator: WandbServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "_CAPPED", 200)  # so that the page of 300 rows is asked for in parts
    wandbs.train(place, SPARSE, **emulator.environment)
    reader = backends.reader(f"wandb:{emulator.url}/tester/sparse")
    before = len(emulator.seen("graphql"))

    found = [one.step for one in reader.events("tester/sparse/far") if isinstance(one, Metric) and one.step]
    asked = len(emulator.seen("graphql")) - before
    listed = inside("ls", "--from", "wandb:tester/sparse")
    shown = inside("show", "far apart", "--from", "wandb:tester/sparse", "--json")

    assert found == [*range(1, 300), *range(10_000_000, 2_000_000_000, 90_000_000)]
    assert asked < 150
    assert ("far apart" in listed.out, shown.json["status"]) == (True, "FINISHED")


def test_without_a_key_it_is_said_how_to_get_one(
    emulator: WandbServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(place))

    with pytest.raises(
        Refused, match=r"no API key for http://127\.0\.0\.1:\d+: run `wandb login`, or set WANDB_"
    ):
        list(backends.reader(f"wandb:{emulator.url}/tester/vision").runs(None))


@pytest.mark.usefixtures("place")
def test_a_server_that_lets_nobody_in_refuses(emulator: WandbServer) -> None:
    reader = backends.reader(f"wandb:{emulator.url}/tester/vision")

    with (
        emulator.failing("unauthorized"),
        pytest.raises(Refused, match=r"refuses the API key.*WANDB_API_KEY"),
    ):
        list(reader.runs(None))


@pytest.mark.usefixtures("place")
def test_a_project_that_is_not_there_and_another_key_are_told(
    emulator: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match=r"no project tester/nope.*`tracelet ls --from wandb:tester/`"):
        list(backends.reader(f"wandb:{emulator.url}/tester/nope").runs(None))
    monkeypatch.setenv("WANDB_API_KEY", "b2" * 20)

    with pytest.raises(Refused, match=r"refuses the API key.*WANDB_API_KEY"):
        list(backends.reader(f"wandb:{emulator.url}/tester/nope").runs(None))


@pytest.mark.usefixtures("place")
def test_what_answers_with_a_page_is_no_server_of_wandbs(tmp_path: Path) -> None:
    with contextlib.closing(EmulatedPages()) as pages:
        pages.start()
        writer = backends.load("wandb").writer
        assert writer is not None
        options = {"mode": "online", "base_url": pages.url, "entity": "tester"}
        with pytest.raises(Unavailable, match="is no W&B server"):
            list(backends.reader(f"wandb:{pages.url}/tester/vision").runs(None))
        with pytest.raises(Unavailable, match="is no W&B server"):
            writer(options, tmp_path.joinpath).open(RunStarted(time=1.0, run_id="a1", name="n", project="p"))


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("run", ["tester/vision/nobody", "nobody", "a/b/c/d"])
def test_a_run_that_is_not_there_is_refused(emulator: WandbServer, run: str) -> None:
    reader = backends.reader(f"wandb:{emulator.url}/tester/nothing")

    with pytest.raises(Refused, match=r"nobody|no run"):
        list(reader.events(run))


def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", wandbs.KEY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(Unavailable, match=r"cannot be reached.*refused"):
        list(backends.reader(f"wandb:http://127.0.0.1:{port}/somebody/vision").runs(None))


def test_a_source_is_a_project_or_a_page_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "usual")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    monkeypatch.setenv("WANDB_BASE_URL", "http://here:8080")
    here = {"base_url": "http://here:8080", "entity": "team"}

    found = {
        text: backends.source(f"wandb:{text}")[1]
        for text in (
            "", "vision", "they/vision", "they/", "https://wandb.ai/they/vision/runs/abc", "http://x:1/they/vision",
        )
    }  # fmt: skip

    assert found == {
        "": {**here, "project": "usual"},
        "vision": {**here, "project": "vision"},
        "they/vision": {**here, "entity": "they", "project": "vision"},
        "they/": {**here, "entity": "they", "project": ""},
        "https://wandb.ai/they/vision/runs/abc": {
            "base_url": "https://api.wandb.ai",
            "entity": "they",
            "project": "vision",
        },
        "http://x:1/they/vision": {"base_url": "http://x:1", "entity": "they", "project": "vision"},
    }


@pytest.mark.parametrize("text", ["./nowhere", "/no/where", "no where.wandb", "a/b/c", "what?"])
def test_what_is_no_source_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="wandb: takes"):
        backends.source(f"wandb:{text}")
