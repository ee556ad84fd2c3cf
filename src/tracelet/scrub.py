"""What must not leave: the credentials in a URI, before it is stored or shown.

A URI is stored without them; at delivery `restore_userinfo` finds them again in the environment.
"""

import re
from collections.abc import Iterable
from typing import Final

_SECRET: Final = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "auth_token",
        "client_secret",
        "key",
        "odbc_connect",  # a whole ODBC connection string, user and password included
        "passwd",
        "password",
        "pwd",
        "secret",
        "sig",
        "signature",
        "token",
    }
)
"""Query parameters that are credentials, in lower case with `_` for `-`."""

# As SQLAlchemy splits a database URI: a password may hold anything but "@", also "/" and "?".
_USERINFO: Final = re.compile(r"[^:/?#@]*(?::[^@]*)?@")
_AUTHORITY: Final = re.compile(r"[^/?#]*@")  # as everybody else does: up to the last "@" before a path
# From a word's first character on only: else a long word without "://" is looked through again from
# each of its characters, and a text of a megabyte takes an hour.
_IN_TEXT: Final = re.compile(r"(?<![\w+.-])[\w+.-]+://[^\s'\"<>]+")
_WEB: Final = frozenset({"http", "https", "ws", "wss"})


def without_userinfo(uri: str) -> str:
    """Return `uri` without user, password and credentials in its query; all else stays as it is."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    # "http://host:80/a@b" is a path with an "@" in it; "mysql://root:80/a@b" is a password.
    if scheme.lower() not in _WEB and (found := _USERINFO.match(rest)):
        rest = rest[found.end() :]
    while found := _AUTHORITY.match(rest):
        rest = rest[found.end() :]
    return scheme + separator + _without_secrets(rest)


def _without_secrets(rest: str) -> str:
    """Remove the credentials from a URI's query, and leave its other parameters in their order."""
    body, hash_, fragment = rest.partition("#")
    path, mark, query = body.partition("?")
    kept = [part for part in query.split("&") if not _is_secret(part)]
    if len(kept) == len(query.split("&")):
        return rest
    return path + (mark + "&".join(kept) if kept else "") + hash_ + fragment


def _is_secret(parameter: str) -> bool:
    return parameter.partition("=")[0].lower().replace("-", "_") in _SECRET


def restore_userinfo(stored: str, candidates: Iterable[str]) -> str:
    """Return the first of `candidates` that is `stored` with credentials, or `stored` if none is."""
    for candidate in candidates:
        uri = candidate.strip()
        if uri != stored and without_userinfo(uri) == stored:
            return uri
    return stored


def without_userinfo_in(text: str) -> str:
    """Return `text`, say another library's error message, with every URI in it scrubbed."""
    return _IN_TEXT.sub(lambda found: without_userinfo(found[0]), text)
