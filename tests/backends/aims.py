"""A repository of Aim's, our way into it and Aim's own way out, for the tests."""

import shutil
from pathlib import Path
from typing import Any

from tracelet import backends
from tracelet.backend import Options
from tracelet.events import RunStarted

BACKEND = backends.load("aim")
NOW = 1_700_000_000.125
RUN = RunStarted(
    time=NOW,
    run_id="20261120-093000-3f2a1c",
    name="a name",
    project="a project",
    tags={"team": "vision", "best": "true"},
    note="what it is",
)


def new(place: Path) -> Path:
    """Make an empty repository; it takes seconds, and a copy of it does as well."""
    from tracelet.backends.aim.connection import Connection

    connection = Connection(str(place))
    connection.call(lambda: connection.open(make=True))
    connection.close()
    return place


def copied(template: Path, to: Path) -> Options:
    """Copy a repository; return what `configure` would choose for the copy."""
    shutil.copytree(template, to)
    return {"repo": str(to), "artifacts_uri": f"file://{to}/.aim/artifacts"}


def writer(options: Options) -> Any:
    """Make a Writer; a payload is the file that its digest names."""
    assert BACKEND.writer is not None
    return BACKEND.writer(options, Path)


def deleted(options: Options, run: str) -> None:
    """Delete a run, as Aim's own command does."""
    from aim.sdk.repo import Repo

    repo = Repo.from_path(options["repo"])
    try:
        assert repo.delete_run(run)
    finally:
        repo.close()


def read(options: Options, run: str) -> list[Any]:
    """Read a run back."""
    assert BACKEND.reader is not None
    reader = BACKEND.reader(options)
    try:
        return list(reader.events(run))
    finally:
        reader.close()
