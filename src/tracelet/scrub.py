"""What must not leave: the credentials in a URI, before it is stored or shown.

A URI is stored without them; at delivery `restore_userinfo` finds them again in the environment.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

_SECRET: Final = re.compile(
    r"(?:^|.*[._-])(?:auth|jwt|key|pass|pwd|sig)$"
    r"|.*(?:token|secret|passwd|password|passphrase|signature|authorization|credentials?)$"
    r"|.*(?:api|access|private|secret)_?key(?:_?id)?$"  # a signed URL's, at Amazon: who has it may read
    r"|odbc_connect$"  # a whole ODBC connection string, user and password included
)
"""Names of parameters that are credentials, in lower case with `_` for `-`."""

# As SQLAlchemy splits a database URI: a password may hold anything but "@", also "/" and "?".
_USERINFO: Final = re.compile(r"[^:/?#@]*(?::[^@]*)?@")
_AUTHORITY: Final = re.compile(r"[^/?#]*@")  # as everybody else does: up to the last "@" before a path
# From a word's first character on only: else a long word without "://" is looked through again from
# each of its characters, and a text of a megabyte takes an hour.
_IN_TEXT: Final = re.compile(r"(?<![\w+.-])[\w+.-]+://[^\s'\"<>]+")
_BETWEEN: Final = re.compile("([&;])")
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
    """Remove the credentials from a URI's parameters, and leave the others in their order."""
    body, hash_, fragment = rest.partition("#")
    path, mark, query = body.partition("?")
    head, semicolon, more = path.partition(";")  # as of JDBC
    return head + _harmless(semicolon, more) + _harmless(mark, query) + _harmless(hash_, fragment)


def _harmless(mark: str, text: str) -> str:
    """Leave out of parameters those that are credentials, and the mark before them if none is left."""
    found = _BETWEEN.split(text)
    kept: list[str] = []
    is_secret = False
    for between, parameter in zip(["", *found[1::2]], found[::2], strict=True):
        name, equals, _ = parameter.partition("=")
        if equals:
            is_secret = _SECRET.match(unquote(name).lower().replace("-", "_")) is not None
        elif between != ";":  # behind one, it may be the rest of a password
            is_secret = False
        if not is_secret:
            kept += (between if kept else "", parameter)
    return mark + "".join(kept) if kept else ""


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
