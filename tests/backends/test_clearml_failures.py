"""What ClearML, or its server, will not do: what is refused, what is rejected, and what waits."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.backends.clearmls import serving
from tests.emulators.clearml import ClearML
from tests.emulators.serving import Answer, EmulatedServer, Request
from tracelet import backends
from tracelet.backend import Configuration, Reader
from tracelet.backends.clearml.session import beside
from tracelet.errors import ConfigError, Refused, Rejected, Unavailable
from tracelet.events import Artifact, Event, Metric, Params
from tracelet.testing.contract.scene import BEGAN, Scene, points
from tracelet.testing.proxy import FaultProxy, free_port

BACKEND: Final = backends.load("clearml")
SCALAR: Final = "training_stats_scalar"


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearML]:
    with serving(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def reader(emulator: ClearML) -> Iterator[Reader]:
    assert emulator.running
    assert BACKEND.reader is not None
    made = BACKEND.reader({})
    yield made
    made.close()


@pytest.fixture
def scene(emulator: ClearML, reader: Reader, tmp_path: Path) -> Scene:
    assert emulator.running
    return Scene(
        place=tmp_path,
        backend=BACKEND,
        load="clearml",
        options={},
        project="a project",
        reader=lambda: reader,
    )


def test_without_credentials_the_journal_waits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEARML_API_ACCESS_KEY")
    run = scene.run(*points("loss", range(3))).finish()

    with pytest.raises(Refused, match=r"clearml-init.*CLEARML_API_ACCESS_KEY.*tracelet sync"):
        run.deliver()
    monkeypatch.setenv("CLEARML_API_ACCESS_KEY", "access")
    run.deliver()

    assert run.problems() == []


def test_wrong_credentials_are_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARML_API_SECRET_KEY", "wrong")
    run = scene.run()

    with pytest.raises(Refused, match="does not take these credentials"):
        scene.writer(run).open(run.started)


def test_an_address_that_is_not_the_apis_is_refused(scene: Scene, emulator: ClearML) -> None:
    scene.options = {"api_host": f"{emulator.url}/pages"}
    run = scene.run()

    with pytest.raises(Refused, match="is not ClearML's API server, whose port usually is 8008"):
        scene.writer(run).open(run.started)


def test_an_address_that_sends_elsewhere_is_refused(scene: Scene) -> None:
    class Elsewhere(EmulatedServer):
        def answer(self, request: Request) -> Answer:
            return Answer(b"", 301, {"Location": f"https://secure.test{request.path}"})

    elsewhere = Elsewhere()
    elsewhere.start()
    scene.options = {"api_host": elsewhere.url}
    run = scene.run()

    with pytest.raises(Refused, match=r"it sends to https://secure\.test/auth\.login; give that address"):
        scene.writer(run).open(run.started)
    elsewhere.close()


def test_a_published_task_is_refused_when_it_is_opened(scene: Scene, emulator: ClearML) -> None:
    run = scene.run(*points("loss", range(3)))
    run.deliver()
    emulator.tasks.by_id[run.remote]["status"] = "published"

    with pytest.raises(Refused, match="unpublish it, then `tracelet sync`"):
        scene.writer(run).open(run.started)


@pytest.mark.parametrize("event", [Metric("loss", 1.0, 9, BEGAN), Params(BEGAN, {"lr": 1})])
def test_a_task_that_is_published_meanwhile_is_refused(scene: Scene, emulator: ClearML, event: Event) -> None:
    run = scene.run()
    writer = scene.writer(run)
    remote = writer.open(run.started)
    emulator.tasks.by_id[remote.id]["status"] = "published"

    with pytest.raises(Refused, match="is published"):
        writer.write([event])
    writer.close()


def test_a_task_that_is_deleted_meanwhile_is_refused(scene: Scene, emulator: ClearML) -> None:
    run = scene.run()
    writer = scene.writer(run)
    emulator.tasks.delete({"task": writer.open(run.started).id, "force": True})

    with pytest.raises(Refused, match="not at ClearML any more"):
        writer.write(points("loss", range(3)))
    writer.close()


def test_a_param_that_the_server_fails_on_is_rejected_alone(scene: Scene, emulator: ClearML) -> None:
    emulator.fail("error", when=lambda request: b"poisonous" in request.body)
    run = scene.run(Params(BEGAN, {"lr": 0.1, "layers": 3}))
    good = [*run.events]
    run.log(Params(BEGAN, {"a poisonous name": 1}))
    run.finish()

    run.deliver()

    run.events = [*good, run.events[-1]]
    assert len(run.rejects) == 1
    assert run.problems() == []


def test_a_bad_moment_of_the_server_costs_nothing(scene: Scene, emulator: ClearML) -> None:
    run = scene.run(Params(BEGAN, {"lr": 0.1}), *points("loss", range(3))).finish()
    emulator.fail("error", "edit_hyper_params", times=1)
    emulator.fail("error", "add_batch", times=1)

    run.deliver()

    assert run.rejects == []
    assert run.problems() == []


def test_a_point_that_the_server_fails_on_is_rejected_alone(scene: Scene, emulator: ClearML) -> None:
    proxy = FaultProxy(emulator.port)
    proxy.poison = b"a poisonous name"
    proxy.mode = "pass"
    scene.options = {"api_host": proxy.uri, "files_host": proxy.uri}
    run = scene.run(*points("loss", range(20)))
    good = [*run.events]
    run.log(Metric("a poisonous name", 1.0, 3, BEGAN))
    run.finish()

    run.deliver()
    proxy.stop()

    run.events = [*good, run.events[-1]]
    assert len(run.rejects) == 1
    assert run.problems() == []


def test_a_server_that_fails_on_everything_is_unavailable(scene: Scene, emulator: ClearML) -> None:
    run = scene.run()
    writer = scene.writer(run)
    writer.open(run.started)
    emulator.fail("error", "events.add_batch")

    with pytest.raises(Rejected):
        writer.write(points("loss", range(2)))
    with pytest.raises(Unavailable):
        writer.write(points("loss", range(1)))
    emulator.heal()
    writer.write(points("loss", range(2)))
    writer.close()

    assert len(emulator.events.of(next(iter(emulator.tasks.by_id)), SCALAR)) == 2


def test_where_a_run_goes_is_chosen_without_the_server(tmp_path: Path) -> None:
    def configured(environ: dict[str, str], **settings: str) -> dict[str, str]:
        return BACKEND.configure(
            Configuration(
                settings=settings, environ=environ, project="", directory=tmp_path, script_directory=tmp_path
            )
        )

    assert configured({}) == {}
    assert configured({}, api_host="http://one:8008/", backend_url="http://two:8008") == {
        "api_host": "http://two:8008"
    }
    assert configured({}, files_host="s3://bucket/place") == {"files_host": "s3://bucket/place"}
    assert configured({"CLEARML_TASK_ID": "the task of an agent"}) == {"parent": "the task of an agent"}
    assert configured({"CLEARML_OFFLINE_MODE": "1", "CLEARML_CACHE_DIR": "/cache"}) == {
        "offline": "/cache/offline"
    }


@pytest.mark.parametrize(
    ("settings", "environ", "said"),
    [
        ({"api_host": "somewhere"}, {}, "clearml_api_host='somewhere' is no address"),
        ({"backend_url": "host:8008"}, {}, "backend_url='host:8008' is no.*Did you mean 'http://host:8008'"),
        ({}, {"CLEARML_API_HOST": "u:secret@host:8008"}, "CLEARML_API_HOST='host:8008' is no address"),
        ({}, {"CLEARML_FILES_HOST": "files"}, "CLEARML_FILES_HOST='files' is no address"),
    ],
)
def test_an_address_that_is_none_is_refused_at_once(
    settings: dict[str, str],
    environ: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    told = Configuration(
        settings=settings, environ=environ, project="", directory=tmp_path, script_directory=tmp_path
    )

    with pytest.raises(ConfigError, match=said):
        BACKEND.configure(told)
    if environ:
        with pytest.raises(ConfigError, match=said):
            backends.reader("clearml:")


def test_a_server_that_is_away_is_told_of_in_a_line(scene: Scene) -> None:
    port = free_port()
    scene.options = {"api_host": f"http://127.0.0.1:{port}"}
    run = scene.run()

    with pytest.raises(Unavailable) as raised:
        scene.writer(run).open(run.started)

    assert str(raised.value) == f"no ClearML server answers at 127.0.0.1:{port}: Connection refused"


def test_a_file_server_gets_the_credentials_of_its_address_and_nobody_else_does(
    scene: Scene, emulator: ClearML, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Guarded(EmulatedServer):
        def answer(self, request: Request) -> Answer:
            asked.append(request.headers.get("authorization", ""))
            return emulator.answer(request) if asked[-1] == wanted else Answer(b"who are you?", 401)

    asked: list[str] = []
    wanted = f"Basic {base64.b64encode(b'us er:p@ss').decode()}"
    guarded = Guarded()
    guarded.start()
    monkeypatch.setenv("CLEARML_FILES_HOST", guarded.url.replace("://", "://us%20er:p%40ss@") + "/")
    run = scene.run()
    run.log(run.keep(Artifact(time=BEGAN, path="notes/a.txt", size=0), b"a note"))
    run.finish()

    run.deliver()
    scene.reader().download(run.remote, "notes/a.txt", tmp_path / "back")
    guarded.close()

    assert (tmp_path / "back").read_bytes() == b"a note"
    assert set(asked) == {wanted}
    said = [
        repr(emulator.tasks.by_id),
        *(path.read_text("latin-1") for path in run.directory.rglob("*") if path.is_file()),
    ]
    assert [text for text in said if "p@ss" in text or "p%40ss" in text] == []


def test_the_other_servers_are_beside_the_api() -> None:
    places = ("http://host:8008", "https://api.clear.ml", "http://somewhere:9999")

    assert [beside(place, "web") for place in places] == ["http://host:8080", "https://app.clear.ml", ""]
    assert [beside(place, "files") for place in places] == ["http://host:8081", "https://files.clear.ml", ""]
