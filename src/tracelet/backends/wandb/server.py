"""Runs on a server, as W&B's public API gives them: the whole history, never a sample of it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

from tracelet.backends.wandb.api import Connection
from tracelet.backends.wandb.found import About, Logged, Row
from tracelet.errors import Refused
from tracelet.events import Definition

_RUNS: Final = 50  # runs, or artifacts, in one question
PAGE: Final = 1000  # steps, or rows, in one question
_SPARSE: Final = 100  # rows of a page, on average, where most steps have none
_CAPPED: Final = 10_000  # rows of a page: a server might not give more, so such a page is asked for in parts
_MACHINE: Final = 10_000_000  # rows: all there are
_GOING_ON: Final = frozenset({"running", "pending", "preempting"})
_SUMMARIES: Final = {1: "min", 2: "max", 3: "mean", 4: "best", 5: "last"}
_GOALS: Final = {1: "minimize", 2: "maximize"}
_MOMENT: Final = re.compile(
    r"(?P<whole>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?P<part>\.\d+)?(?P<zone>Z|[+-]\d\d:\d\d)?"
)
_NAME, _GLOB, _STEP, _STEP_NUMBER, _SUMMARY, _GOAL = "1", "2", "4", "5", "7", "8"
"""Of a metric in the config: the numbers of the fields of `MetricRecord` in the client's schema."""


def runs(connection: Connection, entity: str, project: str) -> Iterator[tuple[str, About]]:
    """Give the runs of a project, or of all of somebody's, and who that is; if nobody is named, who asks."""
    entity = entity or connection.ask(lambda api: api.default_entity) or ""
    projects = (
        [project] if project else connection.ask(lambda api: [one.name for one in api.projects(entity)])
    )
    for name in projects:
        found = connection.ask(lambda api, path=f"{entity}/{name}": _afresh(api).runs(path, lazy=False))
        try:
            yield from ((entity, about(run)) for run in connection.each(found, _RUNS))
        except Refused as error:
            if "could not find project" not in str(error).lower():
                raise
            raise Refused(
                f"W&B has no project {entity}/{name}, or does not show it to you; "
                f"`tracelet ls --from wandb:{entity}/` lists what there is"
            ) from None


class Served:
    """A run on a server; see `Kept`.

    Args:
        connection: The way there.
        path: `ENTITY/PROJECT/ID`.
    """

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._run: Any = connection.ask(lambda api: _afresh(api).run(path))
        self._artifacts: dict[str, Any] = {}
        self._logged: list[Logged] | None = None

    def about(self) -> About:
        """See `Kept.about`."""
        return about(self._run)

    def rows(self) -> Iterator[Row]:
        """See `Kept.rows`."""
        last = self._connection.ask(lambda _: self._run.lastHistoryStep)
        lines = int(getattr(self._run, "history_line_count", None) or 0)
        yield from self._between(0, int(last) + 1, lines)

    def having(self, key: str) -> Iterator[Any]:
        """See `Kept.having`."""
        return (row[key] for row in self.rows() if key in row)

    def summary(self) -> Mapping[str, Any]:
        """See `Kept.summary`."""
        return dict(self._run.summary_metrics or {})

    def machine(self) -> Iterator[Row]:
        """See `Kept.machine`; the only way to ask for all of it is to ask for more than there is."""
        rows = self._connection.ask(
            lambda _: self._run.history(stream="system", pandas=False, samples=_MACHINE)
        )
        yield from sorted(cast("list[Row]", rows), key=lambda row: row.get("_timestamp") or 0.0)

    def files(self) -> Mapping[str, int]:
        """See `Kept.files`."""
        found = self._connection.ask(lambda _: self._run.files(per_page=PAGE))
        return {file.name: file.size for file in self._connection.each(found, PAGE)}

    def logged(self) -> list[Logged]:
        """See `Kept.logged`."""
        if self._logged is None:
            listed = self._connection.ask(lambda _: self._run.logged_artifacts())
            found = [*self._connection.each(listed, _RUNS)]
            self._logged = [self._connection.ask(lambda _, one=one: _logged(one)) for one in found]
            self._artifacts = {said.path: one for said, one in zip(self._logged, found, strict=True)}
        return self._logged

    def fetch(self, path: str, to: Path) -> bool:
        """See `Kept.fetch`."""
        return self._connection.fetch(lambda _: _first(self._run.files(names=[path]), path), to)

    def fetch_logged(self, artifact: Logged, path: str, to: Path) -> None:
        """See `Kept.fetch_logged`."""
        found = self._artifacts[artifact.path]
        if not self._connection.fetch(lambda _: _first(found.files(names=[path]), path), to):
            raise Refused(f"artifact {artifact.name!r} has no file {path!r}")

    def _between(self, low: int, high: int, lines: int) -> Iterator[Row]:
        """Give the rows of some steps, a number of steps at a time; one without rows costs a question too.

        Args:
            low: The first step.
            high: Behind the last one.
            lines: How many rows there may be.
        """
        width = max(PAGE, (high - low) * _SPARSE // max(lines, 1))
        more = {"page_size": width, "min_step": low, "max_step": high, "use_cache": False}
        scan = self._connection.ask(lambda _: self._run.scan_history(**more))
        rows = self._connection.each(scan, PAGE)
        if width == PAGE:
            yield from rows
            return
        for begin, found in _pages(rows, low, width):
            if len(found) < _CAPPED:
                yield from found
            else:
                yield from self._between(begin, min(begin + width, high), len(found))


def _pages(rows: Iterable[Row], low: int, width: int) -> Iterator[tuple[int, list[Row]]]:
    """Put rows together as the server has given them: those of some steps at a time."""
    begin, found = low, list[Row]()
    for row in rows:
        place = low + (int(row.get("_step") or 0) - low) // width * width
        if place != begin:
            yield begin, found
            begin, found = place, []
        found.append(row)
    yield begin, found


def about(run: Any) -> About:
    """Return what the server says of a run."""
    config = dict(run.rawconfig or {})
    own: Any = config.get("_wandb")
    internal = cast("dict[str, Any]", own) if isinstance(own, dict) else {}
    return About(
        id=run.id,
        name=run.name or run.id,
        project=run.project,
        started=_started(run, internal),
        state=run.state,
        ended=None if run.state in _GOING_ON else _seconds(run.heartbeat_at),
        note=run.notes or "",
        group=run.group or "",
        job_type=run.job_type or "",
        sweep=run.sweep_name or "",
        tags=tuple(run.tags or ()),
        config=config,
        definitions=tuple(_definitions(internal.get("m") or [])),
    )


def _afresh(api: Any) -> Any:
    """Have the client forget what it knows of runs, which may go on meanwhile."""
    api.flush()
    return api


def _started(run: Any, internal: Mapping[str, Any]) -> float:
    """Tell when a run began: exactly if the client has noted it, else when the server has made it."""
    said: Any = internal.get("e")
    processes = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    noted = [_seconds(one.get("startedAt")) for one in processes.values()]
    times = [time for time in noted if time is not None]
    return min(times, default=_seconds(run.created_at) or 0.0)


def _seconds(text: Any) -> float | None:
    """Return a time of the server's, which is UTC where it does not say; None if it is none."""
    found = _MOMENT.fullmatch(str(text))
    if found is None:
        return None
    whole = datetime.fromisoformat(found["whole"] + (found["zone"] or "Z").replace("Z", "+00:00"))
    return whole.timestamp() + float(f"0{found['part'] or '.0'}")


def _definitions(metrics: list[Any]) -> Iterator[Definition]:
    for metric in metrics:
        number = int(metric.get(_STEP_NUMBER) or 0)  # from 1, among these
        x_axis: dict[str, Any] = metrics[number - 1] if 0 < number <= len(metrics) else {}
        yield Definition(
            time=0.0,
            name=str(metric.get(_NAME) or metric.get(_GLOB) or ""),
            summary=tuple(_SUMMARIES[flag] for flag in metric.get(_SUMMARY) or () if flag in _SUMMARIES),
            goal=_GOALS.get(metric.get(_GOAL) or 0, ""),
            step_metric=str(metric.get(_STEP) or x_axis.get(_NAME) or ""),
        )


def _logged(artifact: Any) -> Logged:
    name = str(artifact.name).rpartition(":")[0] or str(artifact.name)
    entries: Mapping[str, Any] = artifact.manifest.entries
    return Logged(
        name=name,
        kind=artifact.type,
        path=f"{name}/{artifact.version}",
        time=_seconds(artifact.created_at) or 0.0,
        aliases=tuple(artifact.aliases),
        metadata=({"description": artifact.description} if artifact.description else {})
        | dict(artifact.metadata or {}),
        files={path: int(entry.size or 0) for path, entry in entries.items() if entry.ref is None},
        references={path: str(entry.ref) for path, entry in entries.items() if entry.ref is not None},
    )


def _first(files: Iterable[Any], name: str) -> Any:
    return next((file for file in files if file.name == name), None)
