"""Where runs are kept, how they are found again, and when they go."""

import logging
import os
import re
import time
from pathlib import Path

import pytest

from tests.journal.test_blobs import as_nobody
from tracelet.errors import ConfigError
from tracelet.journal import cursors, removal, shelf, status
from tracelet.journal.cursors import Cursor
from tracelet.journal.locks import Holder, take, this_process

GONE = Holder(2**22 + 1, 1)  # no process has such a number


def make(
    place: Path,
    run_id: str,
    name: str = "run",
    trainer: Holder = GONE,
    targets: tuple[str, ...] = ("memory",),
) -> Path:
    """Put a run on the shelf."""
    directory = shelf.create(place, run_id)
    run = status.RunFile(
        run_id=run_id,
        name=name,
        project="p",
        time=1.0,
        trainer=trainer,
        host=os.uname().nodename,
        directory="/",
        python="python",
        targets={target: status.Target("tracelet.testing.memory:BACKEND") for target in targets},
        retention=100.0,
    )
    status.write_run(directory, run)
    return directory


def test_the_nearest_one_upwards_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".tracelet").mkdir()
    (tmp_path / "a" / ".tracelet").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)

    assert shelf.locate(tmp_path / "a" / "b" / "c", {"HOME": "/nowhere"}) == tmp_path / "a" / ".tracelet"
    assert shelf.locate(tmp_path / "a", {"HOME": "/nowhere"}) == tmp_path / "a" / ".tracelet"
    assert shelf.locate(tmp_path, {"HOME": "/nowhere"}) == tmp_path / ".tracelet"


def test_without_one_a_new_one_is_made_where_the_interpreter_started(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".git").mkdir()

    assert shelf.locate(tmp_path / "a", {"HOME": "/nowhere"}) == tmp_path / "a" / ".tracelet"
    assert not (tmp_path / "a" / ".tracelet").exists(), "looking makes nothing"


@pytest.mark.parametrize("git", ["directory", "file"])  # a file in a worktree or submodule
def test_the_search_stops_at_the_root_of_the_repository(tmp_path: Path, git: str) -> None:
    (tmp_path / ".tracelet").mkdir()
    repository = tmp_path / "repository"
    (repository / "src").mkdir(parents=True)
    (repository / ".git").mkdir() if git == "directory" else (repository / ".git").touch()

    assert shelf.locate(repository / "src", {"HOME": "/nowhere"}) == repository / "src" / ".tracelet"
    (repository / ".tracelet").mkdir()
    assert shelf.locate(repository / "src", {"HOME": "/nowhere"}) == repository / ".tracelet"


def test_the_search_stops_at_home(tmp_path: Path) -> None:
    (tmp_path / ".tracelet").mkdir()
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)

    assert shelf.locate(home / "work", {"HOME": str(home)}) == home / "work" / ".tracelet"
    (home / ".tracelet").mkdir()
    assert shelf.locate(home / "work", {"HOME": str(home)}) == home / ".tracelet"


def test_a_file_of_that_name_is_no_shelf(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".tracelet").touch()
    (tmp_path / "a").mkdir()

    assert shelf.locate(tmp_path / "a", {"HOME": "/nowhere"}) == tmp_path / "a" / ".tracelet"


def test_the_variable_overrides_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".tracelet").mkdir()
    monkeypatch.setenv("HOME", "/some/home")

    for named, place in [
        ("/elsewhere/runs", Path("/elsewhere/runs")),
        ("runs", tmp_path / "runs"),
        ("~/runs", Path("/some/home/runs")),
    ]:
        assert shelf.locate(tmp_path, {"TRACELET_DIR": named}) == place
    assert shelf.locate(tmp_path, {"TRACELET_DIR": "", "HOME": "/nowhere"}) == tmp_path / ".tracelet"


def test_a_place_is_found_where_no_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    (tmp_path / ".git").mkdir()

    assert shelf.locate(tmp_path, {}) == tmp_path / ".tracelet"
    with pytest.raises(ConfigError, match=r"TRACELET_DIR='~/x' begins in no home directory that is known"):
        shelf.locate(tmp_path, {"TRACELET_DIR": "~/x"})


def test_a_place_that_may_not_be_looked_into_has_no_shelf(public: Path) -> None:
    (public / "closed" / "inside").mkdir(parents=True)
    (public / "closed").chmod(0)

    def check() -> None:
        inside = public / "closed" / "inside"
        assert shelf.locate(inside, {"HOME": str(inside)}) == inside / ".tracelet"

    as_nobody(check)
    (public / "closed").chmod(0o700)


def test_a_run_of_somebody_else_s_hides_none_of_ours(public: Path) -> None:
    theirs, ours = make(public, "1"), make(public, "2")
    theirs.chmod(0)
    ours.chmod(0o755)

    as_nobody(lambda: _equal(shelf.runs(public), [ours]))


def _equal(found: object, expected: object) -> None:
    assert found == expected


def test_a_new_shelf_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    place = tmp_path / "deep" / ".tracelet"

    directory = shelf.create(place, "one")

    assert directory == place / "one"
    assert [path.stat().st_mode & 0o777 for path in (place, directory)] == [0o700, 0o700]
    assert (place / ".gitignore").read_text() == "*\n"


def test_a_gitignore_of_the_user_s_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")

    shelf.create(tmp_path, "one")

    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_a_run_is_never_put_over_another(tmp_path: Path) -> None:
    shelf.create(tmp_path, "one")

    with pytest.raises(ConfigError, match="File exists"):
        shelf.create(tmp_path, "one")


def test_a_place_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / ".tracelet"

    message = f"the journal cannot be kept in {re.escape(str(place))}: Not a directory. Set TRACELET_DIR to"
    with pytest.raises(ConfigError, match=message):
        shelf.create(place, "one")


def test_a_place_without_permission_is_told_with_what_to_do() -> None:
    def check() -> None:
        with pytest.raises(ConfigError, match=r"kept in /proc/1/\.tracelet: .*\. Set TRACELET_DIR to a dir"):
            shelf.create(Path("/proc/1/.tracelet"), "one")

    as_nobody(check)


def test_a_run_s_id_says_when_it_began_and_is_its_own() -> None:
    ids = {shelf.new_run_id() for _ in range(50)}

    assert len(ids) == 50
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", run_id) for run_id in ids)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    place = tmp_path / ".tracelet"
    make(place, "20260101-000000-aaaaaa", "digits")
    make(place, "20260101-000001-bbbbbb", "mnist")
    make(place, "20260202-000000-cccccc", "digits")
    return place


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("20260101-000001-bbbbbb", "20260101-000001-bbbbbb"),
        ("20260202", "20260202-000000-cccccc"),
        ("aaaaaa", "20260101-000000-aaaaaa"),
        ("b", "20260101-000001-bbbbbb"),
        ("mnist", "20260101-000001-bbbbbb"),
        ("digits", "20260202-000000-cccccc"),
    ],
)
def test_a_run_is_found_by_its_id_a_part_of_it_or_its_name(full: Path, wanted: str, found: str) -> None:
    assert shelf.find(full, wanted) == full / found


def test_an_id_that_fits_several_runs_is_told_with_all_of_them(full: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 runs fit '20260101': .*aaaaaa, .*bbbbbb\. Give more of the id"):
        shelf.find(full, "20260101")


@pytest.mark.parametrize(
    ("wanted", "meant"), [("mnits", "mnist"), ("20260101-000000-aaaaab", "20260101-000000-aaaaaa")]
)
def test_a_run_that_is_not_there_is_told_with_a_suggestion(full: Path, wanted: str, meant: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"no run '{wanted}' in .*`tracelet ls` .*Did you mean '{meant}'\?"
    ):
        shelf.find(full, wanted)


def test_a_name_that_is_also_the_end_of_another_s_id_is_a_name_first(full: Path) -> None:
    make(full, "20260303-000000-dddddd", "a")
    make(full, "20260303-000001-eeeeee", "2026")

    assert shelf.find(full, "a") == full / "20260303-000000-dddddd"
    assert shelf.find(full, "2026") == full / "20260303-000001-eeeeee"


def test_on_an_empty_shelf_nothing_is_found(tmp_path: Path) -> None:
    assert shelf.runs(tmp_path / "gone") == []
    with pytest.raises(ConfigError, match="no run 'x'"):
        shelf.find(tmp_path / "gone", "x")


def test_what_is_no_run_is_passed_over(full: Path) -> None:
    (full / "notes").mkdir()
    (full / "file").touch()
    broken = full / "20260404-000000-ffffff"
    broken.mkdir()
    (broken / "run.json").write_text("{")

    assert [path.name[-6:] for path in shelf.runs(full)] == ["aaaaaa", "bbbbbb", "cccccc", "ffffff"]
    assert shelf.find(full, "ffffff") == broken
    assert shelf.find(full, "mnist").name.endswith("bbbbbb")
    assert broken not in shelf.undelivered(shelf.runs(full))
    assert removal.expire(full, time.time() + 10**9) == []


def test_undelivered_are_the_runs_that_ended_and_that_some_backend_lacks(tmp_path: Path) -> None:
    waits = make(tmp_path, "1", targets=("a", "b"))
    whole = make(tmp_path, "2")
    make(tmp_path, "3", trainer=this_process())
    make(tmp_path, "4", targets=())
    cursors.save(waits, "a", Cursor(finished=True))
    cursors.save(whole, "memory", Cursor(finished=True))

    assert shelf.undelivered(shelf.runs(tmp_path)) == [waits]


def test_a_run_expires_its_retention_after_every_backend_had_it(tmp_path: Path) -> None:
    now = time.time()
    delivered = make(tmp_path, "delivered", targets=("a", "b"))
    waits = make(tmp_path, "waits", targets=("a", "b"))
    local = make(tmp_path, "local", targets=())
    for name in ("a", "b"):
        cursors.save(delivered, name, Cursor(finished=True))
        status.write_delivery(delivered, name, status.DeliveryStatus(progressed=now - 50))
    cursors.save(waits, "a", Cursor(finished=True))
    status.write_delivery(waits, "a", status.DeliveryStatus(progressed=now - 10**6))

    assert removal.expire(tmp_path, now + 49) == []
    assert removal.expire(tmp_path, now + 10**4) == [delivered]
    assert not delivered.exists()
    assert shelf.runs(tmp_path) == [local, waits]


def test_a_run_whose_status_was_lost_does_not_expire_at_once(tmp_path: Path) -> None:
    directory = make(tmp_path, "one")
    cursors.save(directory, "memory", Cursor(finished=True))

    assert removal.expire(tmp_path, time.time() + 50) == []
    assert removal.expire(tmp_path, time.time() + 150) == [directory]


def delivered(place: Path, run_id: str, trainer: Holder = GONE) -> Path:
    directory = make(place, run_id, trainer=trainer)
    cursors.save(directory, "memory", Cursor(finished=True))
    return directory


def test_a_run_does_not_expire_while_its_trainer_may_wait_for_it(tmp_path: Path) -> None:
    waits, gone = delivered(tmp_path, "1", this_process()), delivered(tmp_path, "2")

    assert removal.expire(tmp_path, time.time() + 150, waits) == [gone]
    assert waits.exists()


def test_a_run_expires_only_with_its_keeper_s_lock(tmp_path: Path) -> None:
    own, watched = delivered(tmp_path, "1"), delivered(tmp_path, "2")
    locks = [take(directory / "keeper.lock") for directory in (own, watched)]

    assert removal.expire(tmp_path, time.time() + 150, own) == [own]
    assert watched.exists()
    for lock in locks:
        lock.close()
    assert removal.expire(tmp_path, time.time() + 150) == [watched]


def test_a_local_file_system_has_no_name_of_a_network_s(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert shelf.network_file_system(Path("/proc")) == ""
        assert shelf.network_file_system(tmp_path / "not there yet") == ""
    assert not caplog.records
