"""What `tracelet show` prints of a run: tables, each with a title."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tracelet.cli import digest, output, plot
from tracelet.cli.figures import figure, whole
from tracelet.cli.output import Column
from tracelet.cli.points import MetricDigest, Standing
from tracelet.cli.runs import Run, unrouted, what, word
from tracelet.cli.sources import Origin
from tracelet.events import Bundle, Chart
from tracelet.journal import status as files
from tracelet.telling.words import span

FEW: Final = 5  # rejects that are shown without being asked for
MANY: Final = 50  # rows of one table that a terminal shows without being asked for more
FULL, FEWER = 6, 4  # digits of a value; fewer where they would leave no room
TREND: Final = (8, 24)  # characters that a metric's line has at least, or is left out; and at most

_METRIC: Final = Column("metric", cut=True)
_POINTS: Final = Column("points", right=True)
_STEPS: Final = Column("steps", right=True)
_LAST: Final = Column("last", right=True)
_MIN: Final = Column("min", right=True)
_MAX: Final = Column("max", right=True)
_AT: Final = Column("at", right=True)
_NAN: Final = Column("NaN", right=True)
_TREND: Final = Column("trend")
_PAIRS: Final = (Column("name", cut=True), Column("value", cut=True))
_TEXTS: Final = (
    Column("text"),
    Column("count", right=True),
    Column("last step", right=True),
    Column("last", cut=True),
)
_SERIES: Final = (
    Column("name", cut=True),
    Column("count", right=True),
    Column("last step", right=True),
    Column("bytes", right=True),
    Column("last", cut=True, spare=1),
)
_DEFINED: Final = (Column("defined", cut=True), Column("summary", cut=True), Column("x axis", cut=True))
_BUNDLES: Final = (
    Column("name", cut=True),
    Column("kind"),
    Column("step", right=True),
    Column("files", right=True),
    Column("bytes", right=True),
    Column("aliases", cut=True),
    Column("where", cut=True),
)
_CHARTS: Final = {"confusion_matrix": "confusion matrix", "pr_curve": "PR curve", "roc_curve": "ROC curve"}
_ARTIFACTS: Final = (Column("path"), Column("bytes", right=True), Column("left at"))
_DELIVERIES: Final = (Column("backend"), Column("delivery", state=True), Column("page or view"))
_REJECTS: Final = (Column("backend"), Column("rejected", cut=True), Column("reason", cut=True))


def _facts(origin: Origin, found: digest.Digest, source: str) -> dict[str, str]:
    """Say what is known of a run as a whole; what is empty is left out."""
    started = origin.started if found.started is None else found.started
    begun, mode = output.moment(started), ""
    if origin.run is not None:
        run_file = files.read_run(Path(origin.run.directory))
        begun, mode = f"{begun} on {run_file.host}, process {run_file.trainer.pid}", origin.run.mode
    return {
        "name": origin.name,
        "project": origin.project,
        "group": found.group,
        "job type": found.job_type,
        "parent": found.parent,
        "status": (found.status or origin.status) + (f": {found.reason}" if found.reason else ""),
        "mode": mode,
        "started": begun,
        "ended": f"{output.moment(found.ended)}, after {span(found.ended - started)}" if found.ended else "",
        "records": f"{found.records:,}",
        "lost": f"{found.lost:,} could not be written by the training process" if found.lost else "",
        "damaged": f"{output.count(found.damaged, 'place')} cannot be read" if found.damaged else "",
        "directory": origin.run.directory if origin.run else "",
        "source": source,
        "layout": _layout(found.charts),
        "note": found.note,
    }


class Page:
    """What is printed of a run; with `brief`, long tables and long values are cut."""

    def __init__(self, gathering: digest.Gathering, found: digest.Digest, *, brief: bool) -> None:
        self._gathering, self._found, self._brief = gathering, found, brief
        self._is_cut = False

    def head(self, origin: Origin, source: str) -> None:
        """Print what is known of the run as a whole."""
        output.say(origin.id, "bold")
        for name, text in _facts(origin, self._found, source).items():
            if text:
                self._line(f"  {name:<10} {text}", cut=name != "directory")

    def recorded(self) -> None:
        """Print params, tags, metrics, and what stands for these."""
        found = self._found
        for title, pairs in (("params", found.params), ("tags", found.tags)):
            self._table(title, _PAIRS, [(name, str(value)) for name, value in pairs.items()])
        self._metrics()
        self._table("definitions", _DEFINED, list(_defined(found)))

    def attached(self) -> None:
        """Print texts, images and all else that has bytes, models and the like, and artifacts."""
        found = self._found
        texts = [
            (name, f"{text.count:,}", whole(text.last_step), _beginning(text.last))
            for name, text in found.texts.items()
        ]
        self._table("texts", _TEXTS, texts)
        for kind, series in found.series.items():
            rows = [
                (
                    name,
                    f"{one.count:,}",
                    whole(one.last_step),
                    f"{one.size:,}" if one.size else "",
                    _what(kind, one),
                )
                for name, one in series.items()
            ]
            self._table(kind, _SERIES, rows)
        self._table("bundles", _BUNDLES, [_bundle(one, found) for one in found.bundles])
        artifacts = [(file.path, f"{file.size:,}", file.reference) for file in found.artifacts]
        left = any(file.reference for file in found.artifacts)  # by `log_artifact(copy=False)`
        width = len(_ARTIFACTS) if left else len(_ARTIFACTS) - 1
        self._table("artifacts", _ARTIFACTS[:width], [row[:width] for row in artifacts])

    def deliveries(self, run: Run) -> None:
        """Print where the run is, besides here."""
        rows = [(backend.name, word(backend), backend.url or backend.view) for backend in run.backends]
        self._table("delivery", _DELIVERIES, rows)
        for backend in run.backends:
            if backend.error:
                self._line(f"  {backend.name} error: {backend.error}", cut=True)
            if backend.unrouted:
                self._line(f"  {backend.name}: {unrouted(backend)}", cut=False)

    def rejects(self, refused: dict[str, list[files.Reject]], *, every: bool) -> None:
        """Print what trackers would not take."""
        rows = [(name, what(reject), reject.reason) for name, found in refused.items() for reject in found]
        if not rows:
            if every:
                output.remark("nothing was rejected")
            return
        _section("rejects")
        if every:
            output.table([dataclasses.replace(column, cut=False) for column in _REJECTS], rows, indent=2)
            return
        self._rows(_REJECTS, rows[:FEW])
        if len(rows) > FEW:
            output.remark(f"{len(rows) - FEW:,} more rejects; --rejects shows every one")

    def end(self) -> None:
        """Say how to see what is missing."""
        if self._is_cut:
            output.remark("what is long is cut; --all shows it whole")
        if self._brief and self._found.texts:
            output.remark("of texts only the first line is shown; --text NAME prints a text whole")

    def _line(self, text: str, *, cut: bool) -> None:
        width = output.console().width
        line = output.line(text)
        if cut and self._brief and line.cell_len > width:
            self._is_cut = True
            line.truncate(width, overflow="ellipsis")
        output.console().print(line)

    def _metrics(self) -> None:
        names = self._shown(self._found.metrics)
        columns, rows = self._figures(names, FULL, points=True)
        out = output.console()
        if out.is_terminal and rows:
            # For a metric's line a narrow terminal gives up digits, and then a column; without
            # room for one, it gives them up only if the table does not fit otherwise.
            found: list[tuple[int, list[Column], list[list[str]]]] = []
            for digits, points in ((FULL, True), (FEWER, True), (FEWER, False)):
                columns, rows = self._figures(names, digits, points=points)
                wide = max(line.cell_len for line in output.grid(columns, rows, indent=2))
                found.append((out.width - wide - output.GAP, columns, rows))
            least = next((room for room in (TREND[0], -output.GAP) if found[-1][0] >= room), None)
            if least is not None:
                room, columns, rows = next(one for one in found if one[0] >= least)
                self._add_trend(columns, rows, min(TREND[1], room))
        self._table("metrics", columns, rows, of=len(self._found.metrics))

    def _add_trend(self, columns: list[Column], rows: list[list[str]], room: int) -> None:
        if room < TREND[0]:
            return
        columns.append(_TREND)
        for row in rows:
            row.append(plot.sparkline(self._gathering.course(row[0]), room, plot.glyphs()))

    def _figures(
        self, names: Iterable[str], digits: int, *, points: bool
    ) -> tuple[list[Column], list[list[str]]]:
        """Make the columns and rows of the metrics' table; the number of NaN only where there is one."""
        metrics = {name: self._found.metrics[name] for name in names}
        nan = any(metric.nan for metric in metrics.values())
        cells = [
            (_METRIC, list(metrics)),
            *([(_POINTS, [f"{metric.points:,}" for metric in metrics.values()])] if points else []),
            (_STEPS, [_steps(metric) for metric in metrics.values()]),
            (_LAST, [figure(metric.last, digits) for metric in metrics.values()]),
            (_MIN, [figure(metric.min, digits) for metric in metrics.values()]),
            (_AT, [whole(metric.min_step) for metric in metrics.values()]),
            (_MAX, [figure(metric.max, digits) for metric in metrics.values()]),
            (_AT, [whole(metric.max_step) for metric in metrics.values()]),
            *([(_NAN, [whole(metric.nan or None) for metric in metrics.values()])] if nan else []),
        ]
        return [column for column, _ in cells], [
            list(row) for row in zip(*(cell for _, cell in cells), strict=True)
        ]

    def _shown(self, names: Iterable[str]) -> list[str]:
        return list(names)[: MANY if self._brief else None]

    def _table(
        self, title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], of: int | None = None
    ) -> None:
        if not rows:
            return
        _section(title)
        shown = rows[: MANY if self._brief else None]
        self._rows(columns, shown)
        if hidden := (of or len(rows)) - len(shown):
            output.remark(f"{hidden:,} more {title}; --all shows every one")

    def _rows(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        if not self._brief:
            columns = [dataclasses.replace(column, cut=False) for column in columns]
        self._is_cut = self._is_cut or output.is_cut(columns, rows, indent=2)
        output.table(columns, rows, indent=2)


def _what(kind: str, series: digest.SeriesDigest) -> str:
    """Say what the last one of a series is: "3×512×512 uint8, CHW: before the step"."""
    last = series.last
    lengths = last.get("shape", ())
    shape = " ".join(filter(None, ("×".join(map(str, lengths)), last.get("dtype") or last.get("format"))))
    if kind == "tables" and len(lengths) == len(("rows", "columns")):
        shape = f"{output.count(lengths[0], 'row')}, {output.count(lengths[1], 'column')}"
    units = (("bins", "bins"), ("rate", "Hz"), ("fps", "fps"))
    counts = [f"{last[name]:,g} {unit}" for name, unit in units if name in last]
    said = [shape, last.get("layout"), *counts, _CHARTS.get(chart := last.get("chart", ""), chart)]
    return ": ".join(filter(None, (", ".join(filter(None, said)), last.get("caption"))))


def _layout(charts: Sequence[Chart]) -> str:
    named = ", ".join("/".join(filter(None, (chart.category, chart.title))) for chart in charts)
    return f"{output.count(len(charts), 'chart')}: {named}" if charts else ""


def _defined(found: digest.Digest) -> Iterator[tuple[str, str, str]]:
    """Give a row for each metric that has a summary of its own, and for each definition besides."""
    left = dict(found.definitions)
    for name, metric in found.metrics.items():
        definition = found.definition(name) if metric.summary else None
        if definition is not None:
            values = ", ".join(_stands(rule, place) for rule, place in metric.summary.items())
            yield name, values, definition.step_metric
            left.pop(definition.name, None)
    for name, definition in left.items():
        yield name, ", ".join(definition.summary), definition.step_metric


def _stands(rule: str, place: Standing) -> str:
    at = "" if place.step is None else f" at step {place.step:,}"
    return f"{rule} {figure(place.value)}{at}".rstrip()


def _bundle(bundle: Bundle, found: digest.Digest) -> tuple[str, ...]:
    inside = [file for file in found.artifacts if f"{file.path}/".startswith(f"{bundle.path}/")]
    size = sum(file.size for file in inside) if bundle.files else 0
    return (
        bundle.name,
        bundle.kind,
        whole(bundle.step),
        f"{bundle.files:,}" if bundle.files else "",
        f"{size:,}" if size else "",
        ", ".join(bundle.aliases),
        bundle.reference or bundle.path,
    )


def _steps(metric: MetricDigest) -> str:
    steps = (whole(step) for step in (metric.first_step, metric.last_step) if step is not None)
    return "..".join(dict.fromkeys(steps))


def _beginning(text: str) -> str:
    """Take a text's first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _section(title: str) -> None:
    output.say("")
    output.say(title, "bold")
