"""`tracelet compare`: runs beside each other, and in what they differ.

Up to `BESIDE` runs stand in columns; more of them stand in rows, and a table that would be wider
than the terminal is continued below.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from tracelet.cli import completing, digest, output, plot
from tracelet.cli.figures import figure, fits, fitting
from tracelet.cli.output import Column
from tracelet.cli.plot import Series
from tracelet.cli.runs import Json, Place, shelf_at
from tracelet.cli.sources import From, Origin, opened
from tracelet.errors import ConfigError
from tracelet.journal import shelf
from tracelet.telling.words import span

BESIDE: Final = 6  # runs that stand in columns
MANY: Final = 50  # rows or columns of a kind that a terminal shows without being asked for more
NAME: Final = 20  # characters that the names of params and metrics want
WIDE: Final = 32  # characters of a column that more columns may stand beside
_RUNS: Final = (
    Column("name", cut=True),
    Column("run"),
    Column("status", state=True),
    Column("started", spare=1),
    Column("took", right=True),
    Column("points", right=True),
)


class By(str, Enum):
    """Which value of a metric is compared."""

    LAST = "last"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"


class Compared(NamedTuple):
    """A run, and what it recorded."""

    origin: Origin
    found: digest.Digest
    gathering: digest.Gathering

    @property
    def status(self) -> str:
        """How it ended, or that it has not."""
        return self.origin.run.status if self.origin.run else self.found.status or self.origin.status

    @property
    def started(self) -> float:
        """When it began."""
        return self.origin.started if self.found.started is None else self.found.started

    @property
    def duration(self) -> float | None:
        """Seconds to its end, or to the last that it recorded; None if it recorded nothing."""
        end = self.found.latest if self.found.ended is None else self.found.ended
        return None if end is None else max(0.0, end - self.started)


def compare(
    wanted: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Ids, their beginnings or ends, or names.",
            autocompletion=completing.runs,
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", metavar="NAME", help="Only these metrics; 'val/*' names several."),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(
            "--by", help="Which value of a metric; by default what its definition says, else the last."
        ),
    ] = None,
    plots: Annotated[
        list[str] | None,
        typer.Option(
            "--plot", metavar="NAME", help="Draw a metric of all runs in one plot; 'val/*' draws several."
        ),
    ] = None,
    log: Annotated[
        bool | None,
        typer.Option(
            "--log/--linear", help="Draw values by their logarithm, or not; by default as fits them."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Show what is equal too, and every row.")
    ] = False,
    as_json: Json = False,
    source: From = "",
    place: Place = None,
) -> None:
    """Show runs beside each other, and in what they differ."""
    if as_json and plots:
        raise ConfigError("--json prints one document; --plot does not go with it")
    runs = _read(place, source, wanted, plots or ())
    names = dict.fromkeys(name for run in runs for name in sorted(run.found.metrics))
    chosen = list(fitting(metrics, names, "metric") if metrics else sorted(names))
    drawn = list(fitting(plots or (), names, "metric"))
    params = _differing([run.found.params for run in runs], everything=everything or as_json)
    tags = _differing([run.found.tags for run in runs], everything=everything or as_json)
    rules = {name: _rule(runs, name, by) for name in chosen}
    if as_json:
        output.document({**_document(runs, chosen), "by": {name: one.rule for name, one in rules.items()}})
        return
    labels = _labels(runs)
    output.table(_RUNS, [_row(run) for run in runs])
    page = _Page(labels, brief=output.console().is_terminal and not everything)
    differ = "" if everything else " that differ"
    page.table(f"params{differ}", params, [_texts(run.found.params) for run in runs])
    page.table(f"tags{differ}", tags, [_texts(run.found.tags) for run in runs])
    labelled = {name: f"{name}, {rule}" if named else name for name, (rule, _, named) in rules.items()}
    values = [_values(run.found, rules, labelled) for run in runs]
    own = " or as defined" if any(rule.own for rule in rules.values()) else ""
    page.table(f"metrics, {(by or By.LAST).value}{own}", list(labelled.values()), values, right=True)
    for name in drawn:
        curves = [
            Series(label, run.gathering.course(name))
            for label, run in zip(labels, runs, strict=True)
            if name in run.found.metrics
        ]
        plot.show(name, curves, log=log)


def _read(place: Path | None, source: str, wanted: Sequence[str], plots: Sequence[str]) -> list[Compared]:
    runs: list[Compared] = []
    if not source:
        where = shelf_at(place)
        same = {name: [path.name for path in shelf.namesakes(where, name)] for name in wanted}
        wanted = [one for name in wanted for one in same[name] or [name]]  # a sweep's runs may share one
    with opened(place, source, wanted) as origins:
        if len(origins) < 2:  # noqa: PLR2004  it takes two
            raise ConfigError(f"there is nothing to compare {origins[0].id} with; name two runs or more")
        for origin in origins:
            gathering = digest.Gathering(lambda name: plot.DETAIL if fits(name, plots) else 0)
            found = gathering.take(origin.events(gathering.damaged)).digest
            if found.damaged:
                output.remark(f"{origin.id}: {output.count(found.damaged, 'place')} cannot be read")
            runs.append(Compared(origin, found, gathering))
    return runs


def _document(runs: Sequence[Compared], chosen: Sequence[str]) -> dict[str, Any]:
    differing = {
        "params": _differing([run.found.params for run in runs], everything=False),
        "tags": _differing([run.found.tags for run in runs], everything=False),
    }
    return {"runs": [_run_document(run, set(chosen)) for run in runs], "differing": differing}


def _run_document(run: Compared, chosen: set[str]) -> dict[str, Any]:
    content = digest.plain(run.found)
    head = {"run_id": run.origin.id, "name": run.origin.name, "project": run.origin.project}
    state = {"status": run.status, "started": run.started, "duration": run.duration}
    metrics = {name: figures for name, figures in content["metrics"].items() if name in chosen}
    return head | content | state | {"metrics": metrics}


def _labels(runs: Sequence[Compared]) -> list[str]:
    """Call the runs by their names, or where the beginnings of those are the same by parts of their ids."""
    names = [run.origin.name for run in runs]
    if len({name[: output.NARROW - 1] for name in names}) == len(names) and all(names):
        return names
    ids = [run.origin.id for run in runs]
    # Ours begin with the time and end in what tells them apart; trackers' are random all over.
    short = [
        name.rpartition("-")[2] if run.origin.run else name[:8] for name, run in zip(ids, runs, strict=True)
    ]
    return short if len(set(short)) == len(short) else ids


def _row(run: Compared) -> list[str]:
    points = sum(metric.points for metric in run.found.metrics.values())
    spent = "" if run.duration is None else span(run.duration)
    started = output.moment(run.started, brief=True)
    return [run.origin.name, run.origin.id, run.status, started, spent, f"{points:,}"]


def _differing(runs: Sequence[Mapping[str, Any]], *, everything: bool) -> list[str]:
    """List the names whose values look different, or that not all have."""
    names = sorted({name for run in runs for name in run})
    return [name for name in names if everything or len({_text(run, name) for run in runs}) > 1]


def _text(pairs: Mapping[str, Any], name: str) -> str | None:
    return str(pairs[name]) if name in pairs else None


def _texts(pairs: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in pairs.items()}


class Rule(NamedTuple):
    """Which value stands for a metric, in all runs the same.

    Attributes:
        rule: As in a `Definition`.
        goal: What makes a value the best.
        own: Whether it is another than of other metrics.
    """

    rule: str
    goal: str
    own: bool


def _rule(runs: Sequence[Compared], name: str, by: By | None) -> Rule:
    """Choose what a metric is compared by: what was asked for, or what the first run says that says so."""
    said = [one for run in runs if (one := run.found.definition(name)) is not None]
    goal = next((one.goal for one in said if one.goal), "")
    if by is not None:
        return Rule(by.value, goal, own=False)
    rules = [rule for rule in next((one.summary for one in said if one.summary), ()) if rule != digest.UNSAID]
    if not rules:
        return Rule(By.LAST.value, goal, own=False)
    rule = "best" if "best" in rules else rules[0]
    return Rule(rule, goal, own=rule != By.LAST.value)


def _values(found: digest.Digest, rules: Mapping[str, Rule], labelled: Mapping[str, str]) -> dict[str, str]:
    return {
        labelled[name]: figure(found.metrics[name].by(rule.rule, rule.goal).value)
        for name, rule in rules.items()
        if name in found.metrics
    }


class _Page:
    """Tables of values by name and run; with `brief`, long ones and long values are cut."""

    def __init__(self, labels: Sequence[str], *, brief: bool) -> None:
        self._labels, self._brief = labels, brief
        out = output.console()
        self._room = out.width - 2 if out.is_terminal else None  # characters of a line
        fit = BESIDE if self._room is None else (self._room - NAME) // (output.NARROW + output.GAP)
        self._beside = len(labels) <= min(BESIDE, max(2, fit))

    def table(
        self, title: str, names: Sequence[str], runs: Sequence[Mapping[str, str]], *, right: bool = False
    ) -> None:
        """Print a table; a run that does not have a name has an empty cell."""
        if not names:
            return
        shown = names[: MANY if self._brief else None]
        output.say("")
        output.say(title, "bold")
        if self._beside:
            columns = [self._column("name"), *(self._column(label, right=right) for label in self._labels)]
            output.table(columns, [[name, *(run.get(name, "") for run in runs)] for name in shown], indent=2)
        else:
            self._in_rows(shown, runs, right=right)
        if hidden := len(names) - len(shown):
            output.remark(f"{hidden:,} more {title}; --all shows every one")

    def _in_rows(self, names: Sequence[str], runs: Sequence[Mapping[str, str]], *, right: bool) -> None:
        for number, block in enumerate(self._blocks(names, runs)):
            if number:
                output.say("")
            columns = [self._column("run"), *(self._column(name, right=right) for name in block)]
            rows = [
                [label, *(run.get(name, "") for name in block)]
                for label, run in zip(self._labels, runs, strict=True)
            ]
            output.table(columns, rows, indent=2)

    def _blocks(self, names: Sequence[str], runs: Sequence[Mapping[str, str]]) -> Iterator[list[str]]:
        """Part the columns so that each table fits the terminal."""
        first = min(WIDE, max(map(len, self._labels)))
        block: list[str] = []
        used = first
        for name in names:
            wide = min(WIDE, max(len(name), *(len(run.get(name, "")) for run in runs))) + output.GAP
            if block and self._room is not None and used + wide > self._room:
                yield block
                block, used = [], first
            block.append(name)
            used += wide
        yield block

    def _column(self, header: str, *, right: bool = False) -> Column:
        return Column(header, right=right, cut=self._brief)
