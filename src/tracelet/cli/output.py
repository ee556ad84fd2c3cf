"""Tables and JSON on the standard output, remarks on the standard error.

A table has no frame, and no line of it is folded or cut but for the columns that say so: what
stands in one can be copied, and `grep` and `awk` find their way. rich leaves out colours for
pipes, for `NO_COLOR` and for terminals that have none.
"""

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracelet.telling.words import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

NARROW: Final = 12  # characters below which a column is not cut
GAP: Final = 2  # characters between two columns
LONG: Final = 300  # characters of an error; some trackers answer with a page of HTML
STYLES: Final = {
    "delivered": "green",
    "kept": "green",
    "finished": "green",
    "FINISHED": "green",
    "RUNNING": "cyan",
    "refused": "red",
    "unavailable": "red",
    "rejected": "red",
    "FAILED": "red",
    "UNREADABLE": "red",
    "behind": "yellow",
    "stopped": "yellow",
    "waiting": "yellow",
    "KILLED": "yellow",
}
"""How the last word of a cell is coloured, in a `state` column: others hold what users have named."""

count = counted


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column.

    Attributes:
        header: What stands above it.
        right: Whether its cells stand at the right.
        cut: Whether a narrow terminal may cut them.
        state: Whether they are words of ours that have a colour.
        spare: When a narrow terminal gives the column up: that with 1 goes first, with 0 never.
    """

    header: str
    right: bool = False
    cut: bool = False
    state: bool = False
    spare: int = 0


def clean(text: str) -> str:
    """Show what would break a line or speak to the terminal as Python would write it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def brief(text: str, *, whole: bool = False) -> str:
    """Cut what a tracker said to a length that can be read in passing, unless all of it is asked for."""
    return text if whole or len(text) <= LONG else f"{text[:LONG]}… (--verbose shows all of it)"


def console(*, error: bool = False) -> "Console":
    """Make a console for the standard output, or for the standard error."""
    from rich.console import Console  # it takes longer to load than `--json` takes to run

    return Console(stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=True)


def line(text: str, style: str = "") -> "Text":
    """Make one line, to be printed or to be part of a screen."""
    from rich.text import Text

    return Text(clean(text), style=style)


def say(text: str, style: str = "") -> None:
    """Print one line."""
    console().print(line(text, style))


def nothing_left(*, any_runs: bool, where: object) -> None:
    """Say that there is nothing to deliver, and if that is because there are no runs at all."""
    if any_runs:
        say("everything is delivered", "green")
    else:
        remark(f"no runs in {where}")


def remark(text: str) -> None:
    """Print one line that is not part of what was asked for."""
    print(f"tracelet: {clean(text)}", file=sys.stderr)


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], indent: int = 0, *, error: bool = False
) -> None:
    """Print a table; a terminal for which it is too wide sees less of it, as its columns say."""
    out = console(error=error)
    for drawn in grid(columns, rows, indent, out.width if out.is_terminal else None):
        out.print(drawn)


def is_cut(columns: Sequence[Column], rows: Iterable[Sequence[str]], indent: int = 0) -> bool:
    """Tell whether `table` cuts cells to make the table fit."""
    from rich.cells import cell_len

    out = console()
    if not out.is_terminal:
        return False
    lines = [[column.header for column in columns], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    return _fitted(columns, widths, out.width - indent - GAP * (len(columns) - 1)) != widths


def grid(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], indent: int = 0, room: int | None = None
) -> "list[Text]":
    """Draw a table's lines, the header first; `room` is the characters it has, None for any number."""
    from rich.cells import cell_len
    from rich.text import Text

    header = [column.header for column in columns]
    lines = [header, *([clean(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
    if room is not None:
        kept = _kept(columns, widths, room - indent)
        columns, widths = [columns[index] for index in kept], [widths[index] for index in kept]
        lines = [[line[index] for index in kept] for line in lines]
        widths = _fitted(columns, widths, room - indent - GAP * (len(columns) - 1))
    drawn: list[Text] = []
    for number, cells in enumerate(lines):
        text = Text(" " * indent)
        for column, width, cell in zip(columns, widths, cells, strict=True):
            style = "bold" if number == 0 else _style(cell) if column.state else ""
            text.append(_padded(cell, width, column), style=style)
            text.append(" " * GAP)
        text.rstrip()
        drawn.append(text)
    return drawn


def _padded(cell: str, width: int, column: Column) -> str:
    from rich.cells import cell_len, set_cell_size

    missing = width - cell_len(cell)
    if missing < 0:
        return set_cell_size(cell, width - 1) + "…"
    return " " * missing + cell if column.right else cell + " " * missing


def _kept(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Give up columns until the others fit when they are cut, or none is spare any more."""
    least = [
        min(width, NARROW) if column.cut else width for column, width in zip(columns, widths, strict=True)
    ]
    kept = list(range(len(columns)))
    while sum(least[index] + GAP for index in kept) - GAP > room:
        spare = [index for index in kept if columns[index].spare]
        if not spare:
            break
        kept.remove(min(spare, key=lambda index: columns[index].spare))
    return kept


def _fitted(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """Take from the widest columns that may be cut until all fit, or none is wide any more."""
    while sum(widths) > room:
        wide = [index for index, column in enumerate(columns) if column.cut and widths[index] > NARROW]
        if not wide:
            break
        widest = max(wide, key=lambda index: widths[index])
        widths = [width - (index == widest) for index, width in enumerate(widths)]
    return widths


def _style(cell: str) -> str:
    return STYLES.get(cell.rpartition(" ")[2], "")


def document(content: object, *, brief: bool = False) -> None:
    """Print one JSON document, with `brief` in one line.

    Numbers that JSON does not have are given as "NaN" and "±Infinity".
    """
    print(json.dumps(_finite(content), indent=None if brief else 2, allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        items: Any = value.items()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return {str(name): _finite(item) for name, item in items}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def moment(seconds: float, *, brief: bool = False) -> str:
    """Write a time, in seconds since the epoch, as the clock on the wall shows it."""
    shape = "%Y-%m-%d %H:%M" if brief else "%Y-%m-%d %H:%M:%S"
    return time.strftime(shape, time.localtime(seconds)) if seconds else ""


def span(seconds: float) -> str:
    """Write a span of time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def size(number: float) -> str:
    """Write a number of bytes in its largest unit; a KB has 1024, as in the settings."""
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004  "1000.0 KB" is wider than "1.0 MB"
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"
