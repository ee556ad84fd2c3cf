"""What W&B's client has that is not public, and what is done where it is gone.

A table shows in a workspace by an artifact of a type that W&B keeps for itself. Without the class that
makes one, a table is a file of the run only, which W&B shows too, up to 10,000 rows.
"""

import logging
from typing import Any

_LOG = logging.getLogger("tracelet.backends.wandb")
_said: set[str] = set()


def table_artifact(run: Any, key: str) -> Any:
    """Make the empty artifact of a table; None where the client has none."""
    try:
        from wandb.sdk.artifacts._internal_artifact import (
            InternalArtifact,  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
        )
    except ImportError:
        if "table" not in _said:
            _said.add("table")
            _LOG.warning("this version of wandb makes no artifacts of tables: they are files of the run only")
        return None
    make: Any = InternalArtifact
    return make(f"run-{run.id}-{key}", "run_table")
