"""The journal as a store: what was recorded comes back from `journal:DIRECTORY`, and nothing else happens."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st

import tracelet as tracelet_package
from tests.backends.conftest import WARNINGS, Store
from tests.cli.making import FINISHED, STARTED, new_run, running, tracelet
from tests.conftest import eventually, holders
from tests.journal.support import key
from tracelet import backends
from tracelet.errors import ConfigError, Refused
from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Image,
    Lost,
    Metric,
    Note,
    Packed,
    Params,
    Payload,
    RunFinished,
    RunStarted,
    Tags,
    Text,
)
from tracelet.journal import blobs, history, reader, status
from tracelet.journal.locks import Holder
from tracelet.journal.status import Target
from tracelet.journal.writer import Writer

LOCAL: Final = {"local": Target("local", relayed=False)}
GONE: Final = Holder(2**22 + 1, 1)  # no process has such a number
BEGIN: Final = RunStarted(time=STARTED, run_id="20231114-221320-aaaaaa", name="first", project="demo")

# What stands where there is no MLflow.
WITHOUT_MLFLOW: Final = """
    import importlib.abc, sys

    class Without(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == "mlflow":
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Without())
"""
TRAINING: Final = """
    import json, pathlib
    import tracelet

    experiment = tracelet.start_logging("first", "demo", config={"lr": 0.1, "layers": [1, 2]})
    for step in range(100):
        experiment.log_metric("loss", 1.0 / (step + 1), step)
    pathlib.Path("weights.bin").write_bytes(b"weights")
    experiment.log_artifact("weights.bin", "model")
    flushed = experiment.flush()
    summary = tracelet.stop_logging()
    print(json.dumps([experiment.active_backends, flushed, summary.delivered, summary.backends[0].delivered]))
"""


def opened(place: Path | str) -> Any:
    """Open `journal:PLACE`."""
    return backends.reader(f"journal:{place}")


def read(directory: Path) -> list[Event]:
    """Read a run whole."""
    return list(opened(directory).events(directory.name))


def local_run(place: Path, *events: Packed, **more: Any) -> Path:
    return new_run(place, *events, **{"targets": LOCAL, "trainer": GONE, **more})


def append(writer: Writer, events: Sequence[Event]) -> None:
    """Record events, as a process of the run does."""
    for event in events:
        if not isinstance(event, Metric):
            assert writer.event(event)
        elif event.step is None:
            assert writer.stepless(event.name, event.value, event.time)
        else:
            assert writer.scalar(event.name, event.value, event.step, event.time)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TIMES = st.floats(STARTED, STARTED + 1e6)
STEPS = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | STEPS | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.one_of(
    st.builds(Metric, st.sampled_from(["loss", "ünï/🙂"]), st.floats(), STEPS | st.none(), TIMES),
    st.builds(Params, TIMES, st.dictionaries(NAMES, PLAIN, max_size=3)),
    st.builds(Tags, TIMES, st.dictionaries(NAMES, TEXTS, max_size=3)),
    st.builds(Note, TIMES, TEXTS),
    st.builds(Text, time=TIMES, name=NAMES, text=TEXTS, step=STEPS | st.none()),
    st.builds(Artifact, time=TIMES, path=NAMES, size=st.integers(0, 2**40), digest=st.just("ab" * 32)),
    st.builds(Image, time=TIMES, name=NAMES, data=st.just(Payload("ab" * 32, 6, "uint8", (2, 3)))),
    st.builds(Histogram, time=TIMES, name=NAMES, data=st.just(Payload("ab" * 32, 6, "uint8", (6,)))),
    st.builds(Artifact, time=TIMES, path=NAMES, size=st.just(7), reference=NAMES, mtime=TIMES),
    st.builds(Lost, TIMES, st.integers(1, 9), TEXTS),
)
HISTORIES = st.lists(EVENTS, max_size=12).map(lambda events: sorted(events, key=lambda event: event.time))


def numbered(events: Sequence[Event]) -> list[Event]:
    """Give a process's points without a step the ordinals that its writer gives them."""
    seen: dict[str, int] = {}
    found: list[Event] = []
    for event in events:
        if isinstance(event, Metric) and event.step is None:
            seen[event.name] = ordinal = seen.get(event.name, -1) + 1
            event = Metric(event.name, event.value, None, event.time, ordinal)  # noqa: PLW2901
        found.append(event)
    return found


@pytest.mark.slow
@hypothesis.settings(max_examples=60)
@hypothesis.given(histories=st.lists(HISTORIES, min_size=1, max_size=3))
def test_whatever_is_recorded_comes_back_equal_and_oldest_first(
    tmp_path_factory: pytest.TempPathFactory, histories: list[list[Event]]
) -> None:
    directory = local_run(tmp_path_factory.mktemp("round"), end=None)
    for events in histories:
        writer = Writer(directory)
        append(writer, events)
        writer.close()
    append(Writer(directory), [FINISHED])

    found = read(directory)

    assert (found[0], found[-1]) == (BEGIN, FINISHED)
    assert [event.time for event in found[1:-1]] == sorted(event.time for event in found[1:-1])
    expected = [key(event) for events in histories for event in numbered(events)]
    assert sorted(map(key, found[1:-1]), key=repr) == sorted(expected, key=repr)


def test_what_a_process_recorded_stays_in_its_order_whatever_the_times_say(place: Path) -> None:
    directory = local_run(place, end=None)
    points = [Metric("loss", 0.5, step, STARTED + (step * 7) % 10) for step in range(10)]
    append(Writer(directory), [*points, FINISHED])

    assert read(directory) == [BEGIN, *points, FINISHED]


def test_a_forked_child_s_points_come_between_its_parent_s(place: Path) -> None:
    directory = local_run(place, end=None)
    script = f"""
        import os
        from pathlib import Path
        from tracelet.events import RunFinished
        from tracelet.journal.writer import Writer

        writer = Writer(Path({str(directory)!r}))
        for step in (0, 2, 4):
            writer.scalar("loss", 0.5, step, 1e9 + step)
        if os.fork() == 0:
            for step in (1, 3, 5):
                writer.scalar("loss", 0.5, step, 1e9 + step)
            os._exit(0)
        os.wait()
        writer.finish(RunFinished(1e9 + 9, "FAILED", "why"))
    """

    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)

    found = read(directory)
    assert [event.step for event in found if isinstance(event, Metric)] == list(range(6))
    assert found[-1] == RunFinished(1e9 + 9, "FAILED", "why")


def test_segments_of_many_processes_are_merged_in_bounded_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = local_run(place, end=None)
    writers = [Writer(directory, segment=4000) for _ in range(40)]
    for step in range(4000):
        writers[step % 40].scalar("loss", 0.5, step, STARTED + step)
    append(Writer(directory), [FINISHED])
    batches: list[int] = []
    parse = reader._Segment.records
    monkeypatch.setattr(
        reader._Segment,
        "records",
        lambda segment, limit: batches.append(limit) or parse(segment, limit),
    )

    found = [e.step for e in history.merged(directory, print) if isinstance(e, Metric)]

    assert found == list(range(4000))
    assert max(batches) * 40 <= history.AT_ONCE


def test_a_run_that_goes_on_is_read_up_to_now_and_has_no_end(place: Path) -> None:
    directory = running(place, targets=LOCAL)
    writer, stop = Writer(directory), threading.Event()
    append(writer, [Metric("loss", 0.5, step, STARTED) for step in range(100)])

    def train() -> None:
        step = 100
        while not stop.is_set():
            writer.scalar("loss", 0.5, step, STARTED)
            step += 1

    thread = threading.Thread(target=train)
    thread.start()
    try:
        found = read(directory)
        (listed,) = opened(directory).runs(None)
    finally:
        stop.set()
        thread.join()

    steps = [event.step for event in found if isinstance(event, Metric)]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 100
    assert not any(isinstance(event, RunFinished) for event in found)
    assert listed.status == "RUNNING"


def test_a_run_whose_trainer_died_unseen_is_killed_and_nothing_is_written(place: Path) -> None:
    directory = local_run(place, points=5, end=None)
    before = contents(place)

    found = read(directory)

    assert found[-1] == RunFinished(STARTED + 4, "KILLED", "the training process ended without a word")
    assert [run.status for run in opened(place).runs(None)] == ["KILLED"]
    assert contents(place) == before


def contents(place: Path) -> dict[str, tuple[int, int]]:
    """List what lies below a place, with what would tell of a change."""
    found = {str(path): path.stat() for path in place.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def test_a_shelf_that_may_not_be_written_is_read(place: Path) -> None:
    directory = local_run(place, points=5)
    paths = [*place.rglob("*"), place / ".tracelet"]
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = contents(place)
    try:
        found = read(directory)
        listed = list(opened(place).runs("demo"))
    finally:
        for path in paths:
            path.chmod(0o700)

    assert [run.id for run in listed] == [directory.name]
    assert len(found) == 7
    assert contents(place) == before


def test_a_place_is_a_shelf_what_has_one_inside_one_run_or_nothing_at_all(place: Path) -> None:
    one = local_run(place)
    other = local_run(place, run_id="20231114-221321-bbbbbb", name="second", project="other")

    for where in (place, place / ".tracelet", Path(os.path.relpath(place)), ""):
        assert [run.id for run in opened(where).runs(None)] == [one.name, other.name]
    assert [run.id for run in opened(one).runs(None)] == [one.name]
    assert [run.name for run in opened(place).runs("other")] == ["second"]
    with pytest.raises(Refused, match="is one run, and not"):
        list(opened(one).events(other.name))


@pytest.mark.parametrize("where", ["nowhere", ".", "file"])
def test_a_place_without_runs_is_told_at_once(place: Path, where: str) -> None:
    (place / "file").touch()

    with pytest.raises(ConfigError, match=r"there are no runs in .*journal: takes a \.tracelet directory"):
        opened(place / where)


def test_a_run_that_cannot_be_read_is_skipped_with_a_warning(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = local_run(place)
    broken = local_run(place, run_id="20231114-221321-bbbbbb")
    (broken / "run.json").write_text("{")

    assert [run.id for run in opened(place).runs(None)] == [directory.name]
    assert f"{broken.name} is skipped" in caplog.text
    with pytest.raises(Refused, match="is not a run that this version of tracelet can read"):
        list(opened(place).events(broken.name))


def test_an_unknown_run_is_refused_with_what_there_is(place: Path) -> None:
    local_run(place)

    with pytest.raises(Refused, match=r"no run 'firsty' in .*Did you mean 'first'"):
        list(opened(place).events("firsty"))


def test_a_run_that_is_deleted_while_it_is_read_does_not_seem_whole(place: Path) -> None:
    directory = local_run(place, points=30_000)
    events = opened(place).events(directory.name)
    next(events)
    next(events)
    for path in directory.glob("*.seg"):
        path.unlink()

    with pytest.raises(Refused, match="cannot be read"):
        list(events)


def test_what_is_damaged_is_left_out_and_counted_in_one_warning(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = local_run(place, Lost(STARTED, 3, "no room"), points=50)
    (segment,) = directory.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[-1000] ^= 255
    content[-500] ^= 255
    segment.write_bytes(content)

    found = read(directory)

    assert sum(isinstance(event, Metric) for event in found) == 48
    assert Lost(STARTED, 3, "no room") in found
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"2 places of the journal of {directory.name}, 78 bytes, cannot be read")


def test_artifacts_are_downloaded_as_they_were_logged_last(place: Path) -> None:
    directory = local_run(place, end=None)
    file, left = place / "weights.bin", place / "left.bin"
    writer = Writer(directory)
    for content in (b"first", b"second"):
        file.write_bytes(content)
        append(writer, list(blobs.artifacts(directory, file, "model")))
    left.write_bytes(b"left")
    append(writer, [*blobs.artifacts(directory, left, None, copy=False), FINISHED])
    source = opened(place)

    source.download(directory.name, "model/weights.bin", place / "to" / "w")
    source.download(directory.name, "left.bin", place / "to" / "l")

    assert (place / "to" / "w").read_bytes() == b"second"
    assert (place / "to" / "l").read_bytes() == b"left"
    left.write_bytes(b"changed")
    with pytest.raises(Refused, match=r"artifact 'left\.bin': .* has changed since it was logged"):
        source.download(directory.name, "left.bin", place / "to" / "l")
    with pytest.raises(Refused, match=r"has no artifact 'right\.bin'"):
        source.download(directory.name, "right.bin", place / "to" / "r")
    blobs.delete(directory)
    with pytest.raises(Refused, match=r"artifact 'model/weights\.bin': its bytes are gone"):
        source.download(directory.name, "model/weights.bin", place / "to" / "w")


def test_the_bytes_of_a_payload_are_downloaded_by_their_digest(place: Path) -> None:
    directory = local_run(place, end=None)
    digest, size = blobs.keep_bytes(directory, [b"pix", b"els"])
    append(Writer(directory), [Image(time=STARTED, name="a", data=Payload(digest, size)), FINISHED])
    source = opened(place)

    source.download(directory.name, digest, place / "to" / "a")

    assert (place / "to" / "a").read_bytes() == b"pixels"
    blobs.delete(directory)
    with pytest.raises(Refused, match=f"does not have the bytes {digest[:8]}… any more"):
        source.download(directory.name, digest, place / "to" / "a")


def test_without_mlflow_a_run_is_kept_here_and_its_keeper_ends_with_it(place: Path) -> None:
    made = trained(place)

    assert made == [["local"], True, True, 104]
    (directory,) = (place / ".tracelet").glob("2*")
    eventually(lambda: (directory / "cursor.local").exists() and not holders(place))
    assert not list(directory.glob("*relay*"))
    assert not list(directory.glob("status.*"))
    assert [run.status for run in opened(place).runs(None)] == ["FINISHED"]


def trained(place: Path) -> Any:
    """Train where MLflow is not installed; return what the script printed."""
    (place / "without").mkdir()
    (place / "without" / "sitecustomize.py").write_text(textwrap.dedent(WITHOUT_MLFLOW))
    (place / "train.py").write_text(textwrap.dedent(TRAINING))
    environ = {**os.environ, "PYTHONPATH": str(place / "without")}
    done = subprocess.run(
        [sys.executable, "train.py"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
class TestWithMlflow:
    pytestmark = WARNINGS

    def test_a_local_run_is_taken_to_mlflow_whole(
        self, store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained(place)
        eventually(lambda: not holders(place))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)

        result = tracelet("sync", "first", "--backend", "mlflow")

        assert (result.code, result.err) == (0, "")
        (run,) = store.runs()
        store.id = run.info.run_id
        assert run.info.status == "FINISHED"
        assert run.data.params == {"lr": "0.1", "layers": "[1, 2]"}
        assert [value for _, _, value in store.history("loss")] == [1.0 / (step + 1) for step in range(100)]
        there = store.client.download_artifacts(store.id, "model/weights.bin", str(place))
        assert Path(there).read_bytes() == b"weights"
        (directory,) = (place / ".tracelet").glob("2*")
        assert list(status.read_run(directory).targets) == ["local", "mlflow"]
        opened(place).download(directory.name, "model/weights.bin", place / "again")  # it is still here
        assert (place / "again").read_bytes() == b"weights"


@pytest.mark.parametrize("relay", ["process", "thread"])
def test_nothing_is_delivered_and_nobody_waits(relay: str) -> None:
    experiment = tracelet_package.start_logging("a run", backend="local", relay=relay)
    experiment.log_metric("loss", 0.5, 1)

    summary = tracelet_package.stop_logging()

    assert summary is not None
    assert summary.delivered
    assert experiment.active_backends == ["local"]
    assert experiment.directory is not None
    assert [type(event).__name__ for event in read(experiment.directory)] == [
        "RunStarted",
        "Metric",
        "RunFinished",
    ]
    assert not list(experiment.directory.glob("relay.*"))


def test_a_url_that_nobody_takes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tracelet_package.start_logging("a run", backend="local", backend_url="http://me:secret@host")
    tracelet_package.stop_logging()

    assert "backend_url='http://host' has no effect: local takes none" in caplog.text


def test_a_place_in_a_home_that_nobody_knows_has_no_runs() -> None:
    source = backends.load("local").source
    assert source is not None

    with pytest.raises(ConfigError, match=r"there are no runs in .*~nobody-of-this-name/runs"):
        source("~nobody-of-this-name/runs")
