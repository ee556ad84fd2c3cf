"""A run's config as we keep it: its params, and under `tracelet` what else is said of it.

W&B's client sends the config as a whole, after the run's tags and notes. So our account has a
`revision` that counts up: what the server shows of it tells what has arrived.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from tracelet.backends.wandb.words import (
    OURS,
    TAG,
    flat,
    is_exact,
    ours_of,
    path_of,
    shown,
    text_of,
)
from tracelet.events import Definition, Event, Layout, Note, Params, RunFinished, RunStarted, Tags

VERSION: Final = 1  # of what the account says
KINDS: Final = (Params, Tags, Note, Layout, Definition, RunFinished)
"""What an account takes."""


class Account:
    """One run's config.

    Args:
        config: What the server has.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config: dict[str, Any] = {
            name: copy.deepcopy(value) for name, value in dict(config).items() if name != "_wandb"
        }
        self.ours: dict[str, Any] = ours_of(self.config)
        self._changed: set[str] = set()

    @property
    def revision(self) -> int:
        """How often it was changed."""
        return int(self.ours.get("revision", 0))

    @property
    def ended(self) -> bool:
        """Whether the run's end is noted."""
        return "ended" in self.ours

    def begin(self, run: RunStarted) -> None:
        """Say what the run is, unless it is said already."""
        if self.ours:
            return
        fields = ("run_id", "name", "project", "group", "job_type", "parent")
        said = {name: getattr(run, name) for name in fields}
        self.ours = {name: value for name, value in said.items() if value or name == "project"}
        self.ours |= {"version": VERSION, "time": run.time, "tags": {**run.tags}}
        self.config[OURS] = self.ours
        self._changed.add(OURS)

    def take(self, events: Iterable[Event]) -> bool:
        """Put in what events say that belongs here; tell whether there was anything."""
        changed = False
        for event in events:
            if isinstance(event, Params):
                for name, value in flat(event.params):
                    self._set(name, value)
            elif isinstance(event, Tags):
                self.ours.setdefault("tags", {}).update(event.tags)
            elif isinstance(event, Definition):
                said = msgspec.to_builtins(event)
                del said["type"], said["name"]
                self.ours.setdefault("definitions", {})[event.name] = said
            elif isinstance(event, Layout):
                self.ours["layout"] = msgspec.to_builtins(event.charts)
            elif isinstance(event, RunFinished):
                self.ours |= {"status": event.status, "ended": event.time, "reason": event.reason}
            elif not isinstance(event, Note):
                continue
            changed = True
        if changed:
            self._changed.add(OURS)
        return changed

    def repeat(self) -> None:
        """Have all of it said again: the server has less."""
        self._changed.update(self.config)

    def is_stepless(self, names: Iterable[str]) -> list[str]:
        """Note that metrics have points without a step; return those of which that is new."""
        known: list[str] = self.ours.setdefault("stepless", [])
        new = [name for name in dict.fromkeys(names) if name not in known]
        if new:
            known += new
            self._changed.add(OURS)
        return new

    @property
    def stepless(self) -> list[str]:
        """The metrics that have points without a step, as the tracker calls them."""
        return list(self.ours.get("stepless", ()))

    def definitions(self) -> list[Definition]:
        """Return what metrics are defined as."""
        said: dict[str, dict[str, Any]] = self.ours.get("definitions", {})
        return [
            msgspec.convert({**one, "name": name, "type": "Definition"}, Definition)
            for name, one in said.items()
        ]

    def changes(self) -> dict[str, Any]:
        """Return what has changed since the last call, with a new revision; empty if nothing has."""
        if not self._changed:
            return {}
        self.ours["revision"] = self.revision + 1
        found = {key: copy.deepcopy(self.config[key]) for key in self._changed}
        self._changed.clear()
        return found

    def words(self, others: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the run's tags as W&B shows them: words, and not those that tracelet keeps account with."""
        told = {
            name: name if text in {"", "true"} else f"{name}:{text}"
            for name, text in self.ours.get("tags", {}).items()
            if not name.startswith("tracelet.")
        }
        words = (*others, *told.values())
        return tuple(dict.fromkeys(word for word in words if word.strip() and len(word) <= TAG))

    def _set(self, name: str, value: Any) -> None:
        exact: dict[str, str] = self.ours.setdefault("params", {})
        place = self._place(name)
        if place is not None:
            node, leaf = place
            node[leaf] = shown(value)
            self._changed.add(path_of(name)[0])
        if place is None or not is_exact(value):
            exact[name] = text_of(value)
        else:
            exact.pop(name, None)

    def _place(self, name: str) -> tuple[dict[str, Any], str] | None:
        """Find where a param belongs; None where another's value, or its entries, are in the way."""
        path = path_of(name)
        if not path:
            return None
        node = self.config
        for at, part in enumerate(path[:-1]):
            inner: Any = node.get(part)
            if part not in node:
                # Nothing is made before all of the way is known to be free.
                return self._made(node, path[at:])
            if not isinstance(inner, dict) or not inner:
                return None
            node = cast("dict[str, Any]", inner)
        leaf: Any = node.get(path[-1])
        return None if isinstance(leaf, dict) and leaf else (node, path[-1])

    def _made(self, node: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], str]:
        for part in path[:-1]:
            inner: dict[str, Any] = {}
            node[part] = inner
            node = inner
        return node, path[-1]
