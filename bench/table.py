"""A table of figures, and the targets that its ratios are held against."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """A figure with its target; `low` and `high` are the extremes over the rounds it is the median of."""

    what: str
    figure: float
    target: float
    low: float | None = None
    high: float | None = None
    at_least: bool = False
    unit: str = "×"

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its target."""
        return self.figure >= self.target if self.at_least else self.figure <= self.target


@dataclass(slots=True)
class Table:
    """One table of the bench.

    A cell is a number, a text, or None for what was not measured.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: list[list[str | float | None]] = field(default_factory=list[list[str | float | None]])
    checks: list[Check] = field(default_factory=list[Check])
    notes: list[str] = field(default_factory=list[str])

    def plain(self) -> dict[str, Any]:
        """Make what `--json` writes of it."""
        checks = [{**asdict(check), "holds": check.holds} for check in self.checks]
        return {**asdict(self), "checks": checks, "command": self.command}

    @property
    def command(self) -> str:
        """What repeats this table."""
        return f".venv/bin/python -m bench {self.name}"

    def text(self) -> str:
        """Make the table as it is printed."""
        cells = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        lines = [f"{self.name}: {self.title}", "", *aligned(cells)]
        if self.checks:
            judged = [["ratio", "figure", "rounds", "target", ""], *(_judged(check) for check in self.checks)]
            lines += ["", *aligned(judged)]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join([*lines, f"Repeat: {self.command}"])


def shown(cell: str | float | None) -> str:
    """Write a cell with as many digits as mean something."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align a table's columns: the first to the left, the others to the right; a rule below the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]]


def _judged(check: Check) -> list[str]:
    sign = "≥" if check.at_least else "≤"
    between = "" if check.low is None or check.high is None else f"{check.low:.2f} to {check.high:.2f}"
    figure, target = (
        f"{shown(number) if check.unit == 'ms' else f'{number:.2f}'} {check.unit}"
        for number in (check.figure, check.target)
    )
    return [check.what, figure, between, f"{sign} {target}", "holds" if check.holds else "MISSED"]
