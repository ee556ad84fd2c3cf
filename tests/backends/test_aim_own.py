"""What is peculiar to Aim: contexts, nested params, one object at a step, and an index of its own."""

import contextlib
import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import aims
from tests.backends.aims import BACKEND, NOW, RUN, read, writer
from tracelet import backends
from tracelet.backend import Configuration, Options
from tracelet.backends.aim import params
from tracelet.backends.aim.contexts import joined, parted
from tracelet.backends.aim.failures import mapped
from tracelet.errors import ConfigError, MissingDependency, Refused, Unavailable
from tracelet.events import Artifact, Histogram, Image, Metric, Note, Params, RunFinished, Tags, Text

TEXT = st.text('a {}":,1\\é', max_size=12)
CONTEXTS = st.dictionaries(
    TEXT, st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.dictionaries(TEXT, TEXT)), max_size=3
)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aims.new(tmp_path_factory.mktemp("aim") / "template")


@pytest.fixture
def options(template: Path, tmp_path: Path) -> Options:
    return aims.copied(template, tmp_path / "repository")


def deliver(options: Options, *batches: list[Any]) -> str:
    """Write batches to the run; return Aim's hash of it."""
    delivered = writer(options)
    found = delivered.open(RUN)
    for batch in batches:
        delivered.write(batch)
    delivered.close()
    return str(found.id)


@pytest.fixture
def repository(options: Options) -> Iterator[Any]:
    """Open the repository as Aim's users do; closed again, so that nothing of it stays locked."""
    from tracelet.backends.aim.connection import Connection

    connection = Connection(options["repo"])
    connection.call(lambda: connection.open(make=False))
    yield connection.repo
    connection.close()


def indexed(repository: Any, run: str) -> Any:
    """Let Aim index a run, and return it as Aim's own way to read gives it."""
    from aim.sdk.index_manager import RepoIndexManager

    RepoIndexManager.get_index_manager(repository).index(run)
    repository.container_pool.clear()
    return repository.get_run(run)


@given(TEXT.filter(bool), CONTEXTS)
def test_a_name_and_its_context_are_one_name_and_come_apart_again(name: str, context: dict[str, Any]) -> None:
    assert parted(joined(name, context)) == (name, context)


@given(st.one_of(TEXT, st.builds(joined, TEXT, CONTEXTS), st.builds("{} {{}}".format, TEXT)))
def test_every_name_of_ours_is_a_name_and_a_context(name: str) -> None:
    assert joined(*parted(name)) == name or not parted(name)[0]


@given(st.lists(st.text("ab._0x", min_size=1, max_size=6), unique=True, max_size=8), st.integers(0, 8))
def test_no_param_stands_in_the_way_of_another(names: list[str], again: int) -> None:
    names = [name for name in names if "_0x" not in name]
    tree: dict[str, Any] = {}
    for some in (names[:again], names):  # a second process finds what the first has kept
        places = params.Places(tree)
        for name in some:
            inner = tree
            *before, last = places.of(name)
            for part in before:
                inner = inner.setdefault(part, {})
                assert isinstance(inner, dict)
            assert not isinstance(inner.get(last), dict)
            inner[last] = f"value of {name}"

    assert params.read(tree) == {name: f"value of {name}" for name in names}


def test_aims_own_way_to_read_shows_what_was_logged(options: Options, repository: Any) -> None:
    run = deliver(
        options,
        [Metric("loss", 0.1 + 0.2, 7, NOW + 0.5), Metric('loss {"subset":"val"}', 0.25, 7, NOW)],
        [Params(NOW, {"model.lr": 0.1, "layers": [1, 2], "none": None}), Tags(NOW, {"team": "speech"})],
        [Note(NOW, "what it is now")],
        [RunFinished(NOW + 60, "KILLED")],
    )

    found = indexed(repository, run)

    points = {(m.name, str(m.context.to_dict())): m.data.items_list() for m in found.metrics()}
    assert points["loss", "{}"][0] == [7]
    assert (points["loss", "{}"][1][0], points["loss", "{}"][1][2]) == ([0.1 + 0.2], [NOW + 0.5])
    assert points["loss", "{'subset': 'val'}"][1][0] == [0.25]
    assert (found["model"], found["layers"], found["none"]) == ({"lr": 0.1}, [1, 2], None)
    assert (found.name, found.experiment, found.description) == ("a name", "a project", "what it is now")
    assert sorted(found.tags) == ["KILLED", "best", "team=speech"]
    assert (found.creation_time, found.end_time) == (NOW, NOW + 60)


def test_a_tag_has_one_label_although_a_relay_died_when_it_changed(
    options: Options, repository: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aim.sdk.run import StructuredRunMixin

    def killed(*_: object) -> None:
        raise OSError("killed")

    run = deliver(options, [Tags(NOW, {"team": "speech"})])
    dying = writer(options)
    dying.open(RUN)
    with monkeypatch.context() as patch:
        patch.setattr(StructuredRunMixin, "remove_tag", killed)
        with pytest.raises(Unavailable, match="killed"):
            dying.write([Tags(NOW, {"team": "text"})])
    dying.close()

    deliver(options, [Tags(NOW, {"team": "text"})])

    assert sorted(indexed(repository, run).tags) == ["best", "team=text"]


def test_runs_that_aim_has_not_indexed_are_read_with_all_that_is_in_them(
    options: Options, repository: Any
) -> None:
    import numpy as np
    from aim import Audio, Distribution, Figure, Run
    from aim import Image as AimImage
    from aim import Text as AimText
    from plotly import graph_objects

    run: Any = Run(
        repo=repository, experiment="theirs", system_tracking_interval=None, capture_terminal_logs=False
    )
    run.name, run["hparams"] = "their run", {"lr": 0.1, "sizes": [1, 2]}
    run.add_tag("good")
    for step in range(3):
        run.track(step, name="loss", step=step, context={"subset": "val"})
    picture = np.zeros((4, 4, 3), np.uint8)
    run.track([AimImage(picture, caption="one"), AimImage(picture, caption="two")], name="pictures", step=1)
    run.track(AimText("a text"), name="texts", step=1)
    run.track(Distribution(hist=[1, 2], bin_range=(0, 4)), name="spread", step=2)
    run.track(Audio(np.zeros(100, np.int16), rate=8000), name="sounds", step=1)
    run.track(Figure(graph_objects.Figure()), name="plots", step=1)
    hash_ = run.hash

    while_open = read(options, hash_)
    run.close()
    back = read(options, hash_)

    assert [(e.name, e.value, e.step) for e in back if isinstance(e, Metric)] == [
        ('loss {"subset":"val"}', float(step), step) for step in range(3)
    ]
    assert (back[0].name, back[0].project, back[0].tags) == ("their run", "theirs", {"good": "true"})
    assert Params(back[0].time, {"hparams.lr": 0.1, "hparams.sizes": [1, 2]}) in back
    assert [e.caption for e in back if isinstance(e, Image)] == ["one", "two"]
    assert [e.text for e in back if isinstance(e, Text)] == ["a text"]
    assert [(e.counts, e.limits) for e in back if isinstance(e, Histogram)] == [((1, 2), (0, 2, 4))]
    assert [e.data.format for e in back if type(e).__name__ in {"Audio", "Figure"}] == ["plotly.json", "wav"]
    assert isinstance(back[-1], RunFinished)
    assert while_open == back[:-1]


def test_what_shares_a_name_or_a_step_is_kept_apart_and_a_repetition_is_not(options: Options) -> None:
    texts = [Text(time=NOW, name="loss", text=text, step=3) for text in ("one", "two", "three")]
    point = Metric("loss", 0.5, 3, NOW)

    run = deliver(options, [point], *([text] for text in texts))
    again = deliver(options, [point], *([text] for text in reversed(texts)))

    back = read(options, run)
    assert again == run
    assert [event for event in back if isinstance(event, Metric)] == [point]
    assert [event for event in back if isinstance(event, Text)] == texts


def test_a_run_that_another_process_writes_to_is_unavailable(options: Options) -> None:
    first = writer(options)
    first.open(RUN)

    with pytest.raises(Unavailable, match="another process writes to this run"):
        writer(options).open(RUN)

    first.close()
    deliver(options, [Metric("loss", 1.0, 0, NOW)])


def test_a_failure_that_passes_leaves_the_run_to_the_next_try(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracelet.backends.aim import artifacts

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "model.bin").write_bytes(b"abc")
    batch = [Artifact(time=NOW, path="model.bin", size=3, digest=str(tmp_path / "model.bin"))]
    failing = writer(options)
    failing.open(RUN)
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "_copy", full)
        with pytest.raises(Unavailable, match="No space left") as raised:
            failing.write(batch)
    failing.close()

    run = deliver(options, batch)  # while somebody holds on to what was raised

    assert [event.path for event in read(options, run) if isinstance(event, Artifact)] == ["model.bin"]
    assert raised.value.__traceback__ is not None


def test_without_private_calls_the_run_is_found_by_its_param(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracelet.backends.aim import runs

    monkeypatch.setattr(runs, "_prepared", lambda *_: False)

    found = {deliver(options, [Metric("loss", float(step), step, NOW)]) for step in range(2)}

    assert len(found) == 1
    assert [e.step for e in read(options, found.pop()) if isinstance(e, Metric)] == [0, 1]


def configured(place: Path, **settings: str) -> dict[str, str]:
    return BACKEND.configure(
        Configuration(
            settings=settings, environ={}, project="a project", directory=place, script_directory=place
        )
    )


def test_a_run_goes_where_aim_itself_would_look(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    alone = configured(below)
    (tmp_path / ".aim").mkdir()

    assert alone["repo"] == str(below)
    assert configured(below)["repo"] == str(tmp_path)
    assert configured(below, repo="../.aim")["repo"] == str(tmp_path / "a")
    assert configured(below, backend_url="aim://me:secret@host:53800/")["repo"] == "aim://host:53800"
    assert configured(below, repo="aim://host:53800")["artifacts_uri"] == ""


@pytest.mark.parametrize("place", ["host:53800", "http://host:53800", "aim://"])
def test_what_can_be_no_repository_is_a_mistake(tmp_path: Path, place: str) -> None:
    with pytest.raises(ConfigError, match="aim://"):
        configured(tmp_path, repo=place)


def test_a_directory_without_a_repository_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no Aim repository"):
        backends.source(f"aim:{tmp_path}")
    with pytest.raises(Refused, match="there is no Aim repository"):
        read({"repo": str(tmp_path)}, "abc")


def test_a_repository_that_is_not_there_yet_has_no_runs(tmp_path: Path) -> None:
    assert BACKEND.reader is not None

    with contextlib.closing(BACKEND.reader({"repo": str(tmp_path)})) as reader:
        assert list(reader.runs(None)) == []

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(Unavailable, match=r"^no Aim server answers at aim://127\.0\.0\.1:9$"):
        writer({"repo": "aim://127.0.0.1:9"}).open(RUN)


def test_another_interpreter_may_deliver_if_it_can(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho tracelet\n")
    bare.chmod(0o755)

    assert backends.interpreter(BACKEND, {"python": sys.executable}) == sys.executable
    assert backends.interpreter(BACKEND, {}) == ""
    with pytest.raises(MissingDependency, match="which lacks 'aim'"):
        backends.interpreter(BACKEND, {"python": str(bare)})
    with pytest.raises(ConfigError, match="is no program that can be run"):
        backends.interpreter(BACKEND, {"python": str(tmp_path / "none")})


def test_errors_that_name_each_other_as_their_cause_hang_nothing() -> None:
    first, second = OSError("no room"), ValueError("while it was told")
    first.__context__, second.__context__ = second, first

    with pytest.raises(Unavailable, match="no room"), mapped():
        raise first
