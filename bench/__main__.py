"""`python -m bench [TABLE …] [--quick] [--json FILE]`: print the tables."""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

from bench import bulk, calls, disk, importing, media, relay, start, steps, together, wall
from bench.place import Place
from bench.table import Table

TABLES: Final = {
    "calls": calls.measure,
    "steps": steps.measure,
    "import": importing.measure,
    "start": start.measure,
    "wall": wall.measure,
    "relay": relay.measure,
    "disk": disk.measure,
    "media": media.measure,
    "bulk": bulk.measure,
    "together": together.measure,
}
NAMED: Final = {"bulk", "together"}
"""Tables that are made only when they are asked for: they take minutes, and one of them gigabytes of disk."""


def main() -> int:
    """Measure what is asked for; 1 if a table could not be made. A target that is missed is no error."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What tracelet costs, as ratios.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds: for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file, too")
    given = parser.parse_args()
    if unknown := set(given.tables) - set(TABLES):
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then, too
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    machine = f"{os.cpu_count()} cores, {system}"
    print(f"{machine}{'; --quick' if given.quick else ''}\n")
    made: list[dict[str, Any]] = []
    chosen = given.tables or [name for name in TABLES if name not in NAMED]
    for name in chosen:
        load, began = os.getloadavg()[0], time.monotonic()
        try:
            table = one(name, quick=given.quick)
        except Exception:  # noqa: BLE001  the other tables are still wanted
            traceback.print_exc()
            continue
        seconds = time.monotonic() - began
        print(f"{table.text()}   ({seconds:.0f} s; load when it began {load:.1f})\n", flush=True)
        made.append({**table.plain(), "seconds": seconds, "load": load})
    if given.json is not None:
        content = {"machine": machine, "quick": given.quick, "tables": made}
        given.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(len(made) < len(chosen))


def one(name: str, *, quick: bool) -> Table:
    """Make one table, in a place of its own."""
    with contextlib.closing(Place()) as place:
        return TABLES[name](place, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
