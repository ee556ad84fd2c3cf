"""Models: what a task has made or used, in a list of its own."""

import uuid
from typing import Any, TypeAlias

from tests.emulators.clearml.documents import check_name, now, select
from tests.emulators.clearml.refusals import missing, unknown

Document: TypeAlias = dict[str, Any]


class Models:
    """The models of all tasks."""

    def __init__(self) -> None:
        self.by_id: dict[str, Document] = {}

    def get(self, id_: object) -> Document:
        if id_ not in self.by_id:
            raise unknown("model", id_)
        return self.by_id[str(id_)]

    def create(self, query: Document) -> Document:
        check_name(query.get("name"), "Model")
        if query.get("uri") is None:
            raise missing("uri")
        model: Document = {
            "id": uuid.uuid4().hex,
            "user": "user",
            "company": "company",
            "created": now(),
            "last_update": now(),
            "ready": True,
            "tags": [],
            "system_tags": [],
            "comment": "",
            "labels": {},
            "design": {},
            "metadata": {},
        }
        model |= {key: value for key, value in query.items() if value is not None}
        self.by_id[model["id"]] = model
        return {"id": model["id"], "created": True}

    def edit(self, query: Document) -> Document:
        model = self.get(query["model"])
        changes = {key: value for key, value in query.items() if key != "model" and value is not None}
        model.update(changes, last_update=now())
        return {"updated": 1, "fields": changes}

    def get_by_id(self, query: Document) -> Document:
        return {"model": self.get(query["model"])}

    def get_all(self, query: Document) -> Document:
        return {"models": select(self.by_id.values(), query)}

    def add_or_update_metadata(self, query: Document) -> Document:
        metadata = self.get(query["model"])["metadata"]
        metadata.update({item["key"]: item for item in query["metadata"]})
        return {"updated": 1}
