"""Reading runs of W&B's: from a server, and from the files that its client leaves on a machine.

`server` and `local` find what there is, `back` makes events of it. A run on a server is called
`ENTITY/PROJECT/ID`; in files it is called by its id.
"""

import contextlib
import json
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from tracelet.backend import Options, RunSummary
from tracelet.backends.wandb import back, bundles, local, ours, server, words
from tracelet.backends.wandb.api import Connection
from tracelet.backends.wandb.found import About, Kept
from tracelet.backends.wandb.options import OFFLINE, project_of
from tracelet.backends.wandb.sources import PATH
from tracelet.errors import BackendError, Refused, Unavailable
from tracelet.events import Event

_PARTS: Final = 3  # of a run's path


class Reader:
    """See `tracelet.backend.Reader`."""

    def __init__(self, options: Options) -> None:
        self._entity, self._project = options.get("entity", ""), options.get("project", "")
        self._connection = Connection(options)
        self._place: Path | None = None
        if options.get(PATH, ""):
            self._place = Path(options[PATH])
        elif options.get("mode", "") == OFFLINE:
            self._place = Path(options["dir"], "wandb")
        self._last: tuple[str, Kept] | None = None

    def runs(self, project: str | None) -> Iterator[RunSummary]:
        """See `Reader.runs`; the oldest of each project comes first."""
        with asking(self._place or self._connection.url):
            for run, about in self._listed(project):
                summary = _summary(run, about)
                if project in {None, summary.project, about.project}:
                    yield summary

    def events(self, run: str) -> Iterator[Event]:
        """See `Reader.events`."""
        with asking(f"run {run}"):
            kept = self._find(run)
            self._last = (run, kept)
            yield from back.events(kept)

    def download(self, run: str, path: str, to: Path) -> None:
        """See `Reader.download`.

        Raises:
            Refused: The run has no such file.
        """
        with asking(f"{path!r} of run {run}"):
            if self._last is None or self._last[0] != run:
                self._last = (run, self._find(run))
            to.parent.mkdir(parents=True, exist_ok=True)
            if not _fetch(self._last[1], path, to):
                raise Refused(f"run {run} has no file {path!r}")

    def close(self) -> None:
        """See `Reader.close`."""
        self._last = None
        self._connection.close()

    def _listed(self, project: str | None) -> Iterator[tuple[str, About]]:
        if self._place is not None:
            for run, one in self._recorded(self._place).items():
                yield run, one.about()
            return
        wanted = self._project or (project_of(project) if project else "")
        for entity, about in server.runs(self._connection, self._entity, wanted):
            yield f"{entity}/{about.project}/{about.id}", about

    def _find(self, run: str) -> Kept:
        if self._place is None:
            return server.Served(self._connection, self._path(run))
        found = self._recorded(self._place)
        if run not in found:
            raise Refused(
                f"there is no run {run!r} in {self._place}; a run has the id that its file is named by"
            )
        return found[run]

    def _path(self, run: str) -> str:
        """Complete a run's id by the entity and the project that the place names."""
        parts = run.split("/")
        if len(parts) == 1 and self._project:
            parts.insert(0, self._project)
        if len(parts) == _PARTS - 1 and self._entity:
            parts.insert(0, self._entity)
        if not all(parts) or len(parts) != _PARTS:
            raise Refused(f"there is no run {run!r}: a run of W&B's is ENTITY/PROJECT/ID")
        return "/".join(parts)

    @staticmethod
    def _recorded(place: Path) -> dict[str, local.Recorded]:
        now = time.time()
        return {run: local.Recorded(files, now) for run, files in local.runs(place).items()}


@contextlib.contextmanager
def asking(what: object) -> Generator[None]:
    """Let only `Unavailable` and `Refused` out."""
    try:
        yield
    except BackendError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise Refused(f"{what} cannot be read: {error}") from error
    except OSError as error:
        raise Unavailable(f"{what} cannot be read now: {error}") from error
    except (ValueError, TypeError, KeyError, LookupError, AttributeError) as error:
        raise Refused(f"{what} is not what W&B writes: {type(error).__name__}: {error}") from error


def _summary(run: str, about: About) -> RunSummary:
    own = words.ours_of(about.config)
    return RunSummary(
        id=run,
        name=str(own.get("name", about.name)),
        project=str(own.get("project", about.project)),
        status=ours.status(own) if own else back.status(about),
        started=float(own.get("time", about.started)),
    )


def _fetch(kept: Kept, path: str, to: Path) -> bool:
    """Write a file of a run to a file; tell whether there is one."""
    own = bool(words.ours_of(kept.about().config))
    if path.startswith(bundles.LISTS):
        artifact = bundles.of_list(path, kept.logged())
        if artifact is None:
            return False
        listed = bundles.listed(artifact, "" if own else f"{artifact.path}/")
        to.write_text(json.dumps(listed, ensure_ascii=False), "utf-8")
        return True
    if own and kept.fetch(f"{words.FILES}{path}", to):
        return True
    if (path.startswith(words.MEDIA) or not own) and kept.fetch(path, to):
        return True
    for artifact in () if own else kept.logged():
        inside = path.removeprefix(f"{artifact.path}/")
        if inside != path and inside in artifact.files:
            kept.fetch_logged(artifact, inside, to)
            return True
    return False
