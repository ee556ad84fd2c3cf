"""What `doctor` says of a shelf: its file system, and the runs that somebody should look at."""

import os
from pathlib import Path

import pytest

from tests.cli.inside import delivered, rejected
from tests.cli.making import new_run, running
from tests.conftest import eventually
from tracelet.cli import premises
from tracelet.cli.findings import Finding
from tracelet.journal import shelf
from tracelet.journal.status import DeliveryStatus, write_delivery


def test_runs_that_somebody_should_look_at_are_counted(place: Path) -> None:
    delivered(new_run(place, run_id="fine"))
    new_run(place, run_id="undelivered")
    new_run(place, run_id="offline", mode="offline")
    rejected(delivered(new_run(place, run_id="rejected")))
    for number in (1, 2):
        said = DeliveryStatus(state="refused", error=f"https://me:hunter2@there: key {number} is wrong")
        write_delivery(new_run(place, run_id=f"refused{number}"), "memory", said)
    new_run(place, run_id="unreadable").joinpath("run.json").write_text("{}")
    running(place, run_id="keeperless").joinpath("keeper.log").write_text("it was killed")

    found = [(finding.level, finding.what) for finding in premises.of_runs(place / ".tracelet")]

    assert found == [
        ("ok", "8 runs, 1 of them running"),
        ("warning", "1 run ended undelivered: undelivered"),
        ("warning", "1 run recorded offline and undelivered: offline"),
        ("warning", "1 run running without a keeper: keeperless"),
        ("warning", "1 run with rejects: rejected"),
        ("warning", "1 run that this version cannot read: unreadable"),
        (
            "warning",
            "2 runs are not delivered to memory: refused2, refused1 (refused: https://there: key 2 is wrong)",
        ),
    ]


def test_file_systems_that_may_lose_or_slow_a_journal_are_warned_of(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shelf, "network_file_system", lambda _: "nfs4")
        remote = list(premises.of_shelf(place, named=True))
    memory = [f.what for f in premises.of_shelf(Path("/dev/shm"), named=True)]  # noqa: S108  it is one in memory

    assert any(f.level == "warning" and "nfs4" in f.what and "TRACELET_DIR" in f.do for f in remote)
    assert any("it lies in memory (tmpfs)" in what for what in memory)


def test_what_a_file_system_cannot_do_is_told_with_its_effect(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    found = list(premises.of_shelf(place, named=True))

    assert (
        Finding("warning", "a hard link does not work: Operation not permitted", "copies take its place")
        in found
    )
    assert found[-1].level == "ok"
    eventually(lambda: not list(place.glob(".doctor-*")))
