"""The command in this process, which is quicker, and what a tracker's relay leaves when it is done."""

import contextlib
import io
import os
import pty
import re
import select
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from tests.cli.making import Result, command
from tracelet.cli import main
from tracelet.journal import cursors, status
from tracelet.journal.status import DeliveryStatus, Reject


class _Stream(io.TextIOWrapper):
    """What a command writes to; `terminal` says what it is told about that."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


def inside(*arguments: str | Path, columns: int = 0, **environ: str) -> Result:
    """Run the command; it ends with an exit code, whatever happens.

    Args:
        arguments: Of the command.
        columns: Characters of a line of the terminal that its output is; 0 for a pipe.
        environ: Variables, above the environment. On a terminal there are no colours but by these.
    """
    encoding = environ.get("PYTHONIOENCODING", "utf-8")
    out, err = (_Stream(io.BytesIO(), encoding=encoding, newline="\n") for _ in range(2))
    out.terminal = bool(columns)
    there = {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"} if columns else {}
    with (
        mock.patch.dict(os.environ, {**there, **environ}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return Result(code, re.sub(r"\x1b\[[01]m", "", out.text()) if columns else out.text(), err.text())


def on_terminal(*arguments: str, answers: Mapping[bytes, str], **environ: str) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its exit code and what stood there.

    Args:
        arguments: Of the command.
        answers: What to type once something has been printed.
        environ: Variables, above the environment.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        there = {**os.environ, "TERM": "xterm", **environ}
        os.execve(sys.executable, command(*arguments), there)  # noqa: S606  a shell would only be in the way
    said, left = b"", dict(answers)
    try:
        while select.select([terminal], [], [], 60)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            for question in [question for question in left if question in said]:
                os.write(terminal, left.pop(question).encode())
    finally:
        os.close(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, said.decode()


def delivered(directory: Path, backend: str = "memory", ago: float = 0.0) -> Path:
    """Let a run's backend have all of it, since `ago` seconds."""
    sizes = status.sizes(directory)
    cursors.save(directory, backend, cursors.Cursor(dict(sizes), delivered=2, finished=True, sizes=sizes))
    when = time.time() - ago
    said = DeliveryStatus(state="finished", since=when, progressed=when, pid=1)
    status.write_delivery(directory, backend, said)
    return directory


def rejected(directory: Path, backend: str = "memory") -> Path:
    """Let a run's backend have rejected something."""
    status.append_reject(directory, backend, Reject("segment", 1, "", "Metric m", "too long", 1.0))
    return directory
