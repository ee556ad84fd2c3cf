"""Start a process without breaking anything of the user's machine.

Its input and output are `/dev/null`, its errors a log of limited size in the run's directory. It
has a session of its own, so that Ctrl-C in the trainer's terminal does not reach it. The working
directory is not on its `sys.path`: a user's `random.py` must not become ours.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_GROUP: Final = Path("/proc/self/autogroup")
_HUMBLE: Final = "{{ echo {nice} >/proc/self/autogroup; }} 2>/dev/null"
LOG_MAX: Final = 1024 * 1024  # bytes
_ROLES: Final = frozenset(
    {
        "COVERAGE_PROCESS_START",
        "COV_CORE_SOURCE",
        "GROUP_RANK",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "PMI_RANK",
        "PMI_SIZE",
        "PYTHONBREAKPOINT",
        "PYTHONFAULTHANDLER",
        "PYTHONINSPECT",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONSTARTUP",
        "PYTHONTRACEMALLOC",
        "PYTHONVERBOSE",
        "PYTHONWARNINGS",
        "RANK",
        "ROLE_RANK",
        "SLURM_LOCALID",
        "SLURM_NODEID",
        "SLURM_PROCID",
        "WORLD_SIZE",
    }
)
"""Variables that act on an interpreter, or on the role that it plays in a training job."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a keeper or relay from the trainer's."""
    kept = {name: value for name, value in environ.items() if name not in _ROLES}
    # No GPU is taken, and no thread pool competes with the training's.
    return kept | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(python: str, module: str, *arguments: str) -> list[str]:
    """Make the command that runs one of our modules, with the working directory off its path."""
    if sys.version_info >= (3, 11) and python == sys.executable:  # else it may be an older one
        return [python, "-P", "-m", module, *arguments]
    safe = "import sys; sys.path[:] = [place for place in sys.path if place]"
    run = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [python, "-c", f"{safe}; {run}", *arguments]


def open_log(path: Path) -> int:
    """Open a log for appending; one that has grown too large begins anew."""
    limit_log(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o600)


def limit_log(path: Path) -> None:
    """Cut a log that has grown too large down to its newer half. Its writers append, and go on."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_MAX:
            newest = path.read_bytes()[-LOG_MAX // 2 :]
            os.truncate(path, 0)
            with path.open("ab") as file:
                file.write(newest)


def start(
    command_line: list[str], log: Path, directory: Path, environ: Mapping[str, str], *, session: bool
) -> "subprocess.Popen[bytes]":
    """Start a process in `directory`, or beside its log if that is gone.

    With `session` it leads a session of its own.

    Raises:
        OSError: It cannot be started.
    """
    errors = open_log(log)
    try:
        return subprocess.Popen(
            command_line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            close_fds=True,
            cwd=directory if os.path.isdir(directory) else log.parent,  # noqa: PTH112  Path's may raise
            env=dict(environ),
            start_new_session=session,
        )
    finally:
        os.close(errors)


def hurry() -> None:
    """Stop giving way, where the kernel groups processes by session: nobody trains any more.

    A process's own niceness stays: only the superuser may lower that.
    """
    with contextlib.suppress(OSError):
        _GROUP.write_text("0")


def start_detached(
    command_line: list[str], log: Path, directory: Path, environ: Mapping[str, str], nice: int = 10
) -> None:
    """Start a process that is nobody's child: the caller has nothing to reap.

    A shell starts it and is gone at once. Forking twice from here instead would copy the page
    tables of a training process, and run Python code in a fork of a threaded one. Where the kernel
    groups processes by session, a session's own niceness decides, and the shell sets that too:
    `nice` would count only among the processes of the new session.

    Raises:
        OSError: It cannot be started.
    """
    shell = shutil.which("sh", path="/bin:/usr/bin")
    if shell is not None:
        command_line = [shell, "-c", f'{_HUMBLE.format(nice=nice)}; "$0" "$@" &', *command_line]
    process = start(command_line, log, directory, environ, session=True)
    if shell is not None:
        process.wait()
    else:
        process.returncode = 0  # nobody will wait for it, and nobody should be warned of that
