"""Sends one point through ClearML's own session for each metric that is named; prints what came of each.

Before that it tries a wrong key.
"""

import json
import sys
from typing import Any

from clearml.backend_api import Session
from clearml.backend_api.services import events
from clearml.backend_api.session.session import LoginError


def send(session: Any, task: str, metric: str) -> int:
    event = {
        "type": "training_stats_scalar",
        "task": task,
        "iter": 1,
        "value": 0.5,
        "metric": metric,
        "variant": "v",
    }
    return session.send(events.AddBatchRequest(requests=[event])).meta.result_code


def refused() -> str:
    """Log in with a wrong key; return what is said."""
    try:
        Session(secret_key="wrong")  # noqa: S106  that of nobody
    except LoginError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    said: dict[str, Any] = {"wrong": refused()}
    session = Session()
    said |= {metric: send(session, sys.argv[1], metric) for metric in sys.argv[2:]}
    sys.stdout.write(f"\nSAID {json.dumps(said)}\n")
