"""A backend whose store is the journal itself has everything at once, and keeps it."""

import time
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.cli.making import FINISHED, STARTED, memory, new_run, running
from tracelet.events import Lost, RunFinished
from tracelet.journal import census, cursors, holdings, progress, removal, shelf, status
from tracelet.journal.cursors import Cursor
from tracelet.journal.deliveries import Deliveries
from tracelet.journal.overview import overview
from tracelet.journal.status import RunFile, Target
from tracelet.journal.writer import Writer

STORE: Final = Target("local", relayed=False)


def test_a_target_of_a_version_that_knew_no_stores_has_a_relay() -> None:
    assert msgspec.json.decode(b'{"load": "mlflow"}', type=Target).relayed


def test_it_lacks_nothing_while_the_others_do(place: Path) -> None:
    directory = new_run(place, points=5, targets={"memory": memory(place), "local": STORE})
    run = status.read_run(directory)

    assert run.relayed == ("memory",)
    assert run.kept
    assert [status.is_complete(directory, name) for name in run.targets] == [False, True]
    assert [status.lag(directory, name) for name in run.targets] == [7, 0]
    assert status.backlog(directory, "local") == 0
    assert progress.wait_for(directory, ["local"], progress.everything(directory), 0.0) == []
    assert progress.wait_for(directory, ["local"], progress.until_now(directory), 0.0) == []
    assert not status.is_delivered(directory, run)
    cursors.save(directory, "memory", Cursor(finished=True))
    assert status.is_delivered(directory, run)


def test_a_run_that_is_only_here_is_never_undelivered(place: Path) -> None:
    finished = new_run(place, targets={"local": STORE})
    killed = new_run(place, run_id="20231114-221321-bbbbbb", targets={"local": STORE}, end=None)

    assert shelf.undelivered([finished, killed]) == []


@pytest.mark.parametrize("others", [{}, {"memory": Target("memory")}])
def test_its_run_never_expires(place: Path, others: dict[str, Target]) -> None:
    directory = new_run(place, targets={**others, "local": STORE})
    for name in others:
        cursors.save(directory, name, Cursor(finished=True))

    assert removal.expire(directory.parent, time.time() + 10**9) == []
    assert directory.exists()


def deliveries(directory: Path, **changes: Any) -> Deliveries:
    run = msgspec.structs.replace(status.read_run(directory), **changes)

    def revive(_: Path) -> None:
        pytest.fail("there is nothing to wait for")

    return Deliveries(directory, run, 60.0, revive)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_nobody_waits_for_it(place: Path, mode: status.Mode) -> None:
    directory = running(place, points=5, targets={"local": STORE})

    found = deliveries(directory, mode=mode)

    assert found.flush(None)
    found.wait()
    assert found.url(None) is None


def test_the_page_of_a_run_is_that_of_the_first_backend_that_may_have_one(place: Path) -> None:
    directory = new_run(place, targets={"local": STORE, "memory": memory(place)})
    status.write_delivery(directory, "memory", status.DeliveryStatus(url="http://there"))

    assert deliveries(directory).url(None) == "http://there"
    assert deliveries(directory).url("local") is None


def test_its_overview_says_where_the_run_is_and_how_much_of_it_there_is(place: Path) -> None:
    directory = running(place, points=5, targets={"local": STORE})

    (goes_on,) = overview(directory).backends
    writer = Writer(directory)
    writer.event(Lost(STARTED, 4, "no room"))
    writer.finish(FINISHED)
    seen = overview(directory)
    (ended,) = seen.backends

    assert (goes_on.state, goes_on.delivered, goes_on.pending) == ("idle", 6, 0)
    assert (ended.state, ended.delivered, ended.pending) == ("finished", 7, 0)
    assert ended.view == f"tracelet show {directory.name}"
    assert ended.id == directory.name
    assert not ended.relayed
    assert seen.lost == 4
    assert seen.delivered


def test_a_killed_run_that_nobody_ended_is_here_all_the_same(place: Path) -> None:
    seen = overview(new_run(place, targets={"local": STORE}, end=None))

    assert seen.status == "KILLED"
    assert seen.delivered


def test_what_was_counted_of_a_large_journal_is_not_estimated_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_run(place, points=500, targets={"local": STORE}, end=None)
    monkeypatch.setattr(holdings, "QUICK", 4000)
    assert holdings.count(directory, "local").delivered == pytest.approx(501, abs=10)
    holdings.note(directory, "local")
    assert not cursors.path_of(directory, "local").exists()  # it may go on
    Writer(directory).finish(RunFinished(STARTED, "FINISHED"))

    holdings.note(directory, "local")

    monkeypatch.setattr(holdings, "census", lambda *_: pytest.fail("it is known"))
    assert holdings.count(directory, "local").delivered == 502
    holdings.note(directory, "local")


def test_what_a_child_logs_after_the_end_is_counted_too(place: Path) -> None:
    directory = new_run(place, points=5, targets={"local": STORE})
    holdings.note(directory, "local")
    Writer(directory).scalar("late", 1.0, 1, STARTED)

    assert holdings.count(directory, "local").delivered == 8
    holdings.note(directory, "local")
    assert cursors.load(directory, "local").delivered == 8
    assert census.census(directory).records == 8


def test_a_run_file_without_targets_keeps_nothing(place: Path) -> None:
    run: RunFile = status.read_run(new_run(place, targets={}))

    assert not run.kept
    assert status.stores(place) == frozenset()
