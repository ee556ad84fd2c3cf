"""Starting a process breaks nothing of the user's machine, and nothing of the user's breaks it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import eventually
from tests.keeper import trainers
from tests.keeper.trainers import TIMEOUT, Trainers, ends, keep, living, run_of
from tests.relay.trackers import directory_of, new_run
from tracelet.keeper import processes

pytestmark = pytest.mark.slow

WAITS = "threading.Event().wait()"
TELL = """
import json, os, sys

told = {
    "environ": dict(os.environ),
    "path": sys.path,
    "arguments": sys.argv[1:],
    "directory": os.getcwd(),
    "session": os.getsid(0),
    "pid": os.getpid(),
    "files": {name: os.readlink(f"/proc/self/fd/{name}") for name in ("0", "1", "2")},
    "open": len(os.listdir("/proc/self/fd")) - 1,
}
sys.stderr.write("told\\n")
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(told, file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


@pytest.fixture
def tell(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """Start a module detached that tells what it sees, in a directory full of traps."""
    modules = place / "modules"
    modules.mkdir()
    (modules / "teller.py").write_text(TELL)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    for name in ("random", "json", "teller", "tracelet"):
        (place / f"{name}.py").write_text("raise RuntimeError('the working directory is on the path')")

    def start() -> dict[str, Any]:
        told = place / "told"
        environ = processes.child_environment(os.environ)
        line = processes.command(sys.executable, "teller", str(told))
        processes.start_detached(line, place / "teller.log", place, environ)
        eventually(told.exists, TIMEOUT)
        return json.loads(told.read_text())

    return start


def environ_of(pid: int) -> dict[str, str]:
    """Read a process's variables."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if b"=" in entry)


def test_a_process_has_nothing_of_the_starter_but_its_directory(
    place: Path, tell: Callable[[], dict[str, Any]]
) -> None:
    inherited = os.open(place, os.O_RDONLY)
    os.set_inheritable(inherited, True)

    told = tell()

    os.close(inherited)
    assert told["directory"] == str(place)
    assert told["files"] == {"0": "/dev/null", "1": "/dev/null", "2": str(place / "teller.log")}
    assert told["open"] == 3
    assert told["session"] != os.getsid(0)
    assert (place / "teller.log").read_text() == "told\n"


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 10, 0)])
def test_the_working_directory_is_not_on_the_path(
    place: Path,
    tell: Callable[[], dict[str, Any]],
    version: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if sys.version_info < version:
        pytest.skip("this interpreter does not know -P")
    monkeypatch.setattr(processes.sys, "version_info", version)

    told = tell()

    assert "" not in told["path"]
    assert str(place) not in told["path"]
    assert str(place / "modules") in told["path"]
    assert told["arguments"] == [str(place / "told")]


def test_variables_that_act_on_an_interpreter_or_a_role_are_gone(
    tell: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {
        "RANK": "3",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "SLURM_PROCID": "3",
        "OMPI_COMM_WORLD_RANK": "3",
        "MASTER_ADDR": "here",
        "PYTHONSTARTUP": "start.py",
        "PYTHONINSPECT": "1",
        "COVERAGE_PROCESS_START": "cover",
    }
    for name, text in {
        **gone,
        "CUDA_VISIBLE_DEVICES": "0,1",
        "OMP_NUM_THREADS": "64",
        "MINE": "kept",
    }.items():
        monkeypatch.setenv(name, text)

    environ = tell()["environ"]

    assert not gone.keys() & environ.keys()
    assert (environ["CUDA_VISIBLE_DEVICES"], environ["OMP_NUM_THREADS"]) == ("", "1")
    assert environ["MINE"] == "kept"
    assert environ["PYTHONPATH"] == os.environ["PYTHONPATH"]


def test_the_starter_has_no_child_and_no_zombie(tell: Callable[[], dict[str, Any]]) -> None:
    before = {child.pid for child in psutil.Process().children()}

    told = tell()

    assert {child.pid for child in psutil.Process().children()} <= before
    assert told["pid"] not in before


def test_without_a_shell_a_process_is_started_too(
    tell: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.shutil, "which", lambda *_, **__: None)

    told = tell()

    assert told["session"] == told["pid"]
    os.waitpid(told["pid"], 0)  # here it is a child


@pytest.mark.usefixtures("unset")
def test_keeper_and_relay_of_a_training_job_stand_apart_from_it(
    place: Path, train: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "json", "tracelet"):
        (place / f"{name}.py").write_text("raise RuntimeError('the working directory is on the path')")
    # An empty part would mean the working directory, for the trainer too.
    kept = os.pathsep.join(filter(None, [str(place / "modules"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", kept)
    trainers.tracker_is_there(place)
    process = train(WAITS, {"RANK": "0", "WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": "0"})
    eventually(lambda: living(place, "relay"), TIMEOUT)
    everyone = living(place, "keeper") + living(place, "relay")
    eventually(lambda: os.getpriority(os.PRIO_PROCESS, everyone[1]) == 10, TIMEOUT)

    children = psutil.Process(process.pid).children()
    environs = [environ_of(pid) for pid in everyone]
    sessions = {os.getsid(pid) for pid in everyone}

    assert len(everyone) == 2
    assert children == []
    assert len(sessions) == 1
    assert os.getsid(process.pid) not in sessions
    for environ in environs:
        assert not {"RANK", "WORLD_SIZE"} & environ.keys()
        assert environ["CUDA_VISIBLE_DEVICES"] == ""
        assert environ["PYTHONPATH"] == kept
    process.kill()
    eventually(lambda: ends(place) == ["KILLED"], TIMEOUT)


def test_keeper_and_relay_hold_only_files_of_the_run(place: Path, train: Trainers) -> None:
    trainers.tracker_is_there(place)
    process = train(WAITS)
    eventually(lambda: living(place, "relay"), TIMEOUT)
    tracker = place / "tracker"
    eventually(tracker.joinpath("tracked").exists, TIMEOUT)

    held = {
        str(file.readlink())
        for pid in living(place, "keeper") + living(place, "relay")
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if os.path.lexists(file)
    }

    allowed = (str(run_of(place)), str(tracker), "/dev/null", "anon_inode:[pidfd]")
    assert {file for file in held if not file.startswith(allowed)} == set()
    process.kill()


def test_what_a_run_is_delivered_with_does_not_stop_with_ctrl_c(place: Path, train: Trainers) -> None:
    trainers.tracker_is_there(place)
    process = train(WAITS)
    eventually(lambda: living(place, "relay"), TIMEOUT)

    psutil.Process(process.pid).send_signal(2)
    process.wait(TIMEOUT)

    eventually(lambda: ends(place) == ["KILLED"], TIMEOUT)


def test_a_log_keeps_its_newer_half(place: Path) -> None:
    log = place / "keeper.log"
    line = b"%07d\n"
    log.write_bytes(b"".join(line % number for number in range(processes.LOG_MAX // 8 + 1)))

    processes.limit_log(log)

    content = log.read_bytes()
    assert len(content) == processes.LOG_MAX // 2
    assert content.endswith(line % (processes.LOG_MAX // 8))


def test_a_log_is_cut_while_somebody_appends_to_it(place: Path) -> None:
    log = place / "relay.memory.log"
    log.write_bytes(b"x" * (processes.LOG_MAX + 1))
    fd = processes.open_log(log)  # cuts it
    os.write(fd, b"y" * processes.LOG_MAX)

    processes.limit_log(log)
    os.write(fd, b"the end")
    os.close(fd)

    assert log.read_bytes() == b"y" * (processes.LOG_MAX // 2) + b"the end"
    processes.limit_log(place / "no such log")


def test_a_keeper_keeps_the_logs_of_its_run_short(place: Path) -> None:
    writer = new_run(place)
    log = directory_of(place) / "relay.memory.log"
    log.write_bytes(b"x" * (2 * processes.LOG_MAX))

    keep(directory_of(place))

    eventually(lambda: log.stat().st_size <= processes.LOG_MAX, TIMEOUT)
    writer.close()
    directory_of(place).rename(place / "gone")
    eventually(lambda: not living(place, "keeper"), TIMEOUT)


def test_what_cannot_be_started_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.shutil, "which", lambda *_, **__: None)

    with pytest.raises(OSError, match="python"):
        processes.start_detached([str(place / "no" / "python")], place / "log", place, {})


def test_a_directory_that_is_gone_does_not_keep_a_process_from_starting(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", f"import os; assert os.getcwd() == {str(place)!r}"]
    (place / "gone").mkdir()
    monkeypatch.chdir(place / "gone")
    (place / "gone").rmdir()

    process = processes.start(command, place / "log", place / "gone", os.environ, session=False)

    assert process.wait(TIMEOUT) == 0
    assert isinstance(process, subprocess.Popen)


@pytest.mark.usefixtures("unset")
def test_deliveries_give_way_only_for_as_long_as_somebody_trains(place: Path, train: Trainers) -> None:
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("this kernel does not group processes by session")
    process = train(WAITS)
    eventually(lambda: living(place, "keeper"), TIMEOUT)
    group = Path(f"/proc/{living(place, 'keeper')[0]}/autogroup")
    eventually(lambda: group.read_text().endswith("nice 10\n"), TIMEOUT)

    process.kill()

    eventually(lambda: group.read_text().endswith("nice 0\n"), TIMEOUT)
    trainers.tracker_is_there(place)
    eventually(lambda: ends(place) == ["KILLED"], TIMEOUT)
