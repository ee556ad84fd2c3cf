"""How tags become names, so that two log directories never share one.

The first log directory that a run sees keeps its tags as names. Writers with another directory get
it as a prefix, relative to the first one or to that one's parent: with `runs/a` first, `runs/a/val`
writes `val/loss` and `runs/b` writes `b/loss`.
"""

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Any, Final, cast

LOG: Final = logging.getLogger("tracelet.summaries")
_PATTERN: Final = re.compile(r"[$()*+?\[\\\]^{|}]")  # without the dot, which many a tag has


class Names:
    """Names for tags, so that two log directories never share one, and two methods neither.

    There is no lock: a thread that is forked away while it holds one would leave its child hanging.
    `dict.setdefault` decides who comes first.
    """

    def __init__(self) -> None:
        self.known: dict[Any, dict[Any, str]] = {}
        """Log directory and tag, as the writer was given them, to name: one look per call."""
        self._places: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._owners: dict[tuple[str, str], tuple[str, object]] = {}

    def name(self, log_dir: object, tag: object, family: str = "") -> str:
        """Find the name of a tag in a log directory.

        Args:
            log_dir: As the writer was given it.
            tag: The tag; of `add_scalars` the main tag and the tag, which are a scalar of their own
                even where `add_scalar` writes one of the same name.
            family: What is named, unless it is a scalar: others may have the same name.
        """
        place = self._place(log_dir)
        prefix, text = self._prefix(place), _text(tag)
        wanted = f"{prefix}/{text}" if prefix else text
        owner = place, cast("object", tag) if isinstance(tag, tuple) else text

        name, count = wanted, 1
        while self._owners.setdefault((family, name), owner) != owner:
            count += 1
            name = f"{wanted} ({count})"
        with contextlib.suppress(TypeError):  # something that has no hash is looked up each time
            if not family:
                self.known.setdefault(log_dir, {})[tag] = name
        return name

    def meant(self, log_dir: object, tag: object, *, may_match: bool = False) -> str:
        """Find the name of the scalars that somebody speaks of by their tag; they may be logged later.

        Args:
            log_dir: As in `name`.
            tag: Their tag.
            may_match: Whether it may be a regular expression for the tags of several.
        """
        known = self.known.get(log_dir, {}).get(tag)
        prefix, text = self.prefix(log_dir), _text(tag)
        if known is not None or not prefix:
            return known or text
        if may_match and _PATTERN.search(text):
            pattern = f"(?:{text})" if "|" in text else text.removeprefix("^")
            return f"{re.escape(prefix)}/{pattern}"
        return f"{prefix}/{text}"

    def prefix(self, log_dir: object) -> str:
        """Say what names begin with in a log directory, without the slash behind it."""
        return self._prefix(self._place(log_dir))

    def _place(self, log_dir: object) -> str:
        # Once for each text: a relative one would be another place after a change of directory.
        return self._places.setdefault(str(log_dir), location(log_dir))

    def _prefix(self, place: str) -> str:
        prefix = self._prefixes.get(place)
        if prefix is None:
            first = self._first.setdefault("place", place)
            prefix = self._prefixes[place] = relative(place, first)
            if len(self._prefixes) == 2:  # noqa: PLR2004  once: a sweep may have hundreds
                message = "a second TensorBoard log directory, %s: names of its scalars begin with %r"
                LOG.info(message, place, f"{prefix}/")
        return prefix


def _text(tag: object) -> str:
    if isinstance(tag, tuple):
        return "/".join(map(str, cast("tuple[object, ...]", tag)))
    return tag.decode() if isinstance(tag, bytes) else str(tag)


def location(log_dir: object) -> str:
    """Make a log directory comparable: absolute, links resolved, parts separated by slashes."""
    text = str(log_dir)  # as torch does
    if "://" in text:
        return text.rstrip("/")
    return Path(os.path.realpath(text)).as_posix()


def relative(place: str, first: str) -> str:
    """Say what the names of `place` begin with when `first` is the directory without a prefix."""
    if place == first:
        return ""
    parent, _, _ = first.rpartition("/")
    if place == parent:
        return parent.rpartition("/")[2]
    for base in (first, parent):
        if place.startswith(f"{base}/"):
            return place.removeprefix(f"{base}/").lstrip("/")
    return place.lstrip("/")
