"""The server: the API, and the file server, at one address.

A request names what it wants as `/[vN.M/]service.action`; its body is JSON, also that of a GET, and
of `events.add_batch` a line of JSON for each event. Any other path is a file: a POST of a form keeps
its parts, each called as its path, and a GET gives one back.
"""

import base64
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias

import jwt

from tests.emulators.clearml.events import Events
from tests.emulators.clearml.models import Models
from tests.emulators.clearml.refusals import Refusal
from tests.emulators.clearml.tasks import LOCKED, Projects, Tasks
from tests.emulators.serving import Answer, EmulatedServer, Request

ACCESS_KEY: Final = "access"
SECRET_KEY: Final = "secret"  # noqa: S105  of the emulator
API_VERSION: Final = "2.30"
_CALL: Final = re.compile(r"^/(?:v(?P<version>[\d.]+)/)?(?P<service>[a-z_]+)\.(?P<action>[a-z_]+)$")
# `Task.init` forks a process for its reports, in a process that has threads: the child may find a lock taken
# for ever, and its parent waits for it without an end; where all goes well, it takes 17 seconds to close.
_CONFIGURED: Final = "sdk { development { report_use_subprocess: false } }\n"
_PART: Final = re.compile(rb'name="(?P<name>[^"]*)"')
_STATUSES: Final = {
    "started": "in_progress",
    "stopped": "stopped",
    "stop": "stopped",
    "failed": "failed",
    "completed": "completed",
    "publish": "published",
}

Document: TypeAlias = dict[str, Any]


class ClearML(EmulatedServer):
    """A ClearML server whose state is in memory, and outlives `stop` and `start`.

    Args:
        port: Where to listen; 0 takes a free one.
        directory: Where the files that are uploaded are kept, and, if it is named, also the rest of
            the state while the server is closed. None keeps all in memory.
    """

    def __init__(self, port: int = 0, directory: Path | None = None) -> None:
        super().__init__(port)
        self.projects = Projects()
        self.tasks = Tasks(self.projects)
        self.models = Models()
        self.events = Events(self._owner)
        self.files: dict[str, bytes] = {}
        self.unknown: list[str] = []
        """Calls that the server knows and this emulator does not."""
        self._directory = directory
        self._calls = self._services()
        self._lock = threading.Lock()  # one call at a time: what it looks at stays as it is
        if directory is not None and (directory / "state.json").is_file():
            self._load(directory)

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables with which the client reports here, and touches only `home`."""
        configured = home / "clearml.conf"
        configured.write_text(_CONFIGURED, "utf-8")
        return {
            "CLEARML_API_HOST": self.url,
            "CLEARML_WEB_HOST": self.url,
            "CLEARML_FILES_HOST": self.url,
            "CLEARML_API_ACCESS_KEY": ACCESS_KEY,
            "CLEARML_API_SECRET_KEY": SECRET_KEY,
            "CLEARML_CONFIG_FILE": str(configured),
            "CLEARML_CACHE_DIR": str(home / "cache"),
        }

    def close(self) -> None:
        super().close()
        if self._directory is not None:
            self._save(self._directory)

    def answer(self, request: Request) -> Answer:
        call = _CALL.match(request.path)
        if call is None:
            return self._file(request)
        name = f"{call['service']}.{call['action']}"
        try:
            with self._lock:
                data = self._call(name, request)
        except Refusal as no:
            meta = _meta(name, no.code, no.subcode, no.message) | {"error_data": no.data}
            return Answer({"meta": meta, "data": {}}, no.code)
        return Answer({"meta": _meta(name, 200, 0, "OK"), "data": data})

    def handle(self, request: Request) -> Answer | None:
        answer = super().handle(request)
        call = _CALL.match(request.path)
        if answer is None or call is None or answer.status == HTTPStatus.OK or "meta" in answer.body:
            return answer
        meta = _meta(request.path.strip("/"), answer.status, 0, str(answer.body.get("error")))
        return Answer({"meta": meta, "data": {}}, answer.status, answer.headers)

    def _call(self, name: str, request: Request) -> Document:
        if name == "auth.login":
            return _login(request)
        if not request.headers.get("authorization", "").startswith("Bearer "):
            raise Refusal(401, 20, "Unauthorized (missing credentials)")
        if name == "events.add_batch":
            return self.events.add([json.loads(line) for line in request.body.splitlines() if line.strip()])
        if name not in self._calls:
            self.unknown.append(name)
            raise Refusal(400, 1, f"Endpoint is not supported ({name})")
        query = json.loads(request.body) if request.body.strip() else dict(request.query)
        query.pop("method", None)  # the client's requests say by which method they were sent
        return self._calls[name](query)

    def _services(self) -> dict[str, Callable[[Document], Document]]:
        owners = {
            "tasks": self.tasks,
            "projects": self.projects,
            "models": self.models,
            "events": self.events,
        }
        calls: dict[str, Callable[[Document], Document]] = {
            f"{service}.{name}": getattr(owner, name)
            for service, owner in owners.items()
            for name in vars(type(owner))
            if not name.startswith("_") and name not in {"of", "get", "add", "change_status"}
        }
        calls |= {f"tasks.{verb}": self._status(status) for verb, status in _STATUSES.items()}
        calls["events.add"] = lambda query: self.events.add([query])
        return calls

    def _status(self, status: str) -> Callable[[Document], Document]:
        return lambda query: self.tasks.change_status(query, status)

    def _owner(self, id_: str, model: bool, locked: bool) -> Document | None:
        if model:
            return self.models.by_id.get(id_)
        task = self.tasks.by_id.get(id_)
        return None if task is None or (task["status"] in LOCKED and not locked) else task

    def _file(self, request: Request) -> Answer:
        path = request.path.strip("/")
        if request.method in {"GET", "HEAD"}:
            return Answer(self.files[path]) if path in self.files else Answer(b"no such file", 404)
        if request.method == "DELETE":
            return Answer(b"OK") if self.files.pop(path, None) is not None else Answer(b"", 404)
        kept = _parts(request)
        self.files.update(kept)
        return Answer([*kept])

    def _save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        state = {
            "projects": self.projects.by_id,
            "tasks": self.tasks.by_id,
            "models": self.models.by_id,
            "events": self.events.documents,
            "files": {name: base64.b64encode(content).decode() for name, content in self.files.items()},
        }
        (directory / "state.json").write_text(json.dumps(state), "utf-8")

    def _load(self, directory: Path) -> None:
        state = json.loads((directory / "state.json").read_text("utf-8"))
        self.projects.by_id |= state["projects"]
        self.tasks.by_id |= state["tasks"]
        self.models.by_id |= state["models"]
        self.events.documents |= state["events"]
        self.files |= {name: base64.b64decode(content) for name, content in state["files"].items()}


def _meta(name: str, code: int, subcode: int, message: str) -> Document:
    return {
        "id": uuid.uuid4().hex,
        "trx": uuid.uuid4().hex,
        "endpoint": {"name": name, "requested_version": "1.0", "actual_version": "1.0"},
        "result_code": code,
        "result_subcode": subcode,
        "result_msg": message,
        "error_stack": "",
    }


def _login(request: Request) -> Document:
    scheme, _, told = request.headers.get("authorization", "").partition(" ")
    if scheme == "Basic" and base64.b64decode(told) != f"{ACCESS_KEY}:{SECRET_KEY}".encode():
        raise Refusal(401, 22, "Unauthorized (invalid credentials) (failed to locate provided credentials)")
    if scheme not in {"Basic", "Bearer"}:
        raise Refusal(401, 20, "Unauthorized (missing credentials)")
    claims: Document = {
        "api_version": API_VERSION,
        "server_version": "2.3.0",
        "feature_set": "basic",
        "env": "emulated",
        "exp": int(time.time()) + 86_400,
    }
    return {"token": jwt.encode(claims, "a key of at least 32 bytes, known to all", algorithm="HS256")}


def _parts(request: Request) -> dict[str, bytes]:
    """Take a form apart; a part is called as its path."""
    boundary = request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
    found: dict[str, bytes] = {}
    for part in (b"\r\n" + request.body).split(b"\r\n--" + boundary)[1:]:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _PART.search(head)
        if blank and name:
            found[urllib.parse.unquote(name["name"].decode()).strip("/")] = content
    return found
