"""What `tracelet doctor` says of trackers: where a run would go from here, and whether it would arrive.

Each tracker is asked by its own client, in a process of its own (`tracelet.cli.asking`) that is
ended when it takes too long, with the environment that a relay would have.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec

from tracelet import backends
from tracelet.backend import Backend, Configuration
from tracelet.cli.findings import Finding, ok, problem, warning
from tracelet.cli.installation import surveyed
from tracelet.errors import ConfigError
from tracelet.journal import shelf
from tracelet.keeper import processes
from tracelet.scrub import without_userinfo, without_userinfo_in
from tracelet.settings import Resolved, places_told

_SQLITE: Final = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)")
_CREDENTIAL: Final = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|API_?KEY|ACCESS_KEY|USERNAME|NETRC")
_CLOUDS: Final = ("AWS_", "AZURE_", "GOOGLE_", "DATABRICKS_")


@dataclass(frozen=True, slots=True)
class Destination:
    """A backend that a run would go to, and what a relay would be given for it.

    `python` is the interpreter of its relay; empty if it is the one of all.
    """

    load: str
    backend: Backend
    options: Mapping[str, str]
    environ: Mapping[str, str]
    python: str = ""


def of_backends(until: float) -> Iterator[Finding]:
    """Ask every backend that a run started here would have.

    Args:
        until: When all of it has to be over, by the monotonic clock.
    """
    survey, _ = surveyed()
    if survey.errors:
        yield problem("the settings are mistaken, so nobody knows where a run would go", "correct them first")
        return
    resolved = survey.resolved()
    asked: list[tuple[Destination, subprocess.Popen[bytes]]] = []
    from tracelet import launch  # it loads what makes runs, and other commands make none

    for load in resolved.backend or launch.default_backends():
        try:
            found = destination(load, resolved)
        except (ConfigError, OSError) as error:
            yield problem(f"{load}: {error}")
            continue
        yield from _about(found)
        if _is_to_be_asked(found):
            try:
                asked.append((found, _ask(found, resolved)))
            except OSError as error:
                yield problem(f"{load}: no process can be started to ask it: {error}")
    for found, process in asked:
        yield from _answers(found, process, until)


def destination(load: str, resolved: Resolved) -> Destination:
    """Configure a backend as a run of a script in the working directory would.

    Raises:
        ConfigError: There is no such backend, its client is missing, or a setting does not fit.
    """
    with places_told(resolved):
        backend = backends.load(load)
    own = resolved.of(backend.name)
    with places_told(resolved, backend.name, backend.variables):
        python = backends.interpreter(backend, own) if resolved.relay == "process" else ""
    if not python:
        backends.check_client(backend)
    prefixes = tuple(prefix for prefix in (backend.variables, "TRACELET_") if prefix)
    lent = {name: text for name, text in resolved.dotenv.items() if name.startswith(prefixes)}
    environ = {**lent, **os.environ}
    project = resolved.experiment_name or resolved.project
    here = Path.cwd()
    configuration = Configuration(
        settings=own,
        environ=environ,
        project=project or environ.get(backend.project_variable or " ", "") or "default",
        directory=here,
        script_directory=here,
    )
    with places_told(resolved, backend.name, backend.variables):
        options = backend.configure(configuration)
    return Destination(load, backend, options, environ, python)


def _about(found: Destination) -> Iterator[Finding]:
    """Say where a run would go, with which credentials, and what its files are like."""
    name = found.backend.name
    if found.backend.writer is None:
        yield ok(f"{name}: a run stays in its journal, and is delivered nowhere")
        return
    told = ", ".join(f"{option} {without_userinfo(text)}" for option, text in found.options.items() if text)
    where = f"with {told}" if told else f"as {name}'s own variables and files say"
    yield ok(f"{name}: a run of a script in this directory is delivered {where}")
    credentials = _credentials(found)
    if credentials:
        yield ok(f"{name}: credentials in effect: {', '.join(credentials)}")
    for text in found.options.values():
        if match := _SQLITE.fullmatch(text):
            yield from _database(name, Path(unquote(match["path"])))
        elif text.startswith("/"):
            yield from _directory(name, Path(text))


def _directory(name: str, place: Path) -> Iterator[Finding]:
    """Tell of a directory that cannot be written, or made."""
    base = next(path for path in (place, *place.parents) if path.exists())
    if not base.is_dir():
        yield problem(f"{name}: {place} cannot be a directory: {base} is a file", "choose another place")
    elif not os.access(base, os.W_OK | os.X_OK):
        how = "cannot be written" if base == place else f"cannot be made: {base} cannot be written"
        yield problem(f"{name}: {place} {how}", "change its owner or its mode, or choose another place")


def _credentials(found: Destination) -> list[str]:
    """Name the variables that hold credentials; never what they hold."""
    prefixes = tuple(prefix for prefix in (found.backend.variables, "TRACELET_", *_CLOUDS) if prefix)
    return sorted(
        name if name in os.environ else f"{name} (in .env or a toml file)"
        for name, text in found.environ.items()
        if text and name.startswith(prefixes) and (_CREDENTIAL.search(name) or without_userinfo(text) != text)
    )


def _database(name: str, file: Path) -> Iterator[Finding]:
    """Look at a database in a file, without opening it."""
    base = next(path for path in (file, *file.parents) if path.exists())
    if base != file:
        if os.access(base, os.W_OK | os.X_OK):
            yield ok(f"{name}: {file} is not there yet; the first delivery makes it")
        else:
            yield problem(f"{name}: {file} cannot be made: {base} cannot be written", "choose another place")
    elif not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        yield problem(f"{name}: {file} or its directory cannot be written", "change its owner or its mode")
    else:
        yield ok(f"{name}: {file} can be written")
    if network := shelf.network_file_system(base):
        do = "a database needs locks that such a file system may not have; choose a local disk, or a server"
        yield warning(f"{name}: {file} lies on a network file system, {network}", do)


def _is_to_be_asked(found: Destination) -> bool:
    """Tell whether there is anything to ask: a database that is yet to be made cannot answer."""
    files = [_SQLITE.fullmatch(text) for text in found.options.values()]
    missing = any(match and not Path(unquote(match["path"])).exists() for match in files)
    return found.backend.writer is not None and not missing


def _ask(found: Destination, resolved: Resolved) -> "subprocess.Popen[bytes]":
    """Start the process that asks, as a relay would be started."""
    python = found.python or (shutil.which(resolved.python) if resolved.python else sys.executable)
    question = msgspec.json.encode({"load": found.load, "options": dict(found.options)})
    process = subprocess.Popen(
        processes.command(python or sys.executable, "tracelet.cli.asking"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=processes.child_environment(found.environ),
    )
    if process.stdin is not None:  # small enough for the pipe: nobody has to read it first
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(question)
            process.stdin.close()
        process.stdin = None
    return process


def _answers(found: Destination, process: "subprocess.Popen[bytes]", until: float) -> Iterator[Finding]:
    """Give what a process found out; end it when it takes too long."""
    name, late = found.backend.name, False
    try:
        out, err = process.communicate(timeout=max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        late = True
        process.kill()
        out, err = process.communicate()
    for line in out.splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            finding = msgspec.json.decode(line, type=Finding)
            yield msgspec.structs.replace(finding, what=f"{name}: {without_userinfo_in(finding.what)}")
    if late:
        do = "records wait in the journal meanwhile; try again with a longer --timeout"
        yield problem(f"{name}: it did not answer in time", do)
    elif process.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2] or "without a word"
        said = without_userinfo_in(
            f"{name}: the process that asked it ended with {process.returncode}: {last}"
        )
        yield problem(said, "a relay would end so, too")
