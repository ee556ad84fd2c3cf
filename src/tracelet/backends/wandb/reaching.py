"""Whether somebody listens where a server should be: asked before W&B's client is, which goes on trying."""

import re
import socket
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tracelet.backends.wandb.options import BASE_URL
from tracelet.errors import Unavailable
from tracelet.scrub import without_userinfo

ELSEWHERE: Final = (
    "what answers there is no W&B server, it gives a page; check WANDB_BASE_URL, and the setting backend_url"
)
_PAGE: Final = re.compile(r"<!doctype html|<html|invalid character '.' looking for", re.IGNORECASE)


def knock(url: str, client: Any, seconds: float) -> None:
    """Make sure that somebody listens, unless it is a proxy that would tell.

    Args:
        url: The server; of W&B's own, the client knows where that is now.
        client: W&B's module.
        seconds: How long to wait.

    Raises:
        Unavailable: Nobody does.
    """
    if url in {"", BASE_URL}:
        url = str(client.Settings().base_url)
    there = urlsplit(url)
    host, port = there.hostname or "", there.port or (80 if there.scheme == "http" else 443)
    if there.scheme in getproxies() and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, port), seconds).close()
    except OSError as error:
        raise Unavailable(f"W&B at {without_userinfo(url)} cannot be reached: {error}") from None


def is_page(text: str) -> bool:
    """Tell by what the client says whether it was given something else than W&B's answers."""
    return _PAGE.search(text) is not None
