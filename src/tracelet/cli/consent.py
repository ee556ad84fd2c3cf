"""The question before runs are deleted."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tracelet.cli import output
from tracelet.cli.output import Column
from tracelet.cli.runs import Run
from tracelet.errors import ConfigError
from tracelet.journal import removal

_COLUMNS: Final = (
    Column("run"),
    Column("name", cut=True),
    Column("project", cut=True),
    Column("status", state=True),
    Column("size", right=True),
)


def given(going: Sequence[Run]) -> bool:
    """Show which runs would go, and ask.

    Raises:
        ConfigError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask on; --yes deletes without asking")
    sizes = [removal.size_of(Path(run.directory)) for run in going]
    rows = [
        (run.run_id, run.name, run.project, run.status, output.size(size))
        for run, size in zip(going, sizes, strict=True)
    ]
    output.table(_COLUMNS, rows, error=True)
    what = f"{output.count(len(going), 'run')}, {output.size(sum(sizes))}"
    # typer's own question takes Ctrl-C for a no.
    print(f"Delete {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
