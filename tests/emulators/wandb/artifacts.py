"""Artifacts: versions in collections, their manifests, files, aliases and links."""

import base64
import mimetypes
from typing import Any

from tests.emulators.wandb.reading import of_run, page
from tests.emulators.wandb.running import Variables, project
from tests.emulators.wandb.store import Artifact, Collection, Run, Store, made_id, moment


def create(store: Store, told: Variables) -> Any:
    """Make a version, pending; where a committed one has the digest, answer with that."""
    told = told.get("input") or told
    name = (told.get("artifactCollectionNames") or [told["artifactCollectionName"]])[0]
    collection = _collection(store, told, name, told["artifactTypeName"])
    members = [store.numbered(number) for number in collection.members]
    latest = members[collection.aliases["latest"]] if members else None
    artifact = next((each for each in members if each.digest == told["digest"]), None)
    if artifact is None:
        artifact = _pending(store, collection, told)
    artifact.wanted += [each["alias"] for each in told.get("aliases") or []]
    if artifact.state == "COMMITTED":
        _settle(collection, artifact)
    run = store.find(told["entityName"], told["projectName"], told.get("runName"))
    if run:
        artifact.made_by = artifact.made_by or run.id
        if artifact.number not in run.made:
            run.made.append(artifact.number)
    before = {"id": latest.id, "versionIndex": members.index(latest)} if latest else None
    sequence = {"id": made_id("ArtifactCollection", collection.number), "latestArtifact": before}
    described = {"id": artifact.id, "state": artifact.state, "artifactSequence": sequence}
    return {"createArtifact": {"artifact": described}}


def _pending(store: Store, collection: Collection, told: Variables) -> Artifact:
    number = len(store.artifacts) + 1
    artifact = Artifact(number, collection.number, told["artifactTypeName"], told["digest"])
    artifact.client_id = told.get("clientID") or ""
    artifact.description, artifact.metadata = told.get("description"), told.get("metadata")
    artifact.tags = [tag["tagName"] for tag in told.get("tags") or []]
    store.artifacts.append(artifact)
    return artifact


def _collection(
    store: Store, told: Variables, name: str, kind: str, *, portfolio: bool = False
) -> Collection:
    found = store.collection(told["entityName"], told["projectName"], name)
    if found is None:
        number = len(store.collections) + 1
        found = Collection(number, told["entityName"], told["projectName"], name, kind, portfolio)
        store.collections.append(found)
    return found


def _settle(collection: Collection, artifact: Artifact) -> None:
    """Make an artifact the latest of its collection, and give it the aliases that it was to have."""
    version = collection.join(artifact)
    collection.aliases |= dict.fromkeys(artifact.wanted, version)
    artifact.wanted.clear()


def create_manifest(store: Store, told: Variables) -> Any:
    artifact = store.artifact(told["artifactID"])
    identifier = made_id("ArtifactManifest", 1000 * artifact.number + len(artifact.manifests))
    artifact.manifests[identifier] = b""
    return {"createArtifactManifest": {"artifactManifest": _manifest(store, identifier)}}


def update_manifest(store: Store, told: Variables) -> Any:
    described = _manifest(store, told["artifactManifestID"])
    return {"updateArtifactManifest": {"artifactManifest": described}}


def _manifest(store: Store, identifier: str) -> dict[str, Any]:
    url = f"{store.url}/manifests/{identifier}"
    file = {"id": identifier, "uploadUrl": url, "uploadHeaders": [], "directUrl": url}
    return {"id": identifier, "file": file}


def create_files(store: Store, told: Variables) -> Any:
    """Say where files go; what the server has already is not sent again."""
    nodes: list[dict[str, Any]] = []
    for spec in told["input"]["artifactFiles"]:
        digest = base64.b64decode(spec["md5"]).hex()
        url = None if digest in store.blobs else f"{store.url}/blobs/{digest}"
        node = {"storagePath": f"blobs/{digest}", "uploadUrl": url, "uploadHeaders": []}
        nodes.append(node | {"uploadMultipartUrls": None, "artifact": {"id": spec["artifactID"]}})
    return {"createArtifactFiles": {"files": page(nodes, None, len(nodes))}}


def commit(store: Store, told: Variables) -> Any:
    artifact = store.artifact(told["artifactID"])
    artifact.state = "COMMITTED"
    _settle(store.home(artifact), artifact)
    return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}


def use(store: Store, told: Variables) -> Any:
    told = told.get("input") or told
    artifact = store.artifact(told["artifactID"])
    run = store.find(told["entityName"], told["projectName"], told["runName"])
    if run and artifact.number not in run.used:
        run.used.append(artifact.number)
    return {"useArtifact": {"artifact": described(store, artifact)}}


def link(store: Store, told: Variables) -> Any:
    """Make an artifact a member of a portfolio, as a version of that."""
    told = told.get("input") or told
    artifact = store.artifact(told.get("artifactID") or told.get("artifactId") or told["clientID"])
    name = told["artifactPortfolioName"]
    collection = _collection(store, told, name, artifact.type, portfolio=True)
    version = collection.join(artifact)
    collection.aliases |= {each["alias"]: version for each in told.get("aliases") or []}
    answer = {"versionIndex": version, "artifactMembership": membership(store, collection, version)}
    return {"linkArtifact": answer, "result": answer}


def update(store: Store, told: Variables) -> Any:
    told = told.get("input") or told
    artifact = store.artifact(told["artifactID"])
    artifact.description = told.get("description") or artifact.description
    artifact.metadata = told.get("metadata") or artifact.metadata
    artifact.tags += [tag["tagName"] for tag in told.get("tagsToAdd") or []]
    gone = [tag["tagName"] for tag in told.get("tagsToDelete") or []]
    artifact.tags = [tag for tag in artifact.tags if tag not in gone]
    answer = {"artifact": described(store, artifact)}
    return {"updateArtifact": answer, "result": answer}


def change_aliases(store: Store, told: Variables, *, add: bool) -> Any:
    artifact = store.artifact(told["input"]["artifactID"])
    for each in told["input"]["aliases"]:
        collection = _collection(store, each, each["artifactCollectionName"], artifact.type)
        if add:
            collection.aliases[each["alias"]] = collection.members.index(artifact.number)
        else:
            collection.aliases.pop(each["alias"], None)
    return {"result": {"success": True}}


def described(store: Store, artifact: Artifact) -> dict[str, Any]:
    """Describe an artifact, as every question about one is answered."""
    home = store.home(artifact)
    there = artifact.number in home.members
    version = home.members.index(artifact.number) if there else None
    return {
        "__typename": "Artifact",
        "id": artifact.id,
        "artifactSequence": _place(home),
        "versionIndex": version,
        "artifactType": {"name": artifact.type},
        "description": artifact.description,
        "metadata": artifact.metadata,
        "ttlDurationSeconds": -2,
        "ttlIsInherited": True,
        "tags": [{"__typename": "Tag", "id": made_id("Tag", 1), "name": tag} for tag in artifact.tags],
        "historyStep": None,
        "state": artifact.state,
        "size": sum(entry.get("size", 0) for entry in artifact.entries.values()),
        "digest": artifact.digest,
        "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": None,
        "fileCount": len(artifact.entries),
        "createdAt": moment(artifact.created),
        "updatedAt": None,
        "aliases": [
            alias | {"artifactCollection": _place(collection)}
            for collection in store.collections
            if artifact.number in collection.members
            for alias in _aliases(collection, collection.members.index(artifact.number))
        ],
    }


def _place(collection: Collection) -> dict[str, Any]:
    return {
        "__typename": "ArtifactPortfolio" if collection.portfolio else "ArtifactSequence",
        "id": made_id("ArtifactCollection", collection.number),
        "name": collection.name,
        "project": project(collection.entity, collection.project),
    }


def _aliases(collection: Collection, version: int) -> list[dict[str, Any]]:
    names = [name for name, of in collection.aliases.items() if of == version]
    return [{"__typename": "ArtifactAlias", "id": made_id("ArtifactAlias", 1), "alias": n} for n in names]


def membership(store: Store, collection: Collection, version: int) -> dict[str, Any]:
    artifact = store.numbered(collection.members[version])
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": made_id("ArtifactCollectionMembership", 1000 * collection.number + version),
        "versionIndex": version,
        "createdAt": moment(artifact.created),
        "aliases": _aliases(collection, version),
        "artifactCollection": _place(collection),
        "artifact": described(store, artifact),
    }


def membership_by_name(store: Store, told: Variables) -> Any:
    """Answer `name:alias`, of which the alias may be a version."""
    if told["project"] not in store.projects(told["entity"]):
        return {"project": None}
    name, _, alias = told["name"].partition(":")
    collection = store.collection(told["entity"], told["project"], name)
    version = collection.version(alias or "latest") if collection else None
    answer = None if collection is None or version is None else membership(store, collection, version)
    artifact = answer["artifact"] if answer else None
    there = {"artifactCollectionMembership": answer, "artifact": artifact}
    return {"project": project(told["entity"], told["project"]) | there}


def membership_files(store: Store, told: Variables) -> Any:
    collection = store.collection(told["entity"], told["project"], told["collection"])
    version = collection.version(told["alias"]) if collection else None
    if collection is None or version is None:
        return {"project": {"artifactCollection": None}}
    entries = store.numbered(collection.members[version]).entries
    names = [name for name in entries if not told.get("fileNames") or name in told["fileNames"]]
    nodes = [_file(store, name, entries[name]) for name in names]
    files = page(nodes, told.get("cursor"), told.get("perPage"))
    return {"project": {"artifactCollection": _place(collection) | {"artifactMembership": {"files": files}}}}


def _file(store: Store, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    digest = base64.b64decode(entry["digest"]).hex()
    url = f"{store.url}/blobs/{digest}"
    return {
        "__typename": "File",
        "id": base64.b64encode(f"File:{digest}".encode()).decode(),
        "name": name,
        "url": url,
        "directUrl": url,
        "sizeBytes": entry.get("size", 0),
        "storagePath": f"blobs/{digest}",
        "mimetype": mimetypes.guess_type(name)[0],
        "updatedAt": None,
        "digest": entry["digest"],
        "md5": entry["digest"],
    }


def by_id(store: Store, told: Variables) -> Any:
    artifact = next((each for each in store.artifacts if each.id == told["id"]), None)
    return {"artifact": described(store, artifact) if artifact else None}


def current_manifest(store: Store, told: Variables) -> Any:
    artifact = store.artifact(told.get("id") or told["artifact_id"])
    uploaded = [identifier for identifier, content in artifact.manifests.items() if content]
    return {"artifact": {"currentManifest": _manifest(store, uploaded[-1]) if uploaded else None}}


def urls_by_entries(store: Store, told: Variables) -> Any:
    artifact = store.artifact(told["id"])
    nodes = [_file(store, name, entry) for name, entry in artifact.entries.items()]
    return {"artifact": {"filesByManifestEntries": page(nodes, None, len(nodes))}}


def _of_run(store: Store, run: Run, told: Variables, which: str) -> dict[str, Any]:
    nodes = [described(store, store.numbered(number)) for number in getattr(run, which)]
    connection = page(nodes, told.get("cursor"), told.get("perPage"))
    return {"artifacts": connection, "inputArtifacts": connection, "outputArtifacts": connection}


def of_type(store: Store, told: Variables) -> Any:
    """List the versions of a collection, the newest first."""
    collection = store.collection(told["entity"], told["project"], told["collection"])
    if collection is None or collection.type != told["type"]:
        return {"project": {"artifactType": None}}
    nodes = [described(store, store.numbered(number)) for number in reversed(collection.members)]
    listed = page(nodes, told.get("cursor"), told.get("perPage"))
    for edge in listed["edges"]:
        edge["version"] = f"v{edge['node']['versionIndex']}"
    return {"project": {"artifactType": {"artifactCollection": _place(collection) | {"artifacts": listed}}}}


def created_by(store: Store, told: Variables) -> Any:
    run = store.by_id(store.artifact(told["id"]).made_by)
    return {"artifact": {"createdBy": run and _maker(run)}}


def used_by(store: Store, told: Variables) -> Any:
    number = store.artifact(told["id"]).number
    edges = [{"node": _maker(run)} for run in store.runs if number in run.used]
    return {"artifact": {"usedBy": {"edges": edges}}}


def _maker(run: Run) -> dict[str, Any]:
    return {"__typename": "Run", "id": run.id, "name": run.name, "project": project(run.entity, run.project)}


def put_manifest(store: Store, identifier: str, content: bytes) -> None:
    """Take an uploaded manifest."""
    artifact = next(each for each in store.artifacts if identifier in each.manifests)
    artifact.manifests[identifier] = content


def get_manifest(store: Store, identifier: str) -> bytes | None:
    held = (each.manifests.get(identifier) for each in store.artifacts)
    return next((content for content in held if content), None)


OPERATIONS = {
    "CreateArtifact": create,
    "CreateArtifactManifest": create_manifest,
    "UpdateArtifactManifest": update_manifest,
    "CreateArtifactFiles": create_files,
    "CommitArtifact": commit,
    "UseArtifact": use,
    "LinkArtifact": link,
    "UpdateArtifact": update,
    "AddAliases": lambda store, told: change_aliases(store, told, add=True),
    "DeleteAliases": lambda store, told: change_aliases(store, told, add=False),
    "ArtifactByID": by_id,
    "ArtifactType": membership_by_name,
    "ArtifactMembershipByName": membership_by_name,
    "ArtifactMembershipFiles": membership_files,
    "GetArtifactMembershipFileUrls": membership_files,
    "FetchArtifactManifest": current_manifest,
    "ArtifactManifest": current_manifest,
    "ArtifactFileURLsByManifestEntries": urls_by_entries,
    "ArtifactCreatedBy": created_by,
    "ArtifactUsedBy": used_by,
    "ClientIDMapping": lambda store, told: {
        "clientIDMapping": {"serverID": store.artifact(told["clientID"]).id}
    },
    "ProjectArtifacts": of_type,
    "RunOutputArtifacts": of_run(lambda store, run, told: _of_run(store, run, told, "made")),
    "RunInputArtifacts": of_run(lambda store, run, told: _of_run(store, run, told, "used")),
}
