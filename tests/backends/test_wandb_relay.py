"""What a relay to W&B leaves behind when it is killed, and how it goes on when the server was away."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from PIL import Image as Pillow

from tests.conftest import eventually
from tests.emulators.wandb import WandbServer
from tracelet import backends
from tracelet.backend import Options
from tracelet.errors import Unavailable
from tracelet.events import Image, Metric, Payload
from tracelet.relay.delivery import Delivery
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.scene import BEGAN, Run, Scene

ROWS: Final = 12
LOGIN: Final = "me:s3cret"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server often, and begin anew early, with a client that is nobody else's."""
    monkeypatch.setattr("tracelet.backends.wandb.session._OURS", True)
    monkeypatch.setattr("tracelet.backends.wandb.confirming.POLL", 0.02)
    monkeypatch.setattr("tracelet.backends.wandb.confirming.SETTLES", 0.3)
    monkeypatch.setattr("tracelet.backends.wandb.writer.FLUSH", 0.1)


@pytest.fixture(scope="module")
def emulator() -> Iterator[WandbServer]:
    emulator = WandbServer()
    emulator.start()
    yield emulator
    emulator.close()


def picture(at: int) -> bytes:
    """Make a PNG that no other row has."""
    kept = io.BytesIO()
    Pillow.new("RGB", (8, 8), (at, 2 * at, 255 - at)).save(kept, "PNG")
    return kept.getvalue()


def with_pictures(scene: Scene) -> Run:
    """Log rows of a number and a picture."""
    run = scene.run()
    for at in range(ROWS):
        shown = Image(time=BEGAN + at, name="shown", step=at, data=Payload("", 0, format="png"))
        run.log(Metric("loss", at / 3, at, BEGAN + at), run.keep(shown, picture(at)))
    return run.finish()


def kill(relay: "subprocess.Popen[bytes]") -> None:
    """Kill a relay, and the process of W&B's client that would go on without it."""
    for process in (psutil.Process(relay.pid), *psutil.Process(relay.pid).children(recursive=True)):
        process.kill()
    relay.wait(30.0)


def named(place: Path, pid: int) -> list[str]:
    """List what is in a directory and bears the number of a process."""
    return [one.name for one in place.iterdir() if f"-{pid}-" in one.name]


class TestRelay(Contract):
    backend = backends.load("wandb")

    @pytest.fixture
    def options(self, emulator: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Options:
        for name, text in emulator.environment.items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("WANDB_BASE_URL", emulator.url.replace("//", f"//{LOGIN}@"))
        (tmp_path / "temporary").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
        emulator.store.runs.clear()
        return {"mode": "online", "base_url": emulator.url, "entity": "tester"}

    @pytest.mark.crash
    def test_of_a_killed_relay_the_next_sends_each_file_again_and_removes_what_it_has_left(
        self, scene: Scene, emulator: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import wandb

        run, temporary = with_pictures(scene), tmp_path / "temporary"
        command = [sys.executable, "-m", "tracelet.relay", str(run.directory), "wandb"]
        with emulator.failing("error", "PUT /upload/.*/media"), (tmp_path / "said").open("wb") as said:
            relay = subprocess.Popen(command, cwd=tmp_path, stderr=said)
            eventually(lambda: emulator.store.runs and len(emulator.store.runs[0].history) == ROWS, 30.0)
            kill(relay)
        before, left = {*emulator.store.runs[0].files}, named(temporary, relay.pid)
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        run.deliver()

        monkeypatch.setenv("WANDB_DIR", str(tmp_path / "read"))
        client: Any = wandb
        found = client.Api({"base_url": emulator.url}).run(f"tester/a project/{run.started.run_id}")
        shown = [row["shown"]["path"] for row in found.scan_history(use_cache=False)]
        files = {file.name: file for file in found.files()}
        for path in shown:
            files[path].download(str(tmp_path / "back"), replace=True).close()
        assert not [path for path in before if path.startswith("media")]
        assert [(tmp_path / "back" / path).read_bytes() for path in shown] == [*map(picture, range(ROWS))]
        assert (len(left) > 1, named(temporary, relay.pid)) == (True, [])
        assert not [one for one in temporary.iterdir() if "wandb" not in one.name]
        assert "s3cret" not in (tmp_path / "said").read_text()

    def test_files_that_the_client_has_given_up_are_sent_again_soon(
        self, scene: Scene, emulator: WandbServer, options: Options
    ) -> None:
        """It does so in silence, where the server cannot say for some seconds where they go."""
        run = with_pictures(scene)
        delivery = Delivery(run.directory, "wandb", self.backend, options)

        given_up = rf"does not list media/\S+ and {ROWS - 1} other files"
        with emulator.failing("error", "CreateRunFiles"), pytest.raises(Unavailable, match=given_up) as found:
            eventually(lambda: delivery.step() and False, 60.0)
        run.deliver()

        assert "rows" not in str(found.value)  # they are there
        assert run.problems() == []
