"""An emulator of W&B's server: enough of it that the real client logs, resumes, syncs and reads.

What it takes care to do as the server does:

- A stream's lines are addressed by their offset; a line that comes to one that is taken replaces it. A
  client that comes again begins at the number of lines that it is told, so what it repeats is doubled,
  unless it resumes and leaves out the steps that are there.
- `complete` ends a run, with its exit code; whatever the stream brings later makes it run again.
- Questions about history are sampled as the client asks, but for windows of steps that hold no more rows.
- The digest of a committed version of an artifact makes no second version.
- A run that was deleted cannot be made again.
- A name or group of more than 128 characters, or a job type of more than 64, is an error of the server's.
- One key is let in, `KEY`. Where files lie needs none: such addresses are signed.

What it does not know it refuses, and notes in `errors`: permissions, sweeps, reports, registries,
rate limits of its own, exports to Parquet, runs that are marked as crashed.
"""

import base64
import re
import threading
import urllib.parse
from typing import Any, Final

from tests.emulators.serving import Answer, EmulatedServer, Request
from tests.emulators.wandb import artifacts, reading, running
from tests.emulators.wandb.store import Refusal, Run, Store

KEY: Final = "a1" * 20
NAMED: Final = re.compile(r"\b(?:query|mutation)\s+(\w+)")


class WandbServer(EmulatedServer):
    """W&B's server on loopback; what it was told is in `store`."""

    def __init__(self, port: int = 0, store: Store | None = None) -> None:
        super().__init__(port)
        self.store = store or Store()
        self.store.url = self.url
        self.lock = threading.RLock()
        self.operations: list[tuple[str, dict[str, Any]]] = []
        """GraphQL operations in the order that they came, with their variables."""
        self._graphql = {
            **running.OPERATIONS,
            **reading.OPERATIONS,
            **artifacts.OPERATIONS,
            "CreateRunFiles": self._create_run_files,
        }

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs for its client to talk to this server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def run(self, name: str, project: str | None = None, entity: str | None = None) -> Run:
        """Get a run by its id, whatever its project if none is named."""
        return next(
            run
            for run in self.store.runs
            if run.name == name and project in {None, run.project} and entity in {None, run.entity}
        )

    def answer(self, request: Request) -> Answer:
        needs_key = request.path == "/graphql" or request.path.endswith("/file_stream")
        if needs_key and not _is_let_in(request):
            return Answer({"errors": [{"message": "user is not logged in"}]}, 401)
        return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        place, _, rest = request.path.strip("/").partition("/")
        with self.lock:
            if place == "graphql":
                return self._answer_graphql(request.json())
            if place == "files" and request.path.endswith("/file_stream"):
                return self._take_stream(rest, request)
            if place == "upload":
                return self._file(rest, request)
            if place in {"blobs", "manifests"}:
                return self._object(place, rest, request)
            if request.path.startswith("/sdk/otel/"):  # the client's measurements of itself
                return Answer()
        return Answer({"error": f"no such place: {request.path}"}, 404)

    def _answer_graphql(self, told: dict[str, Any]) -> Answer:
        named = NAMED.search(told["query"])
        name = told.get("operationName") or (named[1] if named else "")
        variables = told.get("variables") or {}
        self.operations.append((name, variables))
        operation = self._graphql.get(name)
        if operation is None:
            self.errors.append(f"unknown operation {name}: {variables}")
            return Answer({"errors": [{"message": f"the emulator does not know {name}"}], "data": None})
        try:
            return Answer({"data": operation(self.store, variables)})
        except Refusal as refusal:
            return Answer({"errors": [{"message": str(refusal)}], "data": None}, refusal.status)

    def _take_stream(self, place: str, request: Request) -> Answer:
        entity, project, name, _ = place.split("/")
        run = self.store.find(entity, project, name)
        if run is None:
            return Answer({"error": "run not found"}, 404)
        run.take_stream(request.json())
        return Answer({"limits": {}})

    def _create_run_files(self, store: Store, told: dict[str, Any]) -> Any:
        run = store.find(told.get("entity"), told.get("project"), told.get("run"))
        if run is None:
            return {"createRunFiles": None}
        files = [{"name": name, "uploadUrl": self.file_url(run, name)} for name in told["files"]]
        return {"createRunFiles": {"runID": run.id, "uploadHeaders": [], "files": files}}

    def file_url(self, run: Run, name: str) -> str:
        path = urllib.parse.quote(f"{run.entity}/{run.project}/{run.name}/{name}")
        return f"{self.url}/upload/{path}"

    def _file(self, place: str, request: Request) -> Answer:
        entity, project, run_name, name = place.split("/", 3)
        run = self.store.find(entity, project, run_name)
        if run is None:
            return Answer({"error": "run not found"}, 404)
        if request.method == "PUT":
            run.files[name] = request.body
            return Answer()
        if name not in run.files:
            return Answer({"error": "file not found"}, 404)
        return Answer(run.files[name])

    def _object(self, place: str, name: str, request: Request) -> Answer:
        """Keep or give a file of an artifact, or its manifest."""
        if request.method == "PUT":
            if place == "blobs":
                self.store.blobs[name] = request.body
            else:
                artifacts.put_manifest(self.store, name, request.body)
            return Answer()
        held = self.store.blobs.get(name) if place == "blobs" else artifacts.get_manifest(self.store, name)
        return Answer({"error": "no such object"}, 404) if held is None else Answer(held)


def _is_let_in(request: Request) -> bool:
    """Tell whether a request bears the key, as a password."""
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    return kind == "Basic" and base64.b64decode(said).decode().partition(":")[2] == KEY
