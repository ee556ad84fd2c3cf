"""What the emulated server keeps of projects, runs and artifacts; msgspec turns it into JSON and back."""

import base64
import functools
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

HISTORY: Final = "wandb-history.jsonl"
EVENTS: Final = "wandb-events.jsonl"
SUMMARY: Final = "wandb-summary.json"
OUTPUT: Final = "output.log"


def made_id(kind: str, number: int) -> str:
    """Make an id as W&B makes them; the client decodes some of them from base64."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Refusal(Exception):
    """What the server refuses, with the status that it answers."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@functools.lru_cache(maxsize=200_000)  # a run is read page by page, and each page looks at every line
def parsed(line: str) -> dict[str, Any]:
    """Read a row; NaN and Infinity stand bare in it, as the client sends them. Not to be changed."""
    return json.loads(line)


@dataclass
class Overwritten:
    """A line of a stream that another took the place of."""

    stream: str
    offset: int
    before: str
    after: str


@dataclass
class Run:
    """One run: what was set of it, its streams line by line, its files."""

    number: int
    entity: str
    project: str
    name: str  # what users call the id of the run
    display_name: str
    description: str = ""
    notes: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    group: str | None = None
    job_type: str | None = None
    commit: str | None = None
    state: str = "running"
    exit_code: int | None = None
    created: float = field(default_factory=time.time)
    heartbeat: float = field(default_factory=time.time)
    streams: dict[str, list[str]] = field(default_factory=dict)
    overwritten: list[Overwritten] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    made: list[int] = field(default_factory=list)  # numbers of artifacts
    used: list[int] = field(default_factory=list)

    @property
    def id(self) -> str:
        return made_id("Run", self.number)

    def lines(self, stream: str = HISTORY) -> list[str]:
        return self.streams.get(stream, [])

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows, in the order of their lines."""
        return [dict(parsed(line)) for line in self.lines() if line]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The rows of system metrics."""
        return [dict(parsed(line)) for line in self.lines(EVENTS) if line]

    @property
    def summary(self) -> dict[str, Any]:
        lines = self.lines(SUMMARY)
        return json.loads(lines[-1]) if lines else {}

    @property
    def settled(self) -> dict[str, Any]:
        """The configuration as the user knows it: without the client's own entry."""
        return {key: entry["value"] for key, entry in self.config.items() if key != "_wandb"}

    def write(self, stream: str, offset: int, lines: list[str]) -> None:
        """Put lines where they belong: a line at an offset takes the place of the one that is there.

        A summary has no lines: each is the whole of it.
        """
        if stream == SUMMARY:
            self.streams[stream] = lines[-1:]
            return
        held = self.streams.setdefault(stream, [])
        held.extend([""] * (offset - len(held)))
        for place, line in enumerate(lines, offset):
            if place < len(held):
                if held[place] not in {"", line}:
                    self.overwritten.append(Overwritten(stream, place, held[place], line))
                held[place] = line
            else:
                held.append(line)

    def take_stream(self, told: dict[str, Any]) -> None:
        """Take one request of the file stream."""
        for stream, chunk in (told.get("files") or {}).items():
            self.write(stream, int(chunk.get("offset") or 0), chunk.get("content") or [])
        self.heartbeat = time.time()
        if told.get("complete"):
            self.exit_code = int(told.get("exitcode") or 0)
            self.state = "finished" if self.exit_code == 0 else "failed"
        else:  # whatever comes after the end brings a run back to life
            self.state, self.exit_code = "running", None


@dataclass
class Artifact:
    """One artifact, pending until it is committed; its version is its place in its collection."""

    number: int
    collection: int  # the number of the one that it was made in
    type: str
    digest: str
    client_id: str = ""
    description: str | None = None
    metadata: str | None = None
    tags: list[str] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)  # aliases that it gets when it is committed
    state: str = "PENDING"
    manifests: dict[str, bytes] = field(default_factory=dict)  # by the manifest's id, the current one last
    made_by: str = ""  # a run's id
    created: float = field(default_factory=time.time)

    @property
    def id(self) -> str:
        return made_id("Artifact", self.number)

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """What the manifest lists: name in the artifact to digest and size."""
        held = [manifest for manifest in self.manifests.values() if manifest]
        return json.loads(held[-1])["contents"] if held else {}


@dataclass
class Collection:
    """A sequence of an artifact's versions, or a portfolio of linked ones."""

    number: int
    entity: str
    project: str
    name: str
    type: str
    portfolio: bool = False
    members: list[int] = field(default_factory=list)  # numbers of artifacts; the place is the version
    aliases: dict[str, int] = field(default_factory=dict)  # to a place in `members`

    @property
    def place(self) -> tuple[str, str, str]:
        return self.entity, self.project, self.name

    def version(self, alias: str) -> int | None:
        """Find the version that an alias means; every version's own name is one."""
        if alias in self.aliases:
            return self.aliases[alias]
        number = int(alias[1:]) if alias[:1] == "v" and alias[1:].isdigit() else len(self.members)
        return number if number < len(self.members) else None

    def join(self, artifact: Artifact) -> int:
        """Make an artifact a member, if it is none yet, and the latest; return its version."""
        if artifact.number not in self.members:
            self.members.append(artifact.number)
        version = self.members.index(artifact.number)
        self.aliases["latest"] = version
        return version


@dataclass
class Store:
    """Everything there is."""

    entity: str = "tester"
    url: str = ""  # of the server, for what clients get to fetch
    runs: list[Run] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    collections: list[Collection] = field(default_factory=list)
    deleted: list[tuple[str, str, str]] = field(default_factory=list)  # entity, project, name
    blobs: dict[str, bytes] = field(default_factory=dict)  # by MD5, in hexadecimal

    def find(self, entity: str | None, project: str | None, name: str | None) -> Run | None:
        """Find a run by the id that users know."""
        place = (entity or self.entity, project or "uncategorized", name)
        return next((run for run in self.runs if (run.entity, run.project, run.name) == place), None)

    def by_id(self, identifier: str | None) -> Run | None:
        return next((run for run in self.runs if run.id == identifier), None)

    def artifact(self, identifier: str) -> Artifact:
        """Find an artifact by the server's id, or by the one that its client made."""
        return next(each for each in self.artifacts if identifier in {each.id, each.client_id})

    def numbered(self, number: int) -> Artifact:
        return next(artifact for artifact in self.artifacts if artifact.number == number)

    def collection(self, entity: str, project: str, name: str) -> Collection | None:
        return next((each for each in self.collections if each.place == (entity, project, name)), None)

    def home(self, artifact: Artifact) -> Collection:
        return next(each for each in self.collections if each.number == artifact.collection)

    def projects(self, entity: str) -> list[str]:
        there = [each.project for each in (*self.runs, *self.collections) if each.entity == entity]
        return list(dict.fromkeys(there))

    def new_run(self, entity: str | None, project: str | None, name: str | None) -> Run:
        """Make a run, numbered and named as it comes.

        Raises:
            Refusal: There was one with this id, and it was deleted.
        """
        if (entity or self.entity, project or "uncategorized", name) in self.deleted:
            raise Refusal(409, f"run {name} was previously created and deleted; try a new run name")
        number = next(number for number in itertools.count(1) if all(r.number != number for r in self.runs))
        name = name or f"run{number:05}"
        run = Run(number, entity or self.entity, project or "uncategorized", name, f"clever-test-{number}")
        self.runs.append(run)
        return run
