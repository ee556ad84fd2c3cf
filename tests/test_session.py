"""The two lines: what begins a run, what ends it, and what is left behind."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tracelet
from tests.conftest import eventually
from tracelet.errors import ConfigError, MissingDependency
from tracelet.events import Metric, Params, RunFinished
from tracelet.journal import shelf, status
from tracelet.journal.reader import Reader
from tracelet.settings import TraceletSettings
from tracelet.testing.memory import stored

pytestmark = pytest.mark.slow

MEMORY = "tracelet.testing.memory:BACKEND"
HEAD = """
import logging, os, signal, sys, threading
import tracelet
exp = tracelet.start_logging("a run", "a project", "tracelet.testing.memory:BACKEND")
exp.log_metric("m", 1.0, 0)
"""


def run_script(code: str, *, head: str = HEAD, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a training script as a user would, in the test's directory."""
    script = Path("train.py")
    script.write_text(head + textwrap.dedent(code))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environ,
        check=False,
    )


def only_run() -> Path:
    (directory,) = shelf.runs(Path(os.environ["TRACELET_DIR"]))
    return directory


def how_it_ended() -> RunFinished:
    """Wait for the run's end, in the journal and at the tracker, and for both to agree."""
    directory = only_run()
    eventually(lambda: status.is_delivered(directory, status.read_run(directory)), 30)
    end = status.ending(directory)
    assert end is not None
    assert [event for event in stored(Path("memory")) if isinstance(event, RunFinished)] == [end]
    return end


def test_two_lines_bring_everything_to_the_tracker() -> None:
    exp = tracelet.start_logging("x", "p", MEMORY)
    for step in range(250):
        exp.log_metric("loss", 1.0 / (step + 1), step)
    summary = tracelet.stop_logging()

    points = [event for event in stored(Path("memory")) if isinstance(event, Metric)]
    assert [(point.step, point.value) for point in points] == [
        (step, 1.0 / (step + 1)) for step in range(250)
    ]
    assert summary is not None
    assert summary.delivered
    assert summary.backends[0].delivered == 252


CAUGHT = "try: os.kill(os.getpid(), signal.SIGINT); signal.pause()\nexcept KeyboardInterrupt"


@pytest.mark.parametrize(
    ("code", "ended", "exit_code"),
    [
        ("", "FINISHED", 0),
        ("tracelet.stop_logging()", "FINISHED", 0),
        ("tracelet.stop_logging(); sys.exit(3)", "FINISHED", 3),
        ("sys.exit(0)", "FINISHED", 0),
        ("sys.exit()", "FINISHED", 0),
        ("sys.exit(3)", "FAILED", 3),
        ("sys.exit('no data')", "FAILED", 1),
        ("raise ValueError('broken')", "FAILED", 1),
        ("os.kill(os.getpid(), signal.SIGINT); signal.pause()", "KILLED", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "KILLED", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", "KILLED", -signal.SIGKILL),
        ("os._exit(0)", "KILLED", 0),
        ("threading.Thread(target=sys.exit, args=(3,)).start()", "FINISHED", 0),
        ("pid = os.fork()\nif pid == 0: sys.exit(5)\nos.waitpid(pid, 0)", "FINISHED", 0),
        ("with exp: raise SystemExit(4)", "FAILED", 4),
        (f"{CAUGHT}: sys.exit(1)", "KILLED", 1),
        (f"with exp:\n {CAUGHT.replace(chr(10), chr(10) + ' ')}: raise SystemExit(1)", "KILLED", 1),
    ],
)
def test_each_way_to_end_has_its_status_and_the_exit_code_stays(
    code: str, ended: str, exit_code: int
) -> None:
    done = run_script(code)

    assert done.returncode == exit_code, done.stderr
    assert how_it_ended().status == ended


def test_an_exception_is_told_as_before_and_by_its_name() -> None:
    done = run_script("sys.excepthook = lambda *a: print('mine', a[0].__name__)\nraise KeyError('x')")

    assert done.stdout == "mine KeyError\n"
    assert done.returncode == 1


def test_a_second_start_finishes_the_first_run_and_nothing_is_patched_twice() -> None:
    before = (sys.excepthook, sys.exit)

    first = tracelet.start_logging("first", backend=MEMORY, mode="offline")
    second = tracelet.start_logging("second", backend=MEMORY, mode="offline")

    assert first.ended
    assert tracelet.get_active_experiment() is second
    tracelet.stop_logging()
    assert tracelet.get_active_experiment() is None
    assert tracelet.stop_logging() is None
    assert (sys.excepthook, sys.exit) == before
    assert first.directory is not None
    end = status.ending(first.directory)
    assert end is not None
    assert end.status == "FINISHED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "mlfow"}, "Did you mean 'mlflow'"),
        ({"backend": MEMORY, "durability": "often"}, "durability='often'"),
        ({"backend": MEMORY, "stop_timeout": "soon"}, "30s"),
        ({"backend": MEMORY, "stop_timout": 3}, "Did you mean 'stop_timeout'"),
        ({"backend": MEMORY, "config": "lr=0.1"}, "takes a dict"),
        ({"backend": MEMORY, "exp_name": 7}, "exp_name=7"),
    ],
)
def test_a_certain_mistake_is_an_error_at_once_and_leaves_nothing_behind(
    arguments: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        tracelet.start_logging(**arguments)  # pyright: ignore[reportArgumentType]

    assert tracelet.get_active_experiment() is None
    assert not (tmp_path / ".tracelet").exists()


def test_a_mistake_does_not_end_the_run_before() -> None:
    first = tracelet.start_logging("first", backend=MEMORY, mode="offline")

    with pytest.raises(ConfigError):
        tracelet.start_logging(backend="mlfow")

    assert tracelet.get_active_experiment() is first


def test_a_missing_client_is_an_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text(
        "import dataclasses\n"
        "from tracelet.testing import memory\n"
        "BACKEND = dataclasses.replace(memory.BACKEND, name='needy', client='not_there',"
        " install='pip install not-there')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(MissingDependency, match="pip install not-there"):
        tracelet.start_logging(backend="needy:BACKEND")


def test_a_directory_that_cannot_be_written_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("TRACELET_DIR", str(tmp_path / "a file" / "runs"))

    with pytest.raises(ConfigError, match=r"a file/runs.*Set TRACELET_DIR"):
        tracelet.start_logging(backend=MEMORY)


def test_without_a_run_nothing_breaks() -> None:
    assert tracelet.get_active_experiment() is None
    assert tracelet.stop_logging() is None


@pytest.mark.parametrize(
    "environ",
    [
        {"RANK": "1", "WORLD_SIZE": "2"},
        {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"},
        {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"},
    ],
)
def test_only_rank_zero_records(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    exp = tracelet.start_logging("x", backend=MEMORY)
    exp.log_metric("m", 1.0, 0)
    tracelet.stop_logging()

    assert exp.run_id == ""
    assert not (tmp_path / ".tracelet").exists()


def test_a_rank_without_a_world_is_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")

    exp = tracelet.start_logging("x", backend=MEMORY, mode="offline")

    assert exp.run_id


def test_settings_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("TRACELET_PROJECT=dotenv\nTRACELET_GROUP=dotenv\nOTHER=x\n")
    monkeypatch.setenv("TRACELET_PROJECT", "environment")
    monkeypatch.setenv("TRACELET_MODE", "offline")
    settings = TraceletSettings(project="settings", backend=[MEMORY])

    exp = tracelet.start_logging("x", settings=settings, config={"experiment_name": "config"})

    assert exp.project == "config"
    assert exp.active_backends == ["memory"]
    assert "OTHER" not in os.environ


def test_run_name_and_experiment_name_win() -> None:
    exp = tracelet.start_logging(
        "x", "p", MEMORY, {"run_name": "named", "experiment_name": "projected"}, mode="offline"
    )

    assert (exp.name, exp.project) == ("named", "projected")


def test_other_keys_of_config_are_hyperparameters(caplog: pytest.LogCaptureFixture) -> None:
    config = {"lr": 0.1, "backend": "nccl", "tags": ["a"], "metrics_interval": "often", "notse": "x"}
    exp = tracelet.start_logging("x", backend=MEMORY, config=config, mode="offline")

    assert exp.directory is not None
    (event,) = [r.event for r in Reader(exp.directory).read(10) if isinstance(r.event, Params)]
    assert event.params == {"lr": 0.1, "backend": "nccl", "metrics_interval": "often", "notse": "x"}
    assert "Did you mean the setting 'notes'" in caplog.text


def test_credentials_in_an_address_stand_in_no_file_and_no_argument_list() -> None:
    done = run_script(
        """
        import subprocess
        from pathlib import Path
        from tracelet.journal.locks import held, holder
        lock = exp.directory / "keeper.lock"
        while not held(lock): pass
        print(Path(f"/proc/{holder(lock).pid}/cmdline").read_text().split("\\0"))
        tracelet.stop_logging()
        """,
        head=HEAD.replace(
            '"tracelet.testing.memory:BACKEND"',
            '"mlflow", mlflow_tracking_uri="http://user:hunter2@127.0.0.1:9/", linger=0, stop_timeout=0',
        ),
    )

    assert done.returncode == 0, done.stderr
    assert "tracelet.keeper" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    for path in Path(os.environ["TRACELET_DIR"]).rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


def test_offline_records_and_starts_no_relay(caplog: pytest.LogCaptureFixture) -> None:
    exp = tracelet.start_logging("x", backend=MEMORY, mode="offline")
    exp.log_metric("m", 1.0, 0)
    summary = tracelet.stop_logging()

    assert stored(Path("memory")) == []
    assert summary is not None
    assert summary.backends[0].state == "waiting"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_flush_waits_until_the_tracker_has_it() -> None:
    exp = tracelet.start_logging("x", backend=MEMORY)
    exp.log_metric("m", 1.0, 0)

    assert exp.flush(30)

    assert [event.name for event in stored(Path("memory")) if isinstance(event, Metric)] == ["m"]
    assert not exp.ended


def test_a_relay_thread_delivers_where_no_process_may_start() -> None:
    exp = tracelet.start_logging("x", backend=MEMORY, relay="thread")
    exp.log_metric("m", 1.0, 0)
    summary = tracelet.stop_logging()

    assert summary is not None
    assert summary.delivered
    assert exp.directory is not None
    assert not (exp.directory / "keeper.lock").exists()


def test_a_keeper_that_was_killed_is_brought_back_by_the_end() -> None:
    done = run_script(
        """
        from tracelet.journal.locks import held, holder
        lock, relay = exp.directory / "keeper.lock", exp.directory / "relay.memory.lock"
        while not (held(lock) and held(relay)): pass
        os.kill(holder(lock).pid, signal.SIGKILL)
        os.kill(holder(relay).pid, signal.SIGKILL)
        exp.log_metric("m", 2.0, 1)
        print(tracelet.stop_logging().delivered)
        """
    )

    assert done.stdout == "True\n", done.stderr
    assert how_it_ended().status == "FINISHED"


def test_the_trainer_has_no_child_and_no_signal_handler_of_ours() -> None:
    done = run_script(
        """
        try: print(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError: print("no child")
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, sys.stdout.isatty())
        """
    )

    assert done.stdout == "no child\nTrue False\n"


def test_a_pipe_ends_with_the_trainer() -> None:
    Path("train.py").write_text(HEAD + "print('done')\nos.kill(os.getpid(), signal.SIGKILL)\n")

    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} train.py | cat"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.stdout in {"done\n", ""}
    assert how_it_ended().status == "KILLED"


def test_the_next_start_tells_of_runs_that_were_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    run_script("os._exit(0)", TRACELET_LINGER="0", MEMORY_BACKEND_FILE="/not/there/memory")
    directory = only_run()
    eventually(lambda: status.ending(directory) is not None, 30)
    from tracelet.journal.locks import held

    eventually(lambda: not held(directory / "keeper.lock"), 30)

    tracelet.start_logging("next", backend=MEMORY, mode="offline")

    assert "1 earlier run is not delivered to memory (it began " in caplog.text


def test_ending_by_the_handle_takes_everything_back() -> None:
    before = (sys.excepthook, sys.exit)

    with tracelet.start_logging("x", backend=MEMORY, mode="offline"):
        assert sys.exit is not before[1]

    assert (sys.excepthook, sys.exit) == before
    assert tracelet.get_active_experiment() is None


def test_in_a_batch_job_the_end_says_that_it_is_the_last_chance(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("MEMORY_BACKEND_FILE", "/not/there/memory")

    tracelet.start_logging("x", backend=MEMORY, stop_timeout=0, linger=0)
    tracelet.stop_logging()

    assert "background delivery ends with this job" in caplog.text
