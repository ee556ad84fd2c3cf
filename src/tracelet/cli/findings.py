"""What `tracelet doctor` finds: one sentence each, and what to do about it."""

from typing import Literal, TypeAlias

import msgspec

Level: TypeAlias = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        level: A problem keeps something from working; a warning may.
        what: What was found.
        do: What to do about it; empty if nothing.
        part: The part of the examination that it belongs to.
    """

    level: Level
    what: str
    do: str = ""
    part: str = ""


def ok(what: str) -> Finding:
    """Tell of something that is as it should be."""
    return Finding("ok", what)


def warning(what: str, do: str = "") -> Finding:
    """Tell of something that may keep something from working."""
    return Finding("warning", what, do)


def problem(what: str, do: str = "") -> Finding:
    """Tell of something that keeps something from working."""
    return Finding("problem", what, do)
