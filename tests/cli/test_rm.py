"""`rm` deletes what exists elsewhere too, asks for the rest, and never what somebody works on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.inside import delivered, inside, on_terminal, rejected
from tests.cli.making import memory, new_run, running, tracelet
from tracelet.cli import rm
from tracelet.journal import removal
from tracelet.journal.locks import take
from tracelet.journal.status import Target

RUN = "20231114-221320-aaaaaa"
OTHER = "20231114-221321-bbbbbb"
LOCAL = {"local": Target("local", relayed=False)}


def test_a_delivered_run_is_deleted_and_the_bytes_are_told(place: Path) -> None:
    directory = delivered(new_run(place, points=100))
    kept = delivered(new_run(place, run_id=OTHER, name="second"))
    size = removal.size_of(directory)

    result = inside("rm", "first", "--yes", "--json")

    (run,) = result.json["runs"]
    assert result.code == 0
    assert (run["run_id"], run["deleted"]) == (RUN, True)
    assert result.json["bytes"] == run["bytes"] > size - 1
    assert not directory.exists()
    assert kept.is_dir()
    assert list((place / ".tracelet" / removal.TRASH).iterdir()) == []


def no_backend(place: Path) -> Path:
    return new_run(place, targets={})


def undelivered(place: Path) -> Path:
    return delivered(new_run(place, targets={"one": memory(place), "two": memory(place)}), "one")


def with_rejects(place: Path) -> Path:
    return rejected(delivered(new_run(place)))


def kept_here(place: Path) -> Path:
    return new_run(place, targets=LOCAL)


def unreadable(place: Path) -> Path:
    directory = delivered(new_run(place))
    (directory / "run.json").write_text('{"version": 2}')
    return directory


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_backend, "it has no backend: this is its only copy"),
        (undelivered, "two does not have all of it"),
        (with_rejects, "memory rejected some of it"),
        (kept_here, "its backend keeps it here: this is its only copy"),
        (unreadable, "it cannot be read"),
    ],
)
def test_what_exists_nowhere_else_is_deleted_by_force_only(
    place: Path, make: Callable[[Path], Path], reason: str
) -> None:
    directory = make(place)

    refused = inside("rm", RUN, "--yes")
    assert directory.is_dir()
    forced = inside("rm", RUN, "--yes", "--force")

    assert refused.code == 1
    assert f"{RUN}  {reason}" in refused.err
    assert "--force deletes it all the same" in refused.err
    assert forced.code == 0
    assert not directory.exists()


def test_a_run_that_goes_on_is_not_deleted_not_even_by_force(place: Path) -> None:
    directory = running(place)

    result = inside("rm", RUN, "--yes", "--force")

    assert result.code == 1
    assert f"it is running, as process {os.getpid()}" in result.err
    assert (directory / "run.json").is_file()


def test_a_run_that_a_keeper_or_a_child_works_on_is_not_deleted(place: Path) -> None:
    watched = delivered(new_run(place))
    delivered(new_run(place, run_id=OTHER))  # its records are this living process's
    lock = take(watched / "keeper.lock")
    try:
        result = tracelet("rm", RUN, OTHER, "--yes", "--force")
    finally:
        lock.close()

    assert result.code == 1
    assert f"{RUN}  process {os.getpid()} " in result.err
    assert f"{OTHER}  process {os.getpid()} logs to it" in result.err
    assert watched.is_dir()


def test_of_several_runs_those_that_may_go_go(place: Path) -> None:
    gone = delivered(new_run(place))
    kept = new_run(place, run_id=OTHER)

    result = inside("rm", RUN, OTHER, RUN, "--yes")

    assert result.code == 1
    assert not gone.exists()
    assert kept.is_dir()
    assert result.out.startswith(f"{RUN}  deleted, ")


def test_a_name_of_nothing_deletes_nothing(place: Path) -> None:
    directory = delivered(new_run(place))

    result = inside("rm", RUN, "nothing", "--yes")

    assert result.code == 2
    assert "no run 'nothing'" in result.err
    assert directory.is_dir()


def test_an_empty_name_is_no_run(place: Path) -> None:
    directory = delivered(new_run(place))

    result = inside("rm", "", "--yes")

    assert result.code == 2
    assert "a run's name or id is empty" in result.err
    assert directory.is_dir()


def test_what_became_the_only_copy_while_it_asked_is_not_deleted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = delivered(new_run(place))
    monkeypatch.setattr(rm.consent, "given", lambda _: bool(rejected(directory)))

    result = inside("rm", RUN)

    assert result.code == 1
    assert f"{RUN}  memory rejected some of it" in result.err
    assert directory.is_dir()


def test_without_a_terminal_and_without_yes_nothing_is_deleted(place: Path) -> None:
    directory = delivered(new_run(place))

    result = inside("rm", RUN)

    assert result.code == 2
    assert "--yes" in result.err
    assert directory.is_dir()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0), ("\x03", 130)])
def test_on_a_terminal_it_asks(place: Path, answer: str, code: int) -> None:
    directory = delivered(new_run(place, end=None))
    for segment in directory.glob("*.seg"):  # written by this process, which lives
        segment.unlink()

    ended, said = on_terminal("rm", RUN, answers={b"[y/N]": answer})

    assert "Delete 1 run, " in said
    assert RUN in said
    assert ended == code
    assert directory.exists() == (code != 0)


def test_a_run_whose_deletion_is_cut_short_is_no_run_any_more(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered(new_run(place))

    def cut(_: Path) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(removal.shutil, "rmtree", cut)
        result = inside("rm", RUN, "--yes")
    left = inside("ls", "--json").json["runs"]
    swept = inside("gc", "--json").json

    assert result.code == 1
    assert "the disk is gone" in result.err
    assert left == []
    assert swept["kinds"]["trash"]["count"] == 1
    assert list((place / ".tracelet" / removal.TRASH).iterdir()) == []


def test_a_link_to_a_run_is_left_alone(place: Path) -> None:
    directory = delivered(new_run(place))
    elsewhere = directory.rename(place / "elsewhere")
    directory.symlink_to(elsewhere)

    result = inside("rm", RUN, "--yes")

    assert result.code == 1
    assert f"it is a link to {elsewhere}" in result.err
    assert (elsewhere / "run.json").is_file()


def test_a_name_that_several_runs_share_deletes_none(place: Path) -> None:
    first = new_run(place, name="sweep")
    second = new_run(place, name="sweep", run_id="20231114-221321-bbbbbb")

    result = inside("rm", "sweep", "--yes", "--force")

    assert result.code == 2
    assert "2 runs are called 'sweep': " in result.err
    assert first.name in result.err
    assert second.name in result.err
    assert first.is_dir()
    assert second.is_dir()
