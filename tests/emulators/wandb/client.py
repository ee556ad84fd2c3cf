"""Processes with W&B's real client, for tests."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.emulators.wandb import WandbServer

BRISK: Final = {
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",  # or it tells its maker how it is, and a process ends later
    "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",  # seconds; less than one is taken for its default, 15
    "WANDB_X_DISABLE_STATS": "true",
    "WANDB_X_DISABLE_META": "true",
}


def environment(server: WandbServer, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return own | BRISK | server.environment | more


def start(
    server: WandbServer, code: str, directory: Path, arguments: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """Start Python with this code; what it prints and reads are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        env=environment(server, WANDB_DIR=str(directory)),  # else its interface leaves directories in /tmp
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(server: WandbServer, code: str, directory: Path) -> str:
    """Run Python with this code until it ends well; give what it printed."""
    with start(server, code, directory) as process:
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out


def command(server: WandbServer, *arguments: Any) -> str:
    """Run the client's own command line; give what it printed."""
    with tempfile.TemporaryDirectory() as place:  # it keeps a log there
        done = subprocess.run(
            [sys.executable, "-m", "wandb", *map(str, arguments)],
            env=environment(server, WANDB_SILENT="false", TMPDIR=place),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return done.stdout + done.stderr
