"""Aim's name and context as one name of ours, and back.

A series of Aim's has a name and a context, a mapping. One name of ours says both: the name, a space,
and the context as JSON with sorted keys and no other spaces, as in `loss {"subset":"val"}`. An empty
context is left out; unless the name alone would be read as one with a context: then `{}` ends it.
So each pair has one name of ours, and each name of ours is one pair.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

KIND: Final = "tracelet_kind"
"""In the context of what shares its name with something of another kind."""
AGAIN: Final = "tracelet_again"
"""In the context of what shares its name and step with something of its kind: 1, 2 and so on."""

_EMPTY: Final = " {}"


def joined(name: str, context: Mapping[str, Any]) -> str:
    """Return our name for a series of Aim's."""
    if context:
        return f"{name} {_json(context)}"
    return f"{name}{_EMPTY}" if _is_misread(name) else name


def parted(name: str) -> tuple[str, dict[str, Any]]:
    """Return Aim's name and context for a name of ours."""
    if name.endswith(_EMPTY) and _is_misread(name):
        return name[: -len(_EMPTY)], {}
    return _split(name)


def without_ours(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a context without what tells apart what Aim cannot."""
    return {name: value for name, value in context.items() if name not in {KIND, AGAIN}}


def _split(name: str) -> tuple[str, dict[str, Any]]:
    """Part a name from the context that it ends in, if that is not empty."""
    at = name.find(" {") if name.endswith("}") else -1
    while at >= 0:
        text = name[at + 1 :]
        try:
            found: Any = json.loads(text)
        except ValueError:
            found = None
        if found and isinstance(found, dict) and at > 0:
            context = cast("dict[str, Any]", found)
            if _json(context) == text:
                return name[:at], context
        at = name.find(" {", at + 1)
    return name, {}


def _is_misread(name: str) -> bool:
    """Tell whether a name, bare, would be taken for one with a context."""
    while name.endswith(_EMPTY):
        name = name[: -len(_EMPTY)]
    return bool(_split(name)[1])


def _json(context: Mapping[str, Any]) -> str:
    return json.dumps(context, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
