"""What became of a sample on its way into a tracker and back."""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from tracelet.events import Artifact, Event, Note, Params, Payload, RunFinished, RunStarted, Tags
from tracelet.testing.contract.comparing import at_rest
from tracelet.testing.contract.samples import Sample

Outcome: TypeAlias = Literal["equal", "degraded", "absent"]
_FIRST: Final = (RunStarted, RunFinished)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One sample's way.

    Attributes:
        kind: The class of the event.
        what: The sample, in words.
        outcome: Whether all of it came back, some, or nothing.
        differs: The fields that are not what they were; of a payload with the format that it has now.
        became: The class of what came back, if it is another.
    """

    kind: str
    what: str
    outcome: Outcome
    differs: tuple[str, ...] = ()
    became: str = ""


def way(sample: Sample, back: Sequence[Event], held: Event | None) -> Way:
    """Tell what became of a sample.

    Args:
        sample: What was logged, under a name that no other has.
        back: The run, as it came back.
        held: What the backend says of it.
    """
    event, kind = sample.event, type(sample.event).__name__
    found = counterpart(event, back)
    if found is None:
        other = counterpart(held, back) if held is not None else None
        if other is None:
            return Way(kind=kind, what=sample.what, outcome="absent")
        return Way(kind=kind, what=sample.what, outcome="degraded", became=type(other).__name__)
    differs = tuple(differing(event, found))
    return Way(kind=kind, what=sample.what, outcome="degraded" if differs else "equal", differs=differs)


def counterpart(event: Event, back: Sequence[Event]) -> Event | None:
    """Find what came back of an event; None if nothing did."""
    if isinstance(event, (Params, Tags)):
        there = at_rest(back)["params" if isinstance(event, Params) else "tags"]
        names = event.params if isinstance(event, Params) else event.tags
        values = {name: there[name] for name in names if name in there}
        return type(event)(event.time, values) if values else None
    if isinstance(event, Note):
        note = at_rest(back)["note"]
        return Note(event.time, note) if note else None
    if isinstance(event, RunStarted):
        return _started(event, back)
    same = [one for one in back if type(one) is type(event) and _title(one) == _title(event)]
    return min(same, key=lambda one: len(differing(event, one)), default=None)


def _started(event: RunStarted, back: Sequence[Event]) -> Event | None:
    """Find a run's start, without the tags and the note that were set later."""
    found = next((one for one in back if isinstance(one, RunStarted)), None)
    if found is None:
        return None
    rest = at_rest(back)
    tags = {name: text for name, text in rest["tags"].items() if name in event.tags}
    return msgspec.structs.replace(found, tags=tags, note=event.note if rest["note"] else "")


def differing(sent: Any, back: Any) -> list[str]:
    """List the fields in which two events differ; where a payload's bytes are does not count."""
    found: list[str] = []
    for field in sent.__struct_fields__:
        one, two = getattr(sent, field), getattr(back, field)
        if repr(one) == repr(two) or (isinstance(sent, Artifact) and field in {"time", "digest", "mtime"}):
            continue
        if isinstance(one, Payload) and isinstance(two, Payload):
            if (one.format, one.shape, one.dtype) != (two.format, two.shape, two.dtype):
                found.append(f"{field} ({two.format or two.dtype})")
        else:
            found.append(field)
    return found


def _title(event: Any) -> object:
    """Tell what an event is called; a run is there once, and so is its end."""
    return None if isinstance(event, _FIRST) else getattr(event, "name", getattr(event, "path", None))
