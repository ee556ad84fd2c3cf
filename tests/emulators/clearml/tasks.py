"""Tasks and their projects: what a run is to the server.

A task is created, in_progress, then stopped, failed or completed, and at last published. Only what
`_NEXT` names may follow a status, unless a request has `force`. Its parameters and artifacts can be
changed while it is created, with `force` while it is in_progress, and no more afterwards; what is in
the section "properties" can always be changed, and so can name, tags and comment.
"""

import uuid
from typing import Any, Final, TypeAlias

from tests.emulators.clearml.documents import check_name, now, select
from tests.emulators.clearml.refusals import Refusal, invalid, missing, unknown

Document: TypeAlias = dict[str, Any]

LOCKED: Final = ("published", "publishing")
_AFTER_END: Final = {"created", "queued", "in_progress", "stopped", "failed", "completed", "published"}
_NEXT: Final = {
    "created": {"queued", "in_progress"},
    "queued": {"created", "in_progress"},
    "in_progress": {"stopped", "failed", "created", "completed"},
    "stopped": _AFTER_END - {"stopped"},
    "failed": _AFTER_END - {"failed"},
    "completed": _AFTER_END - {"completed"},
    "published": set[str](),
}
_EDITED: Final = {
    "name", "tags", "system_tags", "type", "comment", "parent", "project", "output_dest", "execution",
    "hyperparams", "configuration", "script", "models", "container", "runtime",
}  # fmt: skip
_ALWAYS: Final = {"name", "tags", "system_tags", "comment", "project", "runtime"}


class Projects:
    """The projects, each with a name that no other has."""

    def __init__(self) -> None:
        self.by_id: dict[str, Document] = {}

    def create(self, query: Document) -> Document:
        check_name(query.get("name"), "Project")
        if any(project["name"] == query["name"] for project in self.by_id.values()):
            raise Refusal(400, 403, f"Project with the same name already exists (name={query['name']})")
        return {"id": self._add(query)["id"]}

    def _add(self, query: Document) -> Document:
        parent, _, _ = query["name"].rpartition("/")
        project: Document = {
            "id": uuid.uuid4().hex,
            "name": query["name"],
            "basename": query["name"].rpartition("/")[2],
            "description": query.get("description") or "",
            "tags": query.get("tags") or [],
            "system_tags": query.get("system_tags") or [],
            "parent": self._named(parent)["id"] if parent else None,
            "created": now(),
            "last_update": now(),
        }
        return self.by_id.setdefault(project["id"], project)

    def _named(self, name: str) -> Document:
        found = [project for project in self.by_id.values() if project["name"] == name]
        return found[0] if found else self._add({"name": name})

    def get(self, id_: object) -> Document:
        if id_ not in self.by_id:
            raise unknown("project", id_)
        return self.by_id[str(id_)]

    def get_by_id(self, query: Document) -> Document:
        return {"project": self.get(query["project"])}

    def get_all(self, query: Document) -> Document:
        return {"projects": select(self.by_id.values(), query)}

    def update(self, query: Document) -> Document:
        changed = {key: value for key, value in query.items() if key != "project" and value is not None}
        self.get(query["project"]).update(changed)
        return {"updated": 1, "fields": changed}


class Tasks:
    """The tasks, and what may be done to them."""

    def __init__(self, projects: Projects) -> None:
        self.by_id: dict[str, Document] = {}
        self._projects = projects

    def get(self, id_: object) -> Document:
        if id_ not in self.by_id:
            raise Refusal(400, 101, f"Invalid task id: id={id_}")
        return self.by_id[str(id_)]

    def create(self, query: Document) -> Document:
        check_name(query.get("name"), "Task")
        if not query.get("type"):
            raise missing("type")
        if query.get("project"):
            self._projects.get(query["project"])
        self._check(query)
        task: Document = {
            "id": uuid.uuid4().hex,
            "company": "company",
            "user": "user",
            "status": "created",
            "status_reason": "",
            "status_message": "",
            "created": now(),
            "status_changed": now(),
            "last_update": now(),
            "last_change": now(),
            "last_iteration": 0,
            "last_metrics": {},
            "tags": [],
            "system_tags": [],
            "comment": "",
            "execution": {"artifacts": []},
            "hyperparams": {},
            "configuration": {},
            "models": {"input": [], "output": []},
            "output": {},
            "runtime": {},
            "container": {},
            "script": {},
        }
        self._set(task, {key: value for key, value in query.items() if key in _EDITED and value is not None})
        self.by_id[task["id"]] = task
        return {"id": task["id"]}

    def edit(self, query: Document) -> Document:
        task = self.get(query["task"])
        changes = {key: value for key, value in query.items() if key in _EDITED and value is not None}
        if "name" in changes:
            check_name(changes["name"], "Task")
        if set(changes) - _ALWAYS and task["status"] != "created" and not query.get("force"):
            raise _status_refused(task, "created")
        self._check(changes)
        self._set(task, changes)
        return {"updated": 1, "fields": changes}

    def update(self, query: Document) -> Document:
        changes = {key: query[key] for key in _ALWAYS & set(query) if query[key] is not None}
        return self.edit({"task": query["task"]} | changes)

    def _check(self, fields: Document) -> None:
        if fields.get("parent") and fields["parent"] not in self.by_id:
            raise unknown("task", fields["parent"])
        for section in (fields.get("hyperparams") or {}).values():
            for item in section.values():
                _check_param(item)

    def _set(self, task: Document, changes: Document) -> None:
        for key, value in changes.items():
            if key == "output_dest":
                task["output"] = {**task["output"], "destination": value}
            elif key == "execution":
                task["execution"] = {**task["execution"], **value}
            elif key in {"hyperparams", "configuration"}:
                task[key] = _complete(value, key)
            else:
                task[key] = value
        _touch(task)

    def get_by_id(self, query: Document) -> Document:
        return {"task": self.get(query["task"])}

    def get_all(self, query: Document) -> Document:
        return {"tasks": select(self.by_id.values(), query)}

    def get_all_ex(self, query: Document) -> Document:
        """See `get_all`; fields of the project can be asked for besides."""
        if not any(field.startswith("project.") for field in query.get("only_fields") or []):
            return self.get_all(query)
        ids = {task["id"] for task in select(self.by_id.values(), query | {"only_fields": ["id"]})}
        joined = [
            task | {"project": self._projects.by_id.get(task.get("project", ""), {"id": None})}
            for task in self.by_id.values()
            if task["id"] in ids
        ]
        ordered = {key: query[key] for key in ("only_fields", "order_by") if key in query}
        return {"tasks": select(joined, ordered)}

    def change_status(self, query: Document, status: str) -> Document:
        """Go to another status, if it may follow."""
        task = self.get(query["task"])
        if status not in _NEXT[task["status"]] and not query.get("force"):
            raise _status_refused(task, status)
        at = {"in_progress": "started", "published": "published"}.get(status, "completed")
        if at not in task or at != "started":
            task[at] = now()
        task["status"] = status
        task["status_changed"] = now()
        task["status_reason"] = query.get("status_reason") or ""
        task["status_message"] = query.get("status_message") or ""
        _touch(task)
        return {"updated": 1, "fields": {"status": status}, "started": int(status == "in_progress")}

    def reset(self, query: Document) -> Document:
        task = self.get(query["task"])
        if task["status"] in LOCKED:
            raise _status_refused(task, "created")
        task.update(status="created", last_metrics={}, last_iteration=0)
        task.pop("started", None)
        task.pop("completed", None)
        return {"updated": 1, "fields": {"status": "created"}}

    def delete(self, query: Document) -> Document:
        task = self.get(query["task"])
        if task["status"] != "created" and not query.get("force"):
            raise _status_refused(task, "created")
        del self.by_id[task["id"]]
        return {"deleted": True}

    def ping(self, query: Document) -> Document:
        _touch(self.get(query["task"]))
        return {}

    def set_requirements(self, query: Document) -> Document:
        task = self.get(query["task"])
        task["script"] = {**task["script"], "requirements": query["requirements"]}
        return {"updated": 1, "fields": {}}

    def edit_hyper_params(self, query: Document) -> Document:
        items = [_check_param(item) for item in query["hyperparams"]]
        always = bool(items) and all(item["section"] == "properties" for item in items)
        task = self._for_update(query, always=always)
        replace = query.get("replace_hyperparams") or "none"
        kept: Document = {} if replace == "all" else task["hyperparams"]
        if replace == "section":
            kept = {name: kept[name] for name in kept if name not in {item["section"] for item in items}}
        for item in items:
            kept.setdefault(item["section"], {})[item["name"]] = item
        task["hyperparams"] = kept
        _touch(task)
        return {"updated": 1}

    def edit_configuration(self, query: Document) -> Document:
        task = self._for_update(query, always=False)
        kept: Document = {} if query.get("replace_configuration") else task["configuration"]
        task["configuration"] = kept | {item["name"]: item for item in query["configuration"]}
        return {"updated": 1}

    def add_or_update_artifacts(self, query: Document) -> Document:
        task = self._for_update(query, always=False)
        kept = {_artifact_key(one): one for one in task["execution"].get("artifacts") or []}
        for one in query["artifacts"]:
            if not one.get("key") or not one.get("type"):
                raise missing("artifacts.key, artifacts.type")
            kept[_artifact_key(one)] = one
        task["execution"] = {**task["execution"], "artifacts": [*kept.values()]}
        _touch(task)
        return {"updated": 1}

    def add_or_update_model(self, query: Document) -> Document:
        task = self.get(query["task"])
        models: list[Document] = task["models"].setdefault(query["type"], [])
        item = {"name": query["name"], "model": query["model"], "updated": now()}
        task["models"][query["type"]] = [one for one in models if one["name"] != query["name"]] + [item]
        return {"updated": 1}

    def _for_update(self, query: Document, *, always: bool) -> Document:
        task = self.get(query["task"])
        allowed = ("created", "in_progress") if query.get("force") else ("created",)
        if not always and task["status"] not in allowed:
            raise _status_refused(task, "created")
        return task


def _status_refused(task: Document, wanted: str) -> Refusal:
    return Refusal(400, 110, f"Invalid task status: expected={wanted}, status={task['status']}")


def _check_param(item: Document) -> Document:
    if not item.get("section") or not item.get("name"):
        raise missing("hyperparams.section, hyperparams.name")
    if not isinstance(item.get("value"), (str, type(None))):
        raise invalid("error in field 'value': a string is expected")
    return item


def _complete(sections: Document, kind: str) -> Document:
    """Give each parameter its own name, which a request may leave to the key."""
    if kind == "configuration":
        return {name: {"name": name} | item for name, item in sections.items()}
    return {
        section: {name: {"section": section, "name": name} | item for name, item in items.items()}
        for section, items in sections.items()
    }


def _artifact_key(artifact: Document) -> tuple[str, str]:
    return artifact["key"], artifact.get("mode") or "output"


def _touch(task: Document) -> None:
    task["last_change"] = task["last_update"] = now()
