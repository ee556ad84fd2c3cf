"""What ClearML has no place for: one object of a task's configuration, called "tracelet", in JSON.

run_id, name, project, time     of `RunStarted`, as they were logged
group, job_type, parent         of `RunStarted`
tags                            each with its value; the task's own tags are made of them
definitions, charts             `Definition` and `Layout`
status, ended, reason           of `RunFinished`
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tracelet.backends.clearml import titles
from tracelet.backends.clearml.said import mapping
from tracelet.events import (
    Chart,
    Definition,
    Event,
    Layout,
    RunFinished,
    RunStarted,
    Status,
    Tags,
)

NAME: Final = "tracelet"
LABEL: Final = 100  # characters; a longer tag is no label, and is kept whole all the same
_MARK: Final = "tracelet:"
_ENDED: Final[tuple[Status, ...]] = ("FINISHED", "FAILED", "KILLED")
_TYPES: Final = frozenset({
    "training", "testing", "inference", "data_processing", "application", "monitor", "controller",
    "optimizer", "service", "qc", "custom",
})  # fmt: skip
_WORDS: Final = {
    "test": "testing",
    "eval": "testing",
    "evaluate": "testing",
    "evaluation": "testing",
    "validation": "testing",
    "predict": "inference",
    "prediction": "inference",
    "preprocess": "data_processing",
    "preprocessing": "data_processing",
    "tune": "optimizer",
    "sweep": "optimizer",
}


class About:
    """What is said of a run.

    Args:
        said: As it was said before.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said: dict[str, Any] = {**said}

    @property
    def run_id(self) -> str:
        """Our own id of the run; empty of a run of somebody else's."""
        return str(self.said.get("run_id", ""))

    @property
    def tags(self) -> dict[str, str]:
        """The run's tags."""
        return dict(self.said.get("tags", {}))

    @property
    def end(self) -> RunFinished | None:
        """The run's end, if it has ended."""
        status: Status | None = next((one for one in _ENDED if one == self.said.get("status")), None)
        if status is None:
            return None
        return RunFinished(float(self.said.get("ended", 0.0)), status, str(self.said.get("reason", "")))

    def take(self, event: Event) -> bool:
        """Note what an event says; tell whether it says anything that is kept here."""
        if isinstance(event, Tags):
            self.said["tags"] = self.tags | event.tags
        elif isinstance(event, Layout):
            self.said["charts"] = msgspec.to_builtins(event.charts)
        elif isinstance(event, Definition):
            said = {
                key: one for key, one in msgspec.to_builtins(event).items() if key not in {"type", "name"}
            }
            self.said["definitions"] = {**self.said.get("definitions", {}), event.name: said}
        elif isinstance(event, RunFinished):
            self.said |= {"status": event.status, "ended": event.time, "reason": event.reason}
        else:
            return False
        return True

    def item(self) -> dict[str, str]:
        """Return the object as ClearML takes it."""
        text = json.dumps(self.said, ensure_ascii=False, indent=1)
        return {"name": NAME, "type": "json", "value": text, "description": "What tracelet knows of this run"}

    def others(self, time: float) -> list[Event]:
        """Return the events that only this object tells of."""
        definitions = mapping(self.said.get("definitions"))
        found: list[Event] = [
            Definition(
                time=float(said.get("time", time)),
                name=name,
                summary=tuple(said.get("summary", ())),
                goal=str(said.get("goal", "")),
                step_metric=str(said.get("step_metric", "")),
            )
            for name, said in definitions.items()
        ]
        if charts := self.said.get("charts"):
            found.append(Layout(time, tuple(msgspec.convert(chart, Chart) for chart in charts)))
        return found


def begun(run: RunStarted) -> About:
    """Begin to say what is known of a run."""
    said: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.name,
        "project": run.project,
        "time": run.time,
        "group": run.group,
        "job_type": run.job_type,
        "parent": run.parent,
        "tags": {**run.tags},
    }
    return About({key: value for key, value in said.items() if value or key in {"project", "name", "time"}})


def of(task: Mapping[str, Any]) -> About:
    """Find what is said of a run, in all that ClearML knows of its task; nothing, if it is not ours."""
    item = mapping(mapping(task.get("configuration")).get(NAME))
    try:
        said = mapping(json.loads(item.get("value") or "{}"))
    except ValueError:  # somebody has changed it
        said = {}
    return About(said if "run_id" in said else {})


def task_fields(run: RunStarted, about: About) -> dict[str, Any]:
    """Return what a task is created with, but for its project and parent."""
    item = about.item()
    properties = {"tracelet_run": run.run_id, "group": run.group, "job_type": run.job_type}
    return {
        "name": titles.long_enough(run.name),
        "type": _type_of(run.job_type),
        "comment": run.note,
        "tags": labels(run.tags),
        "system_tags": [mark(run.run_id)],
        "configuration": {NAME: item},
        "hyperparams": {
            titles.PROPERTIES: {
                name: {"section": titles.PROPERTIES, "name": name, "type": "str", "value": value}
                for name, value in properties.items()
                if value
            }
        },
    }


def mark(run_id: str) -> str:
    """Return the system tag by which the task of a run is found again."""
    return f"{_MARK}{run_id}"


def is_mark(tag: str) -> bool:
    """Tell whether a system tag is such a one."""
    return tag.startswith(_MARK)


def labels(tags: Mapping[str, str]) -> list[str]:
    """Make ClearML's tags of ours: "team=vision", and "baseline" of one that is true or empty."""
    made = (name if value in {"", "true"} else f"{name}={value}" for name, value in tags.items())
    return [label for label in dict.fromkeys(made) if label.strip() and len(label) <= LABEL]


def _type_of(job_type: str) -> str:
    word = job_type.strip().lower()
    return word if word in _TYPES else _WORDS.get(word, "training")
