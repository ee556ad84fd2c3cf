"""Runs as MLflow's own client reads them: from a server, or from a database."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tracelet.backend import RunSummary
from tracelet.backends.mlflow.found import Found, Model, Point, seconds
from tracelet.backends.mlflow.options import database_file
from tracelet.backends.mlflow.reading import WORKING, asking
from tracelet.backends.mlflow.stores import TIMEOUT, look
from tracelet.backends.mlflow.tags import RECORD
from tracelet.errors import Refused, suggestion
from tracelet.scrub import without_userinfo

_HISTORY: Final = 25_000  # points in one page; a server gives no more
_RUNS: Final = 500  # in one page; each comes with its params and tags
_EXPERIMENTS: Final = 1000  # in one page
# What a server, or a database's store, answers that does not know what it is asked for.
_UNKNOWN: Final = frozenset(
    {"ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "INVALID_PARAMETER_VALUE", "NOT_IMPLEMENTED"}
)


class ClientStore:
    """See `found.Store`.

    Args:
        uri: With credentials.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._file = database_file(uri)
        self._lock = threading.Lock()
        self._opened: Any = None
        self._patience = TIMEOUT  # until it has answered once

    @property
    def base(self) -> Path | None:
        """Where relative paths begin that the store holds: a SQLite file's directory."""
        return self._file.parent if self._file else None

    @property
    def tracking_uri(self) -> str:
        """What MLflow's client is to be given."""
        # Without SQLite's own URI, a database is opened for writing; without the driver's name,
        # MLflow makes directories called as that URI is.
        return f"sqlite+pysqlite:///file:{_quoted(self._file)}?mode=ro&uri=true" if self._file else self._uri

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Store.runs`."""
        from mlflow.entities import ViewType

        names = self._experiments(project)
        if not names:
            return
        for run in self._pages(
            lambda client, token: client.search_runs(
                [*names],
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=_RUNS,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
        ):
            yield RunSummary(
                id=run.info.run_id,
                name=run.info.run_name or "",
                project=names[run.info.experiment_id],
                status=run.info.status,
                started=seconds(run.info.start_time),
            )

    def run(self, run: str) -> Found:
        """See `Store.run`."""
        there = self._ask(lambda client: client.get_run(run))
        info = there.info
        if info.lifecycle_stage != "active":
            raise Refused(f"the run {run} is deleted: `mlflow runs restore --run-id {run}`, then try again")
        experiment = self._ask(lambda client: client.get_experiment(info.experiment_id))
        models = self._models(there)
        inputs: Any = there.inputs
        more: dict[str, Any] = {
            "datasets": [
                _dataset(found)
                for found in getattr(inputs, "dataset_inputs", None) or ()
                if all(tag.key != RECORD for tag in found.tags)  # a bundle's
            ],
            "models it used": [found.model_id for found in getattr(inputs, "model_inputs", None) or ()],
            "models": [dict(model.about) for model in models],
            "registered versions": [
                _version(version) for version in self._versions(run) if RECORD not in version.tags
            ],
        }
        return Found(
            id=run,
            name=info.run_name or "",
            project=experiment.name,
            status=info.status,
            started=info.start_time or 0,
            ended=info.end_time,
            place=info.artifact_uri,
            tags=dict(there.data.tags),
            params=dict(there.data.params),
            metrics=(*there.data.metrics,),
            models=models,
            more={name: value for name, value in more.items() if value},
        )

    def history(self, run: str, metric: str) -> Iterator[Point]:
        """See `Store.history`."""
        for point in self._pages(lambda client, token: history_page(client, run, metric, token)):
            yield Point(int(point.step), int(point.timestamp), float(point.value))

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            opened, self._opened = self._opened, None
        let_go(opened)

    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                look(self._uri)
                from mlflow import MlflowClient

                self._opened = MlflowClient(tracking_uri=self.tracking_uri)
            return self._opened

    def _ask(self, call: Callable[[Any], Any], *, if_known: bool = False) -> Any:
        with asking(self._patience):
            client = self._client()
            from mlflow.exceptions import MlflowException

            try:
                answer = call(client)
            except MlflowException as error:
                if not if_known or error.error_code not in _UNKNOWN:
                    raise
                answer = ()
        self._patience = WORKING
        return answer

    def _pages(self, page: Callable[[Any, str | None], Any], *, if_known: bool = False) -> Iterator[Any]:
        """Give the entries of all pages.

        Args:
            page: Asks for one, given the token that the one before it ended with.
            if_known: Whether what the store cannot answer at all is no entry, and no error.
        """
        token: str | None = None
        while True:
            found = self._ask(lambda client, token=token: page(client, token), if_known=if_known)
            yield from found
            token = getattr(found, "token", None)
            if not token:
                return

    def _experiments(self, project: str | None) -> dict[str, str]:
        """Return the names of active experiments by their ids."""
        found = {
            str(experiment.experiment_id): str(experiment.name)
            for experiment in self._pages(
                lambda client, token: client.search_experiments(max_results=_EXPERIMENTS, page_token=token)
            )
        }
        if project is None:
            return found
        chosen = {number: name for number, name in found.items() if name == project}
        if not chosen:
            raise Refused(unknown_project(project, without_userinfo(self._uri), [*found.values()]))
        return chosen

    def _models(self, run: Any) -> tuple[Model, ...]:
        """Find the logged models of a run: those it says it made, and those that say so of it."""
        made: list[Any] = getattr(run.outputs, "model_outputs", None) or []
        steps = {output.model_id: output.step for output in made}
        pages = self._pages(
            lambda client, token: client.search_logged_models(
                [run.info.experiment_id],
                filter_string=f"source_run_id = '{run.info.run_id}'",
                page_token=token,
            ),
            if_known=True,
        )
        found: dict[str, Any] = {model.model_id: model for model in pages}
        for number in steps.keys() - found.keys():
            with contextlib.suppress(Refused):  # it is deleted
                found[number] = self._ask(lambda client, number=number: client.get_logged_model(number))
        return tuple(
            _model(model, steps.get(model.model_id))
            for model in sorted(found.values(), key=lambda model: (model.creation_timestamp, model.model_id))
        )

    def _versions(self, run: str) -> list[Any]:
        return [
            *self._pages(
                lambda client, token: client.search_model_versions(f"run_id='{run}'", page_token=token),
                if_known=True,
            )
        ]


def unknown_project(project: str, place: str, known: list[str]) -> str:
    """Say that there is no experiment of a name."""
    listed = ", ".join(sorted(known)[:20]) or "none"
    return f"{place} has no experiment called {project!r}; there are {listed}.{suggestion(project, known)}"


def history_page(client: Any, run: str, metric: str, token: str | None) -> Any:
    """Ask for one page of points; the client's public method has all of them in memory at once."""
    store = _tracking_store(client)
    if store is None:
        return client.get_metric_history(run, metric)
    return store.get_metric_history(run_id=run, metric_key=metric, max_results=_HISTORY, page_token=token)


def let_go(client: Any) -> None:
    """Close a client's connections to a database; it makes others when it is asked again."""
    engine: Any = getattr(_tracking_store(client), "engine", None)  # private
    if engine is not None:
        engine.dispose()


def _tracking_store(client: Any) -> Any:
    tracking: Any = getattr(client, "_tracking_client", None)  # private: it may go
    return getattr(tracking, "store", None)


def _dataset(found: Any) -> dict[str, Any]:
    dataset = found.dataset
    fields = {name: getattr(dataset, name) for name in ("name", "digest", "source_type", "source")}
    fields |= {name: getattr(dataset, name, None) for name in ("schema", "profile")}
    tags = {tag.key: tag.value for tag in found.tags}
    return {name: value for name, value in {**fields, "tags": tags}.items() if value}


def _model(model: Any, step: int | None) -> Model:
    about: dict[str, Any] = {
        "id": model.model_id,
        "name": model.name,
        "type": model.model_type,
        "status": str(model.status),
        "created": seconds(model.creation_timestamp),
        "step": step,
        "tags": dict(model.tags or {}),
        "params": dict(model.params or {}),
    }
    kept = {name: value for name, value in about.items() if value not in (None, "", {})}
    return Model(id=model.model_id, name=model.name, place=model.artifact_location, about=kept)


def _version(version: Any) -> Mapping[str, Any]:
    names = ("name", "version", "description", "source", "model_id", "tags", "current_stage")
    fields: dict[str, Any] = {name: getattr(version, name, None) for name in names}
    aliases: list[Any] = [*(getattr(version, "aliases", None) or ())]
    fields["aliases"] = [getattr(alias, "alias", alias) for alias in aliases]
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [], "None")}


def _quoted(file: Path | None) -> str:
    return quote(str(file)).replace("%", "%25") if file else ""
