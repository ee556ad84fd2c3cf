"""What a run says of itself, to whom, and how often: a line at its start, and what became of it."""

import contextlib
import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelet
from tests.recording import MEMORY
from tracelet.journal import shelf, status
from tracelet.journal.locks import Holder, this_host
from tracelet.journal.overview import BackendOverview
from tracelet.journal.status import RunFile, Target
from tracelet.journal.writer import Writer
from tracelet.telling import messages
from tracelet.telling.summary import Summary, hints

FAULTY = "tracelet.testing.faulty:BACKEND"
LOGGER = logging.getLogger("tracelet")
NOTHING: Any = {
    "since": 0.0, "progressed": 0.0, "delivered": 0, "rejected": 0, "merged": 0, "degraded": 0,
    "id": "", "url": "", "view": "",
}  # fmt: skip


@contextlib.contextmanager
def unconfigured() -> Iterator[None]:
    """Let logging be as Python starts with it: pytest adds handlers around each test's body."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])
        patch.setattr(logging.root, "level", logging.WARNING)
        patch.setattr(LOGGER, "level", logging.NOTSET)
        LOGGER.manager._clear_cache()  # pyright: ignore[reportAttributeAccessIssue]
        yield
    LOGGER.manager._clear_cache()  # pyright: ignore[reportAttributeAccessIssue]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Take what was written to stderr, but for a slow machine's waiting; nothing was to stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    return [line for line in err.splitlines() if "waiting up to" not in line]


def record(*, mode: str = "offline", backend: str | list[str] = MEMORY, **settings: Any) -> tracelet.Summary:
    """Make a small run."""
    exp = tracelet.start_logging("a run", "a project", backend, mode=mode, **settings)
    exp.log_params({"lr": 0.1, "depth": 3})
    for step in range(3):
        exp.log_metric("loss", 0.5, step)
    summary = tracelet.stop_logging()
    assert summary is not None
    return summary


def test_who_has_configured_nothing_sees_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        summary = record(mode="online", relay="thread")

        begun, over = lines(capsys)
        assert begun == (
            f"tracelet: run a run ({summary.run_id}) of project a project goes to memory; "
            f"its journal is .tracelet/{summary.run_id}"
        )
        assert over.startswith(f"tracelet: run a run ({summary.run_id}) FINISHED after ")
        assert over.endswith(f"3 points of 1 metric, 2 params; memory: delivered [cat {Path.cwd()}/memory]")


def test_logging_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        before = (list(LOGGER.handlers), LOGGER.level, LOGGER.propagate, logging.root.level)

        first = tracelet.start_logging("first", backend=MEMORY, mode="offline")
        other = tracelet.start_experiment("other", backend=MEMORY, mode="offline")
        tracelet.start_logging("second", backend=MEMORY, mode="offline")
        with pytest.raises(tracelet.errors.ConfigError):
            tracelet.start_logging(backend="mlfow")
        tracelet.start_experiment("nothing", mode="disabled")

        assert len(LOGGER.handlers) == 1
        tracelet.stop_logging()
        first.stop()
        assert len(LOGGER.handlers) == 1
        other.stop()
        assert (list(LOGGER.handlers), LOGGER.level, LOGGER.propagate, logging.root.level) == before
        assert len(lines(capsys)) == 6


def test_a_warning_says_who_warns_while_a_run_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        with tracelet.start_experiment("x", backend=MEMORY, mode="offline", quiet=True) as exp:
            exp.log_metric("m", "much", 0)  # pyright: ignore[reportArgumentType]
            exp.log_metric("m", "much", 1)  # pyright: ignore[reportArgumentType]

        (warning,) = lines(capsys)
        assert warning.startswith("tracelet: ")
        assert "(str) is no number" in warning


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["", "tracelet"])
def test_who_has_configured_logging_gets_each_message_once(
    capsys: pytest.CaptureFixture[str], name: str, when: str
) -> None:
    with unconfigured():
        own = logging.StreamHandler(sys.stderr)
        own.setFormatter(logging.Formatter("own %(levelname)s %(message)s"))
        logger = logging.getLogger(name)

        def configure() -> None:
            logger.addHandler(own)
            logger.setLevel(logging.INFO)

        try:
            if when == "before":
                configure()
            with tracelet.start_experiment("x", backend=MEMORY, mode="offline") as exp:
                if when == "after":
                    capsys.readouterr()
                    configure()
                exp.log_metric("m", "much", 0)  # pyright: ignore[reportArgumentType]
        finally:
            logger.removeHandler(own)
            logger.setLevel(logging.NOTSET)

        levels = [line.split()[:2] for line in lines(capsys)]
        assert levels == [["own", "INFO"]] * (when == "before") + [["own", "WARNING"], ["own", "INFO"]]


@pytest.mark.parametrize("how", ["quiet", "environment", "level", "handler", "root", "disable"])
def test_it_can_be_silenced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with unconfigured():
        nothing = logging.NullHandler()
        if how == "environment":
            monkeypatch.setenv("TRACELET_QUIET", "1")
        elif how == "level":
            LOGGER.setLevel(logging.WARNING)
        elif how == "root":
            logging.root.setLevel(logging.ERROR)
        elif how == "handler":
            LOGGER.addHandler(nothing)
        elif how == "disable":
            monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)

        try:
            record(quiet=True if how == "quiet" else None)
        finally:
            LOGGER.removeHandler(nothing)

        assert lines(capsys) == []


def test_records_reach_who_looks_for_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tracelet")

    summary = record()

    begun, over = caplog.records
    assert (begun.levelname, over.levelname, over.name) == ("INFO", "INFO", "tracelet")
    assert f"`tracelet sync {summary.run_id}` delivers it to memory" in begun.getMessage()
    assert f"recorded offline in {summary.directory}" in over.getMessage()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", "sys.exit(3)"])
def test_a_script_that_only_ends_tells_what_became_of_its_run(ending: str) -> None:
    Path("train.py").write_text(
        textwrap.dedent(f"""
        import sys, tracelet
        exp = tracelet.start_logging("x", "p", {MEMORY!r})
        exp.log_metric("m", 1.0, 0)
        {ending}
        """)
    )

    done = subprocess.run(
        [sys.executable, "train.py"], capture_output=True, text=True, timeout=60, check=False
    )

    # A slow machine may also be told that it waits.
    ours = [line for line in done.stderr.splitlines() if line.startswith("tracelet: run ")]
    assert done.stdout == ""
    assert len(ours) == 2
    assert ("FAILED after" if ending else "FINISHED after") in ours[1]
    assert "1 point of 1 metric; memory: delivered" in ours[1]


def test_several_backends_have_a_line_each_and_trouble_is_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "tracelet")
    monkeypatch.setenv("FAULTY_BACKEND_REJECTED", "1")

    summary = record(mode="online", backend=[MEMORY, FAULTY], relay="thread")

    said = [
        (entry.levelname, entry.getMessage())
        for entry in caplog.records[1:]
        if entry.name == "tracelet" and "waiting" not in entry.getMessage()
    ]
    assert [level for level, _ in said] == ["WARNING", "INFO", "WARNING", "WARNING"]
    assert said[1][1].startswith("memory: delivered [")
    assert said[2][1].startswith("faulty: delivered, 5 rejected [")
    assert said[3][1] == f"`tracelet show {summary.run_id} --rejects` lists what was rejected"
    assert str(summary) == "\n  ".join(text for _, text in said)


def test_a_tracker_that_refuses_is_a_warning_that_says_what_to_do(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTY_BACKEND_REFUSED", "1")

    summary = record(mode="online", backend=FAULTY, relay="thread")

    (warning,) = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert "faulty: 6 records left (refused): the tracker refuses, as a bad day has it" in warning
    assert warning.endswith(
        f"nothing more goes to faulty by itself, but all of it is in the journal in {summary.directory}: "
        f"once the cause is mended, `tracelet sync {summary.run_id}` delivers it"
    )
    assert not summary.delivered


def test_of_one_that_refuses_and_one_that_is_away_each_is_told_what_becomes_of_it() -> None:
    refused = BackendOverview(name="wandb", state="refused", error="no key", pending=3, **NOTHING)
    away = BackendOverview(name="mlflow", state="unavailable", error="no route", pending=3, **NOTHING)
    summary = Summary(run_id="r1", name="r", status="FINISHED", directory="/d", backends=(refused, away))

    refusal, rest = hints(summary, "delivery goes on")

    assert refusal.startswith("nothing more goes to wandb by itself")
    assert rest == "delivery goes on; `tracelet status r1` tells how far it is"


def test_a_second_start_does_not_warn_of_what_it_leaves_to_the_background(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tracelet")
    first = tracelet.start_logging("first", backend=MEMORY)

    tracelet.start_logging("second", backend=MEMORY)

    (over,) = [
        entry
        for entry in caplog.records
        if "first" in entry.getMessage() and "FINISHED" in entry.getMessage()
    ]
    assert over.levelno == logging.INFO
    assert first.flush(30)


def test_a_name_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        with tracelet.start_experiment("a\x1b[2J\nb", "c\td", MEMORY, mode="offline"):
            pass

        begun, _over = lines(capsys)
        assert "run a\\x1b[2J b (" in begun
        assert "of project c d " in begun


def left_behind(name: str, began: float, *backends: str, mode: status.Mode = "online") -> None:
    """Put a run on the shelf that died long ago."""
    directory = shelf.create(Path(os.environ["TRACELET_DIR"]), name)
    targets = {backend: Target(MEMORY) for backend in backends}
    run = RunFile(
        run_id=name,
        name=name,
        project="p",
        time=began,
        trainer=Holder(2**22 + 1),
        host=this_host(),
        directory="/",
        python=sys.executable,
        targets=targets,
        mode=mode,
    )
    status.write_run(directory, run)


def test_the_next_start_tells_of_undelivered_runs(caplog: pytest.LogCaptureFixture) -> None:
    began = time.mktime((2026, 3, 4, 5, 6, 0, 0, 0, -1))
    left_behind("20260304-000000-aaaaaa", began, "mlflow")
    left_behind("20260305-000000-aaaaaa", began + 86400, "wandb", "mlflow")
    left_behind("20260306-000000-aaaaaa", began + 2 * 86400, "aim", mode="offline")  # as it should be

    record()

    assert (
        "2 earlier runs are not delivered to mlflow, wandb (the oldest began 2026-03-04 05:06); "
        "`tracelet sync` delivers them, `tracelet status` says what kept them" in caplog.messages
    )


def test_a_start_looks_only_so_far_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LOOK_BACK", 3)
    for index in range(4):
        left_behind(f"2026030{index}-000000-aaaaaa", 1.0, "mlflow")

    record()

    assert "at least 3 earlier runs are not delivered" in caplog.text


def test_who_has_no_tracker_is_told_how_to_get_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tracelet")
    left_behind("20260304-000000-aaaaaa", 1.0)
    directory = Path(os.environ["TRACELET_DIR"], "20260304-000000-aaaaaa")

    messages.started(directory, status.read_run(directory), quiet=False, trackerless=True)

    begun, how, *_ = caplog.messages
    assert begun.endswith(f"is kept in .tracelet/{directory.name}; `tracelet show {directory.name}` shows it")
    assert f"`tracelet sync {directory.name} --backend mlflow` takes the run there" in how


def test_a_stderr_that_is_closed_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Path("closed").open("w", encoding="utf-8")  # noqa: SIM115
    closed.close()
    with unconfigured():
        for stream in (closed, None):
            monkeypatch.setattr(sys, "stderr", stream)
            with tracelet.start_experiment("x", backend=MEMORY, mode="offline") as exp:
                exp.log_metric("m", "much", 0)  # pyright: ignore[reportArgumentType]
        monkeypatch.undo()

    assert exp.ended


def test_disabled_and_other_ranks_say_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with unconfigured():
        record(mode="disabled")
        monkeypatch.setenv("RANK", "3")
        monkeypatch.setenv("WORLD_SIZE", "4")
        summary = record()

        assert lines(capsys) == []
        assert str(summary) == "run a run: nothing was recorded"


def test_what_is_kept_here_needs_no_delivery_when_its_end_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = tracelet.start_experiment("r", backend="local")
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "finish", lambda *_: False)  # as on a full disk
        summary = experiment.stop()

    assert "could not be written" in caplog.text
    assert "sync" not in f"{summary}{caplog.text}"
    experiment.stop()


def test_what_is_kept_here_needs_no_delivery_offline_either() -> None:
    with tracelet.start_experiment("r", backend="local", mode="offline") as experiment:
        experiment.log_metric("loss", 0.5, 0)
    summary = experiment.stop()

    assert "sync" not in str(summary)
    assert "local: kept" in str(summary)


def test_a_handler_that_a_library_gives_the_root_logger_meanwhile_silences_nothing() -> None:
    code = """
    import logging, tracelet
    tracelet.start_logging("r", backend="local")
    logging.getLogger().addHandler(logging.StreamHandler())
    tracelet.stop_logging()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stderr.count("FINISHED") == 1
