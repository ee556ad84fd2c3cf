"""What `wandb.Api()` asks: GraphQL operations that only read, by their name."""

import hashlib
import json
import math
import mimetypes
import re
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.emulators.wandb.running import Variables, bucket, project
from tests.emulators.wandb.store import EVENTS, OUTPUT, Run, Store, made_id, moment, parsed

Within: TypeAlias = Callable[[Store, Run, Variables], dict[str, Any]]


def found(store: Store, told: Variables) -> Run | None:
    """Find the run that a question is about; operations call its name differently."""
    name = told.get("run") or told.get("runName") or told.get("name")
    return store.find(told.get("entity"), told.get("project"), name)


def of_run(within: Within) -> Callable[[Store, Variables], Any]:
    """Make an operation that answers `project { run { … } }`; null where there is no such thing."""

    def operation(store: Store, told: Variables) -> Any:
        entity, name = told.get("entity") or store.entity, told.get("project") or "uncategorized"
        if name not in store.projects(entity):
            return {"project": None}
        run = found(store, told)
        return {"project": project(entity, name) | {"run": within(store, run, told) if run else None}}

    return operation


def described(run: Run) -> dict[str, Any]:
    """Describe a run in full."""
    rows = run.history
    keys = sorted({key for row in rows for key in row})
    last = max((row.get("_step", -1) for row in rows), default=-1)
    return bucket(run) | {
        "projectId": "1",
        "readOnly": False,
        "createdAt": moment(run.created),
        "heartbeatAt": moment(run.heartbeat),
        "systemMetrics": json.dumps(run.events[-1]) if run.events else "{}",
        "user": {"name": "Tester", "username": "tester"},
        "historyKeys": {
            "lastStep": last,
            "sets": [],
            "keys": {key: {"typeCounts": [{"type": "number"}]} for key in keys},
        },
    }


def sampled(rows: list[Any], most: int | None) -> list[Any]:
    """Take at most so many, evenly, as the server does: whoever needs all of them must not ask here."""
    if most is None or len(rows) <= most:
        return rows
    return [rows[place * len(rows) // most] for place in range(most)]


def steps(run: Run, low: int | None = None, high: int | None = None) -> list[tuple[str, dict[str, Any]]]:
    """List lines with the rows that they are, in the order of steps, from `low` up to before `high`."""
    rows = [(line, parsed(line)) for line in run.lines() if line]
    within = [
        (line, row)
        for line, row in rows
        if (low is None or row.get("_step", 0) >= low) and (high is None or row.get("_step", 0) < high)
    ]
    return sorted(within, key=lambda pair: pair[1].get("_step", 0))


def history_page(_store: Store, run: Run, told: Variables) -> dict[str, Any]:
    lines = [line for line, _ in steps(run, told["minStep"], told["maxStep"])]
    return {"history": sampled(lines, told.get("pageSize"))}


def full_history(_store: Store, run: Run, told: Variables) -> dict[str, Any]:
    most = told.get("samples") or 500
    events = [line for line in run.lines(EVENTS) if line]
    return {"history": sampled([line for line, _ in steps(run)], most), "events": sampled(events, most)}


def sampled_history(_store: Store, run: Run, told: Variables) -> dict[str, Any]:
    """Answer each specification with the rows that have all of its keys, and with these keys only."""
    answers: list[list[dict[str, Any]]] = []
    for text in told.get("specs") or [told["spec"]]:
        spec = json.loads(text)
        keys = spec.get("keys") or []
        last = spec.get("maxStep")  # unlike a history page's, it is within
        rows = [row for _, row in steps(run, spec.get("minStep"), None if last is None else last + 1)]
        having = [
            {key: told_apart(reach(row, key)) for key in keys}
            for row in rows
            if all(reach(row, key) is not None for key in keys)
        ]
        answers.append(sampled(having, spec.get("samples") or 500))
    return {"sampledHistory": answers}


def told_apart(value: Any) -> Any:
    """Give NaN and the infinities as words: the client cannot read them bare where values are JSON."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def reach(row: dict[str, Any], key: str) -> Any:
    """Look a key up; dots lead into nested values."""
    if key in row:
        return row[key]
    head, dot, rest = key.partition(".")
    inner = row.get(head)
    return reach(inner, rest) if dot and isinstance(inner, dict) else None


def page(nodes: list[Any], after: str | None, first: int | None) -> dict[str, Any]:
    """Give one page of a connection; a cursor is the number of nodes before it."""
    begin = int(after or 0)
    end = begin + (first or 50)
    edges = [{"node": node, "cursor": str(begin + 1 + place)} for place, node in enumerate(nodes[begin:end])]
    more = {"__typename": "PageInfo", "endCursor": str(begin + len(edges)), "hasNextPage": end < len(nodes)}
    return {"edges": edges, "pageInfo": more, "totalCount": len(nodes)}


def files(store: Store, run: Run, told: Variables) -> dict[str, Any]:
    names = sorted(run.files)
    if told.get("fileNames"):
        names = [name for name in names if name in told["fileNames"]]
    elif told.get("pattern"):
        like = re.escape(told["pattern"]).replace("%", ".*").replace("_", ".")
        names = [name for name in names if re.fullmatch(like, name)]
    nodes = [file(store, run, name) for name in names]
    return {
        "fileCount": len(run.files),
        "files": page(nodes, told.get("fileCursor"), told.get("fileLimit")),
    }


def file(store: Store, run: Run, name: str) -> dict[str, Any]:
    content = run.files[name]
    url = f"{store.url}/upload/" + urllib.parse.quote(f"{run.entity}/{run.project}/{run.name}/{name}")
    return {
        "id": made_id("File", zlib.crc32(url.encode())),
        "name": name,
        "url": url,
        "directUrl": url,
        "sizeBytes": len(content),
        "mimetype": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "updatedAt": moment(run.heartbeat),
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }


FIELDS = {
    "name": lambda run: run.name,
    "display_name": lambda run: run.display_name,
    "displayName": lambda run: run.display_name,
    "group": lambda run: run.group,
    "jobType": lambda run: run.job_type,
    "state": lambda run: run.state,
    "tags": lambda run: run.tags,
}


def matches(run: Run, wanted: dict[str, Any]) -> bool:
    """Tell whether a run is what a MongoDB filter describes; of its language, what is needed here."""
    for key, condition in wanted.items():
        if key in {"$and", "$or"}:
            inner = [matches(run, each) for each in condition]
            if not (all(inner) if key == "$and" else any(inner)):
                return False
        elif not holds(value_of(run, key), condition):
            return False
    return True


def value_of(run: Run, key: str) -> Any:
    head, _, rest = key.partition(".")
    if head == "config":
        return reach(run.settled, rest.removesuffix(".value"))
    if head in {"summary_metrics", "summary"}:
        return reach(run.summary, rest)
    return FIELDS[key](run)


def holds(value: Any, condition: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    if not isinstance(condition, dict):
        return condition in values
    known = {
        "$eq": lambda operand: operand in values,
        "$ne": lambda operand: operand not in values,
        "$in": lambda operand: any(each in operand for each in values),
        "$regex": lambda operand: any(re.search(operand, str(each)) for each in values),
    }
    return all(known[operator](operand) for operator, operand in condition.items())


def runs(store: Store, told: Variables) -> Any:
    entity, name = told.get("entity") or store.entity, told["project"]
    if name not in store.projects(entity):
        return {"project": None}
    wanted = json.loads(told.get("filters") or "{}") or {}
    there = [
        run for run in store.runs if (run.entity, run.project) == (entity, name) and matches(run, wanted)
    ]
    order = told.get("order") or "+created_at"
    key = order.lstrip("+-")
    if key in {"created_at", "createdAt"}:
        there.sort(key=lambda run: run.number)
    elif key in {"heartbeat_at", "heartbeatAt"}:
        there.sort(key=lambda run: run.heartbeat)
    else:
        there.sort(key=lambda run: value_of(run, key))
    if order.startswith("-"):
        there.reverse()
    nodes = [described(run) for run in there]
    connection = page(nodes, told.get("cursor"), told.get("perPage"))
    return {"project": project(entity, name) | {"runCount": len(there), "runs": connection}}


def projects(store: Store, told: Variables) -> Any:
    entity = told.get("entity") or store.entity
    nodes = [project(entity, name) for name in store.projects(entity)]
    return {"models": page(nodes, told.get("cursor"), told.get("perPage"))}


def one_project(store: Store, told: Variables) -> Any:
    entity = told.get("entity") or store.entity
    there = told["name"] in store.projects(entity)
    return {"project": project(entity, told["name"]) if there else None}


def logged_lines(_store: Store, run: Run, told: Variables) -> dict[str, Any]:
    """Give what the run printed; each line is `LEVEL time text`, the level only of what was an error."""
    lines = [
        {"number": number, "timestamp": None, "level": "info", "label": "", "line": line}
        for number, line in enumerate(run.lines(OUTPUT))
    ]
    if told.get("last"):
        lines = lines[-told["last"] :]
    return {"logLineCount": len(lines), "logLines": page(lines, told.get("after"), told.get("first"))}


OPERATIONS = {
    "Run": of_run(lambda _, run, __: described(run)),
    "RunState": of_run(lambda _, run, __: {"id": run.id, "state": run.state}),
    "RunHistoryKeys": of_run(lambda _, run, __: {"historyKeys": described(run)["historyKeys"]}),
    "RunParquetHistory": of_run(lambda _, __, ___: {"parquetHistory": {"parquetUrls": [], "liveData": []}}),
    "HistoryPage": of_run(history_page),
    "SampledHistoryPage": of_run(sampled_history),
    "RunSampledHistory": of_run(sampled_history),
    "RunFullHistory": of_run(full_history),
    "RunFiles": of_run(files),
    "RunConsoleLogPage": of_run(logged_lines),
    "RunConsoleLogTail": of_run(logged_lines),
    "Runs": runs,
    "GetProjects": projects,
    "GetProject": one_project,
}
