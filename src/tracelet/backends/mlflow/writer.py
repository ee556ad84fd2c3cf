"""Writing a run to MLflow."""

import contextlib
import shlex
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from tracelet import media
from tracelet.backend import BlobPath, Options, Remote
from tracelet.backends.mlflow.client import history_page, let_go
from tracelet.backends.mlflow.contents import Names
from tracelet.backends.mlflow.failures import Baffling, mapped
from tracelet.backends.mlflow.held import milliseconds, step_of, storable
from tracelet.backends.mlflow.options import database_file, engine
from tracelet.backends.mlflow.putting import Putter
from tracelet.backends.mlflow.rules import Point, Summaries, tag_of
from tracelet.backends.mlflow.sources import with_credentials
from tracelet.backends.mlflow.stores import connect, settle, slower
from tracelet.backends.mlflow.tags import (
    CLAIMED,
    GROUP,
    JOB_TYPE,
    METRIC,
    NAME,
    NOTE,
    OPENED,
    OWN,
    PARENT,
    UID,
    WRITTEN,
)
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Artifact, Definition, Event, Metric, Note, Params, RunFinished, RunStarted, Tags

if TYPE_CHECKING:
    from mlflow.entities import Run

_REQUEST: Final = 900_000  # bytes of one request, at most; a server takes 1,000,000
_TRIES: Final = 3  # of a batch whose failure nobody understands
_PAUSE: Final = 1.0  # seconds before each


class Writer:
    """See `tracelet.backend.Writer`."""

    def __init__(self, options: Options, blob: BlobPath) -> None:
        self._options = options
        self._blob = blob
        self._client: Any = None
        self._uid = self._experiment = self._run = ""
        self._is_new = False  # nothing has been written to it
        self._database: tuple[int, int] | None = None  # device and inode of its file
        self._putter = Putter(None, "", blob, 0)

    def open(self, run: RunStarted) -> Remote:
        """See `Writer.open`."""
        stored = self._options["tracking_uri"]
        with mapped(opening=True):
            settle()
            uri = with_credentials(stored)
            self._client = connect(uri, self._options["artifact_location"])
            self._uid = run.run_id
            if adopted := self._options.get("run", ""):
                found = self._adopt(adopted, run)
                self._experiment = str(found.info.experiment_id)
            else:
                self._experiment = self._chosen_experiment(uri, run)
                found = self._found() or self._create(run)
                self._is_new = found.data.tags.get(CLAIMED, OPENED) == OPENED
            self._run = str(found.info.run_id)
            self._database = self._identified()
            self._putter = Putter(self._client, self._run, self._blob, media.most(self._options))
        if engine(stored) in {"http", "https"}:
            page = f"{stored.rstrip('/')}/#/experiments/{self._experiment}/runs/{self._run}"
            return Remote(id=self._run, url=page, anew=self._is_new)
        view = f"mlflow ui --backend-store-uri {shlex.quote(stored)}"
        return Remote(id=self._run, view=view if database_file(stored) else "", anew=self._is_new)

    def write(self, batch: Sequence[Event]) -> None:
        """See `Writer.write`."""
        try:
            with mapped():
                self._check()
                self._write(batch)
        except Baffling as error:
            self._doubt(batch, error)
        except Unavailable as error:
            if "timed out" in str(error).lower():
                slower()  # or the same batch would be sent for ever
            raise

    def acknowledged(self) -> int | None:
        """See `Writer.acknowledged`."""
        return None

    def close(self) -> None:
        """See `Writer.close`."""
        self._client = None

    def _check(self) -> None:
        """See that what is open is still the database, and not one that somebody has deleted."""
        if self._identified() != self._database:
            let_go(self._client)
            raise Unavailable("somebody has taken the database away, or put another one in its place")

    def _identified(self) -> tuple[int, int] | None:
        """Tell a SQLite file from any other; None if there is none."""
        file = database_file(self._options["tracking_uri"])
        if file is None or not file.exists():
            return None
        there = file.stat()
        return there.st_dev, there.st_ino

    def _adopt(self, run_id: str, run: RunStarted) -> "Run":
        """Take a run of the script's own, and set our tags on it, once: later ones may be newer."""
        found: Run = self._client.get_run(run_id)
        if found.info.lifecycle_stage != "active":
            raise _deleted(run_id)
        if found.data.tags.get(UID) != run.run_id:
            from mlflow.entities import RunTag

            tags = _tags(run)
            tags[UID] = tags.pop(UID)  # last: it says that the others are there
            for request in _requests([], [], [RunTag(*pair) for pair in tags.items()]):
                self._client.log_batch(run_id, **request, synchronous=True)
        return found

    def _chosen_experiment(self, uri: str, run: RunStarted) -> str:
        chosen = self._options.get("experiment_id", "")
        if not chosen:
            return self._experiment_id(uri, storable(self._options["experiment"] or run.project))
        return self._active(self._client.get_experiment(chosen))

    def _experiment_id(self, uri: str, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._create_experiment(uri, name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(name)  # another relay was faster
        return self._active(found)

    def _active(self, found: Any) -> str:
        if found.lifecycle_stage != "active":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            raise Refused(f"the experiment {found.name!r} is deleted: `{restore}`, then `tracelet sync`")
        return str(found.experiment_id)

    def _create_experiment(self, uri: str, name: str) -> str:
        artifacts = self._options["artifact_location"]
        if not artifacts:
            return str(self._client.create_experiment(name))
        # The client's own store would put artifacts below this process's working directory.
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store: Any = SqlAlchemyStore(uri, artifacts)
        return str(store.create_experiment(name))

    def _found(self) -> "Run | None":
        """Find our run; remove others of its uid, whose creation timed out and came true later."""
        from mlflow.entities import ViewType

        runs: list[Run] = self._client.search_runs(
            [self._experiment], filter_string=f"tags.`{UID}` = '{self._uid}'", run_view_type=ViewType.ALL
        )
        active = sorted(
            (run for run in runs if run.info.lifecycle_stage == "active"),
            key=lambda run: (CLAIMED not in run.data.tags, run.info.run_id),
        )
        if not active:
            if not runs:
                return None
            raise _deleted(runs[0].info.run_id)
        for run in active[1:]:
            if CLAIMED not in run.data.tags:
                self._client.delete_run(run.info.run_id)
        return self._claim(active[0])

    def _create(self, run: RunStarted) -> "Run":
        source = self._options.get("source", "")
        mlflows = {
            "mlflow.user": self._options.get("user", ""),
            "mlflow.source.name": source,
            "mlflow.source.type": "LOCAL" if source else "",
            PARENT: self._options.get("parent", ""),
        }
        tags = _tags(run) | {name: value for name, value in mlflows.items() if value}
        started = milliseconds(run.time)
        name = storable(run.name) or None
        return self._claim(self._client.create_run(self._experiment, started, tags, name))

    def _claim(self, run: "Run") -> "Run":
        if CLAIMED not in run.data.tags:
            self._client.set_tag(run.info.run_id, CLAIMED, OPENED)
        return run

    def _write(self, batch: Sequence[Event]) -> None:
        for request in _requests(*_sorted(batch)):
            self._client.log_batch(self._run, **request, synchronous=True)
        putter = self._putter
        artifacts = {event.path: event for event in batch if isinstance(event, Artifact)}
        for artifact in artifacts.values():  # of one path, only the last
            putter.upload(artifact)
        for event in batch:
            putter.put(event)
            if isinstance(event, RunFinished):
                self._finish(event)
        if self._is_new:
            self._client.set_tag(self._run, CLAIMED, WRITTEN)
            self._is_new = False

    def _finish(self, event: RunFinished) -> None:
        run: Run = self._client.get_run(self._run)
        if any(tag.startswith(METRIC) for tag in run.data.tags):
            metrics = run.data.metrics.keys()
            Summaries(self._client, self._run, metrics, run.data.tags, self._history).write(
                Names(run.data.tags).read
            )
        if self._options.get("run"):
            return  # the script opened it, and ends it
        self._found()  # for what came true late
        self._client.set_terminated(self._run, event.status, milliseconds(event.time))

    def _history(self, metric: str) -> Iterator[Point]:
        """Give every point of a metric, page by page."""
        token: str | None = None
        while True:
            page = history_page(self._client, self._run, metric, token)
            yield from (Point(float(one.value), int(one.step), int(one.timestamp)) for one in page)
            token = getattr(page, "token", None)
            if not token:
                return

    def _doubt(self, batch: Sequence[Event], error: Baffling) -> None:
        """Find out whether a batch or the tracker is at fault, and raise what fits.

        A server answers a bare 500 to a record that it cannot digest, and when it is broken. To try
        the first for ever would hold up all that comes after it; to reject the second would reject
        everything. So the batch is tried again, and each time the same request with a tag that is
        there already must pass.
        """
        from mlflow.entities import RunTag

        for _ in range(_TRIES):
            threading.Event().wait(_PAUSE)
            with mapped():
                self._client.log_batch(self._run, tags=[RunTag(UID, self._uid)], synchronous=True)
            with contextlib.suppress(Baffling), mapped():
                self._write(batch)
                return
        raise Rejected(f"MLflow takes other records, but not this: {error}") from None


def _tags(run: RunStarted) -> dict[str, str]:
    """Make the tags of a run, ours and its user's."""
    ours = {
        UID: run.run_id,
        NOTE: run.note,
        GROUP: run.group,
        JOB_TYPE: run.job_type,
    }
    tags = {**run.tags, **{name: value for name, value in ours.items() if value}}
    tags.pop(NAME, None)  # MLflow refuses one that is not the name given
    return {name: storable(value) for name, value in tags.items()}


def _deleted(run_id: str) -> Refused:
    restore = f"mlflow runs restore --run-id {run_id}"
    return Refused(f"the run {run_id} is deleted: `{restore}`, then `tracelet sync`")


def _sorted(batch: Sequence[Event]) -> tuple[list[Any], list[Any], list[Any]]:
    """Make MLflow's metrics, params and tags of a batch; of tags with one name, the last counts.

    Raises:
        Rejected: A tag would overwrite one of ours.
    """
    from mlflow.entities import Metric as Point
    from mlflow.entities import Param, RunTag

    metrics: list[Any] = []
    params: dict[tuple[str, str], None] = {}  # one name with two values is for MLflow to refuse
    tags: dict[str, str] = {}
    for at, event in enumerate(batch):
        if isinstance(event, Metric):
            metrics.append(Point(event.name, event.value, milliseconds(event.time), step_of(event)))
        elif isinstance(event, Params):
            params.update(dict.fromkeys((name, storable(str(value))) for name, value in event.params.items()))
        elif isinstance(event, Tags):
            if taken := OWN & event.tags.keys():
                raise Rejected(f"the tag {min(taken)!r} is tracelet's own, by which it finds the run", at=at)
            tags.update((name, storable(text)) for name, text in event.tags.items())
        elif isinstance(event, Note):
            tags[NOTE] = storable(event.text)
        elif isinstance(event, Definition):
            tags.update([tag_of(event)])
    return metrics, [Param(*pair) for pair in params], [RunTag(*pair) for pair in tags.items()]


def _requests(
    metrics: Iterable[Any], params: Iterable[Any], tags: Iterable[Any]
) -> Iterator[dict[str, list[Any]]]:
    """Divide what is to be sent into requests that are not too large for a server."""
    request: dict[str, list[Any]] = {}
    size = 0
    for kind, entities in (("params", params), ("metrics", metrics), ("tags", tags)):
        for entity in entities:
            text = entity.key if kind == "metrics" else entity.key + entity.value
            bulk = 100 + len(text) * (2 if text.isascii() else 12)  # JSON escapes what is not ASCII
            if size + bulk > _REQUEST and request:
                yield request
                request, size = {}, 0
            request.setdefault(kind, []).append(entity)
            size += bulk
    if request:
        yield request
