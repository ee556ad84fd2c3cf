"""`python -m tests.crash N`: deal N kills to each tracker's runs; exit with 1 if anything is wrong."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, TextIO

from tests.crash.chaos import Outcome, endure, plan_of
from tests.crash.relays import wear
from tests.crash.trackers import TRACKERS, Tracker

TITLE: Final = (
    "tracker      seed  noted  there missing doubled extra status    verdict  killed@second (met nobody)"
)


def main() -> int:
    """Run seeds until enough kills are dealt."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=50, metavar="N")
    parser.add_argument("--backend", action="append", choices=TRACKERS, help="only this one; may be repeated")
    parser.add_argument(
        "--relays",
        action="store_true",
        help="kill relays only, all of one run's; those that delivered when they were killed count",
    )
    parser.add_argument("--seed", type=int, default=0, help="the first seed; they count up from it")
    parser.add_argument("--keep", action="store_true", help="keep the directories of runs that went wrong")
    given = parser.parse_args()
    out = sys.stdout
    out.write(TITLE + "\n")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="tracelet-crash-") as root:
        for name in given.backend or TRACKERS:
            with TRACKERS[name](Path(root)) as tracker:
                wrong += _deal(tracker, given, Path(root), out)
    out.write(f"{'nothing lost, nothing doubled' if not wrong else f'{wrong} runs went wrong'}\n")
    return 1 if wrong else 0


def _deal(tracker: Tracker, given: argparse.Namespace, root: Path, out: TextIO) -> int:
    """Deal so many kills; tell how many runs went wrong."""
    dealt = runs = wrong = 0
    began, seed = time.monotonic(), given.seed
    while dealt < given.kills:
        place = root / f"{tracker.name}-{seed}"
        place.mkdir()
        if given.relays:
            outcome = wear(seed, tracker, place, given.kills)
        else:
            outcome = endure(plan_of(seed, tracker.seconds), tracker, place)
        runs, seed = runs + 1, seed + 1
        dealt += outcome.kills
        wrong += _tell(outcome, out)
        if outcome.verdict.problems and given.keep:
            kept = Path(tempfile.mkdtemp(prefix=f"tracelet-crash-{place.name}-"))
            shutil.copytree(place, kept, dirs_exist_ok=True)
            out.write(f"    kept in {kept}\n")
        shutil.rmtree(place)
        if given.relays and not outcome.kills:
            break  # its relays do not work, and another run's would not either
    out.write(f"{tracker.name}: {dealt} kills in {runs} runs, {time.monotonic() - began:.0f} s\n")
    return wrong


def _tell(outcome: Outcome, out: TextIO) -> bool:
    """Print a run's line; tell whether it went wrong."""
    found = outcome.verdict
    said = "WRONG" if found.problems else "right"
    out.write(
        f"{outcome.tracker:11} {outcome.seed:>5} {found.noted:>6} {found.arrived:>6} {found.missing:>7}"
        f" {found.doubled:>7} {found.extra:>5} {found.status:9} {said:7}  {' '.join(outcome.dealt)}\n"
    )
    out.writelines(f"    {problem}\n" for problem in found.problems[:3])
    out.flush()
    return bool(found.problems)


if __name__ == "__main__":
    sys.exit(main())
