"""What the client asks while a run is made: GraphQL operations that write, by their name."""

import json
from typing import Any

from tests.emulators.wandb.store import EVENTS, OUTPUT, SUMMARY, Refusal, Run, Store, made_id

Variables = dict[str, Any]
LONGEST = {"displayName": 128, "groupName": 128, "jobType": 64}  # characters


def upsert_bucket(store: Store, told: Variables) -> Any:
    """Make or change a run; what is not named, or is null, stays as it is."""
    for key, most in LONGEST.items():
        if len(told.get(key) or "") > most:
            raise Refusal(500, f"Data too long for {key}: {most} characters at most")
    run = store.by_id(told.get("id")) or store.find(told.get("entity"), told.get("project"), told.get("name"))
    inserted = run is None
    if run is None:
        run = store.new_run(told.get("entity"), told.get("project"), told.get("name"))
    for key, attribute in {
        "displayName": "display_name",
        "display_name": "display_name",
        "description": "description",
        "notes": "notes",
        "tags": "tags",
        "groupName": "group",
        "jobType": "job_type",
        "commit": "commit",
        "state": "state",
    }.items():
        if told.get(key) is not None:
            setattr(run, attribute, told[key])
    if told.get("config"):
        run.config = json.loads(told["config"])
    if told.get("summaryMetrics"):
        run.streams[SUMMARY] = [told["summaryMetrics"]]
    return {"upsertBucket": {"bucket": bucket(run), "inserted": inserted}}


def bucket(run: Run) -> dict[str, Any]:
    """Describe a run, as every question about one is answered: with more than was asked for."""
    return {
        "id": run.id,
        "name": run.name,
        "displayName": run.display_name,
        "description": run.description,
        "notes": run.notes,
        "config": json.dumps(run.config),
        "summaryMetrics": json.dumps(run.summary),
        "sweepName": None,
        "project": project(run.entity, run.project),
        "historyLineCount": len(run.lines()),
        "tags": run.tags,
        "group": run.group,
        "jobType": run.job_type,
        "commit": run.commit,
        "state": run.state,
    }


def project(entity: str, name: str) -> dict[str, Any]:
    return {
        "__typename": "Project",
        "id": made_id("Project", 1),
        "internalId": made_id("ProjectInternalId", 1),
        "name": name,
        "entityName": entity,
        "entity": {"id": made_id("Entity", 1), "name": entity},
        "createdAt": "2020-01-01T00:00:00Z",
        "isBenchmark": False,
        "readOnly": False,
        "user": user(entity),
    }


def resume_status(store: Store, told: Variables) -> Any:
    """Say where a run stands: the client continues from the numbers of lines."""
    run = store.find(told.get("entity"), told.get("project"), told.get("name"))
    model = project(told.get("entity") or store.entity, told.get("project") or "uncategorized")
    if run is None:
        return {"model": model | {"bucket": None}}
    counted = bucket(run) | {
        "logLineCount": len(run.lines(OUTPUT)),
        "eventsLineCount": len(run.lines(EVENTS)),
        "historyTail": json.dumps(run.lines()[-1:]),
        "eventsTail": json.dumps(run.lines(EVENTS)[-1:]),
        "wandbConfig": json.dumps({"t": (run.config.get("_wandb", {}).get("value") or {}).get("t", {})}),
    }
    return {"model": model | {"bucket": counted}}


def delete_run(store: Store, told: Variables) -> Any:
    if run := store.by_id(told["id"]):
        store.runs.remove(run)
        store.deleted.append((run.entity, run.project, run.name))
    return {"deleteRun": {"clientMutationId": None}}


def update_run_state(store: Store, told: Variables) -> Any:
    run = store.by_id(told["input"]["id"])
    if run is not None:
        run.state = told["input"]["state"]
    return {"updateRunState": {"success": run is not None}}


def alert(store: Store, told: Variables) -> Any:
    run = store.find(told["entityName"], told["projectName"], told["runName"])
    if run is not None:
        run.alerts.append({key: told[key] for key in ("title", "text", "severity")})
    return {"notifyScriptableRunAlert": {"success": run is not None}}


def user(entity: str) -> dict[str, Any]:
    return {
        "id": made_id("User", 1),
        "entity": entity,
        "name": "Tester",
        "username": entity,
        "email": "tester@example.com",
        "admin": False,
        "flags": "{}",
        "deletedAt": None,
        "apiKeys": {"edges": []},
        "teams": {"edges": []},
    }


FEATURES = ("FILESTREAM_GZIP", "CLIENT_IDS", "ARTIFACT_TAGS", "MARK_RUN_FILES_UPLOADED")


def features(_store: Store, _told: Variables) -> Any:
    return {"serverInfo": {"features": [{"name": name, "isEnabled": True} for name in FEATURES]}}


def weave(_store: Store, _told: Variables) -> Any:
    return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}


def viewer(store: Store, _told: Variables) -> Any:
    return {"viewer": user(store.entity)}


OPERATIONS = {
    "OrganizationCoreWeaveOrganizationID": weave,
    "UpsertBucket": upsert_bucket,
    "RunResumeStatus": resume_status,
    "DeleteRun": delete_run,
    "UpdateRunState": update_run_state,
    "NotifyScriptableRunAlert": alert,
    "Viewer": viewer,
    "GetViewer": viewer,
    "GetDefaultEntity": viewer,
    "ServerFeaturesQuery": features,
    "MarkRunFilesUploaded": lambda _store, _told: {"markRunFilesUploaded": {"success": True}},
}
