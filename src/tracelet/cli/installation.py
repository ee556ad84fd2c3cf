"""What `tracelet doctor` says of programs: settings, what is installed, and starting processes."""

import functools
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import tracelet
from tracelet import backends
from tracelet.backend import Backend
from tracelet.cli.findings import Finding, ok, problem, warning
from tracelet.errors import ConfigError
from tracelet.keeper import processes
from tracelet.settings import places_told
from tracelet.settings.resolving import Survey, survey

LISTENED: Final = ("torch", "tensorboard", "tensorboardX", "lightning", "pytorch-lightning")
"""Libraries that captures listen to, as their packages are called."""
STARTING: Final = 20.0  # seconds that a keeper may take to start
_REQUIREMENT: Final = re.compile(r"([\w.-]+)[^;>]*(?:>=\s*([\d.]+))?[^;]*(?:;(.*))?")
_LOCK: Final = threading.Lock()


@functools.cache
def _surveyed(here: Path) -> tuple[Survey, tuple[str, ...]]:
    heard = _Heard()
    log = logging.getLogger("tracelet")
    log.addHandler(heard)
    try:
        return survey(here, os.environ), tuple(heard.said)
    finally:
        log.removeHandler(heard)


def surveyed() -> tuple[Survey, tuple[str, ...]]:
    """Ask every source of settings, once; give also what was warned of meanwhile."""
    with _LOCK:
        return _surveyed(Path.cwd())


class _Heard(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self.said[record.getMessage()] = None


def of_settings() -> Iterator[Finding]:
    """Look at the settings that hold here; of values only names are told."""
    found, said = surveyed()
    for text in (*said, *found.warnings):
        yield warning(text, "correct it, or remove it")
    for error in found.errors:
        yield problem(str(error), "start_logging raises this; correct it")
    for file in found.files:
        yield ok(f"{file} is read")
    if found.sources:
        told = ", ".join(f"{name} ({source})" for name, source in found.sources.items())
        yield ok(f"set: {told}; `tracelet config` shows the values")
    else:
        yield ok("none is set; the defaults hold")
    mode = found.values.get("mode", "online")
    if mode != "online":
        effect = {"offline": "nothing is delivered until `tracelet sync`", "disabled": "nothing is recorded"}
        yield warning(f"mode={mode}: {effect.get(mode, '')}")


def installed() -> Iterator[Finding]:
    """Look at Python, at tracelet, at the trackers' clients, and at what captures listen to."""
    yield ok(f"Python {platform.python_version()} at {sys.executable}")
    if sys.platform == "linux":
        yield ok(platform.platform())
    else:
        yield warning(platform.platform(), "delivery in the background is tested on Linux only")
    yield ok(f"tracelet {tracelet.__version__} at {Path(tracelet.__file__).parent}")
    yield from _requirements()
    for name in backends.names():
        yield from _client(name)
    for library in LISTENED:
        if version := _version(library):
            yield ok(f"{library} {version}")
    if _version("torch") and not _version("tensorboard") and not _version("tensorboardX"):
        yield ok("torch's SummaryWriter needs tensorboard: pip install 'tracelet[tensorboard]'")


def _version(package: str) -> str:
    """Tell a package's version; empty if it is not installed. Nothing of it is imported."""
    from importlib import metadata  # it takes a while, and other commands do without

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _requirements() -> Iterator[Finding]:
    """Find what tracelet itself needs and does not have."""
    from importlib import metadata

    try:
        needed = metadata.requires("tracelet") or []
    except metadata.PackageNotFoundError:
        yield warning("tracelet is not installed as a package", "pip install tracelet")
        return
    for requirement in needed:
        match = _REQUIREMENT.fullmatch(requirement.strip())
        if match is None:
            continue
        package, least, marker = match[1], match[2] or "0", match[3] or ""
        extra = re.search(r"extra\s*==\s*[\"']([\w-]+)", marker)
        if (marker and not extra) or (extra and extra[1] in {"all", "dev"}):
            continue  # for another Python, for everything at once, or for our own tests
        version = _version(package)
        if version and _numbers(version) < _numbers(least):
            what = f"{package} {version} is too old; tracelet needs {least} or newer"
            do = f"pip install -U '{package}>={least}'"
            yield warning(what, do) if extra else problem(what, do)
        elif not version and not extra:
            yield problem(f"{package} is not installed", f"pip install {package}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _client(name: str) -> Iterator[Finding]:
    """Tell which version of a tracker's client there is."""
    try:
        backend = backends.load(name)
    except (ConfigError, ImportError) as error:
        yield warning(f"backend {name}: {error}", "update or remove the package that brings it")
        return
    if python := _own_python(backend):
        yield _elsewhere(backend, python)
    elif not backend.client:
        yield ok(f"backend {name}: needs no client")
    elif backends.has_client(backend):
        yield ok(f"backend {name}: {backend.client} {_client_version(backend)}")
    else:
        yield ok(f"backend {name}: {backend.client} is not installed: {backend.install}")


def _own_python(backend: Backend) -> str:
    """Tell which interpreter is to deliver to a backend; empty if it has no setting for that."""
    try:
        return str(surveyed()[0].values.get(f"{backend.name}_python", ""))
    except OSError:  # the working directory is gone, as another part says
        return ""


def _elsewhere(backend: Backend, python: str) -> Finding:
    """Ask the interpreter that is to deliver to a backend what is installed there."""
    try:
        with places_told(surveyed()[0].resolved(), backend.name):
            found = backends.interpreter(backend, {"python": python})
    except ConfigError as error:
        return problem(f"backend {backend.name}: {error}", "start_logging raises this; correct it")
    return ok(f"backend {backend.name}: {backend.client or 'tracelet'} is installed for {found}")


def _client_version(backend: Backend) -> str:
    from importlib import metadata

    module = backend.client.partition(".")[0]
    if version := _version(module):
        return version
    packages = metadata.packages_distributions().get(module, [])  # reads every package's list of files
    return _version(packages[0]) if packages else "of an unknown version"


def of_processes(until: float) -> Iterator[Finding]:
    """See whether a keeper can be started, as a run starts it.

    Args:
        until: When all of it has to be over, by the monotonic clock.
    """
    settings = surveyed()[0].values
    if settings.get("relay") == "thread":
        yield ok("relay=thread: deliveries are threads of the training process, and end with it")
        return
    wanted = str(settings.get("python", ""))
    python = shutil.which(wanted) if wanted else sys.executable
    if not python:
        yield problem(f"python={wanted!r} is no program that can be run", "give the path of an interpreter")
        return
    yield _started(python, max(0.1, min(STARTING, until - time.monotonic())))
    if not shutil.which("sh", path="/bin:/usr/bin"):
        yield warning("there is no /bin/sh", "a keeper is then a child of the training process")
    if not hasattr(os, "pidfd_open"):
        yield _without_pidfd("this Python has no pidfd_open")
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        yield _without_pidfd(f"the kernel gives no pidfd ({error.strerror})")


def _without_pidfd(reason: str) -> Finding:
    if Path("/proc/self/stat").exists():
        return ok(f"{reason}; the end of a training is noticed by looking, within a second")
    return warning(f"{reason}, and there is no /proc", "the end of a killed training may be noticed late")


def _started(python: str, patience: float) -> Finding:
    """Start a keeper for a run that does not exist: it says so, and ends."""
    nowhere = Path(tempfile.gettempdir(), f"tracelet-doctor-{os.getpid()}", "no-run")
    command = processes.command(python, "tracelet.keeper", str(nowhere))
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=processes.child_environment(os.environ),
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return problem(f"a keeper did not start within {patience:.0f} s with {python}", "is its disk slow?")
    except OSError as error:
        return problem(f"no process can be started with {python}: {error}", "relay='thread' needs none")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "without a word"
        return problem(
            f"a keeper cannot be started with {python}: {last}",
            "that interpreter needs tracelet; python= or TRACELET_PYTHON names another",
        )
    return ok(f"a keeper starts, with {python}, in {time.monotonic() - began:.1f} s")
