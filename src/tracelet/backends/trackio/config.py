"""A run's config: its params, what Trackio says of a run there, and what we say besides.

<param>       its value
_Created      when the run began
_Group        its group
tracelet      run_id, name, project, started, job_type, parent, note, tags, status, ended, reason;
              `new` until something is written after that;
              charts and definitions; and `params`: those whose name begins with an underscore, or
              is "tracelet", which Trackio or we keep for ourselves
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from tracelet.backends.trackio.words import moment, plain
from tracelet.events import (
    Chart,
    Definition,
    Event,
    Layout,
    Note,
    Params,
    RunFinished,
    RunStarted,
    Tags,
)

OURS: Final = "tracelet"
NEW: Final = "new"
RUNNING: Final = "RUNNING"


def begun(run: RunStarted) -> dict[str, Any]:
    """Make the config of a run that begins."""
    said: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.name,
        "project": run.project,
        "started": run.time,
        "status": RUNNING,
        NEW: True,
        "job_type": run.job_type,
        "parent": run.parent,
        "note": run.note,
        "tags": {**run.tags},
    }
    ours = {key: value for key, value in said.items() if value or key in {"project", "started"}}
    return {"_Username": None, "_Created": moment(run.time), "_Group": run.group or None, OURS: ours}


def take(config: dict[str, Any], batch: Iterable[Event]) -> bool:
    """Put into a config what events say that belongs there; tell whether there was anything."""
    ours: dict[str, Any] = config.setdefault(OURS, {})
    changed = False
    for event in batch:
        if isinstance(event, Params):
            for name, value in event.params.items():
                kept = ours.setdefault("params", {}) if _is_kept(name) else config
                kept[name] = plain(value)
        elif isinstance(event, Tags):
            ours.setdefault("tags", {}).update(event.tags)
        elif isinstance(event, Note):
            ours["note"] = event.text
        elif isinstance(event, Layout):
            ours["charts"] = msgspec.to_builtins(event.charts)
        elif isinstance(event, Definition):
            said = msgspec.to_builtins(event)
            del said["type"], said["name"]
            ours.setdefault("definitions", {})[event.name] = said
        elif isinstance(event, RunFinished):
            ours |= {"status": event.status, "ended": event.time, "reason": event.reason}
        else:
            continue
        changed = True
    return changed


def is_new(config: Mapping[str, Any]) -> bool:
    """Tell whether nothing was written since the run began."""
    return bool(ours_of(config).get(NEW, False))


def written(config: Mapping[str, Any]) -> bool:
    """Note that something was written; tell whether that changes the config."""
    return ours_of(config).pop(NEW, None) is not None


def params_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that a config holds."""
    own = {name: value for name, value in config.items() if not _is_kept(name)}
    return own | dict(ours_of(config).get("params", {}))


def ours_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what we said; empty of a run that somebody else has logged."""
    found: Any = config.get(OURS)
    return cast("dict[str, Any]", found) if isinstance(found, dict) and "run_id" in found else {}


def others(ours: Mapping[str, Any], time: float) -> list[Event]:
    """Return the events that only a config tells of."""
    found: list[Event] = [
        Definition(
            time=float(said.get("time", time)),
            name=name,
            summary=tuple(said.get("summary", ())),
            goal=said.get("goal", ""),
            step_metric=said.get("step_metric", ""),
        )
        for name, said in ours.get("definitions", {}).items()
    ]
    if charts := ours.get("charts"):
        found.append(Layout(time, tuple(msgspec.convert(chart, Chart) for chart in charts)))
    return found


def _is_kept(name: str) -> bool:
    return name.startswith("_") or name == OURS
