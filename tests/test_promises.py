"""What a logging call must never do to a training script, in the corners where it might."""

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import tracelet
from tests.recording import MEMORY, recorded
from tracelet import guard
from tracelet.errors import ConfigError
from tracelet.events import Metric, Params, RunFinished, Tags
from tracelet.experiment import Experiment, joined
from tracelet.journal.reader import Reader
from tracelet.ranks import global_rank


def run_script(code: str) -> subprocess.CompletedProcess[str]:
    Path("train.py").write_text(textwrap.dedent(code))
    return subprocess.run(
        [sys.executable, "train.py"], capture_output=True, text=True, timeout=60, env=os.environ, check=False
    )


class Vicious(Mapping[str, float]):
    """A mapping whose items raise."""

    def __getitem__(self, _: str) -> float:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


def test_a_mapping_that_raises_does_not_raise_into_training(
    exp: Experiment, swallowed: list[BaseException]
) -> None:
    exp.log_metrics(Vicious())
    exp.log_params(Vicious())

    assert [str(error) for error in swallowed] == ["no", "no"]


def test_a_swallowed_error_keeps_nothing_of_the_user_alive(
    exp: Experiment, swallowed: list[BaseException]
) -> None:
    exp.log_metrics(Vicious())

    assert swallowed[0].__traceback__ is None


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_a_time_that_is_none_becomes_now(exp: Experiment, time: float) -> None:
    exp.scalar("m", 1.0, 1, time)
    exp.scalar("m", 2.0, 2, 3.0)

    now, told = [event.time for event in recorded(exp) if isinstance(event, Metric)]
    assert now > 1e9
    assert told == 3.0


def test_names_and_values_too_large_for_a_record_cost_only_themselves(exp: Experiment) -> None:
    exp.log_params({"x" * 5_000_000: 1, "good": 2, "long": "y" * 3_000_000})
    exp.set_tags({f"t{number}": "z" * 900_000 for number in range(8)})

    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    for event in recorded(exp):
        params |= event.params if isinstance(event, Params) else {}
        tags |= event.tags if isinstance(event, Tags) else {}
    assert params["good"] == 2
    assert len(params["long"]) == 1_000_000
    assert sorted(params) == ["good", "long"]
    assert len(tags) == 8


def test_credentials_in_params_tags_and_reasons_are_not_written(exp: Experiment) -> None:
    exp.log_params({"data": "postgresql://user:hunter2@db/x", "model": {"uri": "https://u:hunter2@h/"}})
    exp.set_tags({"from": "s3://key:hunter2@bucket"})
    exp.set_note("see http://u:hunter2@wiki/")
    exp.stop("FAILED", "cannot reach http://u:hunter2@host/")

    assert exp.directory is not None
    for segment in exp.directory.glob("*.seg"):
        assert b"hunter2" not in segment.read_bytes()


def test_a_lost_record_is_counted_once(exp: Experiment) -> None:
    assert exp.directory is not None
    exp.directory.rename(exp.directory.with_name("away"))
    fresh = joined_at(exp)

    for step in range(10):
        fresh.log_metric("m", 1.0, step)

    assert fresh._recorder.lost == 10
    exp.directory.with_name("away").rename(exp.directory)


def joined_at(exp: Experiment) -> Experiment:
    """Make a handle whose first segment still has to be opened."""
    from tracelet.journal.writer import Writer

    assert exp.directory is not None
    return Experiment(exp.directory, exp._run, Writer(exp.directory, "joined"))


def test_a_run_is_joined_once_per_process(exp: Experiment) -> None:
    assert joined(str(exp.directory)) is joined(str(exp.directory))


def test_leaving_by_a_clean_exit_is_a_clean_end() -> None:
    ended: list[RunFinished] = []
    for code in (0, None, 3):
        with pytest.raises(SystemExit), tracelet.start_experiment("x", backend=MEMORY, mode="offline") as exp:
            sys.exit(code)
        end = recorded(exp)[-1]
        assert isinstance(end, RunFinished)
        ended.append(end)

    assert [end.status for end in ended] == ["FINISHED", "FINISHED", "FAILED"]


def test_an_excepthook_that_replaces_ours_does_not_hide_the_failure() -> None:
    done = run_script(
        f"""
        import sys, tracelet
        exp = tracelet.start_logging("x", backend="{MEMORY}", mode="offline")
        sys.excepthook = lambda *_: print(exp.directory)
        raise ValueError("broken")
        """
    )

    directory = Path(done.stdout.strip())
    last = list(Reader(directory).read(10))[-1].event
    assert isinstance(last, RunFinished)
    assert (last.status, last.reason) == ("FAILED", "ValueError: broken")


@pytest.mark.slow
def test_a_signal_handler_may_stop_the_run_that_is_being_stopped() -> None:
    done = run_script(
        f"""
        import os, signal, tracelet
        exp = tracelet.start_logging("x", backend="{MEMORY}", linger=0, stop_timeout=3)
        signal.signal(signal.SIGALRM, lambda *_: os.write(1, exp.stop().status.encode() + b" "))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.01)
        exp.on_stop(lambda: signal.pause())
        print(tracelet.stop_logging().status)
        signal.setitimer(signal.ITIMER_REAL, 0)
        """
    )

    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"FINISHED"}


def test_a_directory_that_vanishes_does_not_make_the_end_raise(swallowed: list[BaseException]) -> None:
    import shutil

    exp = tracelet.start_logging("x", backend=MEMORY, mode="offline")
    assert exp.directory is not None
    shutil.rmtree(exp.directory)

    summary = tracelet.stop_logging()

    assert summary is not None
    assert summary.backends == ()
    assert not summary.delivered
    assert f"its journal in {exp.directory} is gone" in str(summary)
    assert swallowed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"python": "/not/there/python"}, "no program that can be run"),
        ({"settings": {"backend": "mlflow"}}, "TraceletSettings"),
        ({"sources": 1}, "no setting called 'sources'"),
        ({"retention": float("inf")}, "retention=inf"),
    ],
)
def test_more_mistakes_are_told_in_words(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tracelet.start_logging("x", backend=MEMORY, **arguments)


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({"WORLD_SIZE": "4", "LOCAL_RANK": "0", "NODE_RANK": "0"}, 0),
        ({"WORLD_SIZE": "4", "LOCAL_RANK": "1", "NODE_RANK": "0"}, 1),  # Lightning's children
        ({"WORLD_SIZE": "8", "SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, 3),
        ({"LOCAL_RANK": "3"}, 0),
    ],
)
def test_a_rank_is_found_where_only_a_part_of_it_is_told(environ: dict[str, str], rank: int) -> None:
    assert global_rank(environ) == rank


def test_settings_without_an_effect_say_so(caplog: pytest.LogCaptureFixture) -> None:
    tracelet.start_logging("x", backend=MEMORY, mode="offline", config={"metrics_interval": 30.0})

    assert "metrics_interval is accepted, and has no effect in this version yet" in caplog.text


def test_a_disabled_run_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACELET_MODE", "disabled")
    before = (sys.excepthook, sys.exit)

    tracelet.start_logging("x", backend=MEMORY)

    assert (sys.excepthook, sys.exit) == before


def test_warnings_of_one_kind_are_said_once_however_many_there_are() -> None:
    said = [guard.first("kind", number) for number in range(guard.MOST + 10)]

    assert said.count(True) <= guard.MOST + 1


def test_a_log_handler_that_raises_does_not_raise_into_training(
    monkeypatch: pytest.MonkeyPatch, swallowed: list[BaseException]
) -> None:
    class Strict(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no", record)

    monkeypatch.setattr(logging.getLogger("tracelet"), "handlers", [Strict()])

    exp = tracelet.start_logging("x", backend="local", backend_url="http://h", config={"notes": 5})
    exp.log_metric("m", "no number")  # pyright: ignore[reportArgumentType]
    exp.log_metric("m", 1.0, 0.5)  # pyright: ignore[reportArgumentType]
    exp.log_params(Vicious())
    tracelet.stop_logging()
    exp.log_metric("m", 1.0, 1)

    points = [event for event in recorded(exp) if isinstance(event, Metric)]
    assert [(point.value, point.step) for point in points] == [(1.0, None)]
    assert swallowed
