"""`python -m tests.crash N`: deal N kills to each tracker's runs; exit with 1 if anything is wrong."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, TextIO

from tests.crash.chaos import Outcome, endure, plan_of
from tests.crash.trackers import Memory, Mlflow, Tracker

TITLE: Final = (
    "tracker  seed  noted  there missing doubled extra status    verdict  killed@second (nobody there)"
)


def main() -> int:
    """Run seeds until enough kills are dealt."""
    arguments = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    arguments.add_argument("kills", type=int, nargs="?", default=50, metavar="N")
    arguments.add_argument("--backend", choices=("memory", "mlflow", "both"), default="both")
    arguments.add_argument("--seed", type=int, default=0, help="the first seed; they count up from it")
    arguments.add_argument("--keep", action="store_true", help="keep the directories of runs that went wrong")
    given = arguments.parse_args()
    out = sys.stdout
    out.write(TITLE + "\n")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="tracelet-crash-") as root:
        for tracker in _trackers(given.backend, Path(root)):
            wrong += _deal(tracker, given.kills, given.seed, Path(root), out, keep=given.keep)
    out.write(f"{'nothing lost, nothing doubled' if not wrong else f'{wrong} runs went wrong'}\n")
    return 1 if wrong else 0


def _trackers(wanted: str, root: Path) -> list[Tracker]:
    template = root / "template"
    template.mkdir()
    every: list[Tracker] = [Memory(), Mlflow(template)]
    return [tracker for tracker in every if wanted in {tracker.name, "both"}]


def _deal(tracker: Tracker, kills: int, seed: int, root: Path, out: TextIO, *, keep: bool) -> int:
    """Deal `kills` kills; tell how many runs went wrong."""
    dealt = runs = wrong = 0
    began = time.monotonic()
    while dealt < kills:
        place = root / f"{tracker.name}-{seed}"
        place.mkdir()
        outcome = endure(plan_of(seed, tracker.seconds), tracker, place)
        runs, seed = runs + 1, seed + 1
        dealt += sum(not said.startswith("(") for said in outcome.dealt)
        wrong += _tell(outcome, out)
        if outcome.verdict.problems and keep:
            kept = Path(tempfile.mkdtemp(prefix=f"tracelet-crash-{place.name}-"))
            shutil.copytree(place, kept, dirs_exist_ok=True)
            out.write(f"    kept in {kept}\n")
        shutil.rmtree(place)
    out.write(f"{tracker.name}: {dealt} kills in {runs} runs, {time.monotonic() - began:.0f} s\n")
    return wrong


def _tell(outcome: Outcome, out: TextIO) -> bool:
    """Print a run's line; tell whether it went wrong."""
    found = outcome.verdict
    said = "WRONG" if found.problems else "right"
    out.write(
        f"{outcome.tracker:7} {outcome.plan.seed:>5} {found.noted:>6} {found.arrived:>6} {found.missing:>7}"
        f" {found.doubled:>7} {found.extra:>5} {found.status:9} {said:7}  {' '.join(outcome.dealt)}\n"
    )
    out.writelines(f"    {problem}\n" for problem in found.problems[:3])
    out.flush()
    return bool(found.problems)


if __name__ == "__main__":
    sys.exit(main())
